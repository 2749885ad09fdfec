"""Encoders: images in, codes out. Made from a Keras model once, run by ONNX Runtime ever after."""

from functools import cached_property
from pathlib import Path

import numpy as np

from pyimagesearch.files import sha256_of
from pyimagesearch.images import InputSpec
from pyimagesearch.model_files import load_model

CODE_LAYERS = ("encoded", "encoder")
# Encoded at once: a network such as VGG16 needs some 500 bytes of memory a pixel for its layers.
PIXELS = 2**20


class Encoder:
    """The half of an autoencoder that a search needs, in a form that travels inside an index.

    It runs on all cores, or as many `threads` as are set before it is first used.

    `onnx` is the network as bytes, `spec` the InputSpec of its images, `dim` the number of floats
    in a code; `model` and `model_sha256` name the file it was made from.
    """

    threads = 0  # as many as there are cores

    def __init__(self, onnx, spec, dim, model, model_sha256):
        self.onnx, self.spec, self.dim = onnx, spec, dim
        self.model, self.model_sha256 = model, model_sha256

    @classmethod
    def from_keras(cls, path):
        """Make an encoder from a saved autoencoder's layer `encoded`.

        Raises OSError when the file cannot be read and ValueError when it is no Keras model, needs
        code of its own to load, or has no such layer.
        """
        model, spec = load_model(path)
        network = _encoder_network(model, path)
        return cls.from_network(network, spec, Path(path).name, sha256_of(path))

    @classmethod
    def from_network(cls, network, spec, model, model_sha256):
        """Make an encoder from a Keras network of images (n, *spec.shape) to codes (n, dim).

        Raises ValueError when ONNX Runtime gives other codes than Keras.
        """
        sample = np.random.default_rng(0).random((4, *spec.shape), dtype=np.float32)
        expected = np.asarray(network(sample, training=False))
        encoder = cls(_export_onnx(network), spec, expected.shape[1], model, model_sha256)
        difference = np.abs(encoder.encode(sample) - expected).max()
        if not difference < 1e-3:
            raise ValueError(
                f"{model} gives other codes as ONNX than in Keras (by {difference:.2g})"
            )
        return encoder

    @classmethod
    def from_dict(cls, values):
        """The inverse of `to_dict`; raises ValueError when something is missing or mistyped."""
        fields = {"onnx": bytes, "spec": dict, "dim": int, "model": str, "model_sha256": str}
        if not isinstance(values, dict) or {k: type(v) for k, v in values.items()} != fields:
            raise ValueError(f"expected its encoder to hold {', '.join(fields)}")
        return cls(**{**values, "spec": InputSpec.from_dict(values["spec"])})

    def to_dict(self):
        """Everything as plain values."""
        return {
            "onnx": self.onnx,
            "spec": self.spec.to_dict(),
            "dim": self.dim,
            "model": self.model,
            "model_sha256": self.model_sha256,
        }

    @cached_property
    def _session(self):
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        options.intra_op_num_threads = self.threads
        # Threads that wait by spinning would take the cores from those that decode pictures.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        try:
            return onnxruntime.InferenceSession(
                self.onnx, options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # ONNX Runtime raises types of its own
            raise ValueError(f"the encoder of {self.model} cannot be run: {error}") from error

    def encode(self, images):
        """Encode float32 images in [0, 1], (n, *spec.shape), to float32 codes (n, dim)."""
        [source] = self._session.get_inputs()
        codes = np.empty((len(images), self.dim), np.float32)
        step = max(1, PIXELS // (self.spec.height * self.spec.width))
        for start in range(0, len(images), step):
            part = slice(start, start + step)
            [codes[part]] = self._session.run(None, {source.name: images[part]})
        return codes

    def encode_dataset(self, dataset, batch_size=256, progress=None):
        """Encode every row of a dataset, batch by batch, to float32 codes (len(dataset), dim).

        `progress`, when given, is called with the number of images after each batch.
        """
        codes = np.empty((len(dataset), self.dim), np.float32)
        for start in range(0, len(dataset), batch_size):
            rows = np.arange(start, min(start + batch_size, len(dataset)))
            codes[rows] = self.encode(dataset.read(rows, self.spec))
            if progress:
                progress(len(rows))
        return codes


def _encoder_network(model, path):
    """Return the Keras network from a model's images to its flat code."""
    from pyimagesearch.backend import keras

    names = [layer.name for layer in model.layers]
    layer = next((name for name in CODE_LAYERS if name in names), None)
    if layer is None:
        raise ValueError(
            f"{path} has no layer named encoded, whose output would be the code; "
            f"it has {', '.join(names)}"
        )
    code = model.get_layer(layer).output
    if len(code.shape) > 2:
        code = keras.layers.Flatten()(code)
    return keras.Model(model.input, code)


def _export_onnx(network):
    """Return a Keras network that has been called once as ONNX bytes, any batch size in."""
    import logging
    import os
    import tempfile
    import warnings

    logging.getLogger("tf2onnx").setLevel(logging.ERROR)
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Keras probes NumPy for names that are going away
        file = os.path.join(folder, "encoder.onnx")
        try:
            # tf2onnx copies the network before each of its optimizations, in case one fails. That
            # costs gigabytes and most of the time, so it is left for the networks where one does.
            os.environ["TF2ONNX_CATCH_ERRORS"] = "false"
            network.export(file, format="onnx", verbose=False)
        except Exception:
            del os.environ["TF2ONNX_CATCH_ERRORS"]
            network.export(file, format="onnx", verbose=False)
        finally:
            os.environ.pop("TF2ONNX_CATCH_ERRORS", None)
        return Path(file).read_bytes()
