import io

import numpy as np
import pytest
from picture_files import ENCODED, fill

from pyimagesearch.datasets.folder import FolderDataset
from pyimagesearch.pictures.input_spec import InputSpec
from pyimagesearch.queries import sources
from pyimagesearch.queries.query import Query, Results
from pyimagesearch.queries.sources import choose_queries, combine, sample_queries, split_weight

SPEC = InputSpec(8, 8, 3)


class Sums:
    """An encoder whose code is the sum of each row of an image."""

    def encode(self, images):
        return images.sum(axis=2)


def read(names):
    pictures = {"a": [[1, 0], [0, 0]], "b": [[0, 0], [4, 0]]}
    for name in names:
        yield Query(name, np.array(pictures[name], np.float32), None, rows=(ord(name),))


@pytest.mark.parametrize(
    ("text", "weight", "name"),
    [
        ("a.png", 1, "a.png"),
        ("2:a.png", 2, "a.png"),
        ("-.5:a.png", -0.5, "a.png"),
        ("+1.5:sub/b:c.png", 1.5, "sub/b:c.png"),
        ("c:a.png", 1, "c:a.png"),
        ("1:2:a.png", 1, "2:a.png"),
        ("2:", 1, "2:"),
    ],
)
def test_a_weight_stands_before_the_first_colon(text, weight, name):
    assert split_weight(text) == (weight, name)


def test_a_combination_lies_at_the_weighted_mean_of_its_codes():
    query = combine(["3:a", "b"], read, Sums())
    np.testing.assert_allclose(query.code, [0.75, 1])
    assert query.rows == (97, 98)
    assert [weight for weight, _ in query.parts] == [3, 1]


def test_subtraction_goes_beyond():
    np.testing.assert_allclose(combine(["2:a", "-1:b"], read, Sums()).code, [2, -4])


@pytest.mark.parametrize("texts", [["a", "-1:b"], ["-1:a"], ["0:a"]])
def test_weights_that_add_up_to_no_place_are_refused(texts):
    with pytest.raises(ValueError, match="must add up to more than 0, received"):
        combine(texts, read, Sums())


def test_a_result_without_a_label_is_neither_right_nor_wrong():
    results = Results(np.arange(3), np.zeros(3), ["a", "b", "c"], np.array([5, -1, 4]))
    query = Query("q", None, None, label=5)
    assert results.right(query).tolist() == [True, False, False]
    assert results.wrong(query).tolist() == [False, False, True]
    assert results.wrong(Query("q", None, None)) is None


def test_a_sampled_picture_that_is_gone_is_replaced_by_another(tmp_path):
    fill(tmp_path, *(f"{number}.png" for number in range(20)))
    gallery = FolderDataset(tmp_path)
    gone = [gallery.ids[row] for row in gallery.random_rows(5, seed=1)]
    for name in gone:
        (tmp_path / name).unlink()
    found = [query.id for query in sample_queries(gallery, 10, SPEC, seed=1)]
    assert len(found) == 10
    assert not set(gone) & set(found)


def test_a_folder_of_which_nothing_is_left_says_what_to_do(tmp_path):
    fill(tmp_path, "a.png", "b.png")
    gallery = FolderDataset(tmp_path)
    for path in tmp_path.iterdir():
        path.unlink()
    with pytest.raises(ValueError, match="update the index with index_images"):
        list(sample_queries(gallery, 1, SPEC))


class Spec:
    spec = SPEC


def test_a_bad_file_among_several_is_reported_after_the_good_ones(tmp_path):
    fill(tmp_path, "a.png", "c.png")
    (tmp_path / "b.png").write_text("text")
    paths = [str(tmp_path / name) for name in ("a.png", "b.png", "none.png", "c.png")]
    queries, unreadable = choose_queries(None, Spec, paths=paths)
    assert [query.id for query in queries] == [paths[0], paths[3]]
    assert list(unreadable) == paths[1:3]
    assert "not a picture" in unreadable[paths[1]]
    with pytest.raises(ValueError, match="not a picture"):
        list(choose_queries(None, Spec, paths=paths[1:2])[0])


def test_a_minus_is_the_picture_on_standard_input(tmp_path, monkeypatch):
    fill(tmp_path, "a.png")
    stdin = type("Stream", (), {"buffer": io.BytesIO(ENCODED["png"])})
    monkeypatch.setattr("sys.stdin", stdin)
    piped, read = (
        next(iter(choose_queries(None, Spec, paths=[path])[0]))
        for path in ("-", str(tmp_path / "a.png"))
    )
    np.testing.assert_array_equal(piped.image, read.image)
    np.testing.assert_array_equal(piped.picture(), read.picture())
    monkeypatch.setattr(sources, "MAX_INPUT", 10)
    stdin.buffer.seek(0)
    with pytest.raises(ValueError, match="more than 10 bytes"):
        list(choose_queries(None, Spec, paths=["-"])[0])
