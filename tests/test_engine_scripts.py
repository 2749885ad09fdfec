"""Engines through the real scripts: built with an index, kept with it, left aside elsewhere."""

import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest

import index_images
import search
from pyimagesearch.datasets.catalog import open_dataset
from pyimagesearch.engines import engine_file, tuning
from tests.scripts import MODEL, digit_file, error_of, run


@pytest.fixture
def index(small_index, tmp_path):
    """An index of 2,000 digits, in a folder of its own, that a test may change."""
    return shutil.copy(small_index, tmp_path / "index.pickle")


def results(capsys, index, *flags):
    """Return what a search for 3 test digits prints, as parsed JSON."""
    capsys.readouterr()
    assert run(search, "-i", index, "-s", 3, "--seed", 1, "--json", *flags) == 0
    return [json.loads(line)["results"] for line in capsys.readouterr().out.splitlines()]


def ids(found):
    return [result["id"] for result in found]


@pytest.mark.parametrize("engine", ["HNSW16", "IVF16,Flat", "SQ8", "hash:32", "clusters:4"])
def test_an_engine_gives_true_distances_in_ascending_order(index, capsys, engine):
    exact = results(capsys, index, "-k", 300)
    assert run(index_images, "-i", index, "--engine", engine) == 0
    assert f"{engine}, euclidean: recall@10" in capsys.readouterr().out
    for true, found in zip(exact, results(capsys, index), strict=True):
        distances = [result["distance"] for result in found]
        assert len(found) == 225
        assert distances == sorted(distances)
        known = {result["id"]: result["distance"] for result in true}
        common = [result for result in found if result["id"] in known]
        assert len(common) > 100
        for result in common:
            assert result["distance"] == pytest.approx(known[result["id"]], rel=1e-4)


def test_max_distance_works_with_an_engine_that_looks_everywhere(index, capsys):
    exact = results(capsys, index, "--max-distance", 40)
    assert run(index_images, "-i", index, "--engine", "IVF16,Flat") == 0
    found = results(capsys, index, "--max-distance", 40, "--probe", 16)
    assert list(map(ids, found)) == list(map(ids, exact))
    assert any(exact)


def test_a_wider_probe_finds_more(index, capsys):
    exact = results(capsys, index)
    assert run(index_images, "-i", index, "--engine", "clusters:8") == 0
    inside, all_clusters = results(capsys, index), results(capsys, index, "--probe", 8)
    assert list(map(ids, all_clusters)) == list(map(ids, exact))
    assert list(map(ids, inside)) != list(map(ids, exact))


def test_an_engine_for_the_other_metric_is_refused_with_the_command_that_builds_it(index, capsys):
    assert run(index_images, "-i", index, "--engine", "HNSW16") == 0
    message = error_of(capsys, search, "-i", index, "-s", 1, "--json", "--metric", "cosine")
    assert "is for euclidean distance, not cosine" in message
    command = message.partition("build it again with: python ")[2].split()
    assert command[0] == "index_images.py"
    assert run(index_images, *command[1:]) == 0
    assert len(results(capsys, index, "--metric", "cosine")) == 3


def test_with_the_engine_of_other_codes_a_search_is_exact_and_says_so(index, tmp_path, capsys):
    assert run(index_images, "-i", index, "--engine", "HNSW16") == 0
    other = tmp_path / "other.pickle"
    assert run(index_images, "-i", other, "-m", MODEL, "--limit", 2000, "--split", "test") == 0
    exact = results(capsys, other)
    shutil.copy(f"{index}.engine", f"{other}.engine")
    for flags in ([], ["--probe", 40]):
        assert results(capsys, other, *flags) == exact
    assert run(search, "-i", other, "-s", 1, "--json") == 0
    errors = capsys.readouterr().err
    assert "[WARNING] searching exactly: " in errors
    assert "was built for other codes than these: build it again with: python" in errors
    assert errors.strip().endswith("--engine HNSW16")


