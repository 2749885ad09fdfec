import csv
import math

import numpy as np
import pytest

from pyimagesearch.backend import keras, memory_errors
from pyimagesearch.convautoencoder import ConvAutoencoder
from pyimagesearch.datasets.catalog import open_dataset
from pyimagesearch.datasets.dataset import Splits
from pyimagesearch.encoders.keras_files import save_model
from pyimagesearch.pictures.input_spec import InputSpec
from pyimagesearch.show.training_report import write_training
from pyimagesearch.training import callbacks, trainer
from pyimagesearch.training.callbacks import DivergedError
from pyimagesearch.training.checkpoint import Checkpoint
from pyimagesearch.training.plan import Phase, make_plan
from tests.scripts import untraced

SPEC = InputSpec(8, 8, 1)
pytestmark = pytest.mark.usefixtures("eager")


def images(split, limit):
    return open_dataset("mnist", split, limit)


def build():
    return ConvAutoencoder.build(8, 8, 1, filters=(4,), latentDim=4)


def run(folder, epochs=2, checkpoint=None, check=None, log=None, **settings):
    """Train a small network; return it, its checkpoint and whether it was finished."""
    settings = {"augmentations": [], "batch_size": 64, "learning_rate": 1e-2, "seed": 3, **settings}
    plan = make_plan(epochs=epochs, **settings)
    checkpoint = checkpoint or Checkpoint(str(folder / "c.npz"), {})
    keras.utils.set_random_seed(plan.seed)
    model = build()
    splits = images("train", 128), images("test", 32)
    finished = trainer.train(model, Splits(*splits, SPEC), plan, checkpoint, check=check, log=log)
    return model, checkpoint, finished


def assert_same_weights(model, other, atol=1e-5):
    for a, b in zip(model.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, atol=atol)


def test_training_lowers_the_loss_and_the_same_seed_gives_the_same_model(tmp_path, trained):
    model, checkpoint, finished = trained
    assert finished
    assert checkpoint.history[1]["loss"] < checkpoint.history[0]["loss"]
    assert_same_weights(model, run(tmp_path)[0])


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """What `run` returns, of a training that was run to its end."""
    with untraced():
        return run(tmp_path_factory.mktemp("trained"))


class CrashError(RuntimeError):
    pass


class CrashingCheck:
    """A RetrievalCheck that fails on its n-th call, before the checkpoint is written."""

    def __init__(self, calls=0):
        self.calls = calls

    def precision(self, encoder):
        self.calls -= 1
        if not self.calls:
            raise CrashError
        return 0.5


@pytest.mark.parametrize(
    ("objective", "schedule", "crash"),
    [
        ("denoising", "tutorial", 2),
        ("neighbours", "fast", 2),  # at the start of its second phase
        pytest.param("neighbours", "tutorial", 4, marks=pytest.mark.slow),  # within its third
    ],
)
def test_a_resumed_training_ends_as_an_uninterrupted_one(tmp_path, objective, schedule, crash):
    settings = {"objective": objective, "schedule": schedule, "augmentations": ["affine"]}
    whole, expected, _ = run(tmp_path, check=CrashingCheck(), **settings)
    begun = Checkpoint(str(tmp_path / "begun.npz"), {})
    with pytest.raises(CrashError):
        run(tmp_path, checkpoint=begun, check=CrashingCheck(crash), **settings)
    begun = Checkpoint(begun.path, {}).resumed()
    assert len(begun.history) == crash - 1
    model, resumed, finished = run(tmp_path, checkpoint=begun, check=CrashingCheck(), **settings)
    assert finished
    assert_same_weights(model, whole)
    assert len(resumed.history) == len(expected.history)
    for row, other in zip(resumed.history, expected.history, strict=True):
        assert (row["phase"], row["epoch"]) == (other["phase"], other["epoch"])
        assert row["val_loss"] == pytest.approx(other["val_loss"], rel=1e-4)


