"""Encoders: images in, codes out. Made from a Keras model once, run by ONNX Runtime ever after."""

import json
from functools import cached_property
from pathlib import Path

import numpy as np

from pyimagesearch.datasets.transforms import InputSpec
from pyimagesearch.files import atomic_write, sha256_of
from pyimagesearch.models.keras_files import NOTE, encoder_of, load_model

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
    def from_file(cls, path):
        """Make an encoder from a model file, .onnx or one of Keras'; see the methods for each."""
        return (cls.from_onnx if Path(path).suffix.lower() == ".onnx" else cls.from_keras)(path)

    @classmethod
    def from_onnx(cls, path):
        """Make an encoder from an ONNX file of images (n, height, width, channels) to (n, dim).

        Raises OSError when the file cannot be read, ValueError when it is something else.
        """
        data = Path(path).read_bytes()
        encoder = cls(data, None, None, Path(path).name, sha256_of(path))
        inputs, outputs = encoder._session.get_inputs(), encoder._session.get_outputs()
        shapes = [list(node.shape) for node in (*inputs, *outputs)]
        if [len(shape) for shape in shapes] != [4, 2]:
            raise ValueError(
                f"{path} goes from {shapes[: len(inputs)]} to {shapes[len(inputs) :]}: expected "
                "one input of images (n, height, width, channels) and one output of codes (n, dim)"
            )
        note = encoder._session.get_modelmeta().custom_metadata_map.get(NOTE)
        try:
            encoder.spec = InputSpec.from_dict(json.loads(note)) if note else None
            encoder.spec = encoder.spec or InputSpec(*shapes[0][1:])
            sample = np.zeros((1, *encoder.spec.shape), np.float32)
            [codes] = encoder._session.run(None, {inputs[0].name: sample})
        except Exception as error:  # JSON and ONNX Runtime raise types of their own
            reason = " ".join(str(error).split())
            raise ValueError(f"cannot use {path} as an encoder: {reason}") from error
        encoder.dim = codes.shape[1]
        return encoder

    def save_onnx(self, path):
        """Write the encoder as an ONNX file, with a note of how pictures are fitted to it."""
        import onnx

        model = onnx.load_from_string(self.onnx)
        onnx.helper.set_model_props(model, {NOTE: json.dumps(self.spec.to_dict())})
        with atomic_write(path) as temporary:
            temporary.write_bytes(model.SerializeToString())

    @classmethod
    def from_keras(cls, path):
        """Make an encoder from a saved autoencoder's layer `encoded`.

        Raises OSError when the file cannot be read and ValueError when it is no Keras model, needs
        code of its own to load, or has no such layer.
        """
        model, spec = load_model(path)
        network = encoder_of(model, path)
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
