"""Picture files: telling them by their first bytes, and decoding them.

One decoder, Pillow, reads every format: it decodes JPEGs at reduced scale as fast as OpenCV and
without the GIL, refuses files that are cut short, and its libraries print nothing.
"""

import contextlib
import ctypes
import functools
import logging
import os
import re
import stat
import warnings
from importlib import import_module

import numpy as np

from pyimagesearch.files import path_bytes

# Pillow remarks on odd but readable files; a picture is either read or refused, in one line.
warnings.filterwarnings("ignore", module=r"PIL\.")
logging.getLogger("PIL").addHandler(logging.NullHandler())

MAX_PIXELS = 178_956_970
"""Files whose header promises more are refused undecoded; the count at which Pillow refuses too."""

HEAD_SIZE = 64
"""How many of a file's first bytes `picture_format` needs."""

SUFFIXES = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".gif", ".bmp", ".dib", ".tif", ".tiff", ".webp"),
    *(".avif", ".heic", ".heif", ".jp2", ".j2k", ".jpc", ".pnm", ".pbm", ".pgm", ".ppm"),
)
"""The suffixes, in lower case, by which people name files of these formats."""

# Pillow's name of each format: its plug-in, and what its files begin with. Formats whose first
# bytes also begin English words (BMP, PNM) are told by more than those.
_FORMATS = {
    "JPEG": ("JpegImagePlugin", rb"\xff\xd8\xff"),
    "PNG": ("PngImagePlugin", rb"\x89PNG\r\n\x1a\n"),
    "GIF": ("GifImagePlugin", rb"GIF8[79]a"),
    "BMP": ("BmpImagePlugin", rb"BM.{12}[\x0c\x28\x34\x38\x40\x6c\x7c]\0\0\0"),
    "TIFF": ("TiffImagePlugin", rb"II[*+]\0|MM\0[*+]"),
    "WEBP": ("WebPImagePlugin", rb"RIFF.{4}WEBP"),
    "AVIF": ("AvifImagePlugin", rb".{4}ftyp(avi[fs]|(mif1|msf1).{4}.*avi[fs])"),
    "JPEG2000": ("Jpeg2KImagePlugin", rb"\0\0\0\x0cjP  \r\n\x87\n|\xffO\xffQ"),
    "PPM": ("PpmImagePlugin", rb"P[1-6]\s+[\d#]"),
    # Known, so that the pictures of a telephone are refused by name and not passed over.
    "HEIF": (None, rb".{4}ftyp(hei[cmsx]|hev[cmsx]|mif1|msf1)"),
}
_PATTERN = re.compile(
    b"|".join(b"(?P<%s>%s)" % (name.encode(), head) for name, (_, head) in _FORMATS.items()),
    re.DOTALL,
)


def picture_format(head):
    """Return the picture format that a file beginning with the bytes `head` has, or None."""
    match = _PATTERN.match(head)
    return match and match.lastgroup


def read_picture(path, size=None):
    """Decode a picture file, whatever its suffix, to uint8 RGB, (h, w, 3).

    `size` is the (height, width) to which the caller is going to shrink it: a JPEG is then decoded
    at 1/2, 1/4 or 1/8 scale, yet with both sides at least as long as the longer one of `size`.

    The orientation in its EXIF data is applied, transparency is laid on white, 16 bits are reduced
    to 8, grey is repeated for each channel, and an animation gives its first frame. Colour
    profiles are ignored.

    Raises OSError for a path that cannot be read and ValueError for content that is not a whole
    picture of a known format. The message is the reason alone, without the path.
    """
    with open_picture(path) as file:
        return decode(file, size)


def open_picture(path):
    """Open a regular file for reading; raise OSError with the reason alone otherwise."""
    path = path_bytes(path)
    try:
        mode = os.stat(path).st_mode
        if stat.S_ISREG(mode):  # opening a FIFO would wait for its writer
            return open(path, "rb")
    except OSError as error:
        raise type(error)(error.strerror) from None
    raise OSError(f"a {'folder' if stat.S_ISDIR(mode) else 'device or pipe'}, not a picture file")


def decode(file, size=None):
    """Decode an open picture file; see `read_picture`."""
    head = file.read(HEAD_SIZE)
    if not head:
        raise ValueError("empty: 0 bytes")
    name = picture_format(head)
    if name is None:
        raise ValueError("not a picture: its content is of no known format (jpg, png, webp, ...)")
    if _FORMATS[name][0] is None:
        raise ValueError(f"{name} pictures cannot be read: convert it to JPEG or PNG")
    try:
        file.seek(0)
        image = _plugin(name)(file, "")
        width, height = image.size
        if 0 < width * height <= MAX_PIXELS:
            return _load(image, size)
    except Exception as error:  # damaged files raise SyntaxError, struct.error, KeyError, ...
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ValueError(f"cannot be decoded as {name}: {reason}") from error
    raise ValueError(
        f"{width:,} x {height:,} pixels: expected at least one, and at most {MAX_PIXELS:,} in all"
    )


def _load(image, size):
    if size is not None:
        side = max(size)  # of a square, because EXIF may say to turn the picture
        image.draft(None, (side, side))
    if image.format == "JPEG2000" and image.mode != "I;16" and _is_deep(image.fp):
        raise ValueError("colours of more than 8 bits would come out wrong: save it as PNG")
    image.load()
    _apply_exif_orientation(image)
    return _to_rgb(image)


def _plugin(name):
    """Return the function that opens `name` files: what `Image.open` calls before it checks sizes.

    Its own check does not name the sides, and only warns of pictures up to twice its limit.
    """
    from PIL import Image  # here, because a search among arrays need not wait for it

    import_module(f"PIL.{_FORMATS[name][0]}")
    if name == "TIFF":
        _silence_libtiff(Image.core.__file__)
    return Image.OPEN[name][0]


@functools.cache
def _silence_libtiff(pillow):
    """Keep libtiff, the only library that prints, from doing so; Pillow raises its errors too."""
    with contextlib.suppress(OSError, AttributeError):  # linked statically on some systems
        ctypes.CDLL(pillow).TIFFSetErrorHandler(None)


def _is_deep(file):
    """Tell whether a JPEG 2000 file has more than 8 bits a channel (ISO 15444-1, A.5.1: SIZ)."""
    file.seek(0)
    depth = re.search(rb"\xff\x4f\xff\x51.{38}(.)", file.read(1 << 16), re.DOTALL)
    return depth is None or depth[1][0] & 0x7F >= 8


def _to_rgb(image):
    """Convert a loaded Pillow image of any mode to uint8 (h, w, 3)."""
    if image.mode.startswith("I") or image.mode == "F":
        grey = _to_8_bits(np.asarray(image))
        return np.repeat(grey[..., np.newaxis], 3, axis=2)
    if image.has_transparency_data:
        from PIL import Image

        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return np.array(image.convert("RGB"))


def _to_8_bits(grey):
    """Scale 16-bit integers, or floats in [0, 1], to uint8."""
    top = 1 if grey.dtype.kind == "f" else 65535
    # Written so that NaN fails too.
    if not (grey.min() >= 0 and grey.max() <= top):
        raise ValueError(
            f"its {grey.dtype} pixels run from {grey.min()} to {grey.max()}, expected 0 to {top}: "
            "save it with 8 or 16 bits a channel"
        )
    return (np.multiply(grey, 255 / top, dtype=np.float32) + 0.5).astype(np.uint8)


def _apply_exif_orientation(image):
    from PIL import ImageOps

    with contextlib.suppress(Exception):  # damaged EXIF data does not spoil the picture
        ImageOps.exif_transpose(image, in_place=True)
