"""The engine stored beside an index file: rebuilt or removed whenever the index changes."""

import logging
import os

from pyimagesearch.engines.engine import Engine
from pyimagesearch.engines.engine_file import engine_name, load_engine, save_engine
from pyimagesearch.files import ENGINE_SUFFIX
from pyimagesearch.indexes.index_file import load_index
from pyimagesearch.indexes.local_index import LocalIndex
from pyimagesearch.indexes.settings import RECALL, UpdateSettings

logger = logging.getLogger(__name__)


def stored_engine_name(index_path: str) -> str:
    """Return the name of the engine that is stored beside an index file, else "exact".

    A damaged file counts as none.
    """
    path = f"{index_path}{ENGINE_SUFFIX}"
    try:
        if os.path.exists(path):
            return engine_name(path)
        return "exact"
    except ValueError:
        logger.warning(f"{path} is damaged: name the engine to build again with --engine")
        return "exact"


def engine_to_build(index_path: str, settings: UpdateSettings) -> str:
    """Return the name of the engine of an index file: the one that was named, or that it has.

    Raises ValueError where a recall was named that this engine is not tuned to.
    """
    name = settings.engine or stored_engine_name(index_path)
    if settings.recall is not None and name.split(":")[0] in ("exact", "clusters"):
        raise ValueError(
            f"--recall has no effect on the engine {name}: leave it out, or name an engine that is "
            "tuned to it with --engine, such as auto or HNSW32"
        )
    return name


def update_engine(
    index_path: str, name: str, settings: UpdateSettings, *, codes_changed: bool = True
) -> str | None:
    """Build the engine `name` for an index file; exact search needs none.

    The engine is tuned to the `recall` of the settings. If they name neither, the engine that is
    stored stays where the codes did not change, and one that no longer suits the codes gives way
    to exact search. Returns the report of the engine's measured recall, speed and size as text, or
    None for exact search and an engine that stays.
    """
    path = f"{index_path}{ENGINE_SUFFIX}"
    engine = None
    if name != "exact":
        index = load_index(index_path)
        named = settings.engine or settings.recall
        if not (codes_changed or named) and _is_sound(index, path):
            return None
        try:
            engine = _build(index, name, settings.recall or RECALL)
        except ValueError as error:
            if settings.engine:
                raise
            logger.warning(f"the index is now searched exactly: {error}")
    if engine is not None and engine.name != "exact":
        assert index.codes_sha256 is not None
        save_engine(engine, path, index.codes_sha256)
        _check(engine)
        return str(engine.report)
    if os.path.exists(path):
        os.unlink(path)
        logger.info(f"removed {path}: the search is exact")
    return None


def _is_sound(index: LocalIndex, path: str) -> bool:
    """Whether the engine in a file belongs to the codes and the metric of an index."""
    try:
        load_engine(path, index.codes, index.codes_sha256, index.metric)
    except (FileNotFoundError, ValueError):
        return False
    return True


def _build(index: LocalIndex, name: str, recall: float) -> Engine:
    from pyimagesearch.engines.factory import build_engine

    logger.info(f"building the engine {name}...")
    if "RQ" in name or "LSQ" in name:
        logger.info("it may take minutes; after Ctrl-C the index is searched exactly")
    engine = build_engine(index.codes, name, index.metric, recall)
    if engine.reason:
        logger.info(f"auto chose {engine.name}: {engine.reason}")
    return engine


def _check(engine: Engine) -> None:
    """Warn where an engine misses its recall."""
    report = engine.report
    if report is None or report.reached or engine.name.startswith("clusters"):
        return
    logger.warning(
        f"{engine.name} finds {report.recall_10:.3f} of the true 10 nearest at its widest, not "
        f"{report.target:g}: choose another engine where that matters"
    )
