"""Keras model files, which also store the InputSpec of the model's images."""

import json
import zipfile
from pathlib import Path

from pyimagesearch.encoders.encoder import INPUT_SPEC_KEY
from pyimagesearch.encoders.keras_config import CHECKSUM_KEY, require_safe_model
from pyimagesearch.files import atomic_write
from pyimagesearch.pictures.input_spec import InputSpec

CODE_LAYERS = ("encoded", "encoder")  # names of the layer whose output is the code


def save_model(model, path, spec):
    """Write a Keras model and its InputSpec; the suffix, .keras or .h5, chooses the format."""
    text = json.dumps(spec.to_dict())
    hdf5 = Path(path).suffix == ".h5"
    with atomic_write(path, checksum=hdf5) as temporary:  # members of an archive have checksums
        model.save(temporary)
        if hdf5:
            import h5py

            with h5py.File(temporary, "a") as file:
                file.attrs[INPUT_SPEC_KEY] = text
                file.attrs[CHECKSUM_KEY] = True
        else:
            with zipfile.ZipFile(temporary, "a") as archive:
                archive.writestr(INPUT_SPEC_KEY, text)


def load_model(path):
    """Load a Keras model that needs no custom code; return the model and its InputSpec.

    The input of a model that stores no InputSpec, such as the tutorial's, is letterboxed. Raises
    FileNotFoundError, or ValueError when the file is damaged, names classes that are not on the
    list of `keras_config`, or is not a model of images of one size.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"no such model file: {path}; make it with train_autoencoder.py")
    try:
        require_safe_model(path, INPUT_SPEC_KEY)
        from pyimagesearch.backend import keras

        # The optimizer and the loss, which compile=True would restore, are for training only.
        model = keras.saving.load_model(path, compile=False, safe_mode=True)
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


def _read_spec(path):
    """Return the InputSpec that a model file stores, or None."""
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            stored = INPUT_SPEC_KEY in archive.namelist()
            text = archive.read(INPUT_SPEC_KEY) if stored else None
    else:
        import h5py

        with h5py.File(path) as file:
            text = file.attrs.get(INPUT_SPEC_KEY)
    return None if text is None else InputSpec.from_dict(json.loads(text))


def encoder_of(model, path="the model", flat=True):
    """Return the network from a model's images to the output of its layer `encoded` or `encoder`.

    With `flat`, the codes are (n, dim) even if the layer's output has more axes. Raises ValueError,
    which names `path`, when there is no such layer.
    """
    from pyimagesearch.backend import keras

    names = [layer.name for layer in model.layers]
    layer = next((name for name in CODE_LAYERS if name in names), None)
    if layer is None:
        raise ValueError(
            f"{path} has no layer named {' or '.join(CODE_LAYERS)}, whose output would be the "
            f"code; its layers are {', '.join(names)}"
        )
    code = model.get_layer(layer).output
    if flat and len(code.shape) > 2:
        code = keras.layers.Flatten()(code)
    return keras.Model(model.inputs[0], code)
