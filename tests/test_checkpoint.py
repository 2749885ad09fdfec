import json
import pickle

import numpy as np
import pytest
from picture_files import fill

from pyimagesearch.datasets.folder import FolderDataset
from pyimagesearch.training.checkpoint import Checkpoint, images_digest


def saved(path, **settings):
    checkpoint = Checkpoint(str(path), {"epochs": 3, **settings}, phase=1, epoch=2, best=0.5)
    checkpoint.history.append({"phase": "decode", "epoch": 1, "loss": 0.25})
    checkpoint.arrays = {"weights": [np.eye(2, dtype=np.float32), np.arange(3)], "targets": []}
    checkpoint.save()
    return checkpoint


def test_a_checkpoint_is_read_as_it_was_saved(tmp_path):
    before = saved(tmp_path / "c.npz")
    after = Checkpoint(before.path, before.settings).resumed()
    assert (after.phase, after.epoch, after.best, after.history) == (1, 2, 0.5, before.history)
    assert after.arrays["targets"] == []
    for a, b in zip(after.arrays["weights"], before.arrays["weights"], strict=True):
        np.testing.assert_array_equal(a, b)
        assert a.dtype == b.dtype


def test_without_a_file_a_training_starts_from_the_beginning(tmp_path):
    fresh = Checkpoint(str(tmp_path / "none.npz"), {})
    assert fresh.resumed() is fresh


def test_other_settings_are_refused_by_name(tmp_path):
    saved(tmp_path / "c.npz", seed=1)
    with pytest.raises(ValueError, match="started with seed 1, received 2"):
        Checkpoint(str(tmp_path / "c.npz"), {"epochs": 3, "seed": 2}).resumed()


def test_a_checkpoint_of_an_objective_under_its_former_name_is_resumed(tmp_path):
    saved(tmp_path / "c.npz", objective="triplet")
    settings = {"epochs": 3, "objective": "supcon"}
    assert Checkpoint(str(tmp_path / "c.npz"), settings).resumed().epoch == 2
    with pytest.raises(ValueError, match="started with objective supcon, received neighbours"):
        Checkpoint(str(tmp_path / "c.npz"), {"epochs": 3, "objective": "neighbours"}).resumed()


def test_a_training_is_not_resumed_with_other_images(tmp_path):
    """The targets of a phase belong to rows, which a file more or less would move."""
    fill(tmp_path / "pictures", "a.png", "b.png", "c.png")
    started = images_digest(FolderDataset(tmp_path / "pictures"))
    assert images_digest(FolderDataset(tmp_path / "pictures")) == started
    (tmp_path / "pictures" / "b.png").unlink()
    now = images_digest(FolderDataset(tmp_path / "pictures"))
    saved(tmp_path / "c.npz", images=started)
    assert Checkpoint(str(tmp_path / "c.npz"), {"epochs": 3, "images": started}).resumed().epoch
    with pytest.raises(ValueError, match="the training images are others"):
        Checkpoint(str(tmp_path / "c.npz"), {"epochs": 3, "images": now}).resumed()
    saved(tmp_path / "c.npz")  # by a version that did not store them
    assert Checkpoint(str(tmp_path / "c.npz"), {"epochs": 3, "images": now}).resumed().epoch == 2


def test_the_next_phase_starts_at_epoch_0_with_nothing_but_the_weights(tmp_path):
    checkpoint = saved(tmp_path / "c.npz")
    checkpoint.start_next_phase([np.ones(2)])
    found = Checkpoint(checkpoint.path, checkpoint.settings).resumed()
    assert (found.phase, found.epoch, found.best) == (2, 0, float("inf"))
    assert found.history == checkpoint.history
    assert list(found.arrays) == ["weights"]


@pytest.mark.parametrize("content", [b"", b"text", b"PK\3\4 cut short"])
def test_a_broken_file_is_refused(tmp_path, content):
    (tmp_path / "c.npz").write_bytes(content)
    with pytest.raises(ValueError, match=r"cannot resume from .*: delete it to start again$"):
        Checkpoint(str(tmp_path / "c.npz"), {}).resumed()


