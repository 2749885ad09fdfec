"""Engines as files: a FAISS index, opened as a memory map, with its description at the end.

The file is what faiss.write_index writes, then JSON, then the lengths of both and a magic number.
FAISS reads as far as its own part, so that either can be read without the other.
"""

import json
import os
import shlex
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pyimagesearch.arrays import Floats
from pyimagesearch.engines.engine import Engine
from pyimagesearch.files import (
    ENGINE_SUFFIX,
    atomic_write,
    content_size,
    require_regular,
    verify_checksum,
)
from pyimagesearch.metric import METRICS

if TYPE_CHECKING:
    from pyimagesearch.engines.faiss_engine import FaissEngine

MAGIC = b"PISENG02"
OLD_MAGIC = b"PISENG01"  # of files without a checksum
FOOTER = struct.Struct("<QQ8s")  # bytes of the index, bytes of the JSON, MAGIC
MAX_JSON = 1 << 20
WHOLE = 64 << 20  # bytes of a file up to which its checksum is compared, in 0.1 s


class OtherCodesError(ValueError):
    """An engine file was built for other codes: the index was changed, and it was not yet."""


class OtherMetricError(ValueError):
    """An engine file was built for another metric than is wanted."""


def save_engine(engine: Engine, path: str, codes_sha256: str) -> None:
    """Write a FaissEngine to one file, whole or not at all.

    `codes_sha256` identifies its codes: a file of other ones is not opened for them. Raises OSError
    when it cannot be written, ValueError for exact search, which needs no file.
    """
    import faiss

    from pyimagesearch.engines.faiss_engine import FaissEngine

    if not isinstance(engine, FaissEngine):
        raise ValueError(f"{engine.name} search needs no engine file")
    about = {
        "engine": engine.name,
        "metric": engine.metric.name,
        "fingerprint": codes_sha256,
        "inverted": engine.inverted,
        "probe": engine.probe,
        "shortlist": engine.shortlist,
        "report": engine.report and asdict(engine.report),
        "elbow": engine.elbow and asdict(engine.elbow),
    }
    text = json.dumps(about).encode()
    with atomic_write(path, checksum=True) as temporary:
        try:
            with _name_for_faiss(temporary) as name:
                faiss.write_index(engine.index, name)
        except RuntimeError as error:
            raise OSError(f"cannot write {path}: {' '.join(str(error).split())}") from error
        size = os.path.getsize(temporary)
        with open(temporary, "ab") as file:
            file.write(text + FOOTER.pack(size, len(text), MAGIC))


def load_engine(
    path: str, codes: Floats, codes_sha256: str | None, metric: str | None = None
) -> "FaissEngine":
    """Open an engine file for the `codes`, float32 (n, d), that it was built from.

    `codes_sha256` is that of `save_engine`; `metric` is the one wanted, any if None. The index is
    memory-mapped: only the parts that a search touches are read. Nothing in the file is run, but
    FAISS parses it in C++ and only its own checks protect from a malicious file: open only your
    own.

    Raises OSError when it cannot be read, ValueError, saying how to build it again, when it is cut
    short or foreign: OtherCodesError and OtherMetricError when it does not fit.
    """
    # Imported here, because exact search needs none of it.
    from pyimagesearch.engines.faiss_engine import FaissEngine
    from pyimagesearch.engines.kmeans import Elbow
    from pyimagesearch.engines.tuning import EngineReport

    about, size = _read_about(path, verify=True)
    name = about["engine"]
    again = f"{_again(path)} {shlex.quote(name)}"
    if about["fingerprint"] != codes_sha256:
        raise OtherCodesError(f"{path} was built for other codes than these: {again}")
    if metric not in (None, about["metric"]):
        raise OtherMetricError(
            f"{path} is for {about['metric']} distance, not {metric}: {again} --metric {metric}"
        )
    try:
        engine = FaissEngine(
            _read_index(path, size, about["inverted"]), codes, about["metric"], name
        )
        if not engine.scans:
            engine.shortlist = about["shortlist"]
        engine.probe = about["probe"]
        engine.report = about["report"] and EngineReport(**about["report"])
        engine.elbow = about["elbow"] and Elbow(**about["elbow"])
    except (KeyError, TypeError, ValueError, RuntimeError, MemoryError) as error:
        raise ValueError(f"{path} is damaged: {again}") from error
    return engine


def engine_name(path: str) -> str:
    """Return the name of the engine in a file; raises as `load_engine` does."""
    return _read_about(path)[0]["engine"]


def _again(path: str) -> str:
    """Return what to do about a bad engine file; the name of an engine completes it."""
    index_path = str(path).removesuffix(ENGINE_SUFFIX)
    command = f"python index_images.py --index {shlex.quote(index_path)} --engine"
    return f"build it again with: {command}"


def _read_about(path: str, verify: bool = False) -> tuple[dict[str, Any], int]:
    """Return what the end of the file says of the engine, and the size of the FAISS index.

    With `verify` the checksum of a file of up to WHOLE bytes is compared: FAISS itself may crash on
    a damaged file.
    """
    require_regular(path)
    try:
        if verify and os.path.getsize(path) <= WHOLE:
            verify_checksum(path)
        return _parse_about(path)
    except (KeyError, TypeError, ValueError, struct.error) as error:
        raise ValueError(f"{path} is not a complete engine file: {_again(path)} NAME") from error


def _parse_about(path: str) -> tuple[dict[str, Any], int]:
    with open(path, "rb") as file:
        total = content_size(file)
        has_checksum = total < os.path.getsize(path)
        file.seek(max(0, total - FOOTER.size))
        size, length, magic = FOOTER.unpack(file.read(FOOTER.size))
        known = magic == (MAGIC if has_checksum else OLD_MAGIC)
        if not known or length > MAX_JSON or size + length + FOOTER.size != total:
            raise ValueError("not an engine file")
        file.seek(size)
        about = json.loads(file.read(length))
    texts = about["engine"], about["metric"], about["fingerprint"]
    if not all(isinstance(text, str) for text in texts) or about["metric"] not in METRICS:
        raise ValueError("not an engine file")
    return about, size


def _read_index(path: str, size: int, inverted: bool) -> Any:
    """Memory-map the FAISS index at the start of the file."""
    import faiss

    # Two implementations: inverted lists are left on disk by the one, all else by the other.
    mapped = faiss.IO_FLAG_MMAP if inverted else faiss.IO_FLAG_MMAP_IFC
    before = faiss.get_deserialization_vector_byte_limit()
    # No array of an honest file is larger than the file, so none of another may ask for more.
    faiss.set_deserialization_vector_byte_limit(max(size, 1 << 20))
    try:
        with _name_for_faiss(path) as name:
            return faiss.read_index(name, mapped | faiss.IO_FLAG_SKIP_PRECOMPUTE_TABLE)
    finally:
        faiss.set_deserialization_vector_byte_limit(before)


@contextmanager
def _name_for_faiss(path: str | Path) -> Iterator[str]:
    """Yield a name by which FAISS can open a file that is there: it takes UTF-8 only."""
    try:
        str(path).encode()
    except UnicodeEncodeError:
        with open(path, "rb") as file:
            yield f"/dev/fd/{file.fileno()}"
    else:
        yield str(path)
