"""Queries: from files, ids and samples; weights and combinations."""

import io

import numpy as np
import pytest
from picture_files import ENCODED, fill
from PIL import Image

from pyimagesearch.datasets.dataset import FILE_STATS
from pyimagesearch.indexes.contract import Hits
from pyimagesearch.indexes.local_index import LocalIndex
from pyimagesearch.pictures.input_spec import InputSpec
from pyimagesearch.queries import ranking, sources
from pyimagesearch.queries.combining import combined, split_weight
from pyimagesearch.queries.expansion import expanded
from pyimagesearch.queries.query import Answer, Part, Query
from pyimagesearch.queries.ranking import Wanted, search_queries
from pyimagesearch.queries.sources import QueryOptions, QueryReader
from pyimagesearch.show.reporter import Reporter

SPEC = InputSpec(8, 8, 3)


class Sums:
    """An encoder whose code is the sum of each row of an image."""

    spec = SPEC

    def encode(self, images):
        return images.sum(axis=2)


def parts(*weights):
    pictures = [[1, 0], [0, 0]], [[0, 0], [4, 0]]
    queries = [
        Query(name, np.array(picture, np.float32), own=(name,))
        for name, picture in zip("ab", pictures, strict=True)
    ]
    return [Part(weight, query) for weight, query in zip(weights, queries, strict=False)]


def reader(root, *, names=None, **options):
    """Return the QueryReader of an index of the pictures below a folder."""
    ids = names or sorted(path.name for path in root.iterdir())
    source = {"name": str(root), "split": "train", "limit": None}
    index = LocalIndex(np.zeros((len(ids), 8), np.float32), ids, source=source)
    index.file_stats = np.zeros(len(ids), FILE_STATS)
    index.encoder = Sums()
    return QueryReader(index, index.pictures(), QueryOptions(**options))


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
    query = combined(parts(3, 1), "3:a b", Sums())
    np.testing.assert_allclose(query.code, [0.75, 1])
    assert query.own == ("a", "b")
    assert [part.weight for part in query.parts] == [3, 1]


def test_subtraction_goes_beyond():
    np.testing.assert_allclose(combined(parts(2, -1), "2:a -1:b", Sums()).code, [2, -4])


@pytest.mark.parametrize("weights", [[1, -1], [-1], [0]])
def test_weights_that_add_up_to_no_place_are_refused(weights):
    with pytest.raises(ValueError, match="must add up to more than 0, received a title"):
        combined(parts(*weights), "a title", Sums())


def test_a_weight_beside_which_the_others_vanish_is_refused():
    with pytest.raises(ValueError, match="expected a weight of at most 1,000,000, received 9"):
        split_weight(f"{'9' * 400}:a")


def test_a_hit_without_a_label_is_neither_right_nor_wrong():
    hits = Hits(["a", "b", "c"], np.zeros(3, np.float32), np.array([5, -1, 4]))
    answer = Answer(Query("q", label=5), hits)
    assert answer.right.tolist() == [True, False, False]
    assert answer.wrong.tolist() == [False, False, True]
    assert Answer(Query("q"), hits).wrong is None


def test_hits_are_cut_by_slices_masks_and_places():
    hits = Hits(["a", "b", "c"], np.arange(3, dtype=np.float32), None)
    assert hits[1:].ids == ["b", "c"]
    assert hits[np.array([True, False, True])].ids == ["a", "c"]
    assert hits[np.array([2, 0])].distances.tolist() == [2, 0]


def test_labels_stand_below_each_other_beside_names_with_escape_sequences(tmp_path):
    pictures = reader(tmp_path, names=["a.png"])._pictures
    pictures.has_classes = True
    pictures.label_names = ["birds"]
    hits = Hits(["long\n\x1b.png", "b.png"], np.zeros(2, np.float32), np.zeros(2, np.int64))
    lines = Reporter(pictures).listing(Answer(Query("q"), hits))
    assert lines == [r"  1  0.000  long\n\x1b.png  birds", "  2  0.000  b.png           birds"]


def test_a_sampled_picture_that_is_gone_is_replaced_by_another(tmp_path):
    fill(tmp_path, *(f"{number}.png" for number in range(20)))
    names = sorted(path.name for path in tmp_path.iterdir())
    gone = [names[row] for row in np.random.default_rng(1).permutation(20)[:5]]
    for name in gone:
        (tmp_path / name).unlink()
    found = [query.id for query in reader(tmp_path, names=names, seed=1).queries()]
    assert len(found) == 10
    assert not set(gone) & set(found)


def test_a_folder_of_which_nothing_is_left_says_what_to_do(tmp_path):
    with pytest.raises(ValueError, match="update the index with index_images"):
        list(reader(tmp_path, names=["a.png", "b.png"]).queries())


def test_a_folder_of_queries_that_cannot_be_read_is_an_error(tmp_path):
    (tmp_path / "b.png").write_text("text")
    with pytest.raises(ValueError, match=f"none of the pictures in {tmp_path} can be read"):
        list(reader(tmp_path, paths=[str(tmp_path)]).queries())


def test_a_bad_file_among_several_is_reported_after_the_good_ones(tmp_path):
    fill(tmp_path, "a.png", "c.png")
    (tmp_path / "b.png").write_text("text")
    paths = [str(tmp_path / name) for name in ("a.png", "b.png", "none.png", "c.png")]
    several = reader(tmp_path, paths=paths)
    assert [query.id for query in several.queries()] == [paths[0], paths[3]]
    assert list(several.unreadable) == paths[1:3]
    assert "not a picture" in several.unreadable[paths[1]]
    with pytest.raises(ValueError, match="not a picture"):
        list(reader(tmp_path, paths=paths[1:2]).queries())