def test_a_pickle_in_its_place_is_not_opened(tmp_path):
    class Exploit:
        def __reduce__(self):
            return (tmp_path / "harmed").touch, ()

    (tmp_path / "c.npz").write_bytes(pickle.dumps(Exploit()))
    with pytest.raises(ValueError, match="cannot resume from"):
        Checkpoint(str(tmp_path / "c.npz"), {}).resumed()
    np.savez(tmp_path / "c.npz", state=np.array([Exploit()], object))
    with pytest.raises(ValueError, match="cannot resume from"):
        Checkpoint(str(tmp_path / "c.npz"), {}).resumed()
    assert not (tmp_path / "harmed").exists()


def test_a_failed_write_leaves_the_previous_checkpoint(tmp_path, monkeypatch):
    before = saved(tmp_path / "c.npz")

    archives = []

    def fail_half_way(file, array, **options):
        archives.append(file._zipfile)
        file.write(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(np.lib.format, "write_array", fail_half_way)
    with pytest.raises(OSError, match="disk full"):
        before.save()
    monkeypatch.undo()
    assert archives[0].fp is None  # closed: Python would report later that it cannot be closed
    assert Checkpoint(before.path, before.settings).resumed().epoch == 2
    before.remove()
    assert list(tmp_path.iterdir()) == []


def write_state(path, **changes):
    """Write a checkpoint whose state is changed."""
    state = {"settings": {}, "phase": 0, "epoch": 0, "history": [], "best": 0.5, "counts": {}}
    text = json.dumps({**state, **changes})
    np.savez(path, state=np.array(text))


@pytest.mark.parametrize(
    "changes",
    [
        {"settings": []},
        {"phase": "0"},
        {"phase": -1},
        {"epoch": 1.5},
        {"history": [1]},
        {"best": "0"},
        {"counts": {"weights": 10**9}},
        {"counts": {"weights": "many"}},
        {"x" * 10_000: 1},
        {"settings": {"x" * 10_000: "y" * 10_000}},
        {"settings": {"filters": [[1] * 10_000]}},
        {"settings": {"objective": "\x1b[31m" * 10_000}},
        {"history": [{}] * 2_000_000},
    ],
    ids=range(13),
)
def test_a_state_of_another_form_is_refused_in_a_short_line(changes, tmp_path):
    write_state(tmp_path / "c.npz", **changes)
    with pytest.raises(ValueError, match="cannot resume from") as error:
        Checkpoint(str(tmp_path / "c.npz"), {}).resumed()
    assert len(str(error.value)) < 500 + len(str(tmp_path))
    assert str(error.value).isprintable()


@pytest.mark.parametrize("state", [np.array(["{}"] * 2), np.array(5), np.zeros((0,), "U9")])
def test_a_state_that_is_no_text_is_refused(state, tmp_path):
    np.savez(tmp_path / "c.npz", state=state)
    with pytest.raises(ValueError, match="it has no state as text"):
        Checkpoint(str(tmp_path / "c.npz"), {}).resumed()


def test_a_small_file_of_large_arrays_is_refused_before_they_are_read(tmp_path):
    np.savez_compressed(tmp_path / "c.npz", state=np.array("{}"), weights_0=np.zeros(10**7))
    assert (tmp_path / "c.npz").stat().st_size < 10**6
    checkpoint = Checkpoint(str(tmp_path / "c.npz"), {})
    with pytest.raises(ValueError, match="compressed"):
        checkpoint.resumed()
    with pytest.raises(ValueError, match="checkpoint of an interrupted training"):
        checkpoint.require_unused()


def test_of_settings_that_differ_the_dataset_is_named_as_others_follow_from_it(tmp_path):
    path = str(tmp_path / "c.npz")
    Checkpoint(path, {"architecture": "conv", "dataset": "mnist"}).save()
    with pytest.raises(ValueError, match=r"started with dataset mnist.* \(give --dataset mnist\)"):
        Checkpoint(path, {"architecture": "patches", "dataset": "fashion_mnist"}).resumed()