def callback(checkpoint, patience=None, phase=Phase("reconstruct", 1), check=None):  # noqa: B008
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, name="encoded")])
    model.compile(loss="mse")
    result = callbacks.CheckpointCallback(model, phase, patience, checkpoint, check=check)
    result.set_model(model)
    return result


def test_the_epoch_with_the_lowest_validation_loss_is_kept(tmp_path):
    checkpoint = Checkpoint(str(tmp_path / "c.npz"), {})
    best = callback(checkpoint)
    for epoch, loss in enumerate([3.0, 1.0, 2.0]):
        best.model.set_weights([np.full((1, 1), epoch), np.zeros(1)])
        best.on_epoch_end(epoch, {"loss": 1.0, "val_loss": loss})
    found = Checkpoint(str(tmp_path / "c.npz"), {}).resumed()
    assert (found.best, found.arrays["best"][0].item()) == (1, 1)
    assert found.arrays["weights"][0].item() == 2


class Precisions:
    """A RetrievalCheck that returns these values, epoch by epoch."""

    def __init__(self, *values):
        self.values = iter(values)

    def precision(self, network):
        return next(self.values)


def test_a_phase_that_learns_labels_keeps_the_epoch_with_the_highest_precision(tmp_path):
    checkpoint = Checkpoint(str(tmp_path / "c.npz"), {})
    separate = Phase("separate", 1, "encoder", "supervised_contrast", "labels")
    best = callback(checkpoint, 2, separate, Precisions(0.5, 0.7, 0.6, 0.65))
    for epoch, loss in enumerate([1.0, 2.0, 3.0, 4.0]):
        best.model.set_weights([np.full((1, 1), epoch), np.zeros(1)])
        best.on_epoch_end(epoch, {"loss": 1.0, "val_loss": loss})
        assert best.model.stop_training == (epoch == 3)
    assert checkpoint.arrays["best"][0].item() == 1


def test_patience_is_the_number_of_epochs_without_a_lower_loss(tmp_path):
    checkpoint = Checkpoint(str(tmp_path / "c.npz"), {})
    patient = callback(checkpoint, patience=2)
    stops = []
    for epoch, loss in enumerate([3.0, 1.0, 2.0, math.nan]):
        patient.on_epoch_end(epoch, {"loss": 1.0, "val_loss": loss})
        stops.append(patient.model.stop_training)
    assert stops == [False, False, False, True]
    # Killed here, the phase has also ended when it is resumed.
    assert callback(Checkpoint(str(tmp_path / "c.npz"), {}).resumed(), 2).is_out_of_patience()


@pytest.mark.parametrize(("loss", "val_loss"), [(math.nan, 1.0), (math.inf, 1.0), (1.0, math.nan)])
def test_a_loss_that_is_no_number_ends_the_training(loss, val_loss, tmp_path):
    checkpoint = Checkpoint(str(tmp_path / "c.npz"), {})
    with pytest.raises(DivergedError, match=r"diverged: in epoch 1 .* a lower --learning-rate"):
        callback(checkpoint).on_epoch_end(0, {"loss": loss, "val_loss": val_loss})
    assert not (tmp_path / "c.npz").exists()


@pytest.mark.parametrize("objective", ["reconstruction", "supcon"])
def test_a_training_that_diverges_leaves_no_checkpoint_of_its_own(objective, tmp_path):
    checkpoint = Checkpoint(str(tmp_path / "c.npz"), {})
    checkpoint.save()
    with pytest.raises(DivergedError):
        run(tmp_path, checkpoint=checkpoint, objective=objective, learning_rate=1e38)
    assert not (tmp_path / "c.npz").exists()


def test_a_checkpoint_that_was_resumed_stays_when_the_training_diverges(tmp_path):
    _, checkpoint, _ = run(tmp_path, epochs=1)
    checkpoint.phase = 0
    checkpoint.save()
    before = (tmp_path / "c.npz").read_bytes()
    with pytest.raises(DivergedError):
        run(tmp_path, checkpoint=checkpoint.resumed(), learning_rate=1e38)
    assert (tmp_path / "c.npz").read_bytes() == before


