import numpy as np
import pytest

import train_autoencoder
from pyimagesearch.backend import keras
from pyimagesearch.convautoencoder import ConvAutoencoder
from pyimagesearch.datasets.catalog import open_dataset
from pyimagesearch.datasets.transforms import InputSpec
from pyimagesearch.evaluation.metrics import evaluate
from pyimagesearch.models.encoder import Encoder
from pyimagesearch.models.keras_files import encoder_of
from pyimagesearch.training.objectives import (
    OBJECTIVES,
    normalized_mse,
    phase_targets,
    supervised_contrast,
)

SPEC = InputSpec(8, 8, 1)


def test_the_script_offers_the_objectives_that_there_are():
    assert tuple(OBJECTIVES) == train_autoencoder.OBJECTIVES


def test_every_objective_ends_with_a_decoder_that_fits_its_code():
    for phases in OBJECTIVES.values():
        assert phases[-1].trains in ("autoencoder", "decoder")
        assert phases[-1].target == "images"


def test_following_is_measured_in_the_length_of_the_points():
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


def test_images_without_a_label_are_no_partners():
    codes = np.eye(4, dtype=np.float32)
    assert not np.asarray(supervised_contrast(np.array([-1, -1, 0, 1]), codes)).any()


@pytest.fixture(scope="module")
def encoder():
    keras.utils.set_random_seed(0)
    return encoder_of(ConvAutoencoder.build(8, 8, 1, filters=(4,), latentDim=4))


def targets(objective, encoder, training, validation):
    return phase_targets(OBJECTIVES[objective][-2], encoder, training, validation, SPEC)


def test_a_map_has_a_point_for_every_image_of_both_parts(encoder):
    parts = open_dataset("mnist", "train", 200).split(0.2)
    for points, part in zip(targets("neighbours", encoder, *parts), parts, strict=True):
        assert points.shape == (len(part), 4)
        lengths = np.linalg.norm(points, axis=1)
        np.testing.assert_allclose(lengths, lengths[0], rtol=1e-4)


def test_triplet_needs_labels(encoder, tmp_path):
    np.savez(tmp_path / "d.npz", x_train=np.zeros((8, 8, 8), np.uint8))
    unlabelled = open_dataset(str(tmp_path / "d.npz"))
    with pytest.raises(ValueError, match=r"triplet needs labels.*--objective neighbours"):
        targets("triplet", encoder, unlabelled, unlabelled)


def test_the_labels_are_the_targets_of_triplet(encoder):
    digits = open_dataset("mnist", "train", 20)
    np.testing.assert_array_equal(targets("triplet", encoder, digits, digits)[0], digits.labels)


def test_the_shipped_model_retrieves_as_measured():
    encoder = Encoder.from_file("output/neighbours.h5")
    gallery, queries = open_dataset("mnist", "train", 2000), open_dataset("mnist", "test", 500)
    codes = [encoder.encode_dataset(dataset) for dataset in (queries, gallery)]
    scores = evaluate(codes[0], queries.labels, codes[1], gallery.labels, "cosine")
    assert scores["mAP"] > 0.93  # .956 over all digits; reconstruction alone gives .588
    assert scores["P@10"] > 0.96
