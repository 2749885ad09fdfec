"""Pictures written to files, and marked as ours."""

import os
import struct
import zlib
from pathlib import Path

import cv2

from pyimagesearch.arrays import Pixels
from pyimagesearch.files import atomic_write
from pyimagesearch.pictures.formats import JPEG, OWN_MARK, PNG, PNG_END_SIZE
from pyimagesearch.replacing import PICTURE, require_kind

# A text chunk of PNG, and a comment of JPEG.
_MARK = struct.pack(">I", len(OWN_MARK) - 4) + OWN_MARK + struct.pack(">I", zlib.crc32(OWN_MARK))

_COMMENT = b"\xff\xfe" + struct.pack(">H", len(OWN_MARK) + 2) + OWN_MARK


def write_image(path: str | Path, image: Pixels) -> None:
    """Write a uint8 BGR picture; the suffix of `path` chooses the format; see `write_marked`."""
    suffix = Path(path).suffix.lower()
    try:
        encoded, data = cv2.imencode(suffix, image)
    except cv2.error:  # an unknown suffix
        encoded = False
    if not encoded:
        size = f"{image.shape[1]:,} x {image.shape[0]:,} pixels"
        raise OSError(f"cannot write {path}: OpenCV cannot encode {size} as {suffix}")
    # Not by cv2.imwrite, which ends the process over names that are not UTF-8.
    write_marked(path, data.tobytes())


def write_marked(path: str | Path, data: bytes) -> None:
    """Write the bytes of a picture; a PNG or JPEG is marked, so that it may be replaced.

    Raises ValueError where there is another file than such a picture.
    """
    require_kind(path, PICTURE, "a new picture")
    if data.startswith(PNG):
        data = data[:-PNG_END_SIZE] + _MARK + data[-PNG_END_SIZE:]
    elif data.startswith(JPEG):
        place = len(JPEG)
        if data[place : place + 2] == b"\xff\xe0":  # the header of JFIF, which stays the first
            place += 2 + int.from_bytes(data[place + 2 : place + 4])
        data = data[:place] + _COMMENT + data[place:]
    with atomic_write(path) as temporary:
        temporary.write_bytes(data)


def is_written_here(path: str) -> bool:
    """Whether the file `path` is a PNG that `write_image` wrote."""
    with open(path, "rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - len(_MARK) - PNG_END_SIZE))
        return file.read(len(_MARK)) == _MARK
