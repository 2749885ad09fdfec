"""Opening a dataset by its name, or by the source that an index recorded."""

import os

import numpy as np

from pyimagesearch.datasets.array import ArrayDataset
from pyimagesearch.datasets.builtin import BUILT_IN


def is_folder(name):
    """Whether `name` is that of a folder; a built-in dataset takes precedence over a folder."""
    return name not in BUILT_IN and os.path.isdir(name)


def open_dataset(name, split="train", limit=None):
    """Return the dataset called `name`: one of `BUILT_IN`, an .npz file, or a folder of pictures.

    A folder has no splits: `split` makes no difference to it. `limit` keeps the first rows.

    Raises ValueError or OSError, saying what to do, when it is unknown, malformed or missing.
    """
    if not is_folder(name):
        return ArrayDataset(name, split, limit)
    from pyimagesearch.datasets.folder import FolderDataset  # needs Pillow

    folder = FolderDataset(name)
    return folder if limit is None else folder.subset(np.arange(min(limit, len(folder))))


def open_source(source, files):
    """Return the dataset of a `source` for use by `with_ids`: a folder is not listed.

    `files` says whether the ids are paths of files.
    """
    if not files:
        return ArrayDataset(**source)
    from pyimagesearch.datasets.folder import FolderDataset

    return FolderDataset(source["name"], [])
