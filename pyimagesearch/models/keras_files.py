"""Model files: Keras' own formats, with a note of how pictures are fitted to the model's input."""

import json
import zipfile
from pathlib import Path

from pyimagesearch.datasets.transforms import InputSpec
from pyimagesearch.files import atomic_write

NOTE = "input_spec.json"  # the member of a .keras archive, the attribute of an .h5 file
CODE_LAYERS = ("encoded", "encoder")


def save_model(model, path, spec):
    """Write a Keras model and its InputSpec; the suffix, .keras or .h5, chooses the format."""
    note = json.dumps(spec.to_dict())
    with atomic_write(path) as temporary:
        model.save(temporary)
        if temporary.suffix == ".h5":
            import h5py

            with h5py.File(temporary, "a") as file:
                file.attrs[NOTE] = note
        else:
            with zipfile.ZipFile(temporary, "a") as archive:
                archive.writestr(NOTE, note)


def save_encoder(model, path, spec):
    """Write the half of a model that gives the code; the suffix is .keras, .h5 or .onnx."""
    if Path(path).suffix.lower() != ".onnx":
        save_model(encoder_of(model, flat=False), path, spec)
        return
    from pyimagesearch.models.encoder import Encoder  # which imports this module

    Encoder.from_network(encoder_of(model), spec, Path(path).name, "").save_onnx(path)


def load_model(path):
    """Load a Keras model that needs no code but Keras' own; return it and its InputSpec.

    A model without a note, such as the tutorial's, takes pictures letterboxed. Raises
    FileNotFoundError, or ValueError saying what the file is not.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"no such model file: {path}; make it with train_autoencoder.py")
    from pyimagesearch.backend import keras

    try:
        # Safe mode refuses lambdas, which could run anything; a search needs no optimizer or loss.
        model = keras.saving.load_model(path, compile=False, safe_mode=True)
        note = _read_note(path)
    except Exception as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise ValueError(f"cannot load {path} as a Keras model: {reason}") from error
    if len(model.input_shape) != 4 or None in model.input_shape[1:]:
        raise ValueError(f"{path} takes {model.input_shape}: expected images of one fixed size")
    spec = InputSpec(*model.input_shape[1:])
    if note is not None and note.shape == spec.shape:
        spec = note
    return model, spec


def _read_note(path):
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            note = archive.read(NOTE) if NOTE in archive.namelist() else None
    else:
        import h5py

        with h5py.File(path) as file:
            note = file.attrs.get(NOTE)
    return None if note is None else InputSpec.from_dict(json.loads(note))


def encoder_of(model, path="the model", flat=True):
    """Return the network from a model's images to the output of its layer `encoded` or `encoder`.

    With `flat`, that is made (n, d) if it has more axes. Raises ValueError, naming `path`, when
    there is no such layer.
    """
    from pyimagesearch.backend import keras

    names = [layer.name for layer in model.layers]
    layer = next((name for name in CODE_LAYERS if name in names), None)
    if layer is None:
        raise ValueError(
            f"{path} has no layer named encoded, whose output would be the code; "
            f"it has {', '.join(names)}"
        )
    code = model.get_layer(layer).output
    if flat and len(code.shape) > 2:
        code = keras.layers.Flatten()(code)
    return keras.Model(model.inputs[0], code)
