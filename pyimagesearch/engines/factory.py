"""Building an engine from a string: exact, auto, clusters, hash codes, or any FAISS index."""

import re
import time
from collections.abc import Iterator
from typing import Any

import faiss
import numpy as np

from pyimagesearch.arrays import AnyArray, Floats, Rows
from pyimagesearch.engines.engine import Engine, as_vectors
from pyimagesearch.engines.exact import ExactEngine, threads
from pyimagesearch.engines.faiss_engine import FaissEngine, innermost
from pyimagesearch.engines.kmeans import ITERATIONS, REDOS, SEED, find_elbow
from pyimagesearch.engines.recommendation import HASH_SCAN_SIZE, list_count, recommend_engine
from pyimagesearch.engines.tuning import QuerySample, measure, tune
from pyimagesearch.metric import get_metric
from pyimagesearch.suggestions import did_you_mean
from pyimagesearch.terminal import ctrl_c_ends_process

PQ_POINTS = 64
OPQ_CODES = 256 * PQ_POINTS
OPQ_ROUNDS = 10
SMALL_TRAINING = 1 << 28  # multiplications, a tenth of a second
CODES_PER_BLOCK = 1 << 20  # added at once, so that a memory map is never held as a whole
NAMES = ("exact", "auto", "clusters", "hash", "HNSW32", "IVF256,Flat", "IVF256,PQ8", "PQ8")
KNOWN = "exact, auto, clusters[:K], hash:BITS or a FAISS factory string such as HNSW32, IVF256,Flat"

# The FAISS factory strings that are accepted. For some others FAISS ends the process (HNSW1, PQ4x0,
# PQ8,Refine(HNSW1)), never returns (NSG32 for equal codes) or cannot read its file (ZnLattice).
_N = r"[1-9]\d{0,6}"
_GRAPH = r"(?:[2-9]|[1-9]\d{1,2})"
_BITS = r"(?:[1-9]|1[0-6])"
_SQ = r"SQ(?:4|6|8|fp16|bf16|8_direct|8_direct_signed)"
_PQ = rf"PQ{_N}(?:x{_BITS}|x4fsr?(?:_{_N})?)?(?:np)?"
_RESIDUAL = rf"P?(?:RQ(?:[1-9]x)?[1-9]\d?|LSQ(?:[1-9]x)?(?:[1-9]|1[0-6]))x{_BITS}"
_TURN = rf"(?:PCAW?R?{_N}|OPQ{_N}(?:_{_N})?|ITQ(?:{_N})?|RR{_N}|Pad{_N}|L2norm)"
_FLAT = rf"(?:Flat|{_SQ}|{_PQ}|{_N}\+PQ{_N})"
_HASH = rf"(?:LSHr?t?|{_TURN},SHg?|RaBitQ(?:fs)?[1-9]?)"
_STORED = rf"(?:{_FLAT}|FlatDedup|PQ{_N}\+{_N}|{_RESIDUAL}|{_HASH})"
_WHOLE = rf"(?:{_STORED}|HNSW(?:{_GRAPH})?(?:[_,]{_FLAT})?)"
_FACTORY = re.compile(
    rf"(?:{_TURN},)*(?:IVF{_N}(?:_HNSW(?:{_GRAPH})?)?,{_STORED}|{_WHOLE})"
    rf"(?:,RFlat|,Refine\((?:Flat|{_SQ})\))?"
)
_WIDENED = re.compile(r"(?:RR|Pad|OPQ\d+_)(\d+)")
# Bits of hashes, or dimensions that codes are turned into where they have fewer: 512 take up to a
# minute of training, thousands take hours, and with 65,536 FAISS ends the process.
MAX_WIDTH = 512
# Centroids of RQ and LSQ, of which each bit doubles the number: their bytes, and as many as LSQ,
# the slowest, can be trained for a few hundred codes in half a minute.
MAX_CENTROID_BYTES = 1 << 28
MAX_LSQ_CENTROIDS = 2048


def build_engine(
    codes: AnyArray,
    engine: str = "auto",
    metric: str = "euclidean",
    recall: float = 0.98,
    *,
    depth: int = 10,
) -> Engine:
    """Return a trained and tuned engine over float32 `codes` (n, d), which may be a memory map.

    `engine` is "exact"; "auto", by size (`reason` says why); "clusters" or "clusters:K", K-means
    with K by the elbow (`elbow`) if not given; "hash:BITS", binary codes; or a FAISS factory
    string. Its probe is set to find the fraction `recall` of the `depth` nearest, except for
    clusters, where it is 1: the query's own. The measurement is in `report`. The same codes
    give the same engine.

    Raises ValueError when there is no such engine or it does not suit the codes.
    """
    codes = as_vectors(codes)
    metric = get_metric(metric).name
    if not len(codes):
        raise ValueError("there are no codes to build an engine for: index some images first")
    if not 0 < recall <= 1:
        raise ValueError(f"expected a recall above 0 and at most 1, received {recall}")
    if not all(np.isfinite(block).all() for block in _blocks(codes)):
        raise ValueError("some codes hold NaN or infinity: index again with a sound model")
    require_engine(engine, codes.shape[1])
    reason = None
    if engine == "auto":
        engine, reason = recommend_engine(*codes.shape)
    started = time.perf_counter()
    built = ExactEngine(codes, metric) if engine == "exact" else _build(codes, engine, metric)
    seconds = time.perf_counter() - started
    built.reason = reason
    sample = QuerySample(codes, metric)
    if isinstance(built, FaissEngine):
        if built.name.startswith("clusters"):
            built.probe = 1  # the query's own cluster
        else:
            tune(built, sample, recall, depth)
    built.report = measure(built, sample, recall, depth, build_seconds=seconds)
    return built