def test_a_model_whose_weights_are_no_numbers_is_not_written(tmp_path):
    paths = {name: str(tmp_path / name) for name in ("model", "encoder", "vis", "plot")}
    model = build()
    model.set_weights([np.full_like(weights, np.nan) for weights in model.get_weights()])
    splits = Splits(images("train", 2), images("test", 2), SPEC)
    with pytest.raises(ValueError, match=r"NaN or infinite, so .*model was not written"):
        write_training(model, splits, [], check=None, source={}, **paths)
    assert not list(tmp_path.iterdir())


def test_a_batch_that_memory_has_no_room_for_is_one_line():
    with pytest.raises(MemoryError, match="give a smaller --batch-size"), memory_errors():
        keras.ops.zeros((2**20, 2**20, 2**18), "bool")


def test_the_log_has_a_line_for_each_epoch_of_all_phases(tmp_path):
    log = tmp_path / "log.csv"
    run(tmp_path, objective="supcon", log=str(log), check=CrashingCheck())
    with log.open() as file:
        rows = list(csv.DictReader(file))
    assert [row["phase"] for row in rows] == [*["separate"] * 4, "decode"]
    assert list(rows[0]) == ["phase", "epoch", "loss", "val_loss", "P@10"]


def test_training_the_decoder_does_not_change_the_codes(tmp_path):
    after_each = []

    class Spy(CrashingCheck):
        def precision(self, encoder):
            after_each.append(encoder.predict_on_batch(images("test", 8).read(range(8), SPEC)))
            return len(after_each) / 10  # the last epoch is the best

    model, checkpoint, _ = run(tmp_path, objective="supcon", check=Spy(), epochs=1)
    assert [row["phase"] for row in checkpoint.history] == ["separate", "separate", "decode"]
    np.testing.assert_allclose(*after_each[1:], atol=1e-6)
    assert all(layer.trainable for layer in model.layers)


def test_the_saved_model_carries_no_optimizer(tmp_path, trained):
    model, _, _ = trained
    save_model(model, tmp_path / "model.h5", SPEC)
    # The tutorial's scripts load it like this; with a compiled MSE this would raise in Keras 3.
    loaded = keras.models.load_model(tmp_path / "model.h5")
    assert not loaded.compiled
    sample = images("test", 8).read(range(8), SPEC)
    np.testing.assert_allclose(loaded(sample), model(sample), atol=1e-6)


def test_a_built_model_is_trained_by_the_seed_and_comes_with_a_retrieval_check(tmp_path, trained):
    splits = images("train", 128), images("test", 32)
    checkpoint = Checkpoint(str(tmp_path / "b.npz"), {})
    plan = make_plan(epochs=2, batch_size=64, learning_rate=1e-2, augmentations=[], seed=3)
    result = trainer.build_and_train(build, Splits(*splits, SPEC), plan, checkpoint)
    assert result.finished
    assert_same_weights(result.autoencoder, trained[0])
    names = [name.split(", ")[0] for name in result.check.baselines]
    assert names == ["raw pixels", "PCA", "PCA", "HOG", "untrained"]
    assert all("P@10" in row for row in checkpoint.history)


def test_ctrl_c_keeps_the_best_weights_so_far(tmp_path):
    class Interrupt(CrashingCheck):
        def precision(self, encoder):
            try:
                return super().precision(encoder)
            except CrashError:
                raise KeyboardInterrupt from None

    model, checkpoint, finished = run(tmp_path, epochs=9, check=Interrupt(3))
    assert not finished
    assert len(checkpoint.history) == 2
    for a, b in zip(model.get_weights(), checkpoint.arrays["best"], strict=True):
        np.testing.assert_array_equal(a, b)
