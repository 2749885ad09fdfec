"""The images that an encoder takes, and how any picture becomes one."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from pyimagesearch.arrays import AnyArray, Floats, Pixels
from pyimagesearch.files import brief
from pyimagesearch.pictures.resampling import MAX_SIDE, Resampling

RESIZE_MODES = ("letterbox", "crop", "stretch")
BATCH_BYTES = 64 << 20
LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # of ITU-R BT.601, weights of R, G and B


@dataclass(frozen=True)
class InputSpec:
    """The images that an encoder takes: `height`, `width`, and `channels`: 1 (grey), 3 (RGB).

    `resize_mode` says how a picture of other proportions is resized: "letterbox" shows all of it,
    centred on black; "crop" fills the image with its middle; "stretch" changes its proportions.
    `resampling`, a Resampling or None, is how exactly "crop" or "stretch" is done.
    """

    height: int
    width: int
    channels: int
    resize_mode: str = "letterbox"
    resampling: Resampling | None = None

    def __post_init__(self) -> None:
        # Not `isinstance`: a file may hold true for 1, which OpenCV does not take.
        whole = all(type(number) is int for number in self.shape)
        sides_fit = whole and all(0 < side <= MAX_SIDE for side in (self.height, self.width))
        if not sides_fit or self.channels not in (1, 3):
            received = ", ".join(map(brief, self.shape))
            raise ValueError(
                f"expected height and width as integers from 1 to {MAX_SIDE:,}, and 1 or 3 "
                f"channels, received {received}"
            )
        if self.resize_mode not in RESIZE_MODES:
            raise ValueError(
                f"expected fit to be {', '.join(RESIZE_MODES)}, received {brief(self.resize_mode)}"
            )

    @property
    def shape(self) -> tuple[int, int, int]:
        """(height, width, channels)"""
        return self.height, self.width, self.channels

    @property
    def decoded_size(self) -> tuple[int, int] | None:
        """The (height, width) that pictures may be decoded at, or None: at their own."""
        # A JPEG decoded at 1/2 differs by up to 0.13 from what a filter of Pillow makes of it.
        if self.resampling:
            return None
        return (self.height, self.width)

    @property
    def images_at_once(self) -> int:
        """How many of its images, float32, are held together: those of BATCH_BYTES, at least 1."""
        return max(1, BATCH_BYTES // (4 * self.height * self.width * self.channels))

    def accepts(self, shape: tuple[int, ...]) -> bool:
        """Whether images of this shape, (height, width, channels), need no resizing."""
        return shape == self.shape and self.resampling is None

    def prepare(self, picture: AnyArray) -> Floats:
        """Fit one picture, unsigned or float in [0, 1], (h, w, 1 or 3) RGB, to this input.

        Returns float32 in [0, 1], (height, width, channels).
        """
        if self.accepts(picture.shape):
            return unit_float(picture)
        if self.resampling:
            picture = self._in_colour(_to_8_bits(picture))
            return unit_float(self.resampling.apply(picture, self.height, self.width))
        if picture.dtype != np.uint8:  # uint8 is resized as it is, four times smaller than float
            picture = unit_float(picture)
        if self.resize_mode == "crop":
            picture = _middle(picture, self.height, self.width)
        picture = self._in_colour(picture)
        height = self.height
        width = self.width
        if self.resize_mode == "letterbox":
            h, w = picture.shape[:2]
            scale = min(height / h, width / w)
            height = max(1, round(h * scale))
            width = max(1, round(w * scale))
        picture = unit_float(_resize(picture, height, width))
        if (height, width) == self.shape[:2]:
            return picture.reshape(self.shape)
        top = (self.height - height) // 2
        left = (self.width - width) // 2
        canvas = np.zeros(self.shape, np.float32)
        canvas[top : top + height, left : left + width] = picture.reshape(height, width, -1)
        return canvas

    def _in_colour(self, picture: AnyArray) -> AnyArray:
        """Return a picture with the channels of this input, (h, w, channels)."""
        import cv2

        if picture.shape[2] == self.channels:
            return picture
        code = cv2.COLOR_RGB2GRAY if self.channels == 1 else cv2.COLOR_GRAY2RGB
        converted = cv2.cvtColor(np.ascontiguousarray(picture), code)
        return converted.reshape(*picture.shape[:2], self.channels)

    def to_dict(self) -> dict[str, Any]:
        """Return all fields as plain values; the key of `resize_mode` is "fit"."""
        values = asdict(self)
        values["fit"] = values.pop("resize_mode")
        resampling = values.pop("resampling")
        if resampling:
            values["resampling"] = {**resampling, "size": list(resampling["size"])}
        return values

    @classmethod
    def from_dict(cls, values: Any) -> "InputSpec":
        """The inverse of `to_dict`; raises ValueError for anything else."""
        try:
            fields = {{"fit": "resize_mode"}.get(key, key): v for key, v in values.items()}
            if fields.get("resampling") is not None:
                fields["resampling"] = Resampling(**fields["resampling"])
            return cls(**fields)
        except (AttributeError, TypeError):  # no mapping, or other names
            raise ValueError(
                "expected height, width and channels, and perhaps fit and resampling, received "
                f"{_names_of(values)}"
            ) from None


def _names_of(values: Any) -> str:
    """Return the keys of stored values, or what is there in place of a mapping, for a message."""
    if not isinstance(values, dict):
        return brief(values)
    return ", ".join(brief(key) for key in list(values)[:10]) or "nothing"


def _middle(picture: AnyArray, height: int, width: int) -> AnyArray:
    """Return the largest centred part of a picture that has the proportions height : width."""
    h, w = picture.shape[:2]
    part_h = max(1, min(h, round(w * height / width)))
    part_w = max(1, min(w, round(h * width / height)))
    top = (h - part_h) // 2
    left = (w - part_w) // 2
    return picture[top : top + part_h, left : left + part_w]


def _resize(picture: AnyArray, height: int, width: int) -> AnyArray:
    import cv2

    # INTER_AREA averages every source pixel, so that nothing aliases, but only where it shrinks
    # both sides; a side that grows is left to INTER_LINEAR.
    h, w = picture.shape[:2]
    smaller = min(w, width), min(h, height)
    if smaller != (w, h):
        picture = cv2.resize(picture, smaller, interpolation=cv2.INTER_AREA)
    if smaller != (width, height):
        picture = cv2.resize(picture, (width, height), interpolation=cv2.INTER_LINEAR)
    return picture


def _to_8_bits(picture: AnyArray) -> Pixels:
    if picture.dtype == np.uint8:
        return picture
    return np.round(unit_float(picture) * 255).astype(np.uint8)


def unit_float(images: AnyArray) -> Floats:
    """Return images as float32 in [0, 1]; unsigned integers are divided by their type's maximum."""
    if images.dtype.kind == "u":
        return np.multiply(images, 1 / np.iinfo(images.dtype).max, dtype=np.float32)
    return images.astype(np.float32, copy=False)
