"""Decoding picture files to 8-bit sRGB.

One decoder, Pillow, reads every format: it decodes JPEGs at reduced scale as fast as OpenCV and
without the GIL, refuses files that are cut short, and its libraries print nothing.
"""

import contextlib
import io
import logging
import os
import stat
import threading
import warnings
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from pyimagesearch.arrays import AnyArray, Floats, Pixels, Size
from pyimagesearch.files import path_bytes
from pyimagesearch.pictures.formats import HEAD_SIZE, picture_format, plugin
from pyimagesearch.pictures.input_spec import InputSpec, unit_float
from pyimagesearch.pictures.pixels import load_rgb

# Pillow remarks on odd but readable files; a picture is either read or refused, in one line.
warnings.filterwarnings("ignore", module=r"PIL\.")
logging.getLogger("PIL").addHandler(logging.NullHandler())

MAX_DECODED_PIXELS = 178_956_970
"""Pictures of more pixels are refused undecoded; the count at which Pillow refuses them too."""
# How many times the memory of others the decoders of these formats take.
MEMORY = {"WEBP": 2, "AVIF": 2, "JXL": 2, "JPEG2000": 3}
LARGE = 1 << 26  # pixels of a picture that is shrunk while it is converted

_RAW = "a RAW file of a camera, of which only a thumbnail could be read: export it as JPEG or TIFF"
_SUBFILE_TYPE, _DNG_VERSION = 254, 50706  # tags of TIFF and of DNG


class PixelBudget:
    """How many pixels all threads together may be decoding; what would exceed them waits."""

    def __init__(self, pixels: int) -> None:
        self._all = pixels
        self._free = pixels
        self._changed = threading.Condition()

    @property
    def in_use(self) -> int:
        """The pixels that are taken."""
        return self._all - self._free

    @contextlib.contextmanager
    def taken(self, pixels: int) -> Iterator[None]:
        """Take a number of pixels, or all there are, for the time of a block."""
        pixels = min(pixels, self._all)
        with self._changed:
            self._changed.wait_for(lambda: self._free >= pixels)
            self._free -= pixels
        try:
            yield
        finally:
            with self._changed:
                self._free += pixels
                self._changed.notify_all()


_budget = PixelBudget(MAX_DECODED_PIXELS)


def pixels_in_progress() -> int:
    """Return how many pixels are being decoded at the moment, in all threads."""
    return _budget.in_use


def _renew_budget() -> None:
    global _budget
    _budget = PixelBudget(MAX_DECODED_PIXELS)


if hasattr(os, "register_at_fork"):  # threads that hold a part of it do not survive in a child
    os.register_at_fork(after_in_child=_renew_budget)


def read_picture(path: str, size: Size | None = None, truncated: bool = False) -> Pixels:
    """Decode a picture file, whatever its suffix, to uint8 RGB, (h, w, 3).

    `size` is the (height, width) to which the caller is going to shrink it: a JPEG is then decoded
    at 1/2, 1/4 or 1/8 scale, yet with both sides at least as long as the longer one of `size`, and
    other pictures of more than LARGE pixels at a smaller scale, with sides of at least twice that.
    With `truncated` the missing part of a JPEG that is cut short is grey.

    The orientation in its EXIF data is applied, an embedded colour profile is converted to sRGB,
    transparency is laid on white, samples of more than 8 bits are scaled to 8, grey is repeated for
    each channel, and an animation gives its first frame.

    Raises OSError for a path that cannot be read and ValueError for content that is not a whole
    picture of a known format. The message is the reason alone, without the path.
    """
    with open_picture(path) as file:
        return decode(file, size, truncated)


def open_picture(path: str) -> io.BufferedReader:
    """Open a regular file for reading; raise OSError with the reason alone otherwise."""
    name = path_bytes(path)
    try:
        mode = os.stat(name).st_mode
        if stat.S_ISREG(mode):  # opening a FIFO would wait for its writer
            return open(name, "rb")
    except OSError as error:
        raise type(error)(error.strerror) from None
    raise OSError(f"a {'folder' if stat.S_ISDIR(mode) else 'device or pipe'}, not a picture file")


def decode(file: BinaryIO, size: Size | None = None, truncated: bool = False) -> Pixels:
    """Decode an open picture file; see `read_picture`."""
    return _decode(file, size, truncated, lambda picture: picture)


def decode_for(spec: InputSpec, file: BinaryIO, truncated: bool = False) -> Floats:
    """Decode an open picture file to the input of an encoder; see `read_picture`.

    The whole picture is gone before another thread may decode one as large.
    """
    return _decode(file, spec.decoded_size, truncated, spec.prepare)


