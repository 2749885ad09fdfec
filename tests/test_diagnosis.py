import numpy as np
import pytest

from pyimagesearch.backend import keras
from pyimagesearch.convautoencoder import ConvAutoencoder
from pyimagesearch.datasets.catalog import open_dataset
from pyimagesearch.datasets.transforms import InputSpec
from pyimagesearch.training import diagnostics as diagnosis

SPEC = InputSpec(28, 28, 1)


def test_the_constant_loss_is_that_of_the_training_mean():
    """The mean squares about the mean image, as measured for all of MNIST: 0.0673 and 0.0674."""
    splits = (open_dataset("mnist", split) for split in ("train", "test"))
    assert diagnosis.constant_loss(*splits, SPEC) == pytest.approx(0.0674, abs=2e-4)


@pytest.mark.parametrize(("loss", "warned"), [(0.006, False), (0.0673, True), (np.nan, True)])
def test_no_better_than_a_constant_image_is_a_collapse(loss, warned):
    assert bool(diagnosis.collapse(loss, 0.0674)) == warned


def test_dimensions_that_do_not_change_are_dead(random):
    codes = random.standard_normal((100, 5)).astype(np.float32)
    assert diagnosis.dead_dimensions(codes) == []
    codes[:, 2], codes[:, 4] = 3, codes[:, 4] * 1e-3
    [warning] = diagnosis.dead_dimensions(codes)
    assert "2 of 5" in warning
    assert "(2, 4)" in warning
    assert "5 of 5" in diagnosis.dead_dimensions(np.ones((9, 5), np.float32))[0]


def test_codes_no_better_than_what_needs_no_training_are_useless():
    baselines = {"raw pixels": 0.9, "untrained": 0.6}
    assert diagnosis.useless_codes(0.95, baselines) == []
    assert "raw pixels (0.900)" in diagnosis.useless_codes(0.9, baselines)[0]
    assert len(diagnosis.useless_codes(0.3, baselines)) == 2
    assert diagnosis.useless_codes(1.0, {"raw pixels": 1.0}) == []


def test_the_check_measures_raw_pixels_as_one_would():
    training, validation = (open_dataset("mnist", s, n) for s, n in (("train", 500), ("test", 50)))
    check = diagnosis.retrieval_check(training, validation, SPEC, seed=0)
    gallery = training.read(range(500), SPEC).reshape(500, -1)
    hits = []
    for i, query in enumerate(validation.read(range(50), SPEC).reshape(50, -1)):
        nearest = np.argsort(np.linalg.norm(gallery - query, axis=1))[:10]
        hits.append(np.mean(training.labels[nearest] == validation.labels[i]))
    assert check.pixels == pytest.approx(np.mean(hits), abs=1e-6)


def test_without_labels_there_is_no_check(tmp_path):
    np.savez(tmp_path / "d.npz", x_train=np.zeros((8, 28, 28), np.uint8))
    images = open_dataset(str(tmp_path / "d.npz"))
    assert diagnosis.retrieval_check(images, images, SPEC, seed=0) is None


def test_a_network_that_gives_the_same_whatever_goes_in_is_called_all_that_it_is(capsys):
    parts = open_dataset("mnist", "train", 300).split(0.2)
    keras.utils.set_random_seed(0)
    model = ConvAutoencoder.build(28, 28, 1, filters=(4, 8), latentDim=4)
    found = diagnosis.Diagnosis(model, *parts, SPEC, seed=0)
    layer = model.get_layer("encoded")
    layer.set_weights([np.zeros_like(w) for w in layer.get_weights()])
    found.report(model, [{"phase": "reconstruct", "epoch": 1, "val_loss": 0.112}])
    output = capsys.readouterr().err
    assert all(word in output for word in ("COLLAPSED", "DEAD: 4 of 4", "USELESS"))
