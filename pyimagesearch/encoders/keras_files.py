"""Keras model files, which also store the InputSpec of the model's images."""

import json
import math
import shutil
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from copy import deepcopy
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pyimagesearch.arrays import Source
from pyimagesearch.encoders.keras_config import CHECKSUM_KEY, safe_config, update_old_keys
from pyimagesearch.encoders.onnx_session import INPUT_SPEC_KEY, TRAINED_ON_KEY
from pyimagesearch.files import atomic_write
from pyimagesearch.hdf5_files import hdf5_text, reserve_space
from pyimagesearch.pictures.input_spec import InputSpec

if TYPE_CHECKING:
    from keras import Model

MAX_VALUES = 1 << 26  # of an image behind any layer: 64 channels of 1024 x 1024 pixels
NOTES = (INPUT_SPEC_KEY, TRAINED_ON_KEY)  # members of a .keras archive that are not Keras' own


def save_model(
    model: "Model", path: str | Path, spec: InputSpec, trained_on: Source | None = None
) -> None:
    """Write a Keras model and its InputSpec; the suffix, .keras or .h5, chooses the format.

    `trained_on` is the source of the images that it was trained on, or None.
    """
    notes = {INPUT_SPEC_KEY: json.dumps(spec.to_dict())}
    if trained_on is not None:
        notes[TRAINED_ON_KEY] = json.dumps(trained_on)
    hdf5 = Path(path).suffix == ".h5"
    with atomic_write(path, checksum=hdf5) as temporary:  # members of an archive have checksums
        if hdf5:
            content = sum(weight.numpy().nbytes for weight in model.weights) + len(model.to_json())
            reserve_space(temporary, content, objects=2 * len(model.weights) + len(model.layers))
        model.save(temporary)
        if hdf5:
            import h5py

            with h5py.File(temporary, "a") as file:
                file.attrs.update(notes)
                file.attrs[CHECKSUM_KEY] = True
        else:
            with zipfile.ZipFile(temporary, "a") as archive:
                for name, text in notes.items():
                    archive.writestr(name, text)


def load_model(path: str | Path) -> tuple["Model", InputSpec]:
    """Load a Keras model that needs no custom code; return the model and its InputSpec.

    The input of a model that stores no InputSpec, such as the tutorial's, is letterboxed. Raises
    FileNotFoundError, or ValueError when the file is damaged, names classes that are not on the
    list of `keras_config`, or is not a model of images of one size.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"no such model file: {path}; make it with train_autoencoder.py")
    import pyimagesearch.backend  # noqa: F401  (an ImportError is not the fault of the file)

    try:
        config = safe_config(path, NOTES)
        load = partial(_load, path)
        if update_old_keys(config):
            load = partial(_load_updated, path, config)
        _require_modest(config, load, Path(path).stat().st_size)
        model = load()
        stored = _read_spec(path)
    except Exception as error:
        reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise ValueError(f"cannot load {path} as a Keras model: {reason}") from error
    shape = model.input_shape  # a list of shapes if it has several inputs
    if not isinstance(shape, tuple) or len(shape) != 4 or None in shape[1:]:
        raise ValueError(
            f"expected {path} to take images (n, height, width, channels) of one size, received "
            f"the input shape {shape}"
        )
    spec = InputSpec(*shape[1:])
    if stored is not None and stored.shape == spec.shape:
        spec = stored
    return model, spec


def _require_modest(config: dict[str, Any], load: Callable[[], "Model"], size: int) -> None:
    """Raise ValueError for a model whose weights or values take more memory than they should.

    Its file of `size` bytes holds all weights, of which Keras gives each a random value before it
    reads them; a layer such as UpSampling2D makes as many values of an image as it likes.
    """
    from concurrent.futures import ThreadPoolExecutor

    # Keras notes for a thread which variables have no values yet, and gives them some later.
    with ThreadPoolExecutor(1) as thread:
        weights, values = thread.submit(_sizes, config, load).result()
    if weights > size:
        raise ValueError(f"its layers have {weights:,} weights, more than its file can hold")
    if values > MAX_VALUES:
        raise ValueError(f"a layer of it makes {values:,} values of an image, too many")


def _sizes(config: dict[str, Any], load: Callable[[], "Model"]) -> tuple[int, int]:
    """Return the number of all weights, and of the values of an image that most are made of."""
    from pyimagesearch.backend import keras

    with keras.StatelessScope(initialize_variables=False):  # variables have shapes alone
        if "module" in config:  # as Keras 3 writes archives
            model = keras.saving.deserialize_keras_object(deepcopy(config))
        else:  # HDF5, whose configuration Keras reads together with the weights
            model = load()
    weights = sum(math.prod(weight.shape) for weight in model.weights)
    return weights, max(map(_values_of_image, _tensors(model)), default=0)


def _tensors(model: Any) -> Iterator[Any]:
    """Yield what all layers of a model make, also those of models within it."""
    for layer in model.layers:
        for node in layer._inbound_nodes:
            yield from node.output_tensors
        if hasattr(layer, "layers"):
            yield from _tensors(layer)


def _values_of_image(tensor: Any) -> int:
    return math.prod(side for side in tensor.shape[1:] if side is not None)


def _load(path: str | Path) -> "Model":
    from pyimagesearch.backend import keras

    # The optimizer and the loss, which compile=True would restore, are for training only.
    return keras.saving.load_model(path, compile=False, safe_mode=True)


def _load_updated(path: str | Path, config: dict[str, Any]) -> "Model":
    """Load a model file with another configuration in place of its own."""
    text = json.dumps(config)
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / Path(path).name
        if not zipfile.is_zipfile(path):
            import h5py

            shutil.copyfile(path, copy)
            reserve_space(copy, copy.stat().st_size + len(text), objects=0)
            with h5py.File(copy, "a") as file:
                file.attrs["model_config"] = text
            return _load(copy)
        with zipfile.ZipFile(path) as archive, zipfile.ZipFile(copy, "w") as changed:
            for name in archive.namelist():
                content = text if name == "config.json" else archive.read(name)
                changed.writestr(name, content)
        return _load(copy)


def _read_spec(path: str | Path) -> InputSpec | None:
    """Return the InputSpec that a model file stores, or None."""
    text: str | bytes | None
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            stored = INPUT_SPEC_KEY in archive.namelist()
            text = archive.read(INPUT_SPEC_KEY) if stored else None
    else:
        import h5py

        with h5py.File(path) as file:
            text = hdf5_text(file, INPUT_SPEC_KEY)
    if text is None:
        return None
    return InputSpec.from_dict(json.loads(text))
