"""Model files: Keras' own formats, with a note of how pictures are fitted to the model's input."""

import json
import zipfile
from pathlib import Path

from pyimagesearch.files import replacing
from pyimagesearch.images import InputSpec

NOTE = "input_spec.json"  # the member of a .keras archive, the attribute of an .h5 file


def save_model(model, path, spec):
    """Write a Keras model and its InputSpec; the suffix, .keras or .h5, chooses the format."""
    note = json.dumps(spec.to_dict())
    with replacing(path) as temporary:
        model.save(temporary)
        if temporary.suffix == ".h5":
            import h5py

            with h5py.File(temporary, "a") as file:
                file.attrs[NOTE] = note
        else:
            with zipfile.ZipFile(temporary, "a") as archive:
                archive.writestr(NOTE, note)


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
