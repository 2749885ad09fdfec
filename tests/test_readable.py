"""Training goes past pictures that cannot be read, and names each of them once."""

import cv2
import numpy as np
import pytest
from picture_files import fill

import train_autoencoder
from pyimagesearch.datasets.dataset import Splits
from pyimagesearch.datasets.folder import FolderDataset
from pyimagesearch.pictures.input_spec import InputSpec
from pyimagesearch.training.readable import readable_batches, with_readable_validation

SPEC = InputSpec(16, 16, 3)
QUICK = ["--filters", 4, "--image-size", 16, 16, "--patience", 1]  # of a training of `views`
BROKEN = b"\x89PNG\r\n\x1a\nbroken"


def fill_with_both(folder, random, good=10, bad=10):
    """Write pictures good0.png, ... and broken files bad0.png, ... into a folder."""
    for i in range(good):
        picture = random.integers(0, 256, (8, 8, 3), np.uint8)
        fill(folder, f"good{i}.png", data=cv2.imencode(".png", cv2.resize(picture, (32, 32)))[1])
    fill(folder, *(f"bad{i}.png" for i in range(bad)), data=BROKEN)


@pytest.fixture
def both(tmp_path, random):
    folder = tmp_path / "both"
    fill_with_both(folder, random)
    return FolderDataset(folder)


def rows_named(dataset, prefix):
    return np.array([row for row, id in enumerate(dataset.ids) if id.startswith(prefix)])


def warned(caplog):
    return sorted(r.getMessage().split(":")[0] for r in caplog.records if r.levelname == "WARNING")


def test_others_take_the_place_of_unreadable_ones(both, caplog):
    order = np.concatenate([rows_named(both, "bad0"), rows_named(both, "good")])
    batches = list(readable_batches(both, SPEC, order, count=4, batch_size=3))
    assert [len(batch.images) for batch in batches] == [2, 1, 1]
    assert {both.ids[row] for batch in batches for row in batch.rows} == {
        "good0.png",
        "good1.png",
        "good2.png",
        "good3.png",
    }
    assert warned(caplog) == ["bad0.png"]


def test_all_that_can_be_read_are_fewer_than_the_count(both):
    batches = readable_batches(both, SPEC, np.arange(20), count=15, batch_size=4)
    assert sum(len(batch.rows) for batch in batches) == 10


def test_readable_validation_stays(both):
    splits = Splits(both, both, SPEC)
    assert with_readable_validation(splits) is splits


def test_training_images_replace_validation_images_of_which_none_can_be_read(both, caplog):
    bad = rows_named(both, "bad")
    training = both.subset(np.concatenate([bad[2:], rows_named(both, "good")]))
    splits = with_readable_validation(Splits(training, both.subset(bad[:2]), SPEC))
    assert splits.validation.ids == ["good0.png", "good1.png"]
    assert len(splits.training) == 16
    assert not set(splits.training.ids) & set(splits.validation.ids)
    assert warned(caplog) == [f"bad{i}.png" for i in range(10)]


def test_one_readable_picture_is_too_few(both):
    bad = rows_named(both, "bad")
    training = both.subset(np.append(bad[2:], rows_named(both, "good3")))
    with pytest.raises(ValueError, match="1 of the 11 pictures can be read: training needs 2"):
        with_readable_validation(Splits(training, both.subset(bad[:2]), SPEC))


@pytest.mark.usefixtures("eager")
@pytest.mark.parametrize("classes", [[""], ["cats/", "dogs/"]])
def test_training_names_each_unreadable_picture_once(classes, tmp_path, random, capsys):
    for name in classes:
        fill_with_both(tmp_path / "pictures" / name, random)
    model = tmp_path / "model.keras"
    outputs = ["--vis", tmp_path / "v.png", "--plot", tmp_path / "p.png"]
    arguments = ["--dataset", tmp_path / "pictures", "--model", model, *outputs, *QUICK]
    assert train_autoencoder.main([str(argument) for argument in arguments]) == 0
    assert model.exists()
    lines = capsys.readouterr().err.splitlines()
    named = [line.split()[1] for line in lines if line.startswith("[WARNING]") and "bad" in line]
    assert sorted(named) == [f"{name}bad{i}.png:" for name in classes for i in range(10)]


@pytest.mark.usefixtures("eager")
def test_the_seed_that_leaves_no_readable_validation_image_trains_too(tmp_path, random):
    folder = tmp_path / "pictures"
    fill_with_both(folder, random)
    dataset = FolderDataset(folder)
    seed = next(
        seed
        for seed in range(1000)
        if all(id.startswith("bad") for id in dataset.split(0.1, seed)[1].ids)
    )
    outputs = ["--vis", tmp_path / "v.png", "--plot", tmp_path / "p.png", "--seed", seed]
    arguments = ["--dataset", folder, "--model", tmp_path / "m.keras", *outputs, *QUICK]
    assert train_autoencoder.main([str(argument) for argument in arguments]) == 0
