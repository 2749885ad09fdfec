"""Choosing what to index: the index so far, the source of the images, and the encoder."""

import logging
import os
from functools import partial
from pathlib import Path
from typing import Any

from pyimagesearch.datasets.catalog import (
    DEFAULT_SOURCE,
    SourceFlags,
    folder_settings,
    updated_source,
)
from pyimagesearch.encoders.encoder import Encoder, short_digest
from pyimagesearch.encoders.model_source import ModelFlags, find_model, model_path, network_name
from pyimagesearch.encoders.onnx_files import is_export
from pyimagesearch.indexes.contract import Index, Store
from pyimagesearch.indexes.pictures import missing_folder
from pyimagesearch.indexes.settings import Encode
from pyimagesearch.pictures.input_spec import InputSpec

logger = logging.getLogger(__name__)


def index_so_far(
    store: Store, model: str | None = None, *, dataset_named: bool = False, rebuild: bool = False
) -> Index | None:
    """Return the index in a store, or None if there is none.

    `model` is the one that was named, or None. Raises ValueError when a model is needed, or when
    the index cannot be read; with `rebuild` it may be damaged if model and dataset are named.
    """
    if not store.exists():
        if model:
            return None
        raise ValueError(
            f"no index at {store} yet: pass the model to make it with, such as --model FILE or "
            "--model efficientnet_b0"
        )
    try:
        index = store.open()
    except ValueError as error:
        if rebuild and model and dataset_named:
            return None
        raise ValueError(f"{error}, with --model, --dataset and --rebuild") from error
    if model is None and index.encoder is None:
        raise ValueError(f"{store} has no encoder; pass the model that made it: --model FILE")
    return index


def choose_source(
    index: Index | None, flags: SourceFlags, model: ModelFlags, *, unfinished: Any = None
) -> dict[str, Any]:
    """Return the arguments of `open_dataset` for the images to index.

    What the flags do not name is taken from the index so far; without one from `unfinished`, the
    source of an index whose making was interrupted, or else from what the model was trained on. If
    a model is named, no limit means all images.

    Raises FileNotFoundError when the images of the index are not where they were, ValueError when
    nothing tells which images are meant.
    """
    names = flags.names
    if index is not None:
        source = dict(index.source or DEFAULT_SOURCE)
    elif unfinished is not None:
        source = dict(unfinished)
    elif names is not None:
        source = dict(DEFAULT_SOURCE)
    else:
        source = _source_of_model(model)
    if names is not None and source["name"] not in (names[0], os.path.abspath(names[0])):
        # The split and the limit of other images mean nothing, but a folder may have been moved.
        kept = folder_settings(source) if index is not None and index.has_files else {}
        source = {**DEFAULT_SOURCE, **kept}
    if model.name:
        source["limit"] = None
    is_lost = index is not None and index.has_files and not os.path.isdir(source["name"])
    if names is None and is_lost:
        raise FileNotFoundError(missing_folder(source["name"]))
    return updated_source(source, flags)


def _source_of_model(model: ModelFlags) -> dict[str, Any]:
    """Return the source of the images that a model was trained on, or raise ValueError.

    A model that does not say it may be the tutorial's, if it takes digits.
    """
    name = model.name
    path = None if name is None else model_path(name)
    if path is not None and not is_export(path):
        from pyimagesearch.encoders.trained_on import DIGIT_SHAPE, input_shape, trained_on

        found = trained_on(path)
        if found is not None:
            logger.info(f"indexing what {name} was trained on, {found['name']}")
            return dict(found)
        shape = input_shape(path)
        if shape is None or shape == DIGIT_SHAPE:  # opening a damaged file says why
            return dict(DEFAULT_SOURCE)
    raise ValueError(
        f"name the images to index with --dataset: {name} does not say what it was trained on"
    )


def choose_encoder(
    index: Index | None, model: ModelFlags, *, rebuild: bool = False, replace: bool = False
) -> Encoder:
    """Return the encoder of the index so far, if it is that of the model, or else a new one.

    With `rebuild` it may be of another commit on the hub, and with `replace` another model. Raises
    ValueError when codes would be kept that another model made, OSError when a file cannot be read.
    """
    known = None if index is None else index.encoder
    name = model.name
    if name is None:
        assert known is not None
        return known
    made_with = None if known is None or rebuild else known.model
    source = find_model(model, made_with)
    if known is not None:
        fingerprint = source.fingerprint()
        same_file = fingerprint == known.model_sha256
        if same_file and _is_spec(known.spec, model):
            return known  # as ONNX, so that TensorFlow is not imported
    if rebuild or replace or known is None:
        logger.info(f"loading {name}...")
        return source.open()
    namesake = " of this name" if Path(name).name == known.model else ""
    made = f"another model{namesake}, {known.title}, than {name} ({short_digest(fingerprint)})"
    if same_file or network_name(name) == known.model:
        spec = known.spec
        size = f"{spec.height} x {spec.width}, {spec.resize_mode}"
        made = f"other weights or images of {name} ({size})"
    raise ValueError(
        f"the index was made with {made}: codes of two models cannot be compared; encode "
        f"everything again with --rebuild, or leave --model out to go on with {known.model}"
    )


def _is_spec(spec: InputSpec, model: ModelFlags) -> bool:
    """Whether an InputSpec has the size and the mode that were named; None matches any."""
    size = (spec.height, spec.width)
    wanted = size if model.image_size is None else tuple(model.image_size)
    return wanted == size and model.resize_mode in (None, spec.resize_mode)


def choose_encode(ray: str | None, model: str | None) -> Encode:
    """Return the function that encodes rows: here, or on the Ray cluster at an address.

    `ray` is None for this process, an empty string for a cluster on this host. Features that the
    training of a model kept beside it are used here.
    """
    if ray is None:
        path = None if model is None else model_path(model)
        if path is None:
            from pyimagesearch.encoders.encoding import encode_rows

            return encode_rows
        from pyimagesearch.encoders.kept_codes import encode_kept

        return partial(encode_kept, folder=Path(path).parent)
    from pyimagesearch.encoders import ray_encoding

    ray_encoding.connect(ray or None)
    return ray_encoding.encode_on_cluster
