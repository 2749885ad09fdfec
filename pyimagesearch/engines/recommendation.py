"""Which engine suits how many codes: the thresholds, and the choice of "auto"."""

import numpy as np

EXACT_SIZE = 100_000  # up to here exact search of a 16-d code takes half a millisecond
GRAPH_SIZE = 500_000  # up to here a graph is built within a minute or two
HASH_SCAN_SIZE = 1_000_000  # up to here scanning all hash codes takes a millisecond or two


def recommend_engine(count: int, dim: int) -> tuple[str, str]:
    """Return the engine that suits `count` codes of `dim` dimensions, and the reason."""
    if count <= EXACT_SIZE:
        return "exact", f"{count:,} codes are few enough to compare with all of them"
    if count <= GRAPH_SIZE:
        return (
            "HNSW32",
            f"for {count:,} codes a graph is fastest, and still built in a minute or two",
        )
    # Half a byte a number or less; a prime number of them cannot be cut into parts.
    parts = max(m for m in range(1, min(64, max(1, dim // 2)) + 1) if dim % m == 0)
    code = f"PQ{parts}" if 8 * parts >= dim else "SQ8"
    return (
        f"IVF{list_count(count)},{code}",
        f"{count:,} codes are best held compressed, in lists of which a search reads a few",
    )


def list_count(count: int) -> int:
    """Return the number of inverted lists for `count` codes: the power of 2 near 4 sqrt(n).

    The FAISS guidelines ("Guidelines to choose an index") advise 4 to 16 sqrt(n).
    """
    return 2 ** max(0, round(np.log2(4 * count**0.5)))