def test_while_an_engine_is_built_again_for_another_metric_a_search_is_exact(
    index, monkeypatch, capsys
):
    monkeypatch.setattr("pyimagesearch.evaluation.evaluate.QUERIES", 50)
    assert run(index_images, "-i", index, "--engine", "HNSW16") == 0
    former = Path(f"{index}.engine").read_bytes()
    assert run(index_images, "-i", index, "--limit", 2000, "--metric", "cosine") == 0
    Path(f"{index}.engine").write_bytes(former)
    exact = results(capsys, index)
    Path(f"{index}.engine").unlink()
    assert exact == results(capsys, index)
    assert run(search, "-i", index, "--evaluate", "--json") == 0


def test_an_engine_that_is_removed_while_it_is_opened_is_none(index, monkeypatch, capsys):
    exact = results(capsys, index)
    assert run(index_images, "-i", index, "--engine", "HNSW16") == 0

    def gone(path, *arguments):
        raise FileNotFoundError(path)

    monkeypatch.setattr(engine_file, "load_engine", gone)
    assert results(capsys, index) == exact


@pytest.mark.parametrize("content", [b"", b"PISENG01", b"x" * 100])
def test_a_damaged_engine_is_refused_with_the_remedy(index, capsys, content):
    with open(f"{index}.engine", "wb") as file:
        file.write(content)
    message = error_of(capsys, search, "-i", index, "-s", 1, "--json")
    assert "is not a complete engine file: build it again with: python index_images.py" in message


def test_an_index_is_refreshed_without_a_model_and_keeps_its_engine(index, capsys):
    before = results(capsys, index)
    assert run(index_images, "-i", index, "--engine", "IVF16,Flat", "--recall", 0.999) == 0
    assert run(index_images, "-i", index, "--recall", 0.999) == 0
    assert "IVF16,Flat, euclidean" in capsys.readouterr().out
    assert list(map(ids, results(capsys, index, "--probe", 16))) == list(map(ids, before))


def test_exact_search_needs_no_engine_file(index, tmp_path):
    assert run(index_images, "-i", index, "--engine", "SQ8") == 0
    assert run(index_images, "-i", index, "--engine", "exact") == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["index.pickle"]


def test_auto_says_what_it_chose_and_why(index, capsys):
    assert run(index_images, "-i", index, "--engine", "auto") == 0
    assert "auto chose exact: 2,000 codes are few enough" in capsys.readouterr().err


@pytest.mark.parametrize("engine", ["FOO", "hash:12", "clusters:x", "PQ7"])
def test_an_unknown_engine_is_refused_before_any_work(index, tmp_path, capsys, engine):
    before = index.read_bytes()
    index_path = ["-i", index]
    message = error_of(capsys, index_images, *index_path, "--engine", engine)
    assert engine.partition(":")[2] in message
    assert "/" not in message.replace(str(index), "")  # nothing of where in FAISS it happened
    assert index.read_bytes() == before
    assert not (tmp_path / "index.pickle.engine").exists()


def test_an_engine_that_cannot_reach_its_recall_says_so(index, capsys, monkeypatch):
    assert run(index_images, "-i", index, "--engine", "hash:8") == 0
    assert "WARNING" not in capsys.readouterr().err
    monkeypatch.setattr(tuning, "MAX_SHORTLIST", 40)
    assert run(index_images, "-i", index, "--engine", "hash:8") == 0
    assert "at its widest, not 0.98: choose another engine" in capsys.readouterr().err


def test_clusters_are_drawn_and_their_number_is_chosen_by_the_elbow(index, tmp_path, capsys):
    assert run(index_images, "-i", index, "--engine", "clusters") == 0
    chosen = int(capsys.readouterr().out.partition("clusters:")[2].partition(",")[0])
    assert 2 <= chosen <= 20
    assert cv2.imread(str(tmp_path / "elbow.png")).shape[0] > 400
    sheet = cv2.imread(str(tmp_path / "clusters.png"))
    assert sheet.shape[0] > chosen * 100
    (tmp_path / "elbow.png").unlink()
    assert run(index_images, "-i", index, "--engine", "clusters:3") == 0
    assert not (tmp_path / "elbow.png").exists()


