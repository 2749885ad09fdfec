"""Preprocessing of other libraries, beside their algorithms in plain Pillow and NumPy."""

import io

import numpy as np
import pytest
from PIL import Image

from pyimagesearch.encoders.preprocessing import read_preprocessing
from pyimagesearch.pictures.decoding import decode
from pyimagesearch.pictures.input_spec import InputSpec
from pyimagesearch.pictures.resampling import FILTERS, Resampling
from tests import onnx_exports as exports

SIZES = [(300, 200), (201, 333), (64, 64), (20, 51), (32, 37), (500, 31), (1, 90)]


def photograph(random, height, width):
    """A picture with edges and smooth parts, uint8 (height, width, 3)."""
    y, x = np.mgrid[:height, :width] / 25
    waves = [np.sin(x * a + y * b + a) for a, b in ((1, 0.3), (0.2, 2), (5, 4))]
    values = 127 + 90 * np.stack(waves, -1) + 40 * random.standard_normal((height, width, 1))
    return np.clip(values, 0, 255).astype(np.uint8)


def resized(picture, size, resample):
    """Resize as torchvision and transformers do: (height, width), or a length of the short side."""
    height, width = picture.shape[:2]
    if isinstance(size, int):
        if height <= width:
            size = size, int(size * width / height)
        else:
            size = int(size * height / width), size
    return np.array(Image.fromarray(picture).resize(size[::-1], resample))


def crop_of_transformers(image, height, width):
    """transformers.image_transforms.center_crop, which pads with zeros where it must."""
    h, w = image.shape[:2]
    top, left = (h - height) // 2, (w - width) // 2
    if top >= 0 and left >= 0:
        return image[top : top + height, left : left + width]
    full = np.zeros((max(h, height), max(w, width), 3), image.dtype)
    above, before = -((h - len(full)) // 2), -((w - full.shape[1]) // 2)
    full[above : above + h, before : before + w] = image
    top, left = top + above, left + before
    return full[max(0, top) : top + height, max(0, left) : left + width]


def crop_of_torchvision(image, height, width):
    """torchvision.transforms.functional.center_crop."""
    h, w = image.shape[:2]
    if h < height or w < width:
        ph, pw = max(height - h, 0), max(width - w, 0)
        image = np.pad(image, [(ph // 2, (ph + 1) // 2), (pw // 2, (pw + 1) // 2), (0, 0)])
        h, w = image.shape[:2]
    top, left = round((h - height) / 2.0), round((w - width) / 2.0)
    return image[top : top + height, left : left + width]


def prepared(settings, picture):
    """What this package gives a network for a picture."""
    found = read_preprocessing(settings, "preprocessor_config.json")
    spec = InputSpec(found.height, found.width, 3, found.resize_mode, found.resampling)
    return spec.prepare(picture) * found.scale + found.offset


@pytest.mark.parametrize("size", SIZES)
def test_clip_and_dinov2(random, size):
    picture = photograph(random, *size)
    for settings in (exports.CLIP, exports.DINO):
        image = resized(picture, settings["size"]["shortest_edge"], Image.BICUBIC)
        image = crop_of_transformers(image, 32, 32) * (1 / 255)
        expected = (image - settings["image_mean"]) / settings["image_std"]
        np.testing.assert_allclose(prepared(settings, picture), expected, atol=1e-3)


@pytest.mark.parametrize("size", SIZES)
def test_siglip_stretches(random, size):
    picture = photograph(random, *size)
    expected = resized(picture, (32, 32), Image.BICUBIC) / 127.5 - 1
    np.testing.assert_allclose(prepared(exports.SIGLIP, picture), expected, atol=1e-3)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("part", [0.875, 0.8, 1.0])
def test_timm(random, size, part):
    picture = photograph(random, *size)
    settings = {**exports.TIMM["pretrained_cfg"], "crop_pct": part}
    image = resized(picture, int(32 / part), Image.BILINEAR)
    expected = (crop_of_torchvision(image, 32, 32) / 255 - exports.MEAN) / exports.STD
    np.testing.assert_allclose(prepared({"pretrained_cfg": settings}, picture), expected, atol=1e-3)


@pytest.mark.parametrize("filter", FILTERS)
def test_every_filter_is_that_of_pillow_in_a_part_of_the_picture(random, filter):
    for size in SIZES:
        picture = photograph(random, *size)
        image = resized(picture, 40, FILTERS.index(filter))
        for rounding, crop in (
            ("transformers", crop_of_transformers),
            ("torchvision", crop_of_torchvision),
        ):
            found = Resampling(filter, (40,), rounding).apply(picture, 35, 48)
            assert abs(found.astype(int) - crop(image, 35, 48)).max() <= 0, size


def test_a_strip_of_a_picture_takes_no_more_memory_than_its_crop():
    strip = np.full((1, 1_000_000, 3), 9, np.uint8)  # 224 million pixels a row once enlarged
    assert (Resampling("bicubic", (224,)).apply(strip, 224, 224) == 9).all()


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (
            {"feature_extractor_type": "CLIPFeatureExtractor", "size": 32, "crop_size": 32},
            exports.CLIP,
        ),
        (
            {
                "feature_extractor_type": "ViTFeatureExtractor",
                "size": 32,
                "do_center_crop": False,
                "resample": 2,
            },
            {**exports.CLIP, "size": {"height": 32, "width": 32}, "resample": 2}
            | {"do_center_crop": False},
        ),
        (
            {"image_processor_type": "DeiTImageProcessor", "size": 40, "crop_size": 32},
            {**exports.CLIP, "size": {"height": 40, "width": 40}},
        ),
        (
            {
                "image_processor_type": "ConvNextImageProcessor",
                "size": {"shortest_edge": 32},
                "crop_pct": 0.8,
                "do_center_crop": False,
            },
            {**exports.CLIP, "size": {"shortest_edge": 40}},
        ),
    ],
    ids=["CLIP", "ViT", "DeiT", "ConvNeXt"],
)
def test_older_ways_to_write_a_size(random, old, new):
    picture = photograph(random, 90, 61)
    settings = {
        key: exports.CLIP[key] for key in exports.CLIP if key.startswith(("do_", "image_m"))
    }
    settings |= {"resample": 3, "image_std": exports.STD, **old}
    del settings["do_rescale"]  # which always happened
    np.testing.assert_allclose(prepared(settings, picture), prepared(new, picture), atol=1e-6)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"do_flip_channel_order": True}, "do_flip_channel_order is a step"),
        ({"do_resize": False}, "do_resize is false"),
        ({"do_center_crop": False}, "shortest edge alone"),
        ({"size": {"longest_edge": 32}}, "expected shortest_edge, or height and width"),
        ({"size": {"shortest_edge": "32"}}, "expected a filter"),
        ({"size": {"shortest_edge": -32}}, "expected a filter"),
        ({"crop_size": {"height": 10**9, "width": 10**9}}, "of up to 4,096 pixels"),
        ({"resample": 17}, "expected a filter of nearest"),
        ({"image_std": [0, 1, 1]}, "finite numbers"),
        ({"image_mean": "grey"}, "preprocessor_config.json"),
    ],
)
def test_settings_that_cannot_be_followed_are_refused(change, reason):
    with pytest.raises(ValueError, match=reason):
        read_preprocessing({**exports.CLIP, **change}, "preprocessor_config.json")


