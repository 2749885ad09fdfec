"""Index files as a store: opened here, made and brought up to date by `update`."""

import os
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

from pyimagesearch.files import require_writable, verify_checksum
from pyimagesearch.indexes.contract import Store
from pyimagesearch.indexes.index_file import load_index, require_replaceable
from pyimagesearch.indexes.local_index import LocalIndex
from pyimagesearch.locks import sole_writer

if TYPE_CHECKING:
    from pyimagesearch.indexes.settings import Update, UpdateResult, UpdateSettings


class FileStore(Store):
    """An index in a file: HDF5 if its name ends in .h5 or .hdf5, else a pickle."""

    keeps_arrays = False  # an array that another model encodes is encoded as a whole

    def __init__(self, path: str) -> None:
        self.path = str(path)

    def __str__(self) -> str:
        return self.path

    def exists(self) -> bool:
        """Whether there is a file of this name; an empty one, as `mktemp` makes, is none."""
        return os.path.exists(self.path) and os.path.getsize(self.path) > 0

    def open(self) -> LocalIndex:
        """Return the index; raises as `load_index` does."""
        return load_index(self.path)

    def require_writable(self) -> None:
        """Raise OSError if the file cannot be written, ValueError if it is not an index."""
        require_writable(self.path)
        require_replaceable(self.path)

    def exclusive(self) -> AbstractContextManager[None]:
        """Exclude other processes from changing the file; to be held from before it is opened.

        Entering raises BlockingIOError while another process is changing it.
        """
        return sole_writer(self.path, "indexing into")

    def update(self, update: "Update") -> "UpdateResult":
        """Bring the file up to date, or make it; see `sync`.

        Metric and engine stay those of the index unless the settings name others. The next run
        continues an interrupted one. Raises ValueError when the index is of other images, and what
        `sync` raises.
        """
        # Not needed by a search.
        from dataclasses import replace

        from pyimagesearch.engines.factory import require_engine
        from pyimagesearch.indexes.engine_update import engine_to_build, update_engine
        from pyimagesearch.indexes.journal import open_journal
        from pyimagesearch.indexes.local_writer import ArrayWriter, FolderWriter
        from pyimagesearch.indexes.shards import take_shard
        from pyimagesearch.indexes.sync import sync

        settings = update.settings
        if settings.shard:
            update = replace(update, dataset=take_shard(update.dataset, settings.shard))
        so_far = update.index
        assert so_far is None or isinstance(so_far, LocalIndex)
        if so_far is not None and not settings.rebuild:
            self._require_same_images(so_far, update)
        engine = engine_to_build(self.path, settings)
        if settings.engine:
            require_engine(engine, update.encoder.dim)
        kept = so_far if _has_same_codes(so_far, update) else None
        if update.dataset.file_stats is None:
            result = sync(ArrayWriter(self.path, update, kept), update, self.path)
        else:
            with open_journal(self.path, update.encoder) as journal:
                result = sync(FolderWriter(self.path, update, kept, journal), update, self.path)
        report = update_engine(self.path, engine, settings, codes_changed=result.changed)
        return replace(result, engine_report=report)

    def _require_same_images(self, so_far: LocalIndex, update: "Update") -> None:
        from pyimagesearch.indexes.plan import require_same_source
        from pyimagesearch.indexes.shards import require_same_shard

        settings = update.settings
        verify_checksum(self.path)  # whatever its size, as its codes are copied
        limited = settings.limited or settings.shard is not None
        require_same_source(so_far, update.dataset, self.path, limited=limited)
        if settings.shard and so_far.has_files:
            require_same_shard(so_far, settings.shard, self.path)

    def merge(self, paths: list[str], settings: "UpdateSettings") -> "UpdateResult":
        """Join index files, such as shards, into this one.

        Raises ValueError when they do not belong together, or this one has ids that they lack.
        """
        from pyimagesearch.indexes.engine_update import engine_to_build, update_engine
        from pyimagesearch.indexes.settings import UpdateResult
        from pyimagesearch.indexes.shards import merge_files

        engine = engine_to_build(self.path, settings)
        count = merge_files(paths, self.path, replace=settings.rebuild or not self.exists())
        report = update_engine(self.path, engine, settings)
        return UpdateResult(count, engine_report=report)


def _has_same_codes(so_far: LocalIndex | None, update: "Update") -> bool:
    """Whether codes of the index so far can be kept beside those of the encoder."""
    if so_far is None or so_far.encoder is None or update.settings.rebuild:
        return False
    made = so_far.encoder
    return (made.model_sha256, made.spec) == (update.encoder.model_sha256, update.encoder.spec)
