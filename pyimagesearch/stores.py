"""The store of an index, chosen by its name; a new kind of store needs one line here."""

from pyimagesearch.milvus.client import is_milvus
from pyimagesearch.updating.store import FileStore


def open_store(name):
    """Return the store of the index called `name`; see FileStore for its methods."""
    if is_milvus(name):
        from pyimagesearch.milvus.store import MilvusStore

        return MilvusStore(name)
    return FileStore(name)
