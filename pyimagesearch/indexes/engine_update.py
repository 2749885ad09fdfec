"""The engine stored beside an index file: rebuilt or removed whenever the index changes."""

import logging
import os

from pyimagesearch.engines.engine_file import engine_name, engine_path, save_engine
from pyimagesearch.indexes.index_file import load_index

logger = logging.getLogger(__name__)


def stored_engine_name(index_path):
    """Return the name of the engine that is stored beside an index file, else "exact".

    A damaged file counts as none.
    """
    path = engine_path(index_path)
    try:
        return engine_name(path) if os.path.exists(path) else "exact"
    except ValueError:
        logger.warning(f"{path} is damaged: name the engine to build again with --engine")
        return "exact"


def update_engine(index_path, name, settings):
    """Build the engine `name` for an index file; exact search needs none.

    `settings` are UpdateSettings: the engine is tuned to their `recall`. If they do not name an
    engine, one that no longer suits the codes gives way to exact search. Returns the report of the
    engine's measured recall, speed and size as text, or None for exact search.
    """
    path, report = engine_path(index_path), None
    if name != "exact":
        index = load_index(index_path)
        try:
            engine = _build(index, name, settings.recall)
        except ValueError as error:
            if settings.engine:
                _remove_stale(index, path)
                raise
            logger.warning(f"the index is now searched exactly: {error}")
            name = "exact"
        else:
            name = engine.name
    if name != "exact":
        save_engine(engine, path, index.codes_sha256)
        report = str(engine.report)
        _check(engine)
    elif os.path.exists(path):
        os.unlink(path)
        logger.info(f"removed {path}: the search is exact")
    return report


def _remove_stale(index, path):
    """Remove an engine of other codes, with which no search would be possible."""
    try:
        index.engine()
    except ValueError:
        os.unlink(path)


def _build(index, name, recall):
    from pyimagesearch.engines.factory import build_engine

    logger.info(f"building the engine {name}...")
    engine = build_engine(index.codes, name, index.metric, recall)
    if engine.reason:
        logger.info(f"auto chose {engine.name}: {engine.reason}")
    return engine


def _check(engine):
    """Warn where an engine misses its recall."""
    if engine.name.startswith("clusters") or engine.report.reached:
        return
    logger.warning(
        f"{engine.name} finds {engine.report.recall_10:.3f} of the true 10 nearest at its "
        f"widest, not {engine.report.target:g}: choose another engine where that matters"
    )
