"""The images of an index, opened where they are or have been moved to."""

import logging
import os
from typing import Any

from pyimagesearch.datasets.catalog import open_source
from pyimagesearch.datasets.dataset import Dataset

logger = logging.getLogger(__name__)


def open_pictures(
    source: dict[str, Any], moved_to: str | None, *, has_files: bool, count: int | None
) -> Dataset:
    """Return the images of the `source` of an index, none of them looked for yet.

    `moved_to` is their present location, by default that of the source; `count` is the number of
    images of an array, where it has to be the same. Warns if the index's own folder does not exist:
    a search works without it, but shows no pictures. Raises FileNotFoundError for another folder
    that does not exist, ValueError for an array of another length.
    """
    place = source["name"] if moved_to is None else moved_to
    if has_files and not os.path.isdir(place):
        if moved_to is not None:
            raise FileNotFoundError(f"no such folder: {place}; name that of the indexed pictures")
        logger.warning(missing_folder(place))
    if not has_files and place.endswith(".npz") and not os.path.exists(place):
        raise FileNotFoundError(
            f"no such file of the indexed images: {place}; pass its new location with --dataset"
        )
    dataset = open_source({**source, "name": place}, has_files)
    if count is not None and len(dataset) != count:
        raise ValueError(
            f"the index holds {count:,} codes, but {dataset.source['name']} has "
            f"{len(dataset):,} images: name the images that were indexed with --dataset"
        )
    return dataset


def missing_folder(name: str) -> str:
    """Return the message about the folder of an index that is not there."""
    problem = "is a file now" if os.path.exists(name) else "does not exist"
    return f"the indexed folder {name} {problem}: pass its new location with --dataset"
