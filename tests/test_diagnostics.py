import numpy as np
import pytest
from picture_files import fill

from pyimagesearch.backend import keras
from pyimagesearch.convautoencoder import ConvAutoencoder
from pyimagesearch.datasets.catalog import open_dataset
from pyimagesearch.datasets.dataset import Splits
from pyimagesearch.datasets.folder import FolderDataset
from pyimagesearch.encoders.keras_network import encoder_of
from pyimagesearch.evaluation import diagnostics
from pyimagesearch.pictures.input_spec import InputSpec

SPEC = InputSpec(28, 28, 1)
WARNINGS = [
    "BLANK: the validation MSE 0.1120 is no better than that of one constant image",
    "COLLAPSED: the codes differ by 0 for a length of 0, so they do not distinguish images. Try a "
    "smaller --learning-rate, another --seed, more --epochs or more images.",
    "DEAD: 4 of 4 dimensions of the code",
    "WEAK: the P@10 of the codes",
]


def untrained():
    return encoder_of(ConvAutoencoder.build(28, 28, 1, filters=(4,), latentDim=4))


def test_the_constant_loss_is_that_of_the_training_mean():
    """The mean squares about the mean image, as measured for all of MNIST: 0.0673 and 0.0674."""
    splits = (open_dataset("mnist", split) for split in ("train", "test"))
    assert diagnostics.constant_loss(Splits(*splits, SPEC)) == pytest.approx(0.0674, abs=2e-4)


@pytest.mark.parametrize(("loss", "warned"), [(0.006, False), (0.0673, True), (np.nan, True)])
def test_a_loss_no_better_than_a_constant_images_is_blank_and_no_collapse(loss, warned):
    lines = diagnostics.blank(loss, 0.0674)
    assert bool(lines) == warned
    assert "COLLAPSED" not in "".join(lines)


@pytest.mark.parametrize(("spread", "collapsed"), [(1, False), (0.01, False), (1e-6, True)])
def test_codes_that_hardly_differ_are_a_collapse(random, spread, collapsed):
    codes = 3 + spread * random.standard_normal((100, 5)).astype(np.float32)
    assert bool(diagnostics.collapse(codes)) == collapsed
    assert diagnostics.collapse(np.zeros_like(codes))
    assert diagnostics.collapse(codes[:1]) == []  # one image says nothing
    assert diagnostics.collapse(np.full_like(codes, np.nan))


def test_dimensions_that_do_not_change_are_dead(random):
    codes = random.standard_normal((100, 5)).astype(np.float32)
    assert diagnostics.dead_dimensions(codes) == []
    codes[:, 2], codes[:, 4] = 3, codes[:, 4] * 1e-3
    [warning] = diagnostics.dead_dimensions(codes)
    assert "2 of 5" in warning
    assert "(2, 4)" in warning
    assert "5 of 5" in diagnostics.dead_dimensions(np.ones((9, 5), np.float32))[0]


def test_few_images_need_not_fill_all_dimensions_of_a_code(random):
    codes = np.zeros((42, 64), np.float32)
    codes[:, :41] = random.standard_normal((42, 41))
    assert diagnostics.dead_dimensions(codes) == []
    assert "24 of 64" in diagnostics.dead_dimensions(codes * (np.arange(64) != 7))[0]


def test_codes_no_better_than_a_baseline_are_warned_of():
    baselines = {"raw pixels": 0.9, "untrained": 0.6}
    assert diagnostics.weak_codes(0.95, baselines) == []
    [warning] = diagnostics.weak_codes(0.9, baselines)
    assert "(0.900) is no better than that of raw pixels (0.900), without training" in warning
    assert "raw pixels (0.900), untrained (0.600)" in diagnostics.weak_codes(0.3, baselines)[0]
    assert diagnostics.weak_codes(1.0, {"raw pixels": 1.0}) == []
    assert diagnostics.weak_codes(0.6, {"raw pixels": 0.6}, best=0.6) == []
    assert diagnostics.weak_codes(0.58, {"raw pixels": 0.6}, best=0.6)


