"""Query expansion: a query is moved towards its nearest neighbours, and searched for again.

After Chum et al., "Total recall: automatic query expansion with a generative feature model for
object retrieval" (2007), with the weights of Radenović, Tolias and Chum, "Fine-tuning CNN image
retrieval with no human annotation" (2018), section 4.3. It raises mAP where a kind has many
pictures, and lowers it for kinds with fewer than the neighbours taken.
"""

import numpy as np
from numpy.typing import NDArray

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
