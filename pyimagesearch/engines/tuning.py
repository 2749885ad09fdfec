"""Measuring an engine against exact search, and tuning its search width."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pyimagesearch.arrays import Floats
from pyimagesearch.engines.engine import Engine
from pyimagesearch.engines.exact import ExactEngine

if TYPE_CHECKING:
    from pyimagesearch.engines.faiss_engine import FaissEngine

QUERIES = 400
TIMED = 100
# The depths that recall is reported at.
TOP = 225
FIRST = 10
MAX_SHORTLIST = 20_480


@dataclass(frozen=True)
class EngineReport:
    """What an engine was measured to do, against exact search of the same codes.

    Queries are codes of the index, each left out of its own results. `recall_10` and `recall_k` are
    the fractions of the true 10 and `k` nearest that it finds, `reached` whether recall@`depth` is
    at least the `target` that it was tuned to; times are medians of a search for the `k` nearest,
    one query at a time; `bytes_per_vector` is the size of the index, without the codes.
    """

    engine: str
    metric: str
    target: float
    depth: int
    reached: bool
    recall_10: float
    k: int
    recall_k: float
    milliseconds: float
    exact_milliseconds: float
    bytes_per_vector: float
    build_seconds: float
    probe: int | None

    def __str__(self) -> str:
        probe = "" if self.probe is None else f", probe {self.probe}"
        return (
            f"{self.engine}, {self.metric}: recall@10 {self.recall_10:.3f}, "
            f"recall@{self.k} {self.recall_k:.3f}, {self.milliseconds:.2f} ms a query "
            f"(exact {self.exact_milliseconds:.2f} ms), {self.bytes_per_vector:,.1f} bytes a "
            f"vector, built in {self.build_seconds:.1f} s{probe}"
        )


class QuerySample:
    """Queries, with the true distances of the codes nearest to them.

    They are drawn from the codes, each to be left out of its own results, unless some are given.
    """

    def __init__(self, codes: Floats, metric: str, *, queries: Floats | None = None) -> None:
        """Sample from float32 `codes` (n, d), or from `queries` (q, d) that are not among them."""
        random = np.random.default_rng(0)
        if queries is None:
            places = np.sort(random.choice(len(codes), min(QUERIES, len(codes)), replace=False))
            self.queries = np.ascontiguousarray(codes[places])
        else:
            self.queries = random.permutation(queries)[:QUERIES]
            places = np.full(len(self.queries), -1)
        self._own_rows = places
        self.exact = ExactEngine(codes, metric)
        self.k = min(TOP, len(codes) - 1)
        self.truth = self._others(self.exact, self.k) if self.k else None

    def _others(self, engine: Engine, k: int) -> Floats:
        """Return the distances, float32 (q, k), found by `engine`, without the query itself."""
        distances, rows = engine.search(self.queries, k + 1)
        if missing := k + 1 - rows.shape[1]:  # of a collection that changes meanwhile
            distances = np.pad(distances, ((0, 0), (0, missing)), constant_values=np.inf)
            rows = np.pad(rows, ((0, 0), (0, missing)), constant_values=-2)
        own = rows == self._own_rows[:, np.newaxis]
        own[:, -1] |= ~own.any(axis=1)
        return distances[~own].reshape(len(rows), k)

    def recall(self, engine: Engine, k: int) -> float:
        """Return the mean fraction of the k nearest that `engine` finds; equals are as good."""
        k = min(k, self.k)
        if not k or self.truth is None:
            return 1.0
        furthest = self.truth[:, k - 1 : k] * (1 + 1e-5)
        return float((self._others(engine, k) <= furthest).mean())

    def milliseconds(self, engine: Engine) -> float:
        """Return the median time of a search for the k nearest of one query."""
        times = []
        for query in self.queries[:TIMED]:
            started = time.perf_counter()
            engine.search(query[np.newaxis], max(self.k, 1))
            times.append(time.perf_counter() - started)
        return 1000 * float(np.median(times))


def tune(engine: "FaissEngine", sample: QuerySample, target: float, depth: int = FIRST) -> None:
    """Set the probe of `engine`, and its shortlist, to the smallest with recall@`depth` `target`.

    Where nothing reaches it, they are left as wide as can be. `sample` is a QuerySample.
    """

    def recall() -> float:
        return sample.recall(engine, depth)

    if engine.compressed:
        # So wide that what is still missed was lost to compression, not to the probe.
        if not engine.scans:
            engine.probe = max(64, engine.probe_limit // 8)
        limit = min(MAX_SHORTLIST, len(engine))
        aim = target if engine.scans else (1 + target) / 2
        _smallest(engine, "shortlist", 20, limit, reaches=lambda: recall() >= aim)
    if not engine.scans:
        start = 1 if engine.inverted else 16
        _smallest(engine, "probe", start, engine.probe_limit, reaches=lambda: recall() >= target)


def _smallest(
    engine: Engine, setting: str, value: int, limit: int, *, reaches: Callable[[], bool]
) -> None:
    """Set the attribute to about the smallest value from `value` to `limit` that reaches."""
    below = value = min(value, limit)
    setattr(engine, setting, value)
    while not (reached := reaches()) and value < limit:
        below = value
        value = min(2 * value, limit)
        setattr(engine, setting, value)
    while reached and value - below > max(1, value // 8):
        middle = (value + below) // 2
        setattr(engine, setting, middle)
        below, value = (below, middle) if reaches() else (middle, value)
    setattr(engine, setting, value)


def measure(
    engine: Engine, sample: QuerySample, target: float, depth: int, *, build_seconds: float
) -> EngineReport:
    """Return the EngineReport of an engine."""
    return EngineReport(
        engine=engine.name,
        metric=engine.metric.name,
        target=target,
        depth=depth,
        reached=sample.recall(engine, depth) >= target,
        recall_10=sample.recall(engine, FIRST),
        k=sample.k,
        recall_k=sample.recall(engine, sample.k),
        milliseconds=sample.milliseconds(engine),
        exact_milliseconds=sample.milliseconds(sample.exact),
        bytes_per_vector=engine.nbytes / len(engine),
        build_seconds=build_seconds,
        probe=engine.probe,
    )
