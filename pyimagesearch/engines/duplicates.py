"""Duplicates: groups of codes that are nearly identical, found in bounded memory."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pyimagesearch.arrays import Bools, Floats, Rows
from pyimagesearch.metric import Metric, get_metric
from pyimagesearch.terminal import progress

ROWS_PER_BLOCK = 2048  # compared at once with up to `_Space.width` others
SAMPLE = 500  # codes that the default distance is computed from
NEIGHBOUR = 10
FRACTION = 0.12  # of the typical distance to that neighbour, within which codes are duplicates
EPSILON = np.finfo(np.float32).eps


class Group(NamedTuple):
    """Rows of near-identical codes, int64 (m,) ascending, and their distances to the first."""

    rows: Rows
    distances: NDArray[np.float64]


def find_duplicates(codes: Floats, metric: str, max_distance: float) -> list[Group]:
    """Return the Groups of near-identical codes: largest first, of one size the tightest first.

    `codes` are floats (n, d), in memory or mapped; `metric` is the name of a metric. A group is a
    connected component of the pairs at most `max_distance` apart: a chain of small steps is one
    group, and its ends may be further apart. Memory beyond the codes: some 100 bytes a code, and
    blocks of a fixed size, however many pairs there are.

    Raises ValueError for another metric, a negative or infinite distance, or codes not finite.
    """
    if not 0 <= max_distance < np.inf:  # also False for NaN
        raise ValueError(f"expected a distance of 0 or more, received {max_distance}")
    space, first, copy_of = _prepare(codes, metric)
    labels = _components(space, first, max_distance)[copy_of]
    sizes = np.bincount(labels)
    order = np.argsort(labels, kind="stable")
    order = order[sizes[labels[order]] > 1]
    sizes = sizes[sizes > 1]
    groups = [
        Group(rows, space.distances(rows[:1], rows))
        for rows in np.split(order, np.cumsum(sizes)[:-1])
        if len(rows)  # np.split returns one empty part where there are no groups
    ]
    return sorted(
        groups, key=lambda group: (-len(group.rows), group.distances.max(), group.rows[0])
    )


def default_distance(codes: Floats, metric: str) -> float:
    """Return a distance within which codes may be called duplicates, chosen from the codes.

    It is FRACTION of `neighbour_distance`, as a Euclidean distance of points (see Metric). Images
    that merely look alike are hardly ever that near: the share of neighbours within a fraction f
    falls like f to the power of the intrinsic dimension. If most images have ten near copies or
    more, the distance is too small; for codes of two or three dimensions it is too large.

    Arguments and errors are those of `find_duplicates`; 0 when there is only one distinct code.
    """
    chosen = get_metric(metric)
    typical = neighbour_distance(codes, metric)
    return float(chosen.from_squares(np.float64(FRACTION**2 * chosen.to_squares(typical))))


def neighbour_distance(codes: Floats, metric: str) -> float:
    """Return the median distance from a code to its NEIGHBOURth nearest that is not identical.

    It is that of SAMPLE of the codes. The tenth neighbour is used because the nearest may be a
    duplicate. Arguments, errors and 0 are as for `default_distance`.
    """
    space, rows, _ = _prepare(codes, metric)
    if len(rows) < 2:
        return 0.0
    sample = np.sort(np.random.default_rng(0).permutation(rows)[:SAMPLE])
    neighbours = _neighbours(space, rows, sample, min(NEIGHBOUR, len(rows) - 1))
    return float(np.median(space.distances(sample, neighbours)))


def pair_distances(codes: Floats, metric: str, count: int) -> NDArray[np.float64]:
    """Return the distances, float64 (count,), of random pairs of rows of codes (n, d), n >= 2."""
    random = np.random.default_rng(0)
    first = random.integers(len(codes), size=count)
    second = (first + random.integers(1, len(codes), size=count)) % len(codes)
    return _Space(codes, get_metric(metric)).distances(first, second)


def distances_from(codes: Floats, metric: str, row: int, rows: Rows) -> NDArray[np.float64]:
    """Return the distances, float64 (m,), of `rows` int64 (m,) from one row of codes (n, d)."""
    return _Space(codes, get_metric(metric)).distances(np.array([row]), rows)


@dataclass
class _Space:
    """Codes as points: roughly, for comparing many, and exactly, for measuring few."""

    codes: Floats
    metric: Metric
    centre: NDArray[np.float64] | float = 0.0
    scale: float = 1.0

    @property
    def width(self) -> int:
        """How many codes to hold at once: at most 32 MB of float64, for up to 16,384 dimensions."""
        return max(256, min(4096, 2**22 // self.codes.shape[1]))

    def parts(self, rows: Rows) -> Iterator[Rows]:
        """Split rows into parts of at most `width`."""
        return (rows[i : i + self.width] for i in range(0, len(rows), self.width))

    def exact(self, rows: Rows) -> NDArray[np.float64]:
        """Return the points of these rows as float64."""
        return self.metric.exact_points(np.asarray(self.codes[rows], np.float64))

    def rough(self, rows: Rows) -> Floats:
        """Return them as float32 about their centre, none longer than 1."""
        return ((self.exact(rows) - self.centre) / self.scale).astype(np.float32)

    def distances(self, a: Rows, b: Rows) -> NDArray[np.float64]:
        """Return the distances, float64 (m,), between pairs of rows; `a` may be a single row.

        They are computed by difference: ||a||^2 - 2ab + ||b||^2 would cancel where codes are
        nearly the same.
        """
        squares = np.empty(len(b))
        for start in range(0, len(b), self.width):
            part = slice(start, start + self.width)
            difference = self.exact(b[part]) - self.exact(a if len(a) == 1 else a[part])
            squares[part] = np.einsum("ij,ij->i", difference, difference)
        return self.metric.from_squares(squares)


def _prepare(codes: Floats, metric: str) -> tuple[_Space, Rows, Rows]:
    """Return codes as a _Space, its distinct rows (m,), and the place of each row there (n,)."""
    if codes.ndim != 2 or codes.dtype.kind != "f" or not codes.size:
        raise ValueError(
            f"expected codes as floats of shape (n, d), received {codes.dtype} {codes.shape}"
        )
    space = _Space(codes, get_metric(metric))
    first, copy_of = _distinct(space)
    centre = sum(space.exact(rows).sum(axis=0) for rows in space.parts(first)) / len(first)
    space.scale = max(
        np.linalg.norm(space.exact(rows) - centre, axis=1).max() for rows in space.parts(first)
    )
    space.centre = centre
    space.scale = space.scale or 1.0
    return space, first, copy_of


def _distinct(space: _Space) -> tuple[Rows, Rows]:
    """Return the first row of each distinct code, and for every row its place among them."""
    codes = space.codes
    rows = np.arange(len(space.codes))
    multipliers = np.random.default_rng(0).integers(2**64, size=codes.shape[1], dtype=np.uint64) | 1
    hashes = []
    for part in space.parts(rows):
        block = np.asarray(codes[part], np.float64) + 0.0  # -0 becomes 0
        if not np.isfinite(block).all():
            raise ValueError("the codes hold NaN or infinity: make the index again")
        hashes.append((block.view(np.uint64) * multipliers).sum(axis=1))
    _, first, copy_of = np.unique(np.concatenate(hashes), return_index=True, return_inverse=True)
    # Hashes may agree by chance: only equal codes are copies.
    other = np.concatenate(
        [
            part[(codes[part] != codes[first[copy_of[part]]]).any(axis=1)]
            for part in space.parts(rows)
        ]
    )
    copy_of[other] = len(first) + np.arange(len(other))
    return np.concatenate([first, other]), copy_of


def _components(space: _Space, rows: Rows, max_distance: float) -> Rows:
    """Return labels, int64 (m,), equal for rows that are connected by pairs within the distance.

    A projection never lengthens a distance. So rows are sorted along the direction in which they
    differ most, and each block is compared only with the rows within reach on that line.
    """
    radius = np.sqrt(space.metric.to_squares(max_distance))
    radius *= 1 + 1e-9  # pairs that rounding puts just out of reach are measured as well
    line = _project(space, rows)
    order = np.argsort(line, kind="stable")
    rows = rows[order]
    line = line[order]
    labels = np.arange(len(rows))
    with progress(len(rows), "pictures", "comparing") as done:
        for start in range(0, len(rows), ROWS_PER_BLOCK):
            block = np.arange(start, min(start + ROWS_PER_BLOCK, len(rows)))
            end = np.searchsorted(line, line[block[-1]] + radius + 1e-9 * space.scale, "right")
            for others in space.parts(np.arange(start, end)):
                one_group = labels[start]
                if (labels[block] == one_group).all() and (labels[others] == one_group).all():
                    continue
                codes = space.rough(rows[block])
                near = _near(codes, space.rough(rows[others]), radius / space.scale)
                labels = _contract(
                    labels, near, block, others, space=space, rows=rows, max_distance=max_distance
                )
            done(len(block))
    result = np.empty_like(labels)
    result[order] = labels
    return result


def _contract(
    labels: Rows,
    near: Bools,
    block: Rows,
    others: Rows,
    *,
    space: _Space,
    rows: Rows,
    max_distance: float,
) -> Rows:
    """Return the labels after the pairs marked as near were measured and connected.

    Rows are taken in growing blocks, and pairs that are connected already are not measured, so
    that a block of near-identical codes costs a few passes and not all of its pairs.
    """
    from scipy.sparse import csr_matrix
    from scipy.sparse.csgraph import connected_components

    pending = np.flatnonzero(near.any(axis=1))
    count = 1
    while len(pending):
        part = pending[:count]
        pending = pending[count:]
        count = 2 * count
        i, j = np.nonzero(near[part] & (labels[block[part], np.newaxis] != labels[others]))
        a = block[part][i]
        b = others[j]
        within = space.distances(rows[a], rows[b]) <= max_distance
        if within.any():
            pairs = labels[a[within]], labels[b[within]]
            shape = len(labels), len(labels)
            graph = csr_matrix((np.ones(len(pairs[0]), bool), pairs), shape=shape)
            labels = connected_components(graph, directed=False)[1][labels]
    return labels


def _project(space: _Space, rows: Rows) -> NDArray[np.float64]:
    """Return the place of each row along the first principal direction of a sample."""
    sample = space.rough(np.random.default_rng(0).permutation(rows)[:SAMPLE])
    direction = np.linalg.svd(sample.astype(np.float64), full_matrices=False)[2][0]
    return np.concatenate(
        [(space.exact(part) - space.centre) @ direction for part in space.parts(rows)]
    )


def _near(a: Floats, b: Floats, radius: float) -> Bools:
    """Return bool (len(a), len(b)): what may be within the radius; what is not marked is not.

    Squared distances come from one matrix product. Rounding errors, at most d + 16 units in the
    last place of ||a||^2 + ||b||^2, are given away. All codes are within 1 of 0: 3 reaches all.
    """
    slack = 1 - (a.shape[1] + 16) * EPSILON
    squares_a, squares_b = (slack * np.einsum("ij,ij->i", x, x)[:, np.newaxis] for x in (a, b))
    left = np.hstack([-2 * a, squares_a, np.ones_like(squares_a)])
    right = np.hstack([b, np.ones_like(squares_b), squares_b])
    return left @ right.T <= np.float32(min(radius, 3) ** 2 * (1 + 4 * EPSILON))


def _neighbours(space: _Space, rows: Rows, sample: Rows, k: int) -> Rows:
    """Return the row of the k-th nearest neighbour of each sampled row, itself not counted."""
    queries = space.rough(sample)
    squares = np.empty((len(sample), 0), np.float32)
    found = np.empty((len(sample), 0), np.int64)
    for part in space.parts(rows):
        codes = space.rough(part)
        new = np.einsum("ij,ij->i", codes, codes) - 2 * queries @ codes.T
        new[sample[:, np.newaxis] == part] = np.inf
        squares = np.hstack([squares, new])
        found = np.hstack([found, np.broadcast_to(part, new.shape)])
        if squares.shape[1] > k:
            best = np.argpartition(squares, k - 1, axis=1)[:, :k]
            squares = np.take_along_axis(squares, best, 1)
            found = np.take_along_axis(found, best, 1)
    return np.take_along_axis(found, squares.argmax(axis=1)[:, np.newaxis], 1)[:, 0]
