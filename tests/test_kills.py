"""Sixty runs killed at random moments: the files they leave are whole, and a rerun completes."""

import shutil
from pathlib import Path

import pytest

import index_images
from pyimagesearch.convautoencoder import ConvAutoencoder
from pyimagesearch.encoders.export import save_encoder
from pyimagesearch.encoders.keras_files import save_model
from pyimagesearch.pictures.input_spec import InputSpec
from tests.scripts import result_of, run
from tests.test_nothing_lost import make_folder

COUNTS = {"pickle": 12, "hdf5": 14, "new": 8, "engine": 8, "merge": 8, "training": 10}


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    """An encoder file, so that indexing does not wait for TensorFlow."""
    path = tmp_path_factory.mktemp("encoder") / "encoder.onnx"
    save_encoder(ConvAutoencoder.build(28, 28, 1, (4,), 8), path, InputSpec(28, 28, 1))
    return path


def prepare(scenario, root, encoder):
    """Write the files that the runs of a scenario begin with, in root/old."""
    old = root / "old"
    old.mkdir()
    if scenario == "training":
        save_model(
            ConvAutoencoder.build(28, 28, 1, (4,), 4), old / "model.keras", InputSpec(28, 28, 1)
        )
        return
    shutil.copy(encoder, old)
    photos = make_folder(root / "photos", range(90))
    index = [index_images, "-m", encoder, "--dataset", photos]
    if scenario == "new":
        shutil.copytree(photos, old / "photos")
    elif scenario == "merge":
        for i in (1, 2):
            assert run(*index, "-i", old / f"{i}.h5", "--shard", f"{i}/2") == 0
    else:
        name = "index.pickle" if scenario == "pickle" else "index.h5"
        engine = [] if scenario == "pickle" else ["--engine", "HNSW8"]
        assert run(*index, "-i", old / name, *engine) == 0
    if scenario in ("pickle", "hdf5"):  # to be synchronized, with additions and deletions
        for path in sorted(photos.glob("*/*"))[::4]:
            path.unlink()
        make_folder(photos / "new", range(100, 160))


@pytest.mark.slow
@pytest.mark.parametrize("scenario", COUNTS)
def test_a_kill_leaves_the_old_files_or_the_new_and_a_rerun_completes(
    scenario, tmp_path, encoder, python
):
    prepare(scenario, tmp_path, encoder)
    found = result_of(
        python(Path(__file__).parent / "kills.py", scenario, tmp_path, COUNTS[scenario], 7)
    )
    print(scenario, found)
    assert found["bad"] == [], found
    assert sum(found["outcomes"].values()) == COUNTS[scenario]
