"""Encoders: networks from images to codes, stored as ONNX and run by ONNX Runtime."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from pyimagesearch.arrays import Source
from pyimagesearch.encoders.onnx_session import (
    CHECKSUM_ENTRY,
    HEAD_KEY,
    INPUT_SPEC_KEY,
    TRAINED_ON_KEY,
    NetworkBytes,
    open_session,
    run_session,
)
from pyimagesearch.files import atomic_write, printable, sha256_of
from pyimagesearch.pictures.input_spec import InputSpec

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

    from pyimagesearch.encoders.text_encoder import TextEncoder

# Pixels encoded at once: the layers of a network such as VGG16 take some 500 bytes a pixel.
PIXELS_AT_ONCE = 2**20
MAX_DIM = 2**20  # of codes: VGG16 without pooling has 25,088
MAX_BATCH_VALUES = 2**27  # of the images that a network takes at once, 512 MB
MAX_BYTES = 2**31 - 1  # of an ONNX file: a limit of protocol buffers
MAX_NAME = 4096  # characters of the name of a model file
FIELDS = ("onnx", "spec", "dim", "model", "model_sha256")  # of an encoder in an index

Codes = NDArray[np.float32]
# Bytes, an array that is mapped from a file, or a function that reads them when they are needed.
NetworkSource = NetworkBytes | Callable[[], NetworkBytes]


def short_digest(sha256: str) -> str:
    """Return as much of a SHA-256, in hexadecimal digits, as tells models apart, as text."""
    return f"SHA-256 {sha256[:12]}..."


@dataclass(eq=False)
class Encoder:
    """The part of a network that gives the code, in a form that can be stored in an index.

    `onnx` is the network as ONNX, `spec` the InputSpec of its images, `dim` the dimension of its
    codes; `model` and `model_sha256` are the name and the SHA-256 of the file it was made from;
    `text` is the network that gives the codes of texts, as `TextEncoder` takes it, or None.
    Networks are read when they are needed first. `threads` is the number of threads that run the
    network, 0 for one a core; set it before the first call of `encode`.
    """

    onnx: NetworkSource
    spec: InputSpec
    dim: int
    model: str
    model_sha256: str
    text: NetworkSource | None = None
    threads: int = 0

    def __post_init__(self) -> None:
        if type(self.dim) is not int or not 0 < self.dim <= MAX_DIM:
            raise ValueError(
                f"expected codes of 1 to {MAX_DIM:,} dimensions from {self.model}, received "
                f"{str(self.dim)[:20]}"
            )

    @property
    def title(self) -> str:
        """The name and the digest of its model, which tells it from one trained later."""
        return f"{self.model} ({short_digest(self.model_sha256)})"

    @classmethod
    def from_onnx(cls, path: str | Path) -> Self:
        """Read an encoder from an ONNX file as `save_onnx` writes it.

        Raises OSError when the file cannot be read, ValueError when it is not such an encoder.
        """
        if Path(path).stat().st_size > MAX_BYTES:
            raise ValueError(f"cannot use {path} as an encoder: it has more than 2 GB")
        data = Path(path).read_bytes()
        content, entry, expected = data.rpartition(CHECKSUM_ENTRY)
        if len(expected) == 64 and entry and sha256(content).hexdigest().encode() != expected:
            raise ValueError(f"cannot use {path} as an encoder: it is damaged")
        session = open_session(data, Path(path).name)
        spec = _stored_spec(session, path)
        [source] = session.get_inputs()
        sample = np.zeros((_fixed_batch(source, spec, path) or 1, *spec.shape), np.float32)
        codes = run_session(session, {source.name: sample}, path)
        return cls(data, spec, codes.shape[1], Path(path).name, sha256_of(path))

    def save_onnx(self, path: str | Path, trained_on: Source | None = None) -> None:
        """Write the encoder as an ONNX file, with its InputSpec as metadata.

        `trained_on` is the source of the images that it was trained on, or None.
        """
        import onnx

        model = onnx.load_from_string(bytes(network_bytes(self.onnx)))
        notes = {note.key: note.value for note in model.metadata_props if note.key == HEAD_KEY}
        notes[INPUT_SPEC_KEY] = json.dumps(self.spec.to_dict())
        if trained_on is not None:
            notes[TRAINED_ON_KEY] = json.dumps(trained_on)
        onnx.helper.set_model_props(model, notes)
        data = model.SerializeToString()
        with atomic_write(path) as temporary:
            temporary.write_bytes(data + CHECKSUM_ENTRY + sha256(data).hexdigest().encode())

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """Return the encoder that `to_dict` returned `values` for.

        Its networks are not read. Raises ValueError when a value is missing, unknown, of another
        type or too large.
        """
        known = isinstance(values, dict) and values.keys() - {"text"} == set(FIELDS)
        if not known:
            raise ValueError(f"expected its encoder to hold {', '.join(FIELDS)}")
        for key in ("onnx", "text"):
            if key in values and not _is_source(values[key]):
                raise ValueError(f"expected the network {key} of its encoder as bytes")
        for key in ("model", "model_sha256"):
            if not isinstance(values[key], str) or len(values[key]) > MAX_NAME:
                raise ValueError(f"expected {key} of its encoder as text")
        return cls(**{**values, "spec": InputSpec.from_dict(values["spec"])})

    def to_dict(self) -> dict[str, Any]:
        """Return the encoder as a dict for storage in an index.

        All values are plain, but networks that are mapped from a file stay arrays of uint8.
        """
        values = {
            "onnx": network_bytes(self.onnx),
            "spec": self.spec.to_dict(),
            "dim": self.dim,
            "model": self.model,
            "model_sha256": self.model_sha256,
        }
        if self.text is not None:
            values["text"] = network_bytes(self.text)
        return values

    def without_text(self) -> "Encoder":
        """Return the encoder of images alone, which is smaller."""
        return replace(self, text=None)

    @cached_property
    def _session(self) -> "InferenceSession":
        return open_session(network_bytes(self.onnx), self.model, self.threads)

    @cached_property
    def _text_encoder(self) -> "TextEncoder":
        from pyimagesearch.encoders.text_encoder import TextEncoder

        if self.text is None:
            reason = "has none"
            if HEAD_KEY in self._session.get_modelmeta().custom_metadata_map:
                reason = "was adapted to pictures, and what it learnt from them does not fit words"
            raise ValueError(
                f"the index carries no text encoder, which --text needs: {self.model} {reason}; "
                "index with a network that knows words, such as "
                "--model hf:Xenova/clip-vit-base-patch32"
            )
        return TextEncoder(network_bytes(self.text), self.model)

    def encode_texts(self, texts: Sequence[str]) -> Codes:
        """Return the codes of texts, float32 (len(texts), dim).

        Raises ValueError without a text encoder and for a text without words, and ImportError
        without tokenizers.
        """
        codes = self._text_encoder.encode(texts)
        if codes.shape != (len(texts), self.dim):
            raise ValueError(
                f"the text encoder of {self.model} gives codes of shape {codes.shape}, expected "
                f"{(len(texts), self.dim)}"
            )
        return codes

    def encode(self, images: NDArray[np.float32]) -> Codes:
        """Return the codes, float32 (n, dim), of float32 images in [0, 1], (n, *spec.shape).

        The network may give NaN for some images: see `finite_rows`.
        """
        source, *_ = self._session.get_inputs()
        codes = np.empty((len(images), self.dim), np.float32)
        fixed = _fixed_batch(source, self.spec, self.model)
        step = fixed or max(1, PIXELS_AT_ONCE // (self.spec.height * self.spec.width))
        for start in range(0, len(images), step):
            part = images[start : start + step]
            full = part
            if fixed and len(part) < fixed:
                full = np.pad(part, [(0, fixed - len(part)), (0, 0), (0, 0), (0, 0)])
            codes[start : start + step] = self._run(source.name, full)[: len(part)]
        return codes

    def _run(self, name: str, images: NDArray[np.float32]) -> Codes:
        codes = run_session(self._session, {name: images}, self.model)
        if np.shape(codes) != (len(images), self.dim):
            raise ValueError(
                f"the encoder of {self.model} gives codes of shape {np.shape(codes)}, expected "
                f"{(len(images), self.dim)}"
            )
        return codes


def finite_rows(codes: Codes) -> NDArray[np.bool_]:
    """Return which codes are of numbers alone, without NaN and infinity, bool (n,)."""
    finite: NDArray[np.bool_] = np.all(np.isfinite(codes), axis=1)
    return finite


def network_bytes(source: NetworkSource) -> NetworkBytes:
    """Return a network as bytes, or as the array that is mapped from a file."""
    return source() if callable(source) else source


def _is_source(value: object) -> bool:
    if isinstance(value, np.ndarray):
        return value.dtype == np.uint8 and value.ndim == 1
    return isinstance(value, bytes) or callable(value)


def _fixed_batch(source: Any, spec: InputSpec, model: object) -> int | None:
    """Return how many images a network takes at once by its input `source`; None for any number.

    Raises ValueError where they are too many.
    """
    fixed = source.shape[0]
    if not isinstance(fixed, int):
        return None
    if fixed * np.prod(spec.shape, dtype=np.float64) > MAX_BATCH_VALUES:
        raise ValueError(f"the encoder of {model} takes {fixed:,} images at once, too many")
    return fixed


def _stored_spec(session: "InferenceSession", path: str | Path) -> InputSpec:
    """Return the InputSpec in an ONNX file of ours, or the one that its shapes give."""
    inputs = [list(node.shape) for node in session.get_inputs()]
    outputs = [list(node.shape) for node in session.get_outputs()]
    if [len(shape) for shape in inputs + outputs] != [4, 2]:
        raise ValueError(
            f"cannot use {path} as an encoder: expected one input of images (n, height, width, "
            f"channels) and one output of codes (n, dim), received inputs {inputs} and outputs "
            f"{outputs}"
        )
    stored = session.get_modelmeta().custom_metadata_map.get(INPUT_SPEC_KEY)
    try:
        spec = InputSpec.from_dict(json.loads(stored)) if stored else InputSpec(*inputs[0][1:])
        if np.prod(spec.shape, dtype=np.float64) > MAX_BATCH_VALUES:
            raise ValueError(f"it takes images of the shape {spec.shape}, which are too large")
        return spec
    except (ValueError, RecursionError) as error:
        reason = printable(" ".join(str(error).split()))[:300]
        raise ValueError(f"cannot use {path} as an encoder: {reason}") from error
