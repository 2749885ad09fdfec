"""Query expansion: a query is moved towards its nearest neighbours, and searched for again.

After Chum et al., "Total recall: automatic query expansion with a generative feature model for
object retrieval" (2007), with the weights of Radenović, Tolias and Chum, "Fine-tuning CNN image
retrieval with no human annotation" (2018), section 4.3. It raises mAP where a kind has many
pictures, and lowers it for kinds with fewer than the neighbours taken.
"""

import numpy as np
from numpy.typing import NDArray

from pyimagesearch.arrays import Floats, Rows
from pyimagesearch.engines.engine import Engine
from pyimagesearch.metric import normalise

EXPONENT = 3  # of the cosine by which a neighbour is weighted


def expanded(code: NDArray[np.float32], neighbours: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return a code, float32 (d,), moved towards its neighbours, float32 (k, d).

    It is the direction of q + sum of max(cos(q, x), 0)^EXPONENT x over the neighbours x, all of
    length 1, at the length of the code.
    """
    length = np.linalg.norm(code)
    if not length:
        return code
    direction = code / length
    units = normalise(neighbours)
    weights = np.maximum(units @ direction, 0) ** EXPONENT
    moved = direction + weights @ units
    return np.asarray(moved * (length / np.linalg.norm(moved)), np.float32)


def expand_queries(
    codes: Floats, engine: Engine, gallery: Floats, own_rows: Rows | None = None, *, count: int
) -> Floats:
    """Return codes, float32 (q, d), each moved towards its `count` nearest of the gallery (n, d).

    `own_rows` int64 (q,) are rows of the gallery that are not neighbours of their own queries.
    """
    _, found = engine.search(codes, count if own_rows is None else count + 1)
    moved = []
    for place, (code, rows) in enumerate(zip(codes, found, strict=True)):
        rows = rows[rows >= 0]
        if own_rows is not None:
            rows = rows[rows != own_rows[place]][:count]
        moved.append(expanded(code, gallery[rows]) if len(rows) else code)
    return np.stack(moved)
