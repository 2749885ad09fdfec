"""Export of Keras models to encoders, and model files of any format opened as encoders."""

import logging
import os
import tempfile
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pyimagesearch.arrays import Source
from pyimagesearch.encoders.encoder import Encoder
from pyimagesearch.encoders.keras_files import load_model, save_model
from pyimagesearch.encoders.keras_network import encoder_of, outputs_of
from pyimagesearch.encoders.onnx_files import is_export
from pyimagesearch.encoders.trial import require_codes
from pyimagesearch.files import sha256_of
from pyimagesearch.pictures.input_spec import InputSpec
from pyimagesearch.terminal import ctrl_c_waits

if TYPE_CHECKING:
    from keras import Model

MAX_DIFFERENCE = 1e-3  # between a code by ONNX Runtime and by Keras, in any dimension


def open_encoder(
    path: str | Path, image_size: tuple[int, int] | None = None, resize_mode: str | None = None
) -> Encoder:
    """Return the Encoder of a model: `.onnx`, a folder with one, or a `.keras` or `.h5` file.

    `image_size` and `resize_mode` are those of `read_export`. Raises OSError when the file cannot
    be read and ValueError when it is not such a model.
    """
    if is_export(path):
        from pyimagesearch.encoders.onnx_network import read_export

        encoder = read_export(path, image_size, resize_mode)
    elif Path(path).suffix.lower() == ".onnx":
        encoder = Encoder.from_onnx(path)
    else:
        return encoder_from_keras(path)
    require_codes(encoder)
    return encoder


def encoder_from_keras(path: str | Path) -> Encoder:
    """Return the Encoder of a saved Keras model that has a layer `encoded` or `encoder`.

    Raises OSError when the file cannot be read and ValueError when it is not a Keras model, needs
    custom code to load, or has no such layer.
    """
    model, spec = load_model(path)
    return encoder_from_network(encoder_of(model, path), spec, Path(path).name, sha256_of(path))


def encoder_from_network(
    network: "Model", spec: InputSpec, model: str, model_sha256: str
) -> Encoder:
    """Return the Encoder of a Keras network, images (n, *spec.shape) to codes (n, dim).

    `model` and `model_sha256` are the name and the SHA-256 of the file that the network is from.
    Raises ValueError when the codes by ONNX Runtime differ from those by Keras.
    """
    sample = np.random.default_rng(0).random((4, *spec.shape), dtype=np.float32)
    expected = outputs_of(network, sample)
    if not np.isfinite(expected).all():
        raise ValueError(
            f"the model {model} gives codes with NaN or infinity: its training diverged; train it "
            "again with a lower --learning-rate"
        )
    encoder = Encoder(_export_onnx(network), spec, expected.shape[1], model, model_sha256)
    difference = np.abs(encoder.encode(sample) - expected).max()
    if not difference < MAX_DIFFERENCE:
        raise ValueError(
            f"cannot export {model}: its codes by ONNX Runtime and by Keras differ by up to "
            f"{difference:.2g}, expected less than {MAX_DIFFERENCE}"
        )
    return encoder


def save_encoder(
    model: "Model", path: str | Path, spec: InputSpec, trained_on: Source | None = None
) -> None:
    """Write the part of a Keras autoencoder that gives the code, as `.keras`, `.h5` or `.onnx`.

    `trained_on` is that of `save_model`.
    """
    if Path(path).suffix.lower() == ".onnx":
        encoder = encoder_from_network(encoder_of(model), spec, Path(path).name, "")
        encoder.save_onnx(path, trained_on)
    else:
        save_model(encoder_of(model, flat=False), path, spec, trained_on)


def _export_onnx(network: "Model") -> bytes:
    """Return a Keras network, which has been called before, as ONNX bytes for any batch size."""
    logging.getLogger("tf2onnx").setLevel(logging.ERROR)
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings(), ctrl_c_waits():
        warnings.simplefilter("ignore")  # Keras uses names that NumPy has deprecated
        file = os.path.join(folder, "encoder.onnx")
        try:
            # tf2onnx copies the network before each of its optimizations, in case one fails. That
            # takes gigabytes and most of the time, so it is done only after a failure.
            os.environ["TF2ONNX_CATCH_ERRORS"] = "false"
            network.export(file, format="onnx", verbose=False)
        except Exception:
            del os.environ["TF2ONNX_CATCH_ERRORS"]
            network.export(file, format="onnx", verbose=False)
        finally:
            os.environ.pop("TF2ONNX_CATCH_ERRORS", None)
        return Path(file).read_bytes()
