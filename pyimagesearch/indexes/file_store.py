"""Index files as a store: opened here, made and brought up to date by `update`."""

import os

from pyimagesearch.files import require_writable
from pyimagesearch.indexes.index_file import load_index, require_replaceable


class FileStore:
    """An index in a file: HDF5 if its name ends in .h5 or .hdf5, else a pickle."""

    keeps_arrays = False  # the index of an array is written anew each time

    def __init__(self, path):
        self.path = str(path)

    def __str__(self):
        return self.path

    def exists(self):
        """Whether there is a file of this name."""
        return os.path.exists(self.path)

    def open(self):
        """Return the Index; raises as `load_index` does."""
        return load_index(self.path)

    def require_writable(self):
        """Raise OSError if the file cannot be written, ValueError if it is not an index."""
        require_writable(self.path)
        require_replaceable(self.path)

    def update(self, dataset, index, encoder, settings, encode):
        """Bring the file up to date with a dataset, or make it; see `update_file`."""
        from pyimagesearch.indexes.update import update_file  # not needed by a search

        return update_file(self.path, dataset, index, encoder, settings, encode)

    def merge(self, paths, settings):
        """Join index files, such as shards, into this one; see `merge_into`."""
        from pyimagesearch.indexes.update import merge_into

        return merge_into(self.path, paths, settings)
