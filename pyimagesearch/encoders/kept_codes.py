"""Codes of an adapted network from the features that its training kept, by its head alone."""

import json
import logging
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pyimagesearch.arrays import Floats, Rows
from pyimagesearch.datasets.dataset import Dataset
from pyimagesearch.encoders import encoding
from pyimagesearch.encoders.encoder import MAX_DIM, Encoder, network_bytes
from pyimagesearch.encoders.encoding import Encoded, without_nan
from pyimagesearch.encoders.feature_file import FeatureFile, Origin
from pyimagesearch.encoders.onnx_session import HEAD_KEY, open_session, run_session
from pyimagesearch.files import FEATURES_SUFFIX

if TYPE_CHECKING:
    from onnx import ModelProto
    from onnxruntime import InferenceSession

logger = logging.getLogger(__name__)

ROWS_AT_ONCE = 64  # of features: a network of miniatures takes some megabytes for each
MAX_NOTE = 10_000  # characters of the note that says where a head begins


def encode_kept(
    dataset: Dataset, rows: Sequence[int] | Rows, encoder: Encoder, *, folder: Path
) -> Iterator[Encoded]:
    """As `encode_rows`, but the network is not run for pictures whose features are in `folder`.

    These are found by the content of their files, so that they are those of the same pictures.
    """
    rest = np.asarray(rows, np.int64)
    head = None
    if len(rest) and any(folder.glob(f"*{FEATURES_SUFFIX}")):
        head = open_head(encoder)
    if head is not None:
        kept = FeatureFile(folder, head.origin).kept(dataset, rest)
        start = 0
        for features in kept.blocks():
            part = slice(start, start + len(features))
            digests = None if kept.digests is None else kept.digests[part]
            encoded = Encoded(kept.rows[part], head.codes(features), digests)
            yield without_nan(dataset, encoded, encoder.model)
            start += len(features)
        rest = np.setdiff1d(rest, kept.rows)
    yield from encoding.encode_rows(dataset, rest, encoder)


@dataclass(frozen=True)
class Head:
    """The head of an adapted network, which takes features of an Origin."""

    origin: Origin
    _encoder: Encoder
    _input: str
    _session: "InferenceSession"

    def codes(self, features: Floats) -> Floats:
        """Return the codes, float32 (n, dim), of features, float32 (n, origin.dim)."""
        parts = range(0, len(features), ROWS_AT_ONCE)
        return np.concatenate([self._run(features[start:][:ROWS_AT_ONCE]) for start in parts])

    def _run(self, features: Floats) -> Floats:
        encoder = self._encoder
        codes = run_session(self._session, {self._input: features}, encoder.model)
        if codes.shape != (len(features), encoder.dim):
            raise ValueError(
                f"the head of {encoder.model} gives codes of shape {codes.shape}, expected "
                f"{(len(features), encoder.dim)}"
            )
        return codes


def open_head(encoder: Encoder) -> Head | None:
    """Return the head that `with_head` put after a network; None for any other encoder."""
    import onnx

    from pyimagesearch.encoders.onnx_edit import part_after

    model = onnx.load_from_string(bytes(network_bytes(encoder.onnx)))
    note = _note(model)
    if note is None:
        return None
    tensor, origin = note
    part = part_after(model, tensor, origin.dim).SerializeToString()
    return Head(origin, encoder, tensor, open_session(part, encoder.model, encoder.threads))


def _note(model: "ModelProto") -> tuple[str, Origin] | None:
    """Return the tensor that a head begins at, and the Origin of what it takes, if noted."""
    texts = [entry.value for entry in model.metadata_props if entry.key == HEAD_KEY]
    if not texts or len(texts[0]) > MAX_NOTE:
        return None
    try:
        note = json.loads(texts[0])
        if [type(value) for value in note] != [str, str, str, int]:
            return None
    except (ValueError, TypeError, RecursionError):
        return None
    tensor, *facts = note
    origin = Origin(*facts)
    if not re.fullmatch("[0-9a-f]{64}", origin.identity) or not 0 < origin.dim <= MAX_DIM:
        return None
    return tensor, origin
