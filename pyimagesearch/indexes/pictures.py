"""The indexed images by id, for people to look at."""

import os
from collections.abc import Callable
from typing import Any

from numpy.typing import NDArray

from pyimagesearch.datasets.dataset import Dataset
from pyimagesearch.files import printable
from pyimagesearch.indexes.contract import Pictures


class ArrayPictures:
    """The images of an array; an id is the number of its row."""

    label_names: list[str] | None = None
    has_classes = True
    shows_names = False
    folder: str | None = None

    def __init__(self, dataset: Dataset) -> None:
        self._dataset = dataset

    def picture(self, id: str, size: tuple[int, int] | None = None) -> NDArray[Any]:
        """Return one image as it is stored, whatever the `size` to show it at."""
        return self._dataset.picture(int(id), size)

    def path(self, id: str) -> None:
        """Return None: these images are not files."""

    def prefetch(self) -> None:
        """Start loading the images in a thread, while the caller does something else."""
        self._dataset.prefetch()

    def test_images(self) -> Dataset | None:
        """Return the test images of the same name."""
        return self._dataset.test_split()


class FolderPictures:
    """The picture files in a folder; an id is a path relative to it."""

    shows_names = True

    def __init__(
        self,
        folder: str,
        label_names: list[str] | None,
        *,
        truncated: bool = False,
        has_classes: bool = False,
    ) -> None:
        """`label_names` may grow later; `truncated` is that of `read_picture`."""
        self.folder: str | None = folder
        self.label_names = label_names
        self.has_classes = has_classes
        self._truncated = truncated

    def path(self, id: str) -> str:
        """Return the absolute path of an image."""
        assert self.folder is not None
        return os.path.join(self.folder, id)

    def picture(self, id: str, size: tuple[int, int] | None = None) -> NDArray[Any]:
        """Return one picture, uint8 RGB (h, w, 3), for showing it at `size`, (height, width).

        Raises ValueError or OSError with the id and the reason.
        """
        read = _picture_reader()
        try:
            return read(self.path(id), size, self._truncated)
        except (ValueError, OSError) as error:
            raise type(error)(f"{printable(id)}: {error}") from error

    def prefetch(self) -> None:
        """Do nothing: files are read one by one."""

    def test_images(self) -> None:
        """Return None: a folder has no test images apart from itself."""


def _picture_reader() -> Callable[..., NDArray[Any]]:
    from pyimagesearch.pictures.decoding import read_picture  # needs Pillow

    return read_picture


def pictures_of(dataset: Dataset, label_names: list[str] | None) -> Pictures:
    """Return the images of a dataset by id; `label_names` are those of the index."""
    folder = getattr(dataset, "folder", None)
    if folder is None:
        return ArrayPictures(dataset)
    return FolderPictures(
        folder, label_names, truncated=dataset.truncated, has_classes=dataset.has_classes
    )
