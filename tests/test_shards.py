"""Shards: every picture is in one, stays there, and the parts join to the whole."""

import shutil
from itertools import pairwise

import numpy as np
import pytest
from scripts import KERAS_MODEL, MODEL, error_of, run

import index_images
import search
from pyimagesearch.indexes.index_file import load_index
from pyimagesearch.indexes.settings import Shard
from pyimagesearch.indexes.shards import parse_shard, shard_range, shard_rows, stable_hash
from tests.picture_files import fill


def index(path, folder, *flags):
    assert run(index_images, "-m", MODEL, "-i", path, "--dataset", folder, *flags) == 0
    return load_index(path)


@pytest.fixture
def folder(tmp_path):
    fill(tmp_path / "pictures", *(f"{'ab'[i % 2]}/{i}.png" for i in range(30)))
    return tmp_path / "pictures"


@pytest.mark.parametrize("count", [1, 2, 3, 7, 1000])
def test_every_hash_is_in_one_shard(count):
    ranges = [shard_range(Shard(number, count)) for number in range(count)]
    assert ranges[0].start == 0
    assert ranges[-1].stop == 2**63
    assert all(a.stop == b.start for a, b in pairwise(ranges))


def test_shards_are_of_about_one_size_and_do_not_change():
    ids = [f"{i}.jpg" for i in range(3000)]
    sizes = [len(shard_rows(ids, Shard(number, 3))) for number in range(3)]
    assert sum(sizes) == 3000
    assert min(sizes) > 900
    assert stable_hash("a/b.jpg") == 3744377629895026263


def test_added_files_move_no_others():
    ids = [f"{i}.jpg" for i in range(100)]
    before = {ids[row] for row in shard_rows(ids, Shard(1, 4))}
    more = sorted([*ids, "0a.jpg", "zz.jpg"])
    assert before <= {more[row] for row in shard_rows(more, Shard(1, 4))}


def test_zero_of_n_is_n_of_n():
    assert parse_shard("0/4") == parse_shard("4/4") == Shard(0, 4)
    assert parse_shard("3/4") == Shard(3, 4)


@pytest.mark.parametrize("text", ["", "1", "5/4", "1/0", "-1/4", "a/b", "1/4/2", "1.0/2"])
def test_what_is_no_shard_is_refused(text, tmp_path, capsys):
    flags = ["-m", MODEL, "-i", tmp_path / "i.h5", f"--shard={text}"]
    if text:
        assert "expected a shard as I/N" in error_of(capsys, index_images, *flags)
    else:
        with pytest.raises(ValueError, match="expected a shard as I/N"):
            parse_shard(text)


@pytest.mark.parametrize("suffix", [".h5", ".pickle"])
def test_shards_of_a_folder_join_to_its_index(folder, tmp_path, suffix):
    whole = index(tmp_path / f"whole{suffix}", folder)
    parts = [tmp_path / f"part{i}{suffix}" for i in (1, 2, 3)]
    for number, path in enumerate(parts, 1):
        index(path, folder, "--shard", f"{number}/3")
    assert run(index_images, "--merge", *parts, "-i", tmp_path / f"all{suffix}") == 0
    joined = load_index(tmp_path / f"all{suffix}")
    assert list(joined.ids) == list(whole.ids)
    np.testing.assert_allclose(joined.codes, whole.codes, atol=1e-5)
    assert (joined.file_stats == whole.file_stats).all()
    assert (joined.labels == whole.labels).all()
    assert (joined.label_names, joined.source) == (whole.label_names, whole.source)


def test_shards_of_an_array_join_to_its_index(tmp_path, capsys):
    arguments = ["-m", MODEL, "--limit", 300]
    parts = [tmp_path / f"part{i}.h5" for i in (0, 1)]
    for number, path in enumerate(parts):
        assert run(index_images, *arguments, "-i", path, "--shard", f"{number}/2") == 0
    assert run(index_images, *arguments, "-i", tmp_path / "whole.h5") == 0
    assert run(index_images, "--merge", *parts, "-i", tmp_path / "all.h5", "--engine", "HNSW4") == 0
    assert run(index_images, "--merge", *parts, "-i", tmp_path / "all.h5") == 0
    assert load_index(tmp_path / "all.h5").engine.name == "HNSW4"  # as long as no flag changes it
    whole, joined = (load_index(tmp_path / name) for name in ("whole.h5", "all.h5"))
    assert list(joined.ids) == list(whole.ids)
    np.testing.assert_allclose(joined.codes, whole.codes, atol=1e-5)
    assert (joined.labels == whole.labels).all()
    capsys.readouterr()
    assert run(search, "-i", tmp_path / "all.h5", "-s", 2, "--seed", 1, "--json") == 0
    assert len(capsys.readouterr().out.splitlines()) == 2


def test_a_shard_keeps_and_drops_only_its_own(folder, tmp_path, capsys):
    path = tmp_path / "part.h5"
    own = list(index(path, folder, "--shard", "1/2").ids)
    foreign = next(i for i in index(tmp_path / "other.h5", folder, "--shard", "2/2").ids)
    (folder / own[0]).unlink()
    (folder / foreign).unlink()
    capsys.readouterr()
    assert list(index(path, folder, "--shard", "1/2").ids) == own[1:]
    assert "added 0, changed 0, removed 1" in capsys.readouterr().out


def test_the_file_of_another_shard_is_not_overwritten(folder, tmp_path, capsys):
    path = tmp_path / "part.h5"
    index(path, folder, "--shard", "1/2")
    before = path.read_bytes()
    flags = ["-m", MODEL, "-i", path, "--dataset", folder, "--shard", "2/2"]
    capsys.readouterr()
    assert "that are not in shard 2/2: give this shard an index of its own" in error_of(
        capsys, index_images, *flags
    )
    assert path.read_bytes() == before


def test_other_models_metrics_and_repeated_ids_are_not_joined(folder, tmp_path, capsys):
    index(tmp_path / "a.h5", folder, "--shard", "1/2")
    index(tmp_path / "b.h5", folder, "--shard", "2/2", "--metric", "cosine")
    model = tmp_path / "other.h5"
    shutil.copy(KERAS_MODEL, model)
    shutil.copy(tmp_path / "a.h5", tmp_path / "c.h5")
    assert run(index_images, "-m", model, "-i", tmp_path / "d.h5", "--dataset", folder) == 0
    capsys.readouterr()
    for other, message in {
        "b.h5": "has another metric",
        "c.h5": "ids are in more than one of the files, such as ",
        "d.h5": "was made with another encoder, other.h5",
        "none.h5": "no such index",
    }.items():
        flags = ["--merge", tmp_path / "a.h5", tmp_path / other, "-i", tmp_path / "all.h5"]
        assert message in error_of(capsys, index_images, *flags)
        assert not (tmp_path / "all.h5").exists()


def test_a_shard_without_pictures_is_one_line(tmp_path, capsys):
    fill(tmp_path / "pictures", "a.png")
    flags = ["-m", MODEL, "-i", tmp_path / "i.h5", "--dataset", tmp_path / "pictures"]
    number = 2 if len(shard_rows(["a.png"], Shard(1, 2))) else 1
    assert "none of the 1 images is in shard" in error_of(
        capsys, index_images, *flags, "--shard", f"{number}/2"
    )
