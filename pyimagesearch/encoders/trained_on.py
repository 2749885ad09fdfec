"""What a model file says of its images, read without Keras: their shape, and the training set."""

import json
import os
import zipfile
import zlib
from pathlib import Path
from typing import Any

from pyimagesearch.arrays import Source
from pyimagesearch.datasets.catalog import DEFAULT_SOURCE, is_source
from pyimagesearch.encoders.onnx_facts import ENTRY_KEY, ENTRY_VALUE
from pyimagesearch.encoders.onnx_session import INPUT_SPEC_KEY, TRAINED_ON_KEY
from pyimagesearch.encoders.wire import fields
from pyimagesearch.hdf5_files import hdf5_text
from pyimagesearch.pictures.input_spec import InputSpec

DIGIT_SHAPE = (28, 28, 1)  # of the images that the tutorial's model takes
MAX_BYTES = 1 << 20  # of a configuration or a training set, as JSON
MODEL_METADATA = 14  # of ModelProto in onnx.proto
# What the readers of its three formats raise for a damaged file; h5py raises RuntimeError too.
UNREADABLE = (
    *(OSError, ValueError, KeyError, TypeError, RuntimeError, EOFError),
    *(zipfile.BadZipFile, zlib.error),
)


def trained_on(path: str) -> dict[str, Any] | None:
    """Return the source of the images that a model was trained on, None where it is not known."""
    try:
        text = _read_text(path, TRAINED_ON_KEY)
        source = None if text is None else json.loads(text)
    except UNREADABLE:  # opening it will say why
        return None
    return source if is_source(source) else None


def images_of(path: str) -> Source | None:
    """Return what `trained_on` does; for a model that takes digits and does not say it, mnist."""
    source = trained_on(path)
    if source is None and input_shape(path) == DIGIT_SHAPE:
        return dict(DEFAULT_SOURCE)
    return source


def require_same_images(path: str, source: Source, flag: str) -> bool:
    """Return whether a training on `source` would replace a model, at a path that a flag names.

    An empty file is none. Raises ValueError if the model was trained on images that are not among
    those of `source`, or on images that are not known: its weights could not be made again by the
    same command.
    """
    if not Path(path).exists() or not os.path.getsize(path):
        return False
    before = images_of(path)
    if before is None or not _covers(source, before):
        raise ValueError(
            f"{flag} would replace {path}, a model of {_described(before)}, by one of "
            f"{_described(source)}: give another name, or --overwrite"
        )
    return True


def _covers(source: Source, other: Source) -> bool:
    """Whether all images of a source are among those of another one, as far as it can be told."""
    if os.path.abspath(source["name"]) != os.path.abspath(other["name"]):
        return False
    if any(source.get(key) != other.get(key) for key in ("split", "folders")):
        return False
    limit = source["limit"]
    return limit is None or (other["limit"] is not None and other["limit"] <= limit)


def _described(source: Source | None) -> str:
    if source is None:
        return "unknown images"
    name = source["name"]
    if source.get("folders"):
        name = f"{', '.join(source['folders'])} in {name}"
    if source["limit"] is not None:
        return f"the first {source['limit']:,} images of {name}"
    return name


def input_shape(path: str) -> tuple[int, ...] | None:
    """Return the (height, width, channels) that a model of ours takes, None where unknown."""
    try:
        suffix = Path(path).suffix.lower()
        if suffix == ".onnx":
            spec = InputSpec.from_dict(json.loads(_onnx_note(path, INPUT_SPEC_KEY) or "{}"))
            return spec.shape
        key = "config.json" if suffix == ".keras" else "model_config"
        config = json.loads(_read_text(path, key) or "{}")
        [first, *_] = config["config"]["layers"]
        values = first["config"]
        shape = values.get("batch_shape") or values["batch_input_shape"]
        return tuple(shape[1:])
    except (*UNREADABLE, AttributeError):
        return None


def _read_text(path: str, key: str) -> str | None:
    suffix = Path(path).suffix.lower()
    if suffix == ".keras":
        with zipfile.ZipFile(path) as archive:
            if key not in archive.namelist() or archive.getinfo(key).file_size > MAX_BYTES:
                return None
            return archive.read(key).decode()
    if suffix == ".onnx":
        return _onnx_note(path, key)
    import h5py

    with h5py.File(path) as file:
        return hdf5_text(file, key, MAX_BYTES)


def _onnx_note(path: str, key: str) -> str | None:
    """Return a metadata entry of an ONNX file, None where there is none; its graph is not read."""
    for one in fields(memoryview(Path(path).read_bytes())):
        if one.number == MODEL_METADATA and len(one.content) <= MAX_BYTES:
            entry = {inner.number: bytes(inner.content) for inner in fields(one.content)}
            if entry[ENTRY_KEY] == key.encode():
                return entry[ENTRY_VALUE].decode()
    return None