def test_a_weight_without_a_combination_is_explained(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.png").write_bytes(ENCODED["png"])
    explanation = "; weights, such as 2:, are for --combine"
    with pytest.raises(ValueError, match=f"{explanation}$"):
        list(reader(tmp_path, ids=["2:a.png"]).queries())
    for name in ("2:a.png", "-1:a.png"):
        with pytest.raises(FileNotFoundError, match=f"{explanation}$"):
            list(reader(tmp_path, paths=[name]).queries())


def test_a_name_that_begins_like_a_weight_is_found(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "2:a.png").write_bytes(ENCODED["png"])
    [query] = reader(tmp_path, paths=["2:a.png"]).queries()
    assert query.id == "2:a.png"
    with pytest.raises(FileNotFoundError, match=r"; did you mean 2:a\.png\?$"):
        list(reader(tmp_path, paths=["2:b.png"]).queries())


def test_a_combination_finds_a_name_that_begins_with_a_space(tmp_path):
    names = ["2: a.png", " a.png"]
    [query] = reader(tmp_path, names=[" a.png"], ids=names, combine=True).queries()
    assert [part.query.id for part in query.parts] == [" a.png", " a.png"]


def test_words_like_a_weight_are_searched_for_as_they_are(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(sources, "text_queries", lambda texts, encoder: list(map(Query, texts)))
    texts = ["16:9 screens", "a dog"]
    assert [query.id for query in reader(tmp_path, texts=texts).queries()] == texts
    assert caplog.messages == [
        "16:9 screens is searched for as it is: weights, such as 2:, are for --combine"
    ]


def test_fewer_samples_than_asked_for_are_told(tmp_path, caplog):
    caplog.set_level("INFO")
    for name in ("a.png", "b.png"):
        (tmp_path / name).write_bytes(ENCODED["png"])
    assert len(list(reader(tmp_path, sample=2).queries())) == 2
    assert not caplog.messages
    assert len(list(reader(tmp_path, sample=3).queries())) == 2
    assert caplog.messages == ["searching for 2 pictures, not 3: the index has no more"]


@pytest.mark.parametrize(
    ("typed", "id"),
    [
        (r"a\nb.png", "a\nb.png"),
        (r"a\nb.png", r"a\nb.png"),
        (r"\"a\"\t\\.png", '"a"\t\\.png'),
        (r"\x1b\xe9\u200b.png", "\x1b\udce9\u200b.png"),
        (r"\ud83d\ude00.png", "\U0001f600.png"),
        ("e\u0301.png", "\u00e9.png"),
    ],
)
def test_an_id_is_found_as_it_is_printed(typed, id, tmp_path):
    [query] = reader(tmp_path, names=[id, "other.png"], ids=[typed]).queries()
    assert query.own == (id,)


def test_two_unknown_ids_are_both_reported(tmp_path):
    fill(tmp_path, "a.png")
    several = reader(tmp_path, ids=["x", "a.png", "y"])
    assert [query.id for query in several.queries()] == ["a.png"]
    assert list(several.unreadable) == ["x", "y"]


def test_a_minus_is_the_picture_on_standard_input(tmp_path, monkeypatch):
    fill(tmp_path, "a.png")
    stdin = type("Stream", (), {"buffer": io.BytesIO(ENCODED["png"])})
    monkeypatch.setattr("sys.stdin", stdin)
    paths = ["-", str(tmp_path / "a.png")]
    piped, read = (next(reader(tmp_path, paths=[path]).queries()) for path in paths)
    np.testing.assert_array_equal(piped.picture(None), read.picture(None))
    monkeypatch.setattr(sources, "MAX_INPUT", 10)
    stdin.buffer.seek(0)
    with pytest.raises(ValueError, match="more than 10 bytes"):
        list(reader(tmp_path, paths=["-"]).queries())


def test_expansion_moves_a_code_towards_its_neighbours_by_the_cube_of_their_cosine():
    code = np.array([2, 0], np.float32)
    near = np.array([[0.6, 0.8], [-1, 0]], np.float32)  # cosines .6 and -1, which counts as 0
    direction = np.array([1 + 0.216 * 0.6, 0.216 * 0.8])
    expected = 2 * direction / np.linalg.norm(direction)
    np.testing.assert_allclose(expanded(code, near), expected, rtol=1e-6)
    np.testing.assert_array_equal(expanded(np.zeros(2, np.float32), near), [0, 0])


class Broken(Sums):
    """An encoder that has no code for black pictures."""

    dim = 8

    def encode(self, images):
        codes = images.mean(axis=(2, 3))
        codes[~images.any(axis=(1, 2, 3))] = np.nan
        return codes


def test_a_query_without_a_code_does_not_suppress_the_others(tmp_path):
    fill(tmp_path, "a.png")
    Image.new("RGB", (8, 8)).save(tmp_path / "black.png")
    index = LocalIndex(np.zeros((1, 8), np.float32), ["0"], source=None)
    index.encoder = Broken()
    queries = [
        Query(name, image=SPEC.prepare(np.asarray(Image.open(tmp_path / name).convert("RGB"))))
        for name in ("black.png", "a.png")
    ]
    failed = {}
    [answer] = search_queries(queries, index, Wanted(1), failed)
    assert answer.query.id == "a.png"
    assert list(failed) == ["black.png"]


def test_large_queries_are_searched_for_a_few_at_a_time(monkeypatch):
    monkeypatch.setattr(ranking, "BATCH_BYTES", 2000)
    large = Query("large", image=np.zeros((20, 20, 1), np.float32))  # 1,600 bytes
    known = Query("known", own=("3",))
    batches = list(ranking._batches([large, known, large, large]))
    assert batches == [[large, known, large], [large]]
