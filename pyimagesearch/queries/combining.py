"""One query from several, at the weighted mean of their codes."""

import re
from collections.abc import Sequence

import numpy as np

from pyimagesearch.encoders.encoder import Encoder
from pyimagesearch.indexes.contract import Codes
from pyimagesearch.queries.query import Part, Query

MAX_WEIGHT = 1_000_000  # of a part of a combined query
WEIGHTED = re.compile(r"([+-]?(?:\d+\.?\d*|\.\d+)):(.+)", re.DOTALL)
ONLY_COMBINED = "weights, such as 2:, are for --combine"


def combined(parts: Sequence[Part], title: str, encoder: Encoder) -> Query:
    """Return a query called `title` at the weighted mean of the codes of its parts."""
    weights = np.array([part.weight for part in parts], np.float32)
    if not weights.sum() > 1e-6:
        raise ValueError(
            f"the weights of a combined query must add up to more than 0, received {title}"
        )
    codes = np.stack([_code_of(part.query, encoder) for part in parts])
    own = tuple(id for part in parts for id in part.query.own)
    code = weights @ codes / weights.sum()
    return Query(title, own=own, code=code, parts=tuple(parts))


def _code_of(query: Query, encoder: Encoder) -> Codes:
    """Return the code of a query, float32 (d,), which is encoded unless it is known."""
    if query.code is None:
        assert query.image is not None
        [query.code] = encoder.encode(query.image[np.newaxis])
    return query.code


def split_weight(text: str) -> tuple[float, str]:
    """Return the weight and the name in a text such as "-0.5:name"; the weight of "name" is 1.

    Raises ValueError for a weight beside which float32 would lose all others.
    """
    match = WEIGHTED.fullmatch(text)
    if match is None:
        return 1.0, text
    weight = float(match[1])
    if abs(weight) > MAX_WEIGHT:
        raise ValueError(f"expected a weight of at most {MAX_WEIGHT:,}, received {text}")
    return weight, match[2]


def name_after_weight(text: str) -> str | None:
    """Return the name in a text such as "-0.5:name", None for one without a weight."""
    match = WEIGHTED.fullmatch(text)
    return match and match[2]
