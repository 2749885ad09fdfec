"""The store of an index, chosen by its name; a new kind of store needs one line here."""

from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, Protocol

from pyimagesearch.indexes.contract import Index
from pyimagesearch.indexes.file_store import FileStore
from pyimagesearch.indexes.milvus.client import is_milvus

if TYPE_CHECKING:
    from pyimagesearch.indexes.settings import Update, UpdateResult, UpdateSettings


class Store(Protocol):
    """Where an index is kept: a file or a collection. Its text is the name of the index.

    With `keeps_arrays` the codes of arrays are updated row by row, so that all of them have to be
    from one model.
    """

    keeps_arrays: bool

    def exists(self) -> bool:
        """Whether there is an index, or something else of its name."""

    def open(self) -> Index:
        """Open the index.

        Raises FileNotFoundError if there is none, ValueError if it is damaged or not an index.
        """

    def require_writable(self) -> None:
        """Raise OSError or ValueError now if the index could not be written later."""

    def unfinished_source(self) -> dict[str, Any] | None:
        """Return the source of the images of an index whose making was interrupted, or None."""

    def exclusive(self) -> AbstractContextManager[None]:
        """Exclude others that change the index; to be held from before it is opened.

        A store that several processes may change at once excludes none.
        """

    def update(self, update: "Update") -> "UpdateResult":
        """Bring the index up to date, or make it."""

    def merge(self, paths: list[str], settings: "UpdateSettings") -> "UpdateResult":
        """Join index files, such as shards, into the index."""


def open_store(name: str) -> Store:
    """Return the store of the index called `name`."""
    if is_milvus(name):
        from pyimagesearch.indexes.milvus.store import MilvusStore

        return MilvusStore(name)
    return FileStore(name)
