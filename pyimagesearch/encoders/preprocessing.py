"""Preprocessing of images as `transformers`, `timm` and `open_clip` describe it in JSON files."""

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pyimagesearch.encoders.processor_defaults import with_defaults
from pyimagesearch.files import brief, printable
from pyimagesearch.pictures.resampling import FILTERS, MAX_SIDE, Resampling

# Steps that are reproduced, apart from do_thumbnail and the like, which are refused where true.
STEPS = {"do_resize", "do_center_crop", "do_rescale", "do_normalize", "do_convert_rgb"}
SQUARE = ("DeiT", "Beit")  # an integer as their size means both sides, in spite of the crop

MAX_REASON = 300  # characters of a message about a value
# Factors of values in [0, 1]: others come from deviations that no pictures have.
MIN_FACTOR = 1e-6
MAX_FACTOR = 1e5

Settings = Mapping[str, Any]
Size = tuple[int, ...]  # the shorter side, or (height, width)
Values = NDArray[np.float64]


class Preprocessing(NamedTuple):
    """How images are prepared: `height` and `width` of the result, and how it is reached.

    `resize_mode` and `resampling` are those of InputSpec; then values in [0, 1] are multiplied by
    `scale` and `offset` is added, float32 of one value a channel.
    """

    height: int
    width: int
    resize_mode: str
    resampling: Resampling | None
    scale: NDArray[np.float32]
    offset: NDArray[np.float32]


class Normalization(NamedTuple):
    """Values in [0, 1] are multiplied by `scale`, and `offset` is added; one value a channel."""

    scale: Values
    offset: Values

    def then(self, mean: ArrayLike, std: ArrayLike) -> "Normalization":
        """Return this one, then less the mean, divided by the deviation."""
        mean = np.array(mean, np.float64).reshape(-1)
        std = np.array(std, np.float64).reshape(-1)
        return Normalization(self.scale / std, (self.offset - mean) / std)

    def checked(self) -> "Normalization":
        """Raise ValueError for factors that no pictures need; return this one."""
        for values in self:
            if values.size not in (1, 3) or not np.isfinite(values).all():
                raise ValueError(
                    f"its means and deviations give {values}, expected 1 or 3 finite numbers"
                )
        factors = np.abs(self.scale)
        if factors.min() < MIN_FACTOR or max(factors.max(), np.abs(self.offset).max()) > MAX_FACTOR:
            raise ValueError(
                f"its means and deviations multiply by {self.scale} and add {self.offset}, "
                f"expected factors of {MIN_FACTOR} to {MAX_FACTOR:,.0f}"
            )
        return self


NUMBERS = {"rescale_factor", "image_mean", "image_std", "mean", "std", "crop_pct"}
UNCHANGED = Normalization(np.ones(1), np.zeros(1))


def read_preprocessing(
    settings: Settings, name: object, fixed: tuple[int | None, int | None] = (None, None)
) -> Preprocessing:
    """Return the Preprocessing of the content of a JSON file called `name`.

    `fixed` is the (height, width) that the network takes, for settings without a size. Raises
    ValueError, which names the file and the key, where it is incomplete or has steps that are not
    reproduced.
    """
    try:
        with np.errstate(all="ignore"):  # what is not finite is refused
            found = _of_any_library(settings, fixed)
        if not all(0 < side <= MAX_SIDE for side in found[:2]):
            raise ValueError(f"expected images of up to {MAX_SIDE:,} pixels, received {found[:2]}")
        return found
    except KeyError as error:
        raise ValueError(f"{name} has no {_short(error.args[0])}") from None
    except (AttributeError, TypeError, OverflowError, ZeroDivisionError) as error:
        raise ValueError(f"{name} has a value of the wrong type: {_short(error)}") from error
    except ValueError as error:
        raise ValueError(f"{name}: {_short(error)}") from error


def _short(error: object) -> str:
    """Return a message, which may hold any value of a file, fit for a line."""
    return printable(" ".join(str(error).split()))[:MAX_REASON]


def _of_any_library(settings: Settings, fixed: tuple[int | None, int | None]) -> Preprocessing:
    if "preprocess_cfg" in settings:
        model = settings.get("model_cfg") or {}
        side = (model.get("vision_cfg") or {}).get("image_size")
        return _of_open_clip(settings["preprocess_cfg"], side, fixed)
    for key in ("data_config", "pretrained_cfg", "image_processor"):
        settings = settings.get(key) or settings
    _require_types(settings)
    if "input_size" in settings:
        return _of_timm(settings)
    if "mean" in settings and "resize_mode" in settings:
        return _of_open_clip(settings, None, fixed)
    return _of_transformers(settings)


def _require_types(settings: Settings) -> None:
    """Raise ValueError for what Python would take for a number or a truth: True, "1", "false"."""
    for key, value in settings.items():
        if key.startswith("do_") and isinstance(value, str):
            raise ValueError(f"{key} is {brief(value)}, expected true or false")
        for one in value if isinstance(value, list) else [value]:
            if key in NUMBERS and isinstance(one, bool | str):
                raise ValueError(f"{key} has {brief(one)}, expected a number")


