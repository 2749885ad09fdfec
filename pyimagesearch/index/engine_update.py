"""The engine stored beside an index file: rebuilt or removed with the index, so never stale."""

import logging
import os
from pathlib import Path

from pyimagesearch.index.index_file import load_index
from pyimagesearch.search.engine_file import engine_name, engine_path, save_engine

logger = logging.getLogger(__name__)


def stored_engine_name(index_path):
    """Return the name of the engine that is stored beside an index file, else "exact"."""
    path = engine_path(index_path)
    return engine_name(path) if os.path.exists(path) else "exact"


def update_engine(index_path, name, recall):
    """Build the engine `name` for an index file, tuned to `recall`; exact search needs none.

    Returns the report of its measured recall, speed and size as text, or None for exact search.
    An engine of other codes than the index's would be refused by a search, so for exact search a
    stored one is removed.
    """
    path, report = engine_path(index_path), None
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
            report = str(engine.report)
            _check(engine, index, Path(index_path).parent)
    if name == "exact" and os.path.exists(path):
        os.unlink(path)
        logger.info(f"removed {path}: the search is exact")
    return report


def _check(engine, index, folder):
    """Warn where an engine misses its recall; draw the clusters of one that has them."""
    if engine.name.startswith("clusters"):
        from pyimagesearch.display.clusters import draw_clusters

        for path in draw_clusters(engine, index.gallery(), folder):
            logger.info(f"wrote {path}")
    elif not engine.report.reached:
        logger.warning(
            f"{engine.name} finds {engine.report.recall_10:.3f} of the true 10 nearest at its "
            f"widest, not {engine.report.target:g}: choose another engine where that matters"
        )
