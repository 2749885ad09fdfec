"""Opening a dataset by its name."""

import os

from pyimagesearch.datasets.array import ArrayDataset


def open_dataset(name, split="train", limit=None):
    """Return the dataset called `name`: one of `BUILT_IN`, an .npz file, or a folder of pictures.

    A folder has no splits: `split` makes no difference to it.

    Raises ValueError or OSError, saying what to do, when it is unknown, malformed or missing.
    """
    if os.path.isdir(name):
        from pyimagesearch.datasets.folder import (
            FolderDataset,  # Pillow and threads, for folders only
        )

        folder = FolderDataset(name)
        return folder if limit is None else folder.first(limit)
    return ArrayDataset(name, split, limit)