def _build(codes: Floats, name: str, metric: str) -> FaissEngine:
    """Return a trained but untuned FaissEngine."""
    sample = _training_sample(codes, metric)
    elbow = None
    try:
        with ctrl_c_ends_process():  # a single call of FAISS may take minutes
            if name == "clusters":
                elbow = find_elbow(sample)
                name = f"clusters:{elbow.chosen}"
            index = _from_factory(name, _factory_string(name, *codes.shape), codes.shape[1])
            rows = _rows_with_direction(codes, metric)
            _require_enough(index, name, len(codes) if rows is None else len(rows))
            _prepare(index)
            _train(index, sample, name)
            index = _filled(index, codes, rows, metric)
    except (RuntimeError, MemoryError) as error:
        raise ValueError(
            f"cannot build the engine {name} for {len(codes):,} codes of {codes.shape[1]} "
            f"dimensions ({_why(error)}): choose another, or exact"
        ) from error
    engine = FaissEngine(index, codes, metric, name)
    engine.elbow = elbow
    return engine


def require_engine(name: str, dim: int) -> None:
    """Raise ValueError if there is no engine of that name for codes of `dim` dimensions."""
    kind, _, number = name.partition(":")
    if kind in ("clusters", "hash"):
        if (number or kind == "hash") and not re.fullmatch("[1-9][0-9]{0,6}", number):
            raise ValueError(f"unknown engine {name}: expected clusters, clusters:6 or hash:32")
        if kind == "hash" and int(number) % 8:
            raise ValueError(
                f"expected hash bits in whole bytes, such as 16, 32 or 64, received {number}"
            )
        if kind == "hash" and int(number) > MAX_WIDTH:
            raise ValueError(f"expected at most {MAX_WIDTH} hash bits, received {number}")
    elif name not in ("exact", "auto"):
        _from_factory(name, name, dim)


def _from_factory(name: str, factory: str, dim: int) -> Any:
    most = max(dim, MAX_WIDTH)
    problem = f"unknown engine {name} for codes of {dim} dimensions"
    if not _FACTORY.fullmatch(factory):
        raise ValueError(f"{problem}: expected {KNOWN}{did_you_mean(name, NAMES)}")
    for width in _WIDENED.findall(factory):
        if int(width) > most:
            raise ValueError(f"{problem}: expected at most {most} dimensions, received {width}")
    try:
        index = faiss.index_factory(dim, factory)
    except RuntimeError as error:
        raise ValueError(
            f"{problem} ({_why(error)}): expected {KNOWN}{did_you_mean(name, NAMES)}"
        ) from error
    count, size = _centroids(index)
    if size > MAX_CENTROID_BYTES or ("LSQ" in factory and count > MAX_LSQ_CENTROIDS):
        raise ValueError(f"{problem}: it has {count:,} centroids, choose fewer parts or bits")
    return index


def _centroids(index: Any) -> tuple[int, int]:
    """Return the number of centroids of RQ and LSQ, and their bytes; 0 of each for others."""
    inner = innermost(index)
    quantizer = getattr(inner, "aq", None)
    count = 0 if quantizer is None else quantizer.total_codebook_size
    return count, 4 * count * inner.d


def _factory_string(name: str, count: int, dim: int) -> str:
    """Return the FAISS factory string of an engine for `count` codes of `dim` dimensions."""
    kind, _, number = name.partition(":")
    if kind == "clusters":
        return f"IVF{number},Flat"
    if kind != "hash":
        return name
    bits = int(number)
    # ITQ (Gong and Lazebnik, 2011) turns the codes until their signs say the most. There are as
    # many signs as axes; with more bits than that, a random rotation into more axes comes first.
    turn, itq = (f"RR{bits},", "ITQ") if bits > dim else ("", f"ITQ{bits}")
    if count <= HASH_SCAN_SIZE:
        return f"{turn}{itq},LSH"
    return f"{turn}IVF{list_count(count)},{itq},SHg"


def _training_sample(codes: Floats, metric: str) -> Floats:
    """Return codes to train with, float32, all of them or a random sample."""
    wanted = max(200_000, 64 * list_count(len(codes)))
    if len(codes) > wanted:
        rows = np.random.default_rng(0).choice(len(codes), wanted, replace=False)
        codes = codes[np.sort(rows)]
    points = get_metric(metric).points(codes)
    return np.ascontiguousarray(points[~get_metric(metric).of_zeros(points)])


