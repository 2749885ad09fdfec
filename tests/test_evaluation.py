"""What an evaluation measures, leaves out and says about it."""

import numpy as np
import pytest
from picture_files import fill

from pyimagesearch.datasets.catalog import open_dataset
from pyimagesearch.datasets.folder import FolderDataset
from pyimagesearch.engines.exact import ExactEngine
from pyimagesearch.engines.factory import build_engine
from pyimagesearch.evaluation.evaluate import Moved, evaluate_index, labels_in
from pyimagesearch.evaluation.score_table import score_table, worse_than_baselines
from pyimagesearch.pictures.input_spec import InputSpec
from pyimagesearch.queries.expansion import expand_queries, expanded


class Pixels:
    """An encoder whose codes are the pixels."""

    spec = InputSpec(28, 28, 1)

    def encode(self, images):
        return images.reshape(len(images), -1)


def codes_of(dataset):
    return Pixels().encode(dataset.read(range(len(dataset)), Pixels.spec))


@pytest.fixture(scope="module")
def digits():
    return open_dataset("mnist", "train", 600), open_dataset("mnist", "test", 300)


def measure(gallery, queries=None, metric="euclidean", **options):
    codes = codes_of(gallery)
    engine = ExactEngine(codes, metric)
    return evaluate_index(codes, Pixels(), gallery, engine, queries=queries, **options)


def test_a_random_part_of_the_queries_is_measured_and_its_error_is_told(digits, caplog):
    caplog.set_level("INFO")
    everything = measure(*digits)
    part = measure(*digits, most=100)
    assert "searching for 100 of 300 images, drawn at random" in caplog.text
    for name, row in part.items():
        assert row["queries"] == 100
        assert everything[name]["queries"] == 300
        assert row["mAP"] != everything[name]["mAP"]
        assert abs(row["mAP"] - everything[name]["mAP"]) < 4 * row["mAP error"]
    assert measure(*digits, most=100) == part  # the same ones each time


def test_the_error_is_the_standard_error_of_the_mean(digits):
    gallery, queries = open_dataset("mnist", "train", 100), digits[1]
    few = list(queries.ids)[:6]
    single = [measure(gallery, queries.with_ids([id])) for id in few]
    precisions = [scores["code, 784-d"]["mAP"] for scores in single]
    row = measure(gallery, queries.with_ids(few))["code, 784-d"]
    assert row["mAP"] == pytest.approx(np.mean(precisions))
    assert row["mAP error"] == pytest.approx(np.std(precisions, ddof=1) / 6**0.5)


def test_every_row_names_its_metric(digits):
    scores = measure(*digits, metric="cosine")
    assert [row["metric"] for row in scores.values()] == [
        *("cosine", "euclidean", "euclidean", "cosine", "euclidean")
    ]
    head, *lines = score_table(scores).splitlines()
    assert head.split()[0] == "metric"
    assert lines[0].split()[:4] == [
        "code,",
        "784-d",
        "cosine",
        f"{scores['code, 784-d']['P@1']:.4f}",
    ]


def test_columns_that_say_nothing_are_left_out():
    row = {"metric": "euclidean", "mAP": 0.9, "mAP error": 0.01, "queries": 9}
    scores = {"code": row | {"P@1": 1, "R@1": 0.0002, "P@10": 0.9, "R@10": 0.2}}
    assert score_table(scores).splitlines()[0].split()[:5] == [
        "metric",
        "P@1",
        "P@10",
        "R@10",
        "mAP",
    ]


def test_queries_of_labels_that_the_index_lacks_are_named(digits, caplog):
    gallery, queries = digits
    few = gallery.with_ids([str(row) for row in np.flatnonzero(gallery.labels < 8)])
    scores = measure(few, queries)
    lacking = np.count_nonzero(queries.labels >= 8)
    message = f"{lacking} of 300 queries are left out: the index has no images with their labels"
    assert f"{message} (8, 9)" in caplog.text
    assert scores["code, 784-d"]["queries"] == 300 - lacking


def test_labels_that_the_index_lacks_are_named_beside_images_without_a_label(tmp_path, caplog):
    fill(tmp_path, "gallery/cats/0.png", "gallery/dogs/0.png", "gallery/0.png")
    fill(tmp_path, "queries/birds/0.png", "queries/cats/0.png")
    folder = FolderDataset(tmp_path / "gallery")
    queries = FolderDataset(tmp_path / "queries")
    measure(folder, queries)
    assert "1 of 2 queries are left out: the index has no images with their labels (birds)" in (
        caplog.text
    )


def test_images_that_are_alone_with_their_label_are_told(tmp_path, caplog):
    caplog.set_level("INFO")
    fill(tmp_path, "a/0.png", "a/1.png", "b/0.png", "c/0.png")
    assert {row["queries"] for row in measure(FolderDataset(tmp_path)).values()} == {2}
    assert "2 of 4 queries are left out: no other image of the index has their label" in (
        caplog.text
    )
    (tmp_path / "a" / "1.png").unlink()
    with pytest.raises(ValueError, match="no query shares its label with another image"):
        measure(FolderDataset(tmp_path))


