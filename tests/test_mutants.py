"""Damaged files of every kind are refused, or give the data as they were: 5,800 of them."""

import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
from picture_files import ENCODED

import index_images
from pyimagesearch.convautoencoder import ConvAutoencoder
from pyimagesearch.datasets.catalog import open_dataset
from pyimagesearch.encoders.encoder import Encoder
from pyimagesearch.encoders.export import save_encoder
from pyimagesearch.encoders.keras_files import save_model
from pyimagesearch.indexes.journal import open_journal
from pyimagesearch.pictures.input_spec import InputSpec
from pyimagesearch.training.checkpoint import Checkpoint
from tests.scripts import MODEL, result_of, run
from tests.test_nothing_lost import make_folder

COUNTS = {
    "index": 800,
    "hostile": 800,
    "opcodes": 2000,
    "engine": 600,
    "model": 400,
    "encoder": 200,
    "dataset": 200,
    "checkpoint": 200,
    "journal": 300,
    "picture": 300,
}


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """One folder for each kind, with sound files of it."""
    root = tmp_path_factory.mktemp("sound")
    for kind in COUNTS:
        (root / kind).mkdir()
    photos = make_folder(root / "photos", range(40))
    for suffix in ("h5", "pickle"):
        flags = ["-m", MODEL, "--dataset", photos, "-i", root / "index" / f"photos.{suffix}"]
        assert run(index_images, *flags) == 0
        flags = ["-m", MODEL, "--limit", 60, "-i", root / "index" / f"digits.{suffix}"]
        assert run(index_images, *flags) == 0
        shutil.copy(root / "index" / f"photos.{suffix}", root / "hostile")
    for name in ("photos.pickle", "digits.pickle"):
        shutil.copy(root / "index" / name, root / "opcodes")
    for name in ("HNSW16", "IVF16,SQ8", "clusters:8", "hash:32"):
        path = root / "engine" / f"{name.partition(',')[0].replace(':', '')}.h5"
        flags = ["-m", MODEL, "--limit", 700, "--engine", name, "-i", path]
        assert run(index_images, *flags) == 0
    model, spec = ConvAutoencoder.build(28, 28, 1, (4,), 4), InputSpec(28, 28, 1, "crop")
    save_model(model, root / "model" / "model.keras", spec)
    save_model(model, root / "model" / "model.h5", spec)
    save_encoder(model, root / "encoder" / "encoder.onnx", spec)
    digits = open_dataset("mnist", "train", 50)
    np.savez(root / "dataset" / "digits.npz", x_train=digits.images, y_train=digits.labels)
    np.savez_compressed(
        root / "dataset" / "small.npz", x_train=digits.images, y_train=digits.labels
    )
    weights = {"weights": model.get_weights(), "best": model.get_weights(), "targets": []}
    history = [{"phase": "reconstruct", "epoch": 1, "loss": 0.5, "val_loss": 0.25}]
    path = root / "checkpoint" / "model.h5.checkpoint.npz"
    Checkpoint(path, {"objective": "reconstruction"}, 0, 1, history, 0.25, weights).save()
    write_journal(root / "journal")
    for name, data in ENCODED.items():
        (root / "picture" / name).write_bytes(data)
    return root


def write_journal(folder):
    random = np.random.default_rng(0)
    encoder = Encoder(b"none", InputSpec(28, 28, 1), 16, "model.h5", "0" * 64)
    rows = []
    with pytest.raises(RuntimeError), open_journal(folder / "index.h5", encoder) as journal:
        for i in range(60):
            code = random.standard_normal(16).astype(np.float32)
            row = f"{i:03}.png", 100 + i, 10**18 + i, random.bytes(16), code
            journal.add(*row)
            rows.append((*row[:4], code.tobytes()))
        raise RuntimeError  # as after an interruption
    (folder / "journal.rows").write_bytes(pickle.dumps(rows))


@pytest.mark.slow
@pytest.mark.parametrize("kind", COUNTS)
def test_damaged_files_are_refused_or_give_the_data_as_they_were(kind, files, python):
    found = result_of(python(Path(__file__).parent / "mutants.py", kind, files, COUNTS[kind], 1))
    print(kind, found)
    assert found["first"] == {}, found
    assert found["peak"] < 2 << 30
    assert found["outcomes"]["refused"] > 0