def test_a_picture_of_the_users_is_not_replaced_by_clusters(index, tmp_path, capsys):
    photo = cv2.imencode(".png", np.zeros((9, 9), np.uint8))[1].tobytes()
    (tmp_path / "clusters.png").write_bytes(photo)
    assert run(index_images, "-i", index, "--engine", "clusters:3") == 0
    assert "[WARNING] the clusters are not drawn: a new picture would replace" in (
        capsys.readouterr().err
    )
    assert (tmp_path / "clusters.png").read_bytes() == photo


def test_probing_an_exact_search_is_refused(index, capsys):
    message = error_of(capsys, search, "-i", index, "-s", 1, "--json", "--probe", 4)
    assert "is searched exactly, which has nothing to probe" in message


def test_an_evaluation_tells_what_the_engine_misses(tmp_path, capsys):
    mnist, index = open_dataset("mnist", "test"), tmp_path / "index.pickle"
    images, labels = mnist.images[:1200], mnist.labels[:1200]
    arrays = {"x_train": images[:1000], "y_train": labels[:1000]}
    np.savez(tmp_path / "few.npz", **arrays, x_test=images[1000:], y_test=labels[1000:])
    flags = ["-m", MODEL, "--dataset", tmp_path / "few.npz", "--engine", "clusters:8"]
    assert run(index_images, "-i", index, *flags) == 0
    capsys.readouterr()
    assert run(search, "-i", index, "--evaluate", "--json") == 0
    engine = json.loads(capsys.readouterr().out)["engine"]
    assert engine["name"] == "clusters:8"
    assert 0.3 < engine["recall@10"] < 1
    assert 0.3 < engine["recall@225"] < 1
    assert run(search, "-i", index, "--evaluate") == 0
    assert "engine clusters:8, probe 1: of exact search's nearest 10" in capsys.readouterr().out


def test_without_a_model_there_must_be_an_index_that_carries_one(tmp_path, capsys):
    message = error_of(capsys, index_images, "-i", tmp_path / "none.pickle")
    assert "pass the model to make it with, such as --model FILE" in message


def test_queries_are_combined_with_weights_that_may_be_negative(index, tmp_path, capsys):
    seven, four = digit_file(tmp_path, 0), digit_file(tmp_path, 4)
    capsys.readouterr()
    flags = ["--combine", "-k", 5, "--output", tmp_path / "out", "--json"]
    assert run(search, "-i", index, "--query", f"2:{seven}", f"-1:{four}", *flags) == 0
    [line] = capsys.readouterr().out.splitlines()
    assert json.loads(line)["query"] == f"2:{seven} -1:{four}"
    sheet = cv2.imread(str(tmp_path / "out" / "query_0.png"))
    assert sheet.shape[1] >= 320  # both pictures, side by side


def test_a_combination_of_indexed_pictures_finds_others_than_those(index, capsys):
    capsys.readouterr()
    assert run(search, "-i", index, "--query-id", 5, 7, "--combine", "-k", 50, "--json") == 0
    found = ids(json.loads(capsys.readouterr().out)["results"])
    assert len(found) == 50
    assert not {5, 7} & set(found)


def test_a_combination_needs_something_to_combine(index, capsys):
    with pytest.raises(SystemExit) as exit_status:
        run(search, "-i", index, "--combine", "--json")
    assert exit_status.value.code == 2
    assert "--combine has no effect without --query or --query-id" in capsys.readouterr().err


def test_a_map_marks_the_query_and_its_results(index, tmp_path):
    flags = ["--query-id", 3, 4, "-k", 20, "--map", "--output", tmp_path]
    assert run(search, "-i", index, *flags) == 0
    first, second = (cv2.imread(str(tmp_path / f"map_{number}.png")) for number in (0, 1))
    red = (first == (0, 0, 255)).all(axis=2)
    assert red.sum() > 30
    assert (np.where(red)[0].mean(), np.where(red)[1].mean()) != (
        np.where((second == (0, 0, 255)).all(axis=2))[0].mean(),
        np.where((second == (0, 0, 255)).all(axis=2))[1].mean(),
    )
