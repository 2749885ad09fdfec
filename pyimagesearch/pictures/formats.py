"""Picture formats: recognised by their first bytes, and the plug-ins of Pillow that open them."""

import contextlib
import ctypes
import functools
import os
import re
from collections.abc import Callable
from importlib import import_module
from typing import Any, BinaryIO

HEAD_SIZE = 64
"""Number of first bytes of a file that `picture_format` needs."""

SUFFIXES = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".gif", ".bmp", ".dib", ".tif", ".tiff", ".webp"),
    *(".avif", ".heic", ".heif", ".hif", ".jxl", ".jp2", ".j2k", ".jpc"),
    *(".pnm", ".pbm", ".pgm", ".ppm"),
)
"""The usual suffixes of these formats, in lower case."""

# The first bytes of each format, by its name in Pillow. Formats whose first bytes also begin
# English words (BMP, PNM) are recognised by more than those. RAW precedes TIFF, which it resembles.
_FORMATS = {
    "RAW": rb"II\*\0.{4}CR|IIR[OS]\x08\0|IIU\0|.{4}ftypcrx |FUJIFILMCCD-RAW|FOVb",
    "JPEG": rb"\xff\xd8\xff",
    "PNG": rb"\x89PNG\r\n\x1a\n",
    "GIF": rb"GIF8[79]a",
    "BMP": rb"BM.{12}[\x0c\x28\x34\x38\x40\x6c\x7c]\0\0\0",
    "TIFF": rb"II[*+]\0|MM\0[*+]",
    "WEBP": rb"RIFF.{4}WEBP",
    "AVIF": rb".{4}ftyp(avi[fs]|(mif1|msf1).{4}.*avi[fs])",
    "HEIF": rb".{4}ftyp(hei[cmsx]|hev[cmsx]|mif1|msf1)",
    "JXL": rb"\xff\n|\0\0\0\x0cJXL \r\n\x87\n",
    "JPEG2000": rb"\0\0\0\x0cjP  \r\n\x87\n|\xffO\xffQ",
    "PPM": rb"P[1-6]\s+[\d#]",
}
_PATTERN = re.compile(
    b"|".join(b"(?P<%s>%s)" % (name.encode(), head) for name, head in _FORMATS.items()),
    re.DOTALL,
)

# The module that opens each format, and the package that brings it where it is optional.
_PLUGINS = {
    "JPEG": "PIL.JpegImagePlugin",
    "PNG": "PIL.PngImagePlugin",
    "GIF": "PIL.GifImagePlugin",
    "BMP": "PIL.BmpImagePlugin",
    "TIFF": "PIL.TiffImagePlugin",
    "WEBP": "PIL.WebPImagePlugin",
    "AVIF": "PIL.AvifImagePlugin",
    "JPEG2000": "PIL.Jpeg2KImagePlugin",
    "PPM": "PIL.PpmImagePlugin",
    "HEIF": "pillow_heif",
    "JXL": "pillow_jxl",
}
_OPTIONAL = {"HEIF": "pillow-heif", "JXL": "pillow-jxl-plugin"}
# The text chunk of PNG (ISO 15948, 11.3.4.3) that marks the sheets and plots written here; those in
# JPEG have it as a comment.
PNG = b"\x89PNG"
JPEG = b"\xff\xd8"
OWN_MARK = b"tEXtSoftware\0pyimagesearch"
PNG_END_SIZE = 12  # bytes of the last chunk of a PNG
_MARK_END = len(OWN_MARK) + 4 + PNG_END_SIZE  # a sheet ends in the mark, its checksum, the end


def picture_format(head: bytes) -> str | None:
    """Return the picture format of a file that begins with the bytes `head`, or None."""
    match = _PATTERN.match(head)
    return match and match.lastgroup


@functools.cache
def plugin(name: str) -> Callable[..., Any]:
    """Return the function that opens files of a format, which `Image.open` would call.

    The check of sizes by `Image.open` does not name the sides, and only warns of pictures up to
    twice its limit. Raises ValueError with the install command if an optional package is missing.
    """
    from PIL import Image, _imaging  # here, because a search among arrays need not wait for it

    try:
        module: Any = import_module(_PLUGINS[name])
    except ImportError:
        raise ValueError(f"{name} pictures need: pip install {_OPTIONAL[name]}") from None
    if name == "HEIF":
        module.register_heif_opener()
    if name == "TIFF":
        # Pillow's own decoder mixes up planes of 16 bits.
        module.READ_LIBTIFF = True
        _silence_libtiff(_imaging.__file__)
    return Image.OPEN[name][0]


def _silence_libtiff(pillow: str | None) -> None:
    """Keep libtiff, the only library that prints, from doing so; Pillow raises its errors too."""
    with contextlib.suppress(OSError, AttributeError):  # linked statically on some systems
        ctypes.CDLL(pillow).TIFFSetErrorHandler(None)


def is_own_output(file: BinaryIO) -> bool:
    """Whether an open file is a PNG or JPEG that this program wrote; leaves it at its start."""
    head = file.read(4096)
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - _MARK_END))
    marked = head.startswith((PNG, JPEG)) and OWN_MARK in head
    if head.startswith(PNG) and not marked:
        marked = OWN_MARK in file.read()
    file.seek(0)
    return marked
