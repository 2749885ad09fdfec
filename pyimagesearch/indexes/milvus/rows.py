"""Conversion of the rows of a collection: ids, labels, file records, and checks.

Nothing that comes from a server is trusted.
"""

from typing import Any

import numpy as np

from pyimagesearch.files import is_inside
from pyimagesearch.indexes.contract import Codes, Records

BYTES_NAME = "//"  # the start of a packed path that is not UTF-8; no relative path has it
NAMED = ["id", "label"]
RECORD = ["size", "mtime_ns", "digest"]
DIGEST_SIZE = 16  # bytes


def pack_id(id: str) -> str:
    """Return an id as text that is valid UTF-8; `unpack_id` is the inverse."""
    try:
        id.encode()
    except UnicodeEncodeError:
        return BYTES_NAME + id.encode("utf-8", "surrogateescape").hex()
    return id


def unpack_id(text: str) -> str:
    """Return the path that `pack_id` packed; raises ValueError if it leads outside its folder."""
    if text.startswith(BYTES_NAME):
        text = bytes.fromhex(text.removeprefix(BYTES_NAME)).decode("utf-8", "surrogateescape")
    if not is_inside(text):
        raise ValueError(f"the collection has the id {text!r}, which is outside its folder")
    return text


def pack_row(key: int, records: Records, row: int) -> dict[str, Any]:
    """Return the fields of one of the Records but its vectors."""
    stats = records.file_stats[row]
    return {
        "row": key,
        "id": pack_id(records.ids[row]),
        "label": records.labels[row],
        "size": int(stats["size"]),
        "mtime_ns": int(stats["mtime_ns"]),
        "digest": stats["digest"].tobytes().hex(),
    }


def as_text(value: Any) -> str:
    """Return text as it is, or raise ValueError."""
    if not isinstance(value, str):
        raise ValueError(f"expected text from the server, received {type(value).__name__}")
    return value


def as_whole(value: Any) -> int:
    """Return a whole number, or text of one, as int, or raise ValueError."""
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise ValueError(f"expected a number from the server, received {type(value).__name__}")
    return int(value)


def file_record(entity: dict[str, Any]) -> tuple[int, int, tuple[int, ...]]:
    """Return the (size, mtime_ns, digest) of a row, as FILE_STATS has them."""
    digest = bytes.fromhex(as_text(entity.get("digest")))
    if len(digest) != DIGEST_SIZE:
        raise ValueError(f"expected digests of {DIGEST_SIZE} bytes, received {len(digest)}")
    numbers = tuple(np.frombuffer(digest, "<u8").tolist())
    return as_whole(entity.get("size")), as_whole(entity.get("mtime_ns")), numbers


def finite_codes(codes: Codes) -> Codes:
    """Return codes as they are, or raise ValueError."""
    if not np.isfinite(codes).all():
        raise ValueError("the collection holds codes with NaN or infinity: index again")
    return codes


def code_of(entity: dict[str, Any], dim: int) -> Codes:
    """Return the code of a row, float32 (dim,), which is taken out of it, or raise ValueError."""
    code = np.array(entity.pop("code", None), np.float32)
    if code.shape != (dim,):
        raise ValueError(f"expected codes of {dim}, received {code.shape}")
    return code