def _decode(
    file: BinaryIO, size: Size | None, truncated: bool, then: Callable[[Pixels], AnyArray]
) -> AnyArray:
    """Return what `then` makes of a decoded picture."""
    head = file.read(HEAD_SIZE)
    if not head:
        raise ValueError("empty: 0 bytes")
    name = picture_format(head)
    if name is None:
        raise ValueError("not a picture: its content is of no known format (jpg, png, webp, ...)")
    if name == "RAW":
        raise ValueError(_RAW)
    open_image = plugin(name)
    try:
        file.seek(0)
        if truncated and name == "JPEG":
            file = io.BytesIO(file.read() + b"\xff\xd9")  # an early end is filled with grey
        image = open_image(file, "")
        width, height = image.size
        is_raw = name == "TIFF" and _is_raw(image.tag_v2)
        _reduce(image, size)
        pixels = image.width * image.height
        most = MAX_DECODED_PIXELS // MEMORY.get(name, 1)
        if not is_raw and 0 < pixels <= most:
            with _budget.taken(pixels * MEMORY.get(name, 1)):
                picture = load_rgb(image, file, _shrinkage(image, size))
                del image  # more than half of the memory
                return then(picture)
    except Exception as error:  # damaged files raise SyntaxError, struct.error, KeyError, ...
        reason = " ".join(str(error).split()) or type(error).__name__
        if reason == "unknown pixel mode":
            reason = "its samples are of a kind that cannot be read: save it with 8 or 16 bits"
        raise ValueError(f"cannot be decoded as {name}: {reason}") from error
    if is_raw:
        raise ValueError(_RAW)
    raise ValueError(
        f"{width:,} x {height:,} pixels: expected at least one, and at most {most:,} in all"
    )


def _is_raw(tags: Any) -> bool:
    """Whether the first image of a TIFF file is a camera's thumbnail of its RAW image."""
    return _DNG_VERSION in tags or bool(tags.get(_SUBFILE_TYPE, 0) & 1)


def _reduce(image: Any, size: Size | None) -> None:
    """Have a JPEG decoded at reduced scale."""
    width, height = image.size
    if width * height > MAX_DECODED_PIXELS and image.format in ("JPEG", "MPO"):
        if _is_one_scan(image):
            image.draft(None, (1, 1))  # at 1/8
    elif size is not None:
        side = max(size)  # of a square, because EXIF may say to turn the picture
        image.draft(None, (side, side))


def _shrinkage(image: Any, size: Size | None) -> int:
    """Return by how much to shrink the sides of an image that, decoded, takes half a gigabyte."""
    if size is None or image.width * image.height <= LARGE:
        return 1
    return max(1, min(8, min(image.size) // (2 * max(size))))


def _is_one_scan(image: Any) -> bool:
    """Whether a JPEG is decoded row by row; otherwise libjpeg holds all of it in memory."""
    header = bytes([0xFF, 0xDA, 0, 6 + 2 * image.layers, image.layers])
    # Pillow stops after the header of the first scan, but not of files of several pictures (MPO).
    start = image.fp.tell() - len(header) - (3 + 2 * image.layers)
    if start < 0 or "progressive" in image.info:
        return False
    image.fp.seek(start)
    return image.fp.read(len(header)) == header


class DecodedImages:
    """Images as an InputSpec takes them, kept as uint8, which most pictures are stored as."""

    def __init__(self, max_bytes: int) -> None:
        self._images: dict[tuple[str, InputSpec], tuple[Pixels, NDArray[np.uint64] | None]] = {}
        self._free = max_bytes

    def copy(
        self, path: str, spec: InputSpec, image: Floats, digest: NDArray[np.uint64] | None = None
    ) -> bool:
        """Copy the image of a path into `image`, float32, and its hash into `digest`, if given.

        Returns False where they are not kept.
        """
        kept = self._images.get((path, spec))
        if kept is None:
            return False
        pixels, kept_digest = kept
        if digest is not None:
            if kept_digest is None:
                return False
            digest[:] = kept_digest
        image[:] = unit_float(pixels)
        return True

    def add(
        self, path: str, spec: InputSpec, image: Floats, digest: NDArray[np.uint64] | None = None
    ) -> None:
        """Keep an image if there is room, and if uint8 holds all of its values."""
        rounded = np.round(image * 255).astype(np.uint8)
        size = 0 if (path, spec) in self._images else rounded.nbytes
        if self._free >= size and np.array_equal(unit_float(rounded), image):
            self._free -= size
            self._images[path, spec] = rounded, None if digest is None else digest.copy()
