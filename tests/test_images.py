import numpy as np
import pytest
from picture_files import fill

from pyimagesearch.datasets.catalog import open_dataset
from pyimagesearch.datasets.folder import FolderDataset
from pyimagesearch.pictures import input_spec
from pyimagesearch.pictures.input_spec import RESIZE_MODES, InputSpec


def bars(h, w):
    """A white picture with a black border of an eighth on the left and on the right."""
    picture = np.full((h, w, 3), 255, np.uint8)
    picture[:, : w // 8] = picture[:, -w // 8 :] = 0
    return picture


@pytest.mark.parametrize("fit", RESIZE_MODES)
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [(1, 1), (1, 500), (500, 1), (8, 8), (37, 91), (300, 200)])
def test_any_picture_becomes_float32_in_0_1_of_the_asked_shape(fit, channels, size):
    spec = InputSpec(32, 24, channels, fit)
    for picture_channels in (1, 3):
        image = spec.prepare(np.full((*size, picture_channels), 200, np.uint8))
        assert image.shape == spec.shape == (32, 24, channels)
        assert image.dtype == np.float32
        assert image.max() == pytest.approx(200 / 255, abs=0.005)


def test_letterbox_shows_all_of_the_picture_centred_on_black():
    image = InputSpec(64, 64, 3).prepare(np.full((100, 200, 3), 255, np.uint8))
    assert not image[:16].any()
    assert not image[48:].any()
    assert (image[16:48] == 1).all()


def test_crop_fills_the_image_with_the_middle():
    assert (InputSpec(64, 48, 3, "crop").prepare(bars(100, 200)) == 1).all()


def test_crop_keeps_proportions():
    picture = np.zeros((80, 160, 3), np.uint8)
    picture[20:60, 60:100] = 255  # a square in the middle
    image = InputSpec(40, 40, 1, "crop").prepare(picture)[..., 0] > 0.5
    assert image.any(axis=0).sum() == image.any(axis=1).sum() == 20


def test_stretch_shows_all_of_the_picture_without_proportions():
    image = InputSpec(64, 64, 3, "stretch").prepare(bars(100, 200))
    assert not image[:, :8].any()
    assert not image[:, 56:].any()
    assert (image[:, 8:56] == 1).all()


@pytest.mark.parametrize("size", [(64, 640), (640, 64)])
def test_a_shrunk_side_does_not_alias_even_when_the_other_side_grows(size):
    stripes = np.indices(size).sum(axis=0) % 2 * 255
    image = InputSpec(128, 128, 1, "stretch").prepare(stripes.astype(np.uint8)[..., np.newaxis])
    axis = 0 if size[0] > size[1] else 1
    assert abs(image.mean(axis=axis) - 0.5).max() < 0.05


def test_unsigned_and_float_pictures_give_the_same_image():
    picture = np.random.default_rng(0).integers(0, 256, (60, 80, 3), np.uint8)
    spec = InputSpec(20, 20, 1, "crop")
    expected = spec.prepare(picture)
    assert abs(spec.prepare(picture.astype(np.uint16) * 257) - expected).max() < 0.01
    assert abs(spec.prepare(picture / 255) - expected).max() < 0.01


def test_a_picture_of_the_right_shape_keeps_its_values():
    picture = np.random.default_rng(0).integers(0, 256, (28, 28, 1), np.uint8)
    assert abs(InputSpec(28, 28, 1).prepare(picture) - picture / 255).max() < 1e-6


def test_a_spec_survives_its_dictionary_and_older_ones_are_letterboxed():
    spec = InputSpec(96, 128, 3, "crop")
    assert InputSpec.from_dict(spec.to_dict()) == spec
    assert InputSpec.from_dict({"height": 8, "width": 8, "channels": 1}).resize_mode == "letterbox"


@pytest.mark.parametrize(
    "wrong", [(0, 8, 3), (8, 8.5, 3), ("8", 8, 3), (8, 8, 2), (8, 8, 3, "squeeze")]
)
def test_a_spec_that_makes_no_sense_is_refused(wrong):
    with pytest.raises(ValueError, match=r"expected .* received"):
        InputSpec(*wrong)


def test_images_that_are_large_are_held_a_few_at_a_time(tmp_path, monkeypatch):
    assert InputSpec(224, 224, 3).images_at_once > 64
    assert InputSpec(1024, 1024, 3).images_at_once == 5
    assert InputSpec(4096, 4096, 3).images_at_once == 1
    fill(tmp_path, *(f"{i}.png" for i in range(5)))
    digits = open_dataset("mnist", "train", 5)
    monkeypatch.setattr(input_spec, "BATCH_BYTES", 2 * 28 * 28 * 4)
    for dataset in (FolderDataset(tmp_path), digits):
        sizes = [len(batch.rows) for batch in dataset.batches(InputSpec(28, 28, 1))]
        assert sizes == [2, 2, 1]