@pytest.mark.parametrize("key", ["size", "resample", "image_mean", "image_std"])
def test_a_key_that_is_missing_is_named(key):
    settings = {name: value for name, value in exports.CLIP.items() if name != key}
    settings["image_processor_type"] = "AnotherImageProcessor"
    with pytest.raises(ValueError, match=rf"settings\.json has no {key}"):
        read_preprocessing(settings, "settings.json")


def test_pictures_are_decoded_at_their_own_size_where_each_pixel_counts(random):
    file = io.BytesIO()
    Image.fromarray(photograph(random, 480, 640)).save(file, "JPEG", quality=95)
    sampled = InputSpec(32, 32, 3, "crop", Resampling("bicubic", (32,)))

    def prepared_at(size):
        return sampled.prepare(decode(io.BytesIO(file.getvalue()), size))

    assert abs(prepared_at(None) - prepared_at((32, 32))).max() > 1e-3  # a reduced scale is no good
    np.testing.assert_array_equal(prepared_at(sampled.decoded_size), prepared_at(None))
    assert InputSpec(32, 32, 3).decoded_size == (32, 32)


def test_resampling_is_stored_with_the_input():
    spec = InputSpec(32, 24, 3, "crop", Resampling("lanczos", (40,), "torchvision"))
    assert InputSpec.from_dict(spec.to_dict()) == spec
    assert "resampling" not in InputSpec(32, 24, 3).to_dict()  # as indexes so far
    wrong = {**spec.to_dict(), "resampling": {"filter": "lanczos", "size": [1, 2, 3]}}
    with pytest.raises(ValueError, match="expected a filter of"):
        InputSpec.from_dict(wrong)


def test_other_kinds_of_pixels_are_rounded_to_8_bits(random):
    picture = photograph(random, 50, 60)
    spec = InputSpec(32, 32, 3, "crop", Resampling("bicubic", (32,)))
    expected = spec.prepare(picture)
    np.testing.assert_array_equal(spec.prepare(picture.astype(np.uint16) * 257), expected)
    np.testing.assert_array_equal(spec.prepare(picture / np.float32(255)), expected)
    grey = picture[..., :1]
    np.testing.assert_array_equal(spec.prepare(grey), spec.prepare(np.repeat(grey, 3, 2)))


def test_a_factor_beyond_all_numbers_is_refused_in_one_line():
    for factor in (1e308, -1e308, 10**400, 1e-320):
        settings = {"size": {"height": 8, "width": 8}, "resample": 2, "rescale_factor": factor}
        settings |= {"image_mean": [1e308] * 3, "image_std": [1e-308] * 3}
        with pytest.raises(ValueError, match=r"^preprocessor_config\.json"):
            read_preprocessing(settings, "preprocessor_config.json")


@pytest.mark.parametrize(
    ("key", "value", "reason"),
    [
        ("do_resize", "false", "do_resize is 'false', expected true or false"),
        ("rescale_factor", True, "rescale_factor has True, expected a number"),
        ("image_mean", ["1", 0.5, 0.5], "image_mean has '1', expected a number"),
        ("resample", True, "expected a filter of nearest"),
    ],
)
def test_a_text_or_a_truth_is_no_number(key, value, reason):
    settings = {"size": {"height": 8, "width": 8}, "resample": 2, "rescale_factor": 1 / 255}
    settings |= {"image_mean": [0.5] * 3, "image_std": [0.5] * 3, key: value}
    with pytest.raises(ValueError, match=reason):
        read_preprocessing(settings, "preprocessor_config.json")
