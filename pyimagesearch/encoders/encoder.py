"""Encoders: networks from images to codes, stored as ONNX and run by ONNX Runtime."""

import json
from functools import cached_property
from hashlib import sha256
from pathlib import Path

import numpy as np

from pyimagesearch.encoders.onnx_session import (
    CHECKSUM_ENTRY,
    INPUT_SPEC_KEY,
    open_session,
    run_session,
)
from pyimagesearch.files import atomic_write, sha256_of
from pyimagesearch.pictures.input_spec import InputSpec

# Pixels encoded at once: the layers of a network such as VGG16 take some 500 bytes a pixel.
MAX_PIXELS = 2**20


class Encoder:
    """The part of a network that gives the code, in a form that can be stored in an index.

    `onnx` is the network as bytes, `spec` the InputSpec of its images, `dim` the dimension of its
    codes; `model` and `model_sha256` are the name and the SHA-256 of the file it was made from;
    `text` is the network that gives the codes of texts, as `TextEncoder` takes it, or None.
    `threads` is the number of threads that run the network, 0 for one a core; set it before the
    first call of `encode`.
    """

    threads = 0

    def __init__(self, onnx, spec, dim, model, model_sha256, text=None):
        self.onnx, self.spec, self.dim = onnx, spec, dim
        self.model, self.model_sha256, self.text = model, model_sha256, text

    @classmethod
    def from_onnx(cls, path):
        """Read an encoder from an ONNX file as `save_onnx` writes it.

        Raises OSError when the file cannot be read, ValueError when it is not such an encoder.
        """
        data = Path(path).read_bytes()
        content, entry, expected = data.rpartition(CHECKSUM_ENTRY)
        if len(expected) == 64 and entry and sha256(content).hexdigest().encode() != expected:
            raise ValueError(f"cannot use {path} as an encoder: it is damaged")
        encoder = cls(data, None, None, Path(path).name, sha256_of(path))
        inputs, outputs = encoder._session.get_inputs(), encoder._session.get_outputs()
        shapes = [list(node.shape) for node in (*inputs, *outputs)]
        if [len(shape) for shape in shapes] != [4, 2]:
            raise ValueError(
                f"cannot use {path} as an encoder: expected one input of images (n, height, width, "
                "channels) and one output of codes (n, dim), received inputs "
                f"{shapes[: len(inputs)]} and outputs {shapes[len(inputs) :]}"
            )
        stored = encoder._session.get_modelmeta().custom_metadata_map.get(INPUT_SPEC_KEY)
        try:
            encoder.spec = InputSpec.from_dict(json.loads(stored)) if stored else None
            encoder.spec = encoder.spec or InputSpec(*shapes[0][1:])
            sample = np.zeros((1, *encoder.spec.shape), np.float32)
            [codes] = encoder._session.run(None, {inputs[0].name: sample})
        except Exception as error:  # JSON and ONNX Runtime raise types of their own
            reason = " ".join(str(error).split())
            raise ValueError(f"cannot use {path} as an encoder: {reason}") from error
        encoder.dim = codes.shape[1]
        return encoder

    def save_onnx(self, path):
        """Write the encoder as an ONNX file, with its InputSpec as metadata."""
        import onnx

        model = onnx.load_from_string(self.onnx)
        onnx.helper.set_model_props(model, {INPUT_SPEC_KEY: json.dumps(self.spec.to_dict())})
        data = model.SerializeToString()
        with atomic_write(path) as temporary:
            temporary.write_bytes(data + CHECKSUM_ENTRY + sha256(data).hexdigest().encode())

    @classmethod
    def from_dict(cls, values):
        """Return the encoder that `to_dict` returned `values` for.

        Raises ValueError when a value is missing, unknown, or of another type.
        """
        fields = {"onnx": bytes, "spec": dict, "dim": int, "model": str, "model_sha256": str}
        known = isinstance(values, dict) and {
            key: bytes if key == "text" and isinstance(value, np.ndarray) else type(value)
            for key, value in values.items()
        }
        if known not in (fields, {**fields, "text": bytes}):
            raise ValueError(f"expected its encoder to hold {', '.join(fields)}")
        return cls(**{**values, "spec": InputSpec.from_dict(values["spec"])})

    def to_dict(self):
        """Return the encoder as a dict of plain values, for storage in an index."""
        values = {
            "onnx": self.onnx,
            "spec": self.spec.to_dict(),
            "dim": self.dim,
            "model": self.model,
            "model_sha256": self.model_sha256,
        }
        return values if self.text is None else {**values, "text": bytes(self.text)}

    def without_text(self):
        """Return the encoder of images alone, which is smaller."""
        return Encoder(self.onnx, self.spec, self.dim, self.model, self.model_sha256)

    @cached_property
    def _session(self):
        return open_session(self.onnx, self.model, self.threads)

    @cached_property
    def _text_encoder(self):
        from pyimagesearch.encoders.text_encoder import TextEncoder

        if self.text is None:
            raise ValueError(
                f"the index carries no text encoder, which --text needs: {self.model} has none; "
                "index with a folder that has text_model.onnx and tokenizer.json"
            )
        return TextEncoder(self.text, self.model)

    def encode_texts(self, texts):
        """Return the codes of texts, float32 (len(texts), dim).

        Raises ValueError without a text encoder, and ImportError without tokenizers.
        """
        codes = self._text_encoder.encode(texts)
        if codes.shape != (len(texts), self.dim):
            raise ValueError(
                f"the text encoder of {self.model} gives codes of shape {codes.shape}, expected "
                f"{(len(texts), self.dim)}"
            )
        return codes

    def encode(self, images):
        """Return the codes, float32 (n, dim), of float32 images in [0, 1], (n, *spec.shape)."""
        source, *_ = self._session.get_inputs()
        codes = np.empty((len(images), self.dim), np.float32)
        step = max(1, MAX_PIXELS // (self.spec.height * self.spec.width))
        fixed = source.shape[0] if isinstance(source.shape[0], int) else None
        step = fixed or step
        for start in range(0, len(images), step):
            part = images[start : start + step]
            missing = step - len(part) if fixed else 0
            full = np.pad(part, [(0, missing), (0, 0), (0, 0), (0, 0)]) if missing else part
            codes[start : start + step] = self._run(source.name, full)[: len(part)]
        return codes

    def _run(self, name, images):
        codes = run_session(self._session, {name: images}, self.model)
        if np.shape(codes) != (len(images), self.dim):
            raise ValueError(
                f"the encoder of {self.model} gives codes of shape {np.shape(codes)}, expected "
                f"{(len(images), self.dim)}"
            )
        return codes

    def encode_dataset(self, dataset, batch_size=256, progress=None):
        """Return the codes of all rows of a dataset, float32 (len(dataset), dim).

        `progress`, when given, is called after each batch with its number of images.
        """
        codes = np.empty((len(dataset), self.dim), np.float32)
        for start in range(0, len(dataset), batch_size):
            rows = np.arange(start, min(start + batch_size, len(dataset)))
            codes[rows] = self.encode(dataset.read(rows, self.spec))
            if progress:
                progress(len(rows))
        return codes
