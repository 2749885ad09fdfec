"""Twenty rounds of two writers with one process id: one of them is refused, and nothing is lost."""

import shutil
from pathlib import Path

import pytest

import index_images
from tests.scripts import result_of, run
from tests.test_kills import encoder  # noqa: F401  (a fixture)
from tests.test_nothing_lost import make_folder

ROUNDS = 20


def prepare(root, encoder):  # noqa: F811
    """Write the files before the rounds, in root/old, and those after one run, in root/new."""
    old = root / "old"
    old.mkdir()
    shutil.copy(encoder, old)
    photos = make_folder(root / "photos", range(60))
    index = [index_images, "-m", encoder, "--dataset", photos]
    for name in ("folder.pickle", "folder.h5", "engine.h5"):
        assert run(*index, "-i", old / name) == 0
    for part in (1, 2):
        assert run(*index, "-i", old / f"{part}.h5", "--shard", f"{part}/2") == 0
    for name in ("array.pickle", "array.h5"):
        assert run(index_images, "-m", encoder, "-i", old / name, "--limit", 200) == 0
    make_folder(photos / "new", range(100, 130))
    new = shutil.copytree(old, root / "new")
    for name in ("folder.pickle", "folder.h5"):
        assert run(index_images, "-i", new / name) == 0
    for name in ("array.pickle", "array.h5"):
        assert run(index_images, "-m", encoder, "-i", new / name, "--limit", 300) == 0
    assert run(index_images, "-i", new / "merged.h5", "--merge", new / "1.h5", new / "2.h5") == 0
    assert run(index_images, "-i", new / "engine.h5", "--engine", "IVF4,Flat") == 0


@pytest.mark.slow
def test_of_two_writers_with_one_process_id_one_writes_and_nothing_is_lost(
    tmp_path,
    encoder,  # noqa: F811
    python,
):
    prepare(tmp_path, encoder)
    found = result_of(python(Path(__file__).parent / "two_writers.py", tmp_path, ROUNDS))
    print(found)
    assert found["bad"] == []
    assert sum(found["outcomes"].values()) == 2 * ROUNDS
    assert found["outcomes"]["refused"] >= ROUNDS // 2