def _of_transformers(settings: Settings) -> Preprocessing:
    kind = settings.get("image_processor_type") or settings.get("feature_extractor_type") or ""
    settings = with_defaults(settings, kind)
    others = [
        k for k, v in settings.items() if k.startswith("do_") and v is True and k not in STEPS
    ]
    if others or kind.startswith("Perceiver"):
        raise ValueError(f"{', '.join(others) or kind} is a step that is not supported")
    if not settings.get("do_resize", True):
        raise ValueError("do_resize is false, but all images must get one size")
    cropped = bool(settings.get("do_center_crop", False))
    square = kind.startswith(SQUARE) or not (cropped or kind.startswith("ConvN"))
    size = _size(settings["size"], square=square)
    crop = _crop(settings) if cropped else None
    if len(size) == 1 and "crop_pct" in settings:
        size, crop = _enlarged(size[0], crop, settings["crop_pct"], kind)
    elif kind.startswith("Levit"):
        size = tuple(int(256 / 224 * side) for side in size)
    if crop is None and len(size) == 1:
        raise ValueError("size gives the shortest edge alone, but all images must get one size")
    height, width = crop or size
    resampling = Resampling(_filter(settings["resample"]), size)
    return _prepared(height, width, resampling, _normalization(settings, kind))


def _prepared(
    height: int, width: int, resampling: Resampling, values: Normalization
) -> Preprocessing:
    values.checked()
    mode = "crop" if len(resampling.size) == 1 else "stretch"
    scale = values.scale.astype(np.float32)
    return Preprocessing(height, width, mode, resampling, scale, values.offset.astype(np.float32))


def _size(size: Any, square: bool) -> Size:
    """Return (edge,) or (height, width) from the forms in which sizes are written."""
    if isinstance(size, int):
        return (size, size) if square else (size,)
    if isinstance(size, list):
        return tuple(size)
    if size.keys() == {"shortest_edge"}:
        return (size["shortest_edge"],)
    if size.keys() >= {"height", "width"}:
        return size["height"], size["width"]
    raise ValueError(f"size is {str(size)[:100]}, expected shortest_edge, or height and width")


def _crop(settings: Settings) -> Size:
    """Return the (height, width) that is cut out."""
    crop = _size(settings.get("crop_size", settings["size"]), square=True)
    return crop * 2 if len(crop) == 1 else crop


def _enlarged(edge: int, crop: Size | None, crop_pct: float, kind: str) -> tuple[Size, Size | None]:
    """Return the sizes before and of a crop that is the part `crop_pct` of a side."""
    if kind.startswith("ConvN") and edge >= 384:
        return (edge, edge), None
    return (int(edge / crop_pct),), crop or (edge, edge)


def _normalization(settings: Settings, kind: str) -> Normalization:
    """Return what takes values in [0, 1] to those of the network."""
    found = Normalization(np.full(1, 255.0), np.zeros(1))
    if settings.get("do_rescale", True):
        factor = settings.get("rescale_factor", 1 / 255)
        shift = 1.0 if settings.get("rescale_offset", False) else 0.0
        found = Normalization(found.scale * factor, found.offset - shift)
    divided_again = kind.startswith("EfficientNet") and settings.get("include_top", True)
    if settings.get("do_normalize", "image_mean" in settings):
        found = found.then(settings["image_mean"], settings["image_std"])
    if divided_again:
        found = found.then(0, settings["image_std"])
    return found


def _filter(resample: Any) -> str:
    """Return the name of a filter of Pillow from its number or its name."""
    if type(resample) is int and 0 <= resample < len(FILTERS):
        return FILTERS[resample]
    return str(resample)[:100]


def _of_timm(settings: Settings) -> Preprocessing:
    _, height, width = settings["input_size"]
    mode = settings.get("crop_mode") or "center"
    part = settings.get("crop_pct") or 0.875
    size: Size = (math.floor(height / part), math.floor(width / part))
    if mode not in ("center", "squash") or (mode == "center" and size[0] != size[1]):
        raise ValueError(f"crop_mode {mode} of {height} x {width} pixels is not supported")
    if mode == "center":
        size = size[:1]
    filter_name = settings["interpolation"]
    if filter_name == "random":  # in training
        filter_name = "bilinear"
    values = UNCHANGED.then(settings["mean"], settings["std"])
    return _prepared(height, width, Resampling(_filter(filter_name), size, "torchvision"), values)


def _of_open_clip(
    settings: Settings, side: Any, fixed: tuple[int | None, int | None]
) -> Preprocessing:
    """As `image_transform` of open_clip for inference; `side` is that of its model."""
    stated = settings.get("size") or side
    if stated is None and None not in fixed:
        stated = list(fixed)
    if stated is None:
        raise KeyError("size")
    height, width = _size(stated, square=True)
    mode = settings.get("resize_mode") or "shortest"
    size: Size = (height, width)
    if mode == "shortest" and height == width:
        size = (height,)
    elif mode != "squash":
        raise ValueError(f"resize_mode {mode} of {height} x {width} pixels is not supported")
    filter_name = settings.get("interpolation") or "bicubic"
    if filter_name == "random":  # in training
        filter_name = "bicubic"
    clip = with_defaults({}, "CLIP")
    mean = settings.get("mean") or clip["image_mean"]
    std = settings.get("std") or clip["image_std"]
    resampling = Resampling(_filter(filter_name), size, "torchvision")
    return _prepared(height, width, resampling, UNCHANGED.then(mean, std))
