"""What the classes of `transformers` do where their settings say nothing.

The values are those of `__init__` in `image_processing_*.py` of transformers 4.57.
"""

from collections.abc import Mapping
from typing import Any

NEAREST = 0  # as Pillow numbers its filters
BILINEAR = 2
BICUBIC = 3
CLIP_MEAN = [0.48145466, 0.4578275, 0.40821073]
CLIP_STD = [0.26862954, 0.26130258, 0.27577711]
IMAGENET_MEAN = [0.485, 0.456, 0.406]
IMAGENET_STD = [0.229, 0.224, 0.225]
HALF = [0.5, 0.5, 0.5]  # called IMAGENET_STANDARD_MEAN and _STD there
SUFFIXES = ("Fast", "ImageProcessor", "FeatureExtractor")

Settings = Mapping[str, Any]


def _square(side: int) -> dict[str, int]:
    return {"height": side, "width": side}


def _values(mean: list[float], std: list[float], resample: int) -> dict[str, Any]:
    return {"image_mean": mean, "image_std": std, "resample": resample, "do_normalize": True}


_CROP = {"do_center_crop": True, "crop_size": _square(224)}
_CLIP = {**_values(CLIP_MEAN, CLIP_STD, BICUBIC), **_CROP, "size": {"shortest_edge": 224}}
_DEIT = {**_values(HALF, HALF, BICUBIC), **_CROP, "size": _square(256)}
_MOBILENET = {**_values(HALF, HALF, BILINEAR), **_CROP, "size": {"shortest_edge": 256}}
_LEVIT = {**_values(IMAGENET_MEAN, IMAGENET_STD, BICUBIC), **_CROP, "size": {"shortest_edge": 224}}
# By the name of the class without SUFFIXES. DINOv2 uses that of Bit, ResNet that of ConvNext, and
# Swin that of ViT.
DEFAULTS: Mapping[str, Settings] = {
    "Beit": _DEIT,
    "Bit": _CLIP,
    "Blip": {**_values(CLIP_MEAN, CLIP_STD, BICUBIC), "size": _square(384)},
    "CLIP": _CLIP,
    "ChineseCLIP": _CLIP,
    "ConvNext": {
        **_values(HALF, HALF, BILINEAR),
        "size": {"shortest_edge": 384},
        "crop_pct": 224 / 256,
    },
    "DINOv3ViT": {**_values(IMAGENET_MEAN, IMAGENET_STD, BILINEAR), "size": _square(224)},
    "DeiT": _DEIT,
    "EfficientNet": {
        **_values(HALF, HALF, NEAREST),
        "size": _square(346),
        "crop_size": _square(289),
    },
    "Flava": {**_values(CLIP_MEAN, CLIP_STD, BICUBIC), **_CROP, "size": _square(224)},
    "Levit": _LEVIT,
    "MobileNetV1": _MOBILENET,
    "MobileNetV2": _MOBILENET,
    "MobileViT": {"do_flip_channel_order": True},
    "PoolFormer": {**_LEVIT, "crop_pct": 0.9},
    "Pvt": {**_values(IMAGENET_MEAN, IMAGENET_STD, BILINEAR), "size": _square(224)},
    "Siglip": {**_values(HALF, HALF, BICUBIC), "size": _square(224)},
    "ViT": {**_values(HALF, HALF, BILINEAR), "size": _square(224)},
    "ViTHybrid": _CLIP,
}


def with_defaults(settings: Settings, kind: str) -> dict[str, Any]:
    """Return settings with those that the class `kind` has where they say nothing, or null."""
    for suffix in SUFFIXES:
        kind = kind.removesuffix(suffix)
    stated = {key: value for key, value in settings.items() if value is not None}
    return {**DEFAULTS.get(kind, {}), **stated}
