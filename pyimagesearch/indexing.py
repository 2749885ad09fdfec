"""The engine of an index that was just written: built again, or removed, so that none is stale."""

import logging
import os
from pathlib import Path

from pyimagesearch.datasets.catalog import open_dataset
from pyimagesearch.index.index import load_index
from pyimagesearch.search.engine_file import engine_name, engine_path, save_engine

logger = logging.getLogger(__name__)


def engine_so_far(index_path):
    """Return the name of the engine that is stored with an index."""
    path = engine_path(index_path)
    return engine_name(path) if os.path.exists(path) else "exact"


def update_engine(index_path, name, recall):
    """Build an engine for the index in a file, tuned to `recall`; exact search needs none.

    Prints what the engine was measured to do. An engine of other codes than the index's would be
    refused by a search, so where the search is exact now, one that was there is removed.
    """
    path = engine_path(index_path)
    if name != "exact":
        from pyimagesearch.search.factory import build_engine

        index = load_index(index_path)
        logger.info(f"building the engine {name}...")
        engine = build_engine(index.codes, name, index.metric, recall)
        name = engine.name
        if engine.reason:
            logger.info(f"auto chose {name}: {engine.reason}")
        if name != "exact":
            save_engine(engine, path, index.codes_sha256)
            print(engine.report)
            _report(engine, index, Path(index_path).parent)
    if name == "exact" and os.path.exists(path):
        os.unlink(path)
        logger.info(f"removed {path}: the search is exact")


def _report(engine, index, folder):
    """Say where an engine falls short, and draw the clusters of one that has them."""
    if not engine.name.startswith("clusters"):
        report = engine.report
        if not report.reached:
            logger.warning(
                f"{engine.name} finds {report.recall_10:.3f} of the true 10 nearest at its widest, "
                f"not {report.target:g}: choose another engine where that matters"
            )
        return
    from pyimagesearch.display.clusters import draw_clusters

    location = index.source
    images = index.open_folder(location["name"]) if index.of_folder else open_dataset(**location)
    if len(images) == len(index):  # a shard of an array is only a part of it
        for path in draw_clusters(engine, images, folder):
            logger.info(f"wrote {path}")