def _rows_with_direction(codes: Floats, metric: str) -> Rows | None:
    """Return the rows, int64 (m,), of codes that are not of zeros; None for all of them.

    Zeros would be in the middle of all others, as they are not by the metric. In a graph they were
    the neighbours of each code, so that it found no others.
    """
    if get_metric(metric).zero_square is None:
        return None
    has_direction = np.concatenate([block.any(axis=1) for block in _blocks(codes)])
    return None if has_direction.all() else np.flatnonzero(has_direction)


def _require_enough(index: Any, name: str, count: int) -> None:
    """Raise ValueError where there are fewer codes to train with than an engine needs."""
    ivf = faiss.try_extract_index_ivf(index)
    if ivf is not None and ivf.nlist > count:
        raise ValueError(
            f"the engine {name} makes {ivf.nlist:,} clusters and needs as many codes, received "
            f"{count:,}: choose fewer ({list_count(count)}), or exact"
        )
    for turn in _turns(index):
        if isinstance(turn, faiss.OPQMatrix) and turn.d_out > min(count, OPQ_CODES):
            # With fewer, FAISS writes beyond its memory.
            raise ValueError(
                f"the engine {name} makes {turn.d_out:,} dimensions and trains with as many codes, "
                f"up to {OPQ_CODES:,}, received {count:,}: leave OPQ out, or choose exact"
            )


def _turns(index: Any) -> list[Any]:
    """Return the transforms before a FAISS index, in their order."""
    index = faiss.downcast_index(index)
    if isinstance(index, faiss.IndexRefine):
        index = faiss.downcast_index(index.base_index)
    if not isinstance(index, faiss.IndexPreTransform):
        return []
    chain: Any = index.chain  # a vector of C++; FAISS' stubs say a list
    return [faiss.downcast_VectorTransform(chain.at(i)) for i in range(chain.size())]


def _prepare(index: Any) -> None:
    """Seed what is random, and train no longer than it helps."""
    ivf = faiss.try_extract_index_ivf(index)
    inner = innermost(index)
    if ivf is not None:
        ivf.cp.seed = SEED
        ivf.cp.min_points_per_centroid = 1
    storage = faiss.downcast_index(inner.storage) if hasattr(inner, "storage") else inner
    if hasattr(storage, "pq"):
        # 64 points a centroid recall as much as FAISS' 256, in a quarter of the time.
        storage.pq.cp.seed = SEED
        storage.pq.cp.min_points_per_centroid = 1
        storage.pq.cp.max_points_per_centroid = PQ_POINTS
        if hasattr(storage, "do_polysemous_training"):
            # Orders the centroids so that code words rank by Hamming distance, which is not used
            # here and takes most of the time.
            storage.do_polysemous_training = False
    if isinstance(inner, faiss.IndexIVFPQ):
        # The tables are nlist x M kilobytes: slower to open than they are ever worth here.
        inner.use_precomputed_table = -1
    for turn in _turns(index):
        if isinstance(turn, faiss.OPQMatrix):
            turn.max_train_points = OPQ_CODES
            turn.niter = OPQ_ROUNDS


def _train(index: Any, sample: Floats, name: str) -> None:
    ivf = faiss.try_extract_index_ivf(index)
    if ivf is not None and name.startswith("clusters"):  # few centroids easily settle badly
        ivf.cp.niter = ITERATIONS
        ivf.cp.nredo = REDOS
    # K-means synchronises its threads thousands of times, which slows small samples down.
    small = sample.size * max(256, ivf.nlist if ivf else 0) < SMALL_TRAINING
    with threads(1 if small else None):
        index.train(sample)


def _filled(index: Any, codes: Floats, rows: Rows | None, metric: str) -> Any:
    """Return a trained FAISS index with codes added, all of them or these rows."""
    # With several threads a graph depends on their timing.
    one_thread = "HNSW" in type(faiss.downcast_index(index)).__name__
    with threads(1 if one_thread else None):
        if rows is None:
            for block in _blocks(codes):
                index.add(np.ascontiguousarray(get_metric(metric).points(block)))
            return index
        index = faiss.IndexIDMap(index)
        for start in range(0, len(rows), CODES_PER_BLOCK):
            part = rows[start : start + CODES_PER_BLOCK]
            points = get_metric(metric).points(codes[part])
            index.add_with_ids(np.ascontiguousarray(points), part)
    return index


def _blocks(codes: Floats) -> Iterator[Floats]:
    return (
        codes[start : start + CODES_PER_BLOCK] for start in range(0, len(codes), CODES_PER_BLOCK)
    )


def _why(error: Exception) -> str:
    """Return the reason that FAISS gives, without the place in its source."""
    text = " ".join(str(error).split())
    return re.sub(r"^.*(failed: |Error: |\.cpp:\d+: )", "", text) or "no reason given"
