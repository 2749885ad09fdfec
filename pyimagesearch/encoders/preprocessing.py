"""Preprocessing of images as `transformers` and `timm` describe it in their JSON files."""

import math
from typing import NamedTuple

import numpy as np

from pyimagesearch.pictures.resampling import FILTERS, Resampling

# Steps that are reproduced, apart from do_thumbnail and the like, which are refused where true.
STEPS = {"do_resize", "do_center_crop", "do_rescale", "do_normalize", "do_convert_rgb"}
SQUARE = ("DeiT", "Beit")  # an integer as their size means both sides, in spite of the crop

MAX_SIDE = 4096  # pixels of the images of a network


class Preprocessing(NamedTuple):
    """How images are prepared: `height` and `width` of the result, and how it is reached.

    `resize_mode` and `resampling` are those of InputSpec; then values in [0, 1] are multiplied by
    `scale` and `offset` is added, float32 of one value a channel.
    """

    height: int
    width: int
    resize_mode: str
    resampling: Resampling
    scale: np.ndarray
    offset: np.ndarray


def read_preprocessing(settings, name):
    """Return the Preprocessing of the content of a JSON file called `name`.

    Raises ValueError, which names the file and the key, where it is incomplete or has steps that
    are not reproduced.
    """
    try:
        for key in ("data_config", "pretrained_cfg"):
            settings = settings.get(key) or settings
        found = _of_timm(settings) if "input_size" in settings else _of_transformers(settings)
        if not all(0 < side <= MAX_SIDE for side in found[:2]):
            raise ValueError(f"expected images of up to {MAX_SIDE:,} pixels, received {found[:2]}")
        return found
    except KeyError as error:
        raise ValueError(f"{name} has no {error.args[0]}") from None
    except (AttributeError, TypeError, OverflowError, ZeroDivisionError) as error:
        raise ValueError(f"{name} has a value of the wrong type: {error}") from error
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from error


def _of_transformers(settings):
    kind = settings.get("image_processor_type") or settings.get("feature_extractor_type") or ""
    others = [
        k for k, v in settings.items() if k.startswith("do_") and v is True and k not in STEPS
    ]
    if others or kind.startswith("Perceiver"):
        raise ValueError(f"{', '.join(others) or kind} is a step that is not supported")
    if not settings.get("do_resize", True):
        raise ValueError("do_resize is false, but all images must get one size")
    cropped = bool(settings.get("do_center_crop", False))
    size = _size(settings["size"], square=not cropped or kind.startswith(SQUARE))
    crop = _size(settings.get("crop_size", settings["size"]), square=True) if cropped else None
    crop = crop * 2 if crop and len(crop) == 1 else crop
    if len(size) == 1 and "crop_pct" in settings:
        size, crop = _enlarged(size, crop, settings["crop_pct"], kind)
    elif kind.startswith("Levit"):
        size = tuple(int(256 / 224 * side) for side in size)
    if crop is None and len(size) == 1:
        raise ValueError("size gives the shortest edge alone, but all images must get one size")
    crop = crop or size
    scale, offset = _values(settings, kind)
    resampling = Resampling(_filter(settings["resample"]), size)
    return Preprocessing(*crop, _mode(size), resampling, scale, offset)


def _size(size, square):
    """Return (edge,) or (height, width) from the forms in which sizes are written."""
    if isinstance(size, int):
        return (size, size) if square else (size,)
    if isinstance(size, list):
        return tuple(size)
    if size.keys() == {"shortest_edge"}:
        return (size["shortest_edge"],)
    if size.keys() >= {"height", "width"}:
        return size["height"], size["width"]
    raise ValueError(f"size is {size}, expected shortest_edge, or height and width")


def _enlarged(size, crop, crop_pct, kind):
    """Return the sizes before and of a crop that is the part `crop_pct` of a side."""
    [edge] = size
    if kind.startswith("ConvN") and edge >= 384:
        return (edge, edge), None
    return (int(edge / crop_pct),), crop or (edge, edge)


def _values(settings, kind):
    """Return the scale and the offset that take values in [0, 1] to those of the network."""
    scale, offset = np.ones(1), np.zeros(1)
    if settings.get("do_rescale", True):
        scale = scale * 255 * settings.get("rescale_factor", 1 / 255)
        offset = offset - bool(settings.get("rescale_offset", False))
    else:
        scale = scale * 255
    divided_again = kind.startswith("EfficientNet") and settings.get("include_top", True)
    if settings.get("do_normalize", "image_mean" in settings):
        scale, offset = _normalized(scale, offset, settings["image_mean"], settings["image_std"])
    if divided_again:
        scale, offset = _normalized(scale, offset, 0, settings["image_std"])
    return _checked(scale), _checked(offset)


def _normalized(scale, offset, mean, std):
    mean, std = (np.array(value, np.float64).reshape(-1) for value in (mean, std))
    with np.errstate(divide="ignore", invalid="ignore"):  # refused afterwards
        return scale / std, (offset - mean) / std


def _checked(values):
    if values.size not in (1, 3) or not np.isfinite(values).all():
        raise ValueError(f"its means and deviations give {values}, expected 1 or 3 finite numbers")
    return values.astype(np.float32)


def _filter(resample):
    """Return the name of a filter of Pillow from its number or its name."""
    if isinstance(resample, int) and 0 <= resample < len(FILTERS):
        return FILTERS[resample]
    if resample == "random":  # of timm, for training
        return "bilinear"
    return str(resample)


def _mode(size):
    return "crop" if len(size) == 1 else "stretch"


def _of_timm(settings):
    _, height, width = settings["input_size"]
    mode, part = settings.get("crop_mode") or "center", settings.get("crop_pct") or 0.875
    size = math.floor(height / part), math.floor(width / part)
    if mode not in ("center", "squash") or (mode == "center" and size[0] != size[1]):
        raise ValueError(f"crop_mode {mode} of {height} x {width} pixels is not supported")
    size = size if mode == "squash" else size[:1]
    scale, offset = _normalized(np.ones(1), np.zeros(1), settings["mean"], settings["std"])
    resampling = Resampling(_filter(settings["interpolation"]), size, "torchvision")
    values = _checked(scale), _checked(offset)
    return Preprocessing(height, width, _mode(size), resampling, *values)