def test_only_codes_that_need_no_training_are_called_so():
    row = {"metric": "euclidean", "mAP error": 0.01, "queries": 9, "P@1": 0.5}
    code = {"code, 3-d": row | {"mAP": 0.4}, "code, 3-d, --expand 2": row | {"mAP": 0.6}}
    assert worse_than_baselines(code) == []
    [line] = worse_than_baselines({**code, "PCA, 3-d": row | {"mAP": 0.5}})
    assert "expand" not in line
    assert "PCA, 3-d (0.5000 to 0.4000 mAP)" in line


def test_labels_are_compared_by_their_text(tmp_path):
    fill(tmp_path, "gallery/cats/0.png", "gallery/3/0.png", "queries/3/0.png", "queries/7/0.png")
    folder = FolderDataset(tmp_path / "gallery")
    array = open_dataset("mnist", "test", 4)
    array.labels = np.array([0, 1, 3, -1])
    three = folder.label_names.index("3")
    assert labels_in(folder, array).tolist() == [-1, -1, three, -1]
    assert labels_in(array, FolderDataset(tmp_path / "queries")).tolist() == [3, -1]
    array.labels[:3] = 9
    with pytest.raises(ValueError, match="no query shares a label with the index"):
        evaluate_index(codes_of(folder), Pixels(), folder, None, queries=array)


def test_one_label_is_nothing_to_measure(digits):
    gallery, _ = digits
    ones = gallery.with_ids([str(row) for row in np.flatnonzero(gallery.labels == 1)])
    with pytest.raises(ValueError, match="one label: any ranking of them is right"):
        measure(ones, ones)


def test_queries_without_a_label_are_counted(digits, caplog):
    gallery, queries = digits
    caplog.set_level("INFO")
    some = queries.with_ids(list(queries.ids)[:20])
    some.labels[:5] = -1
    assert measure(gallery, some)["code, 784-d"]["queries"] == 15
    assert "5 of 20 queries have no label and are left out" in caplog.text


def test_nothing_is_told_of_more_results_than_there_are(tmp_path, random):
    images = random.random((20, 28, 28), np.float32)
    np.savez(tmp_path / "few.npz", x_train=images)
    scores = measure(open_dataset(str(tmp_path / "few.npz")))
    assert {key for key in scores["code, 784-d"] if "@" in key} == {"P@1", "P@10", "R@1", "R@10"}
    np.savez(tmp_path / "one.npz", x_train=images[:1])
    with pytest.raises(ValueError, match="one image: there is nothing to rank it among"):
        measure(open_dataset(str(tmp_path / "one.npz")))


def test_unreadable_pictures_are_neither_searched_for_nor_found(tmp_path):
    fill(tmp_path, *(f"gallery/{c}/{i}.png" for c in "ab" for i in range(4)))
    fill(tmp_path, *(f"queries/{c}/{i}.png" for c in "ab" for i in range(3)))
    fill(tmp_path, "queries/a/bad.png", data=b"\x89PNG\r\n\x1a\nbroken")
    gallery = FolderDataset(tmp_path / "gallery")
    codes = codes_of(gallery)
    (tmp_path / "gallery" / "b" / "3.png").write_bytes(b"\x89PNG\r\n\x1a\nbroken")
    queries = FolderDataset(tmp_path / "queries")
    scores = evaluate_index(codes, Pixels(), gallery, ExactEngine(codes), queries=queries)
    assert {row["queries"] for row in scores.values()} == {6}


def test_a_query_without_a_code_is_left_out_and_told(digits, caplog):
    gallery, queries = digits
    codes = codes_of(gallery)
    few = queries.with_ids(list(queries.ids)[:20])

    class BadForOne(Pixels):
        def encode(self, images):
            made = super().encode(images)
            made[3] = np.nan
            return made

    engine = build_engine(codes, "HNSW16")
    scores = evaluate_index(codes, BadForOne(), gallery, engine, queries=few)
    assert scores["code, 784-d"]["queries"] == 19
    assert np.isfinite(scores["engine"]["recall@10"])
    assert "1 queries are left out: the model gives NaN or infinity" in caplog.text


def test_moved_queries_are_measured_beside_the_others(digits):
    gallery, queries = digits
    moved = Moved("--expand 3", lambda *given: expand_queries(*given, count=3))
    scores = measure(gallery, queries, moved=moved)
    assert list(scores)[:2] == ["code, 784-d", "code, 784-d, --expand 3"]
    assert scores["code, 784-d, --expand 3"]["mAP"] != scores["code, 784-d"]["mAP"]


def test_a_query_is_not_its_own_neighbour_when_it_is_expanded(random):
    codes = random.random((30, 4), np.float32)
    engine = ExactEngine(codes)
    moved = expand_queries(codes[:2], engine, codes, np.arange(2), count=3)
    _, rows = engine.search(codes[:2], 4)
    for place in range(2):
        np.testing.assert_allclose(
            moved[place], expanded(codes[place], codes[rows[place, 1:]]), rtol=1e-5
        )
