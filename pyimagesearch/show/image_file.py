"""Pictures written to files, and marked as ours."""

import os
import struct
import zlib
from pathlib import Path

import cv2

from pyimagesearch.arrays import Pixels
from pyimagesearch.files import atomic_write
from pyimagesearch.pictures.formats import OWN_MARK, PNG_END_SIZE

_MARK = struct.pack(">I", len(OWN_MARK) - 4) + OWN_MARK + struct.pack(">I", zlib.crc32(OWN_MARK))


def write_image(path: str | Path, image: Pixels) -> None:
    """Write a uint8 BGR picture; the suffix of `path` chooses the format."""
    suffix = Path(path).suffix.lower()
    try:
        encoded, data = cv2.imencode(suffix, image)
    except cv2.error:  # an unknown suffix
        encoded = False
    if not encoded:
        size = f"{image.shape[1]:,} x {image.shape[0]:,} pixels"
        raise OSError(f"cannot write {path}: OpenCV cannot encode {size} as {suffix}")
    content = data.tobytes()
    if suffix == ".png":
        content = content[:-PNG_END_SIZE] + _MARK + content[-PNG_END_SIZE:]
    # Not by cv2.imwrite, which ends the process over names that are not UTF-8.
    with atomic_write(path) as temporary:
        temporary.write_bytes(content)


def is_written_here(path: str) -> bool:
    """Whether the file `path` is a PNG that `write_image` wrote."""
    with open(path, "rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - len(_MARK) - PNG_END_SIZE))
        return file.read(len(_MARK)) == _MARK
