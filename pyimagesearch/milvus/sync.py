"""Bringing a collection up to date with its images. What is done twice comes to the same."""

import time

import numpy as np

from pyimagesearch.index.index import FILE_STATS, index_exists, load_index
from pyimagesearch.index.shards import require_alike, shard_range
from pyimagesearch.index.sync import make_plan, readable, summary
from pyimagesearch.milvus.index import LAST_ROW
from pyimagesearch.milvus.metadata import create_collection, drop_collection
from pyimagesearch.milvus.schema import SAMPLE, parse_engine
from pyimagesearch.models.encode import encode_rows

ROWS_AT_ONCE = 1024  # written at once,
SECONDS = 10  # or after so many: what a kill may cost, at most


class Writer:
    """Collects rows for a collection and writes them many at once."""

    def __init__(self, index):
        self._index, self._rows, self._saved = index, [], time.monotonic()

    def add(self, id, label, code, record=None):
        """Add a row; `label` is text, `code` float32 (dim,), `record` one of type FILE_STATS."""
        self._rows.append((id, label, code, record))
        if len(self._rows) >= ROWS_AT_ONCE or time.monotonic() - self._saved > SECONDS:
            self.save()

    def save(self):
        """Write what was added; on return the server has acknowledged it."""
        if self._rows:
            ids, labels, codes, records = zip(*self._rows, strict=True)
            files = None if records[0] is None else np.array(list(records), FILE_STATS)
            rows = [self._index.row_of(id) for id in ids]
            self._index.upsert(rows, ids, labels, np.stack(codes), files)
            self._rows.clear()
        self._saved = time.monotonic()


def prepare_collection(address, index, encoder, metric, images, engine, rebuild, sample=None):
    """Return the MilvusIndex to write to: the one so far, or a new one.

    `index` is what is there so far, or None; `engine` is a name, or None for the one it has. With
    `rebuild` it is dropped. `images` and `sample` are as `create_collection` takes them. Raises
    ValueError when the metric is another, and as `create_collection` does.
    """
    if rebuild:
        drop_collection(address)
    if rebuild or index is None:
        return create_collection(address, encoder, metric, images, engine or "exact", sample)
    if metric != index.metric:
        raise ValueError(f"{address} ranks by {index.metric} distance: change it with --rebuild")
    if engine:
        _change_engine(index, engine)
    return index


def _change_engine(index, name):
    """Have the server index the codes in another way; raises ValueError if it cannot."""
    engine = parse_engine(name, index.encoder.dim, len(index))
    if engine == index.engine:
        return
    if engine.bits or index.engine.bits:
        raise ValueError(
            f"{index.server.address} is searched by {index.engine.name}: from and to hash codes "
            "it has to be made anew, with --rebuild"
        )
    engine.require(index.server)
    field, *_ = engine.index(index.metric)
    params = index.server.index_params(*engine.index(index.metric))
    index.server.call("release_collection", index.name)
    index.server.call("drop_index", index.name, field)
    index.server.call("create_index", index.name, params)
    index.server.call("load_collection", index.name)
    index.engine = engine
    index.update(engine=engine.name)
    index.flush()


def sync_folder(dataset, index, checksum=False, shard=None, encode=encode_rows):
    """Bring a MilvusIndex up to date with a folder; return a line that says how.

    Of a `shard`, (number, count), `dataset` is that part, and other rows are left alone. What was
    written before an interruption is kept by the next run. Raises as `syncing.sync` does.
    """
    rows = np.array([index.row_of(id) for id in dataset.ids], np.int64)
    _require_distinct(rows, dataset.ids)
    start, end = shard_range(shard) if shard else (0, LAST_ROW + 1)
    rows_so_far, so_far = index.listing(start, end - 1)
    plan = make_plan(dataset, so_far if len(so_far) else None, checksum)
    writer = Writer(index)
    for good, codes, digests in encode(dataset, np.flatnonzero(plan.source < 0), index.encoder):
        plan.file_stats["digest"][good] = digests
        for row, code in zip(good, codes, strict=True):
            writer.add(dataset.ids[row], _label(dataset.ids[row]), code, plan.file_stats[row])
    good = readable(dataset, plan)
    _update_kept(dataset, plan, good, index, so_far, rows_so_far, writer)
    writer.save()
    unseen = rows_so_far[plan.unseen].tolist() if plan.unseen else []
    gone = set(rows_so_far.tolist()) - set(rows[good].tolist()) - set(unseen)
    index.delete(sorted(gone))
    index.update(dataset=dataset.source)
    index.flush()
    return summary(dataset, plan, good)


