"""Single pictures: decoding a file, and fitting a picture to what an encoder takes in."""

from dataclasses import asdict, dataclass
from pathlib import Path

import cv2
import numpy as np


@dataclass(frozen=True)
class InputSpec:
    """The images an encoder takes in: `height`, `width`, and 1 (grey) or 3 (RGB) `channels`."""

    height: int
    width: int
    channels: int

    @property
    def shape(self):
        """(height, width, channels)"""
        return self.height, self.width, self.channels

    def prepare(self, picture):
        """Fit one picture, uint8 or float32 in [0, 1], (h, w, 1 or 3) RGB, to this input.

        The picture is scaled to fit, its sides in proportion, and centred on black (letterboxed).
        Returns float32 in [0, 1], (height, width, channels).
        """
        picture = unit_float(picture)
        if picture.shape[2] != self.channels:
            code = cv2.COLOR_RGB2GRAY if self.channels == 1 else cv2.COLOR_GRAY2RGB
            picture = cv2.cvtColor(picture, code)
        h, w = picture.shape[:2]
        scale = min(self.height / h, self.width / w)
        size = max(1, round(w * scale)), max(1, round(h * scale))
        if size != (w, h):
            # INTER_AREA averages every source pixel: the one that does not alias when shrinking.
            shrink = scale < 1
            picture = cv2.resize(
                picture, size, interpolation=cv2.INTER_AREA if shrink else cv2.INTER_LINEAR
            )
        top, left = (self.height - size[1]) // 2, (self.width - size[0]) // 2
        canvas = np.zeros(self.shape, np.float32)
        canvas[top : top + size[1], left : left + size[0]] = picture.reshape(
            size[1], size[0], self.channels
        )
        return canvas

    def to_dict(self):
        """Everything as plain values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values):
        """The inverse of `to_dict`; raises ValueError for anything else."""
        if (
            not isinstance(values, dict)
            or values.keys() != cls.__annotations__.keys()
            or not all(type(side) is int and side > 0 for side in values.values())
        ):
            raise ValueError(f"expected an image's height, width and channels, received {values}")
        return cls(**values)


def unit_float(images):
    """Return images as float32 in [0, 1]; integers are divided by their type's largest value."""
    if images.dtype.kind == "u":
        return np.multiply(images, 1 / np.iinfo(images.dtype).max, dtype=np.float32)
    return images.astype(np.float32, copy=False)


def read_picture(path):
    """Decode an image file to uint8 RGB, (h, w, 3).

    Raises FileNotFoundError, and ValueError for a file that is not a picture.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no such image file: {path}")
    # imdecode, because imread cannot open every non-ASCII path.
    data = np.fromfile(path, np.uint8)
    picture = cv2.imdecode(data, cv2.IMREAD_COLOR_RGB) if data.size else None
    if picture is None:
        raise ValueError(f"{path} is not a picture that can be decoded (jpg, png, bmp, webp, ...)")
    return picture
