"""Resizing by Pillow's filters and a centred crop, as networks from other libraries expect it."""

from dataclasses import dataclass

import numpy as np

from pyimagesearch.arrays import Pixels
from pyimagesearch.files import brief

FILTERS = ("nearest", "lanczos", "bilinear", "bicubic", "box", "hamming")
"""Filters of Pillow, each at the position of its number in `PIL.Image.Resampling`."""
ROUNDINGS = ("transformers", "torchvision")
MAX_SIDE = 4096  # pixels of the images of an encoder, so that one of them fits in memory
# Of a whole picture after resizing; of a larger one the crop alone is computed.
MAX_RESIZED_PIXELS = 2**24


@dataclass(frozen=True)
class Resampling:
    """How a picture is resized before the centred crop, and where that begins.

    `filter` is one of FILTERS. `size` is (edge,), the length in pixels of the shorter side, or
    (height, width). `rounding` is the library whose crop is reproduced: they differ by one pixel
    where the margins are not equal. A picture smaller than the crop is centred on black.
    """

    filter: str
    size: tuple[int, ...]
    rounding: str = "transformers"

    def __post_init__(self) -> None:
        object.__setattr__(self, "size", tuple(self.size))
        valid = len(self.size) in (1, 2) and all(
            type(side) is int and 0 < side <= MAX_SIDE for side in self.size
        )
        if self.filter not in FILTERS or self.rounding not in ROUNDINGS or not valid:
            received = ", ".join(map(brief, [self.filter, *self.size[:3], self.rounding]))
            raise ValueError(
                f"expected a filter of {', '.join(FILTERS)}, a size of one or two integers from 1 "
                f"to {MAX_SIDE:,}, and rounding as {' or '.join(ROUNDINGS)}, received {received}"
            )

    def apply(self, picture: Pixels, height: int, width: int) -> Pixels:
        """Return a uint8 picture, (h, w, c), as uint8 (height, width, c)."""
        from PIL import Image

        h, w = picture.shape[:2]
        new_h, new_w = self._resized(*picture.shape[:2])
        top, bottom, above = _visible(new_h, height, self.rounding)
        left, right, before = _visible(new_w, width, self.rounding)
        image = Image.fromarray(picture[..., 0] if picture.shape[2] == 1 else picture)
        resample = FILTERS.index(self.filter)
        if new_h * new_w <= MAX_RESIZED_PIXELS:
            part = np.asarray(image.resize((new_w, new_h), resample))[top:bottom, left:right]
        else:
            # A long strip: all of it would fill memory. The part differs by one level at most.
            across = [min(side * w / new_w, w) for side in (left, right)]
            down = [min(side * h / new_h, h) for side in (top, bottom)]
            box = across[0], down[0], across[1], down[1]
            part = np.asarray(image.resize((right - left, bottom - top), resample, box))
        canvas = np.zeros((height, width, picture.shape[2]), np.uint8)
        inside = canvas[above : above + bottom - top, before : before + right - left]
        inside[:] = part.reshape(inside.shape)
        return canvas

    def _resized(self, height: int, width: int) -> tuple[int, ...]:
        """Return the (height, width) of a whole picture after resizing."""
        if len(self.size) == 2:
            return self.size
        [edge] = self.size
        short = min(height, width)
        return tuple(
            edge if side == short else int(edge * side / short) for side in (height, width)
        )


def _visible(length: int, target: int, rounding: str) -> tuple[int, int, int]:
    """Return the first and last position of the crop along a side, and the black before it.

    `length` is that of the resized picture and `target` that of the crop, in pixels.
    """
    margin = length - target
    if margin < 0:
        black = -margin if rounding == "torchvision" else -margin + 1
        return 0, length, black // 2
    start = round(margin / 2) if rounding == "torchvision" else margin // 2
    return start, start + target, 0
