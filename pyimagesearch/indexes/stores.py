"""The store of an index, chosen by its name; a new kind of store needs one line here."""

from pyimagesearch.indexes.file_store import FileStore
from pyimagesearch.indexes.milvus.client import is_milvus


def open_store(name):
    """Return the store of the index called `name`; see FileStore for its methods."""
    if is_milvus(name):
        from pyimagesearch.indexes.milvus.store import MilvusStore

        return MilvusStore(name)
    return FileStore(name)
