"""The store of an index, chosen by its name; a new kind of store needs one line here."""

from pyimagesearch.indexes.contract import Store
from pyimagesearch.indexes.file_store import FileStore
from pyimagesearch.indexes.milvus.client import is_milvus


def open_store(name: str) -> Store:
    """Return the store of the index called `name`."""
    if is_milvus(name):
        from pyimagesearch.indexes.milvus.store import MilvusStore

        return MilvusStore(name)
    return FileStore(name)