def _update_kept(dataset, plan, good, index, so_far, rows_so_far, writer):
    """Write the files whose codes are kept, but not what else is known of them."""
    kept = good & (plan.source >= 0)
    if not kept.any():
        return
    changed = kept & (~plan.known | (plan.file_stats != so_far.file_stats[plan.source]))
    places = np.flatnonzero(changed)
    for start in range(0, len(places), ROWS_AT_ONCE):
        part = places[start : start + ROWS_AT_ONCE]
        for row, code in zip(part, index.codes_of(rows_so_far[plan.source[part]]), strict=True):
            writer.add(dataset.ids[row], _label(dataset.ids[row]), code, plan.file_stats[row])


def write_array(dataset, index, total, encode=encode_rows):
    """Write the codes of an array, or of a shard of it, and drop rows past its `total`.

    Raises ValueError when the collection is of other images.
    """
    location, indexed = dataset.source, index.source
    if index.of_folder or any(location[key] != indexed[key] for key in ("name", "split")):
        raise ValueError(
            f"{index.server.address} is the index of {indexed['name']}, not of the "
            f"{location['split']} split of {location['name']}: name another collection, or replace "
            "this one with --rebuild"
        )
    writer, labels = Writer(index), dataset.labels
    for rows, codes, _ in encode(dataset, np.arange(len(dataset)), index.encoder):
        for row, code in zip(rows, codes, strict=True):
            label = "" if labels is None else str(labels[row])
            writer.add(dataset.ids[row], label, code)
    writer.save()
    index.delete_from(total)
    index.update(dataset=location)
    index.flush()


def merge_into_collection(paths, address, engine=None, rebuild=False):
    """Write index files, such as shards, into a collection; return the number of its codes.

    Raises ValueError when their encoders, metrics or datasets are not the same.
    """
    sources = [load_index(path) for path in paths]
    first = sources[0]
    for path, source in zip(paths, sources, strict=True):
        require_alike(first, paths[0], source, path)
    index = load_index(address) if not rebuild and index_exists(address) else None
    if index:
        require_alike(index, address, first, paths[0])
    index = prepare_collection(
        address, index, first.encoder, first.metric, first, engine, rebuild, first.codes[:SAMPLE]
    )
    for source in sources:
        _write_index(source, index)
    index.flush()
    return index.count()


def _write_index(source, index):
    for start in range(0, len(source), ROWS_AT_ONCE):
        places = range(start, min(start + ROWS_AT_ONCE, len(source)))
        ids = [source.ids[place] for place in places]
        if index.of_folder:
            labels, files = [_label(id) for id in ids], source.file_stats[start : places.stop]
        else:
            labels = ["" if source.labels is None else str(source.labels[i]) for i in places]
            files = None
        codes = np.array(source.codes[start : places.stop])
        index.upsert([index.row_of(id) for id in ids], ids, labels, codes, files)


def _label(id):
    """Return the label of a file, its first sub-folder."""
    name, slash, _ = id.partition("/")
    return name if slash else ""


def _require_distinct(rows, ids):
    """Raise ValueError if two files would have the same row."""
    order = np.argsort(rows, kind="stable")
    [same] = np.nonzero(np.diff(rows[order]) == 0)
    if len(same):  # one folder of ten million pictures in 180,000 has such a pair
        a, b = (ids[order[same[0] + i]] for i in (0, 1))
        raise ValueError(f"{a} and {b} have the same 63-bit hash: rename one of them")
