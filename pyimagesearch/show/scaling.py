"""Sizes of pictures on a screen."""

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from pyimagesearch.arrays import Picture


def shrunk(picture: Picture, side: int) -> Picture:
    """Return a picture whose longer side has at most `side` pixels."""
    if max(picture.shape[:2]) <= side:
        return picture
    smaller = resized(picture, side)
    return smaller if smaller.ndim == 3 else smaller[..., np.newaxis]  # OpenCV drops one channel


def resized(image: NDArray[Any], side: int) -> NDArray[Any]:
    """Resize an image so that its longer side has `side` pixels."""
    scale = side / max(image.shape[:2])
    size = [max(1, round(length * scale)) for length in image.shape[1::-1]]
    # Whole pixels show what the encoder saw; photographs are averaged down.
    method = cv2.INTER_NEAREST if scale > 1 else cv2.INTER_AREA
    return cv2.resize(image, size, interpolation=method)
