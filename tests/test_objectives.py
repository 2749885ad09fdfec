import numpy as np
import pytest

from pyimagesearch.backend import keras
from pyimagesearch.convautoencoder import ConvAutoencoder
from pyimagesearch.datasets.catalog import open_dataset
from pyimagesearch.datasets.dataset import Splits
from pyimagesearch.encoders.export import open_encoder
from pyimagesearch.encoders.keras_network import encoder_of
from pyimagesearch.evaluation.metrics import evaluate
from pyimagesearch.pictures.input_spec import InputSpec
from pyimagesearch.training.objectives import (
    LOSSES,
    normalized_mse,
    phase_targets,
    require_targets,
    supervised_contrast,
)
from pyimagesearch.training.plan import OBJECTIVES
from tests.scripts import codes_of

SPEC = InputSpec(8, 8, 1)


def test_every_loss_belongs_to_a_phase_and_every_phase_has_a_loss():
    assert {phase.loss for phases in OBJECTIVES.values() for phase in phases} == set(LOSSES)


def test_the_normalized_mse_does_not_depend_on_the_scale_of_the_points():
    points = np.array([[3.0, 4], [0, 2]], np.float32)
    codes = np.array([[3.0, 4], [0, 0]], np.float32)
    np.testing.assert_allclose(normalized_mse(points, codes), [0, 1])
    np.testing.assert_allclose(normalized_mse(10 * points, 10 * codes), [0, 1])


def test_supervised_contrast_of_a_batch_worked_by_hand():
    # Cosines: 1 between the first two, 0 to the third; divided by the temperature, 10 and 0.
    codes = np.array([[1, 0], [5, 0], [0, 1]], np.float32)
    loss = np.asarray(supervised_contrast(np.array([7, 7, 3]), codes))
    np.testing.assert_allclose(loss, [np.log1p(np.exp(-10)), np.log1p(np.exp(-10)), 0], atol=1e-5)
    mixed = np.asarray(supervised_contrast(np.array([7, 3, 7]), codes))
    np.testing.assert_allclose(mixed, [10, 0, np.log(2)], atol=1e-3)


def test_images_without_a_label_have_no_partners():
    codes = np.eye(4, dtype=np.float32)
    assert not np.asarray(supervised_contrast(np.array([-1, -1, 0, 1]), codes)).any()


@pytest.fixture(scope="module")
def encoder():
    keras.utils.set_random_seed(0)
    return encoder_of(ConvAutoencoder.build(8, 8, 1, filters=(4,), latentDim=4))


def targets(objective, encoder, training, validation):
    return phase_targets(OBJECTIVES[objective][-2], encoder, Splits(training, validation, SPEC))


def test_a_map_has_a_point_of_equal_length_for_every_image_of_both_parts(encoder):
    parts = open_dataset("mnist", "train", 200).split(0.2)
    for points, part in zip(targets("neighbours", encoder, *parts), parts, strict=True):
        assert points.shape == (len(part), 4)
        lengths = np.linalg.norm(points, axis=1)
        np.testing.assert_allclose(lengths, lengths[0], rtol=1e-4)


def test_supcon_needs_classes_to_train_and_to_validate_on(tmp_path):
    np.savez(tmp_path / "d.npz", x_train=np.zeros((8, 8, 8), np.uint8))
    unlabelled = open_dataset(str(tmp_path / "d.npz"))
    digits = open_dataset("mnist", "train", 20)
    fives = digits.subset(np.flatnonzero(digits.labels == 5))
    phases = OBJECTIVES["supcon"]
    require_targets(phases, Splits(digits, digits, SPEC))
    for training in (unlabelled, fives):
        with pytest.raises(ValueError, match=r"supcon needs labels.*--objective views"):
            require_targets(phases, Splits(training, digits, SPEC))
    with pytest.raises(ValueError, match=r"2 classes or more to validate on, received 1 for 2 im"):
        require_targets(phases, Splits(digits, fives, SPEC))


def test_the_labels_are_the_targets_of_supcon(encoder):
    digits = open_dataset("mnist", "train", 20)
    np.testing.assert_array_equal(targets("supcon", encoder, digits, digits)[0], digits.labels)


def test_the_shipped_model_retrieves_as_measured():
    encoder = open_encoder("output/neighbours.h5")
    gallery, queries = open_dataset("mnist", "train", 2000), open_dataset("mnist", "test", 500)
    codes = [codes_of(encoder, dataset) for dataset in (queries, gallery)]
    scores = evaluate(codes[0], queries.labels, codes[1], gallery.labels, metric="cosine")
    assert scores["mAP"] > 0.93  # .956 over all digits; reconstruction alone gives .588
    assert scores["P@10"] > 0.96