def test_the_precision_of_raw_pixels_is_that_of_a_plain_search():
    training, validation = (open_dataset("mnist", s, n) for s, n in (("train", 500), ("test", 50)))
    check = diagnostics.make_retrieval_check(Splits(training, validation, SPEC), 0, untrained())
    gallery = training.read(range(500), SPEC).reshape(500, -1)
    hits = []
    for i, query in enumerate(validation.read(range(50), SPEC).reshape(50, -1)):
        nearest = np.argsort(np.linalg.norm(gallery - query, axis=1))[:10]
        hits.append(np.mean(training.labels[nearest] == validation.labels[i]))
    assert check.baselines["raw pixels, 784-d"] == pytest.approx(np.mean(hits), abs=1e-6)


def test_unreadable_pictures_are_no_part_of_a_check(tmp_path):
    fill(tmp_path, *(f"{c}/{i}.png" for c in "ab" for i in range(5)))
    fill(tmp_path, "a/bad.png", data=b"broken")
    dataset = FolderDataset(tmp_path)
    check = diagnostics.make_retrieval_check(Splits(dataset, dataset, SPEC), 0, untrained())
    good = [row for row, id in enumerate(dataset.ids) if id != "a/bad.png"]
    assert check.rows.tolist() == check.query_rows.tolist() == good


def test_without_labels_there_is_no_check(tmp_path):
    np.savez(tmp_path / "d.npz", x_train=np.zeros((8, 28, 28), np.uint8))
    images = open_dataset(str(tmp_path / "d.npz"))
    assert diagnostics.make_retrieval_check(Splits(images, images, SPEC), 0, untrained()) is None


def test_only_the_labelled_images_are_searched():
    dataset = open_dataset("mnist", "train", 40)
    dataset.labels[10:] = -1
    check = diagnostics.make_retrieval_check(Splits(dataset, dataset, SPEC), 0, untrained())
    assert check.rows.tolist() == check.query_rows.tolist() == list(range(10))
    counts = np.bincount(dataset.labels[:10])
    assert check.best == pytest.approx(np.mean(counts[dataset.labels[:10]]) / 10)


def test_the_first_images_and_their_reconstructions_are_returned():
    dataset = open_dataset("mnist", "test", 4)
    model = ConvAutoencoder.build(28, 28, 1, filters=(4, 8), latentDim=4)
    images, decoded = diagnostics.reconstruct(model, dataset, SPEC)
    np.testing.assert_array_equal(images, dataset.read(range(4), SPEC))
    np.testing.assert_allclose(decoded, model.predict_on_batch(images), atol=1e-5)
    assert len(diagnostics.reconstruct(model, dataset, SPEC, count=2)[1]) == 2


def test_a_network_with_the_same_code_for_all_images_gets_every_warning():
    parts = open_dataset("mnist", "train", 300).split(0.2)
    keras.utils.set_random_seed(0)
    model = ConvAutoencoder.build(28, 28, 1, filters=(4, 8), latentDim=4)
    check = diagnostics.make_retrieval_check(Splits(*parts, SPEC), 0, encoder_of(model))
    layer = model.get_layer("encoded")
    layer.set_weights([np.zeros_like(w) for w in layer.get_weights()])
    history = [{"phase": "reconstruct", "epoch": 1, "val_loss": 0.112}]
    summary, warnings = diagnostics.diagnose(model, history, Splits(*parts, SPEC), check)
    assert [line.split(" (")[0] for line in warnings] == WARNINGS
    assert summary[0].startswith("validation MSE 0.1120 (best constant image: 0.0")
    assert summary[1].startswith("validation P@10 0.")
    assert all(f"{name} {value:.3f}" in summary[1] for name, value in check.baselines.items())
