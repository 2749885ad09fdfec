"""Opening a dataset by its name, or by the source that an index recorded."""

import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pyimagesearch.arrays import Source
from pyimagesearch.datasets.array import SPLITS, ArrayDataset
from pyimagesearch.datasets.builtin import BUILT_IN
from pyimagesearch.datasets.dataset import Dataset

logger = logging.getLogger(__name__)

DEFAULT_SOURCE = {"name": "mnist", "split": "train", "limit": None}
FOLDER_SETTINGS = ("folders", "exclude", "truncated", "classes")


def is_folder(name: str) -> bool:
    """Whether `name` is that of a folder; a built-in dataset takes precedence over a folder."""
    return name not in BUILT_IN and os.path.isdir(name)


def open_dataset(
    name: str,
    split: str = "train",
    limit: int | None = None,
    folders: Sequence[str] = (),
    *,
    exclude: Sequence[str] = (),
    truncated: bool = False,
    classes: bool = False,
    digest: str | None = None,
) -> Dataset:
    """Return the dataset called `name`: one of `BUILT_IN`, an .npz file, or a folder of pictures.

    `limit` keeps the first rows. A folder has no splits: `split` makes no difference to it. Of a
    folder, only the relative paths `folders` are searched, by default all, without the files and
    folders that match a pattern of `exclude`; with `truncated`, JPEGs that are cut short are read
    as far as they go; with `classes`, its first sub-folders are classes. `digest`, which a source
    may record, is not compared: the images may be new.

    Raises ValueError or OSError, saying what to do, when it is unknown, malformed or missing.
    """
    if not is_folder(name):
        if exclude or truncated:
            raise ValueError(f"--exclude and --truncated are for folders of pictures, not {name}")
        if classes:
            raise ValueError(f"--classes is for folders; labels of {name} are classes without it")
        if name in BUILT_IN and os.path.isdir(name):
            logger.info(f"{name} is the built-in dataset: for the folder, give ./{name}")
        return ArrayDataset(name, split, limit)
    from pyimagesearch.datasets.folder import FolderDataset  # needs Pillow

    folder = FolderDataset(name, None, folders, exclude, truncated=truncated, classes=classes)
    if limit is None:
        return folder
    return folder.subset(np.arange(min(limit, len(folder))))


def open_source(source: Source, files: bool) -> Dataset:
    """Return the dataset of a `source` for use by `with_ids`: a folder is not listed.

    `files` says whether the ids are paths of files. Raises ValueError when the images of an .npz
    file are others than those that the source records.
    """
    if not files:
        return ArrayDataset(**source)
    from pyimagesearch.datasets.folder import FolderDataset

    return FolderDataset(source["name"], [], **folder_settings(source))


def folder_settings(source: Source) -> dict[str, Any]:
    """Return the arguments of FolderDataset in a source, apart from the name of the folder."""
    return {key: source[key] for key in FOLDER_SETTINGS if key in source}


@dataclass(frozen=True)
class SourceFlags:
    """What was named of a source, None for what stays as it is.

    `names` are one dataset, or several folders; the rest is as `open_dataset` takes it.
    """

    names: Sequence[str] | str | None = None
    split: str | None = None
    limit: int | None = None
    exclude: Sequence[str] | None = None
    truncated: bool | None = None
    classes: bool | None = None


def updated_source(source: Source, flags: SourceFlags) -> Source:
    """Return a source, the arguments of `open_dataset`, with what the flags name replaced.

    Several folders become the folder that holds them all and the paths below it. Raises ValueError
    when several names are not folders, and for a split of a folder.
    """
    given: Source = {key: value for key, value in vars(flags).items() if value is not None}
    names = given.pop("names", None)
    if names is not None:
        source = {key: value for key, value in source.items() if key not in ("folders", "digest")}
        given |= _named([names] if isinstance(names, str) else names)
        if not is_folder(given["name"]):
            source = {key: source[key] for key in ("name", "split", "limit")}
    source = {**source, **given}
    if flags.split is not None and is_folder(source["name"]):
        raise ValueError(f"--split is for arrays: the folder {source['name']} has no splits")
    return source


def _named(names: Sequence[str]) -> Source:
    """Return the `name`, and of several folders the `folders`, of a source."""
    if len(names) == 1:
        return {"name": names[0]}
    for name in names:
        if not is_folder(name):
            raise ValueError(f"{name} is not a folder: of several datasets, each has to be one")
    paths = sorted({os.path.abspath(name) for name in names})
    below = {p for p in paths for q in paths if p != q and os.path.commonpath([p, q]) == q}
    outer = [path for path in paths if path not in below]
    if len(outer) == 1:
        return {"name": outer[0]}
    root = os.path.commonpath(outer)
    return {"name": root, "folders": [os.path.relpath(path, root) for path in outer]}


def is_source(value: Any) -> bool:
    """Whether a value from a file has the fields and types of a dataset's `source`."""
    if not isinstance(value, dict) or not {"name", "split", "limit"} <= value.keys():
        return False
    limit = value["limit"]
    checks = {
        "name": isinstance(value["name"], str),
        "split": value["split"] in SPLITS,
        "limit": limit is None or (type(limit) is int and limit > 0),
        "folders": _are_texts(value.get("folders", [])),
        "exclude": _are_texts(value.get("exclude", [])),
        "truncated": isinstance(value.get("truncated", False), bool),
        "classes": isinstance(value.get("classes", False), bool),
        "digest": isinstance(value.get("digest", ""), str),
    }
    return value.keys() <= checks.keys() and all(checks.values())


def _are_texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(text, str) for text in value)
