"""Samples of any depth and colour space as 8-bit sRGB, or as floats in [0, 1]."""

import contextlib
import functools
import io
import logging
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any, BinaryIO

import numpy as np

from pyimagesearch.arrays import Floats, Pixels

logger = logging.getLogger(__name__)

# Tags of TIFF
_BITS_PER_SAMPLE, _PHOTOMETRIC, _ORIENTATION, _PLANAR, _SAMPLE_FORMAT = 258, 262, 274, 284, 339
# What an orientation other than 1 means: a flip, left to right, then quarter turns to the left.
_ORIENTATIONS = {
    **{2: (True, 0), 3: (False, 2), 4: (True, 2)},
    **{5: (True, 1), 6: (False, 3), 7: (True, 3), 8: (False, 1)},
}

STRIP = 1 << 20  # pixels that are converted at once
MAX_RESTORED = 40_000_000  # pixels of 16-bit colours that are decoded a second time
DEPTHS = (8, 12, 16)  # bits that integers of 16 and 32 bits usually use
# Positions in OpenCV's BGR or BGRA of the channels of a Pillow image.
_BGR_ORDER = {"RGB": [2, 1, 0], "RGBA": [2, 1, 0, 3], "LA": [0, 3]}


def integer_range(values: Any, bits: int, signed: bool, depths: Sequence[int]) -> tuple[int, int]:
    """Return the range of integers of which only the type is known, as (first, last).

    `bits` and `signed` describe the type; `depths` are the numbers of bits to choose from,
    ascending: the smallest that holds all values is chosen, or else the type's own. Values below 0
    are taken as centred on 0: the range of 12 bits is then -2048 to 2047.
    """
    low = int(values.min())
    high = int(values.max())
    own = bits if low < 0 else bits - signed
    needed = max(-low, high + 1) * 2 if low < 0 else high + 1
    depth = min(own, next((depth for depth in depths if needed <= 2**depth), own))
    if low < 0:
        return (-(2 ** (depth - 1)), 2 ** (depth - 1) - 1)
    return (0, 2**depth - 1)


def scaled(values: Any, first: int, last: int) -> Floats:
    """Map integers from `first` to `last` to float32 in [0, 1]."""
    scale = 1 / (last - first)
    images = np.multiply(values, scale, dtype=np.float32)
    if first:
        images -= first * scale
    return np.clip(images, 0, 1, out=images)


def load_rgb(image: Any, file: BinaryIO, shrink: int = 1) -> Pixels:
    """Decode an opened image to uint8 RGB, (h, w, 3), each side divided by `shrink`, rounded up."""
    if image.format == "JPEG2000" and image.mode != "I;16" and _is_deep(file):
        raise ValueError("colours of more than 8 bits would come out wrong: save it as PNG")
    # Of 16 bits a colour, Pillow keeps the upper 8, which are nothing where only 12 are used.
    reduced = image.mode in _BGR_ORDER and ";16" in str(image.tile) and image.format != "PPM"
    image.load()
    if reduced and max(high for _, high in image.getextrema()[:3]) < 16:
        _restore_depth(image, file)
    to_rgb = _rgb_conversion(image, file)
    pixels = np.empty((-(-image.height // shrink), -(-image.width // shrink), 3), np.uint8)
    top = 0
    for part in _parts(image, shrink):
        rows = np.asarray(to_rgb(part).reduce(shrink))
        pixels[top : top + len(rows)] = rows
        top += len(rows)
    return _upright(pixels, image)


def _parts(image: Any, multiple: int = 1) -> Iterator[Any]:
    """Yield an image some rows at a time, a `multiple`: converted whole it would take gigabytes."""
    count = max(1, STRIP // image.width // multiple) * multiple
    for top in range(0, image.height, count):
        yield image.crop((0, top, image.width, min(top + count, image.height)))


def _upright(pixels: Pixels, image: Any) -> Pixels:
    """Return the pixels of an image in the orientation that its EXIF data state."""
    orientation = 1
    with contextlib.suppress(Exception):  # damaged EXIF data does not spoil the picture
        orientation = image.getexif().get(_ORIENTATION, 1)
    flipped, quarter_turns = _ORIENTATIONS.get(orientation, (False, 0))
    if flipped:
        pixels = pixels[:, ::-1]
    return np.ascontiguousarray(np.rot90(pixels, quarter_turns))


def _is_deep(file: BinaryIO) -> bool:
    """Whether a JPEG 2000 file has more than 8 bits a channel (ISO 15444-1, A.5.1: SIZ)."""
    file.seek(0)
    depth = re.search(rb"\xff\x4f\xff\x51.{38}(.)", file.read(1 << 16), re.DOTALL)
    return depth is None or depth[1][0] & 0x7F >= 8


def _is_signed(image: Any) -> bool:
    return image.format == "TIFF" and image.tag_v2.get(_SAMPLE_FORMAT, (1,))[0] == 2


def _restore_depth(image: Any, file: BinaryIO) -> None:
    """Replace colours of 16 bits that use the lower ones only by all that the file has of them."""
    import cv2
    from PIL import Image

    deep = None
    if image.width * image.height <= MAX_RESTORED:
        file.seek(0)
        deep = cv2.imdecode(np.frombuffer(file.read(), np.uint8), cv2.IMREAD_UNCHANGED)
    planar = image.format == "TIFF" and image.tag_v2.get(_PLANAR) == 2  # OpenCV mixes these up
    if planar or deep is None or deep.dtype != np.uint16 or deep.ndim != 3:
        raise ValueError("its 16-bit colours are all below 4,096: save it with 8 bits a channel")
    deep = deep[..., _BGR_ORDER[image.mode]]
    colours = deep[..., :-1] if image.mode.endswith("A") else deep
    image.paste(Image.fromarray(_scaled_to_8_bits(deep, _range(colours, image, file, 16))))


def _grey_conversion(image: Any, file: BinaryIO) -> Callable[[Any], Pixels]:
    """Return the function from a part of a grey image to its levels, uint8 (h, w).

    The samples are integers of more than 8 bits or with a sign, or floats in [0, 1].
    """
    tags = image.tag_v2 if image.format == "TIFF" else {}
    bits = tags.get(_BITS_PER_SAMPLE, (16,))[0]
    stored = None
    if image.mode != "F" and bits in (8, 32):  # which Pillow holds as another type of this size
        stored = f"{'i' if _is_signed(image) else 'u'}{bits // 8}"

    def samples(part: Any) -> Any:
        values = np.asarray(part)
        return values.view(stored) if stored else values

    extremes = np.array([(part.min(), part.max()) for part in map(samples, _parts(image))])
    low = extremes.min()
    high = extremes.max()
    limits = (0, 1)
    if image.mode != "F":
        limits = _range(extremes, image, file, bits)
    elif not (low >= 0 and high <= 1):  # written so that NaN fails too
        raise ValueError(
            f"its {extremes.dtype} pixels run from {low} to {high}, expected 0 to 1: save it with "
            "8 or 16 bits a channel"
        )
    white_is_zero = tags.get(_PHOTOMETRIC) == 0

    def levels(part: Any) -> Pixels:
        scaled_part = _scaled_to_8_bits(samples(part), limits)
        return 255 - scaled_part if white_is_zero else scaled_part

    return levels


def _range(values: Any, image: Any, file: BinaryIO, bits: int) -> tuple[int, int]:
    """Return the range of samples, (first, last): the one that the file states, or the likely one.

    16 bits often hold 12 of a camera or a scanner, and 32 bits fewer still.
    """
    depths: tuple[int, ...] = DEPTHS
    if image.format == "PPM" or bits not in (16, 32):
        depths = (bits,)
    elif image.format == "PNG":
        file.seek(0)
        stated = re.search(rb"\0\0\0[\1-\4]sBIT([\1-\x10])", file.read(1 << 16))
        depths = (stated[1][0],) if stated else DEPTHS
    first, last = integer_range(values, bits, _is_signed(image), depths)
    if depths is DEPTHS and first + last + 1 < 2 ** (bits - _is_signed(image)) and values.any():
        _warn_assumed(bits, (last - first).bit_length(), first)
    return first, last


@functools.cache
def _warn_assumed(bits: int, depth: int, first: int) -> None:
    logger.warning(
        f"pictures of {bits}-bit samples of which none needs more than {depth} bits are read as "
        f"{depth}-bit: {first:,} is black and {first + 2**depth - 1:,} white"
    )


def _scaled_to_8_bits(values: Any, limits: tuple[int, int]) -> Pixels:
    """Map samples (h, w, ...) from the `limits` (first, last) to uint8, a few rows at a time.

    As floats a large picture of 16 bits would take gigabytes.
    """
    levels = np.empty(values.shape, np.uint8)
    count = max(1, STRIP // values.shape[1])
    for start in range(0, len(values), count):
        part = slice(start, start + count)
        levels[part] = scaled(values[part], *limits) * np.float32(255) + np.float32(0.5)
    return levels


def _rgb_conversion(image: Any, file: BinaryIO) -> Callable[[Any], Any]:
    """Return the function from a part of an image to sRGB, with transparency laid on white."""
    from PIL import Image

    is_clear = image.has_transparency_data
    if image.format == "BMP" and image.mode == "RGBA":
        # All of it is 0 where it is unused, as most programs that write 32 bits leave it.
        is_clear = image.getchannel("A").getextrema() != (0, 0)
    levels = None
    if image.mode.startswith("I") or image.mode == "F" or _is_signed(image):
        levels = _grey_conversion(image, file)
    mode, transform = _srgb_transform(image.info.get("icc_profile"))

    def convert(part: Any) -> Any:
        if levels is not None:
            part = Image.fromarray(levels(part))
        if transform and (mode == "RGB" or mode == part.mode.removesuffix("A")):
            rgb = transform.apply(part.convert(mode))
        else:
            rgb = part.convert("RGB")
        if not is_clear:
            return rgb
        alpha = part.convert("RGBA").getchannel("A")
        return Image.composite(rgb, Image.new("RGB", rgb.size, "white"), alpha)

    return convert


@functools.lru_cache(8)
def _srgb_transform(profile: bytes | None) -> tuple[str | None, Any]:
    """Return the mode and the function that convert colours of an ICC profile to sRGB.

    Both are None where there is nothing to convert, and for a damaged profile.
    """
    if not profile:
        return None, None
    from PIL import ImageCms

    with contextlib.suppress(Exception):  # LittleCMS raises what it likes
        embedded = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        about = embedded.profile
        if not (about.profile_description or "").startswith("sRGB"):
            mode = {"RGB": "RGB", "GRAY": "L", "CMYK": "CMYK"}[about.xcolor_space.strip()]
            srgb = ImageCms.createProfile("sRGB")
            return mode, ImageCms.buildTransform(embedded, srgb, mode, "RGB")
    return None, None
