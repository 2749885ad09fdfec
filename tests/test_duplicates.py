import tracemalloc

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyimagesearch import terminal
from pyimagesearch.datasets.catalog import open_dataset
from pyimagesearch.engines import duplicates
from pyimagesearch.engines.duplicates import (
    default_distance,
    find_duplicates,
    neighbour_distance,
)
from pyimagesearch.engines.named_distances import similar_distance
from pyimagesearch.indexes.index_file import load_index
from pyimagesearch.pictures.input_spec import unit_float


def rows_of(groups):
    return [group.rows.tolist() for group in groups]


def brute_force(codes, metric, max_distance):
    """Components by repeated search from each row, in float64."""
    codes = codes.astype(np.float64)
    if metric == "cosine":
        lengths = np.linalg.norm(codes, axis=1, keepdims=True)
        codes = np.hstack([codes / np.where(lengths == 0, 1, lengths), lengths == 0])
    distances = np.linalg.norm(codes[:, np.newaxis] - codes, axis=2)
    near = (distances**2 / 2 if metric == "cosine" else distances) <= max_distance
    left, groups = set(range(len(codes))), []
    while left:
        group, edge = set(), {min(left)}
        while edge:
            group |= edge
            edge = set(np.flatnonzero(near[sorted(edge)].any(axis=0)).tolist()) - group
        left -= group
        groups += [sorted(group)] if len(group) > 1 else []
    return sorted(groups)


def test_groups_worked_by_hand():
    codes = np.array([[0, 0], [9, 9], [3, 4], [9, 9.5], [50, 0], [0, 5]], np.float32)
    groups = find_duplicates(codes, "euclidean", 5)
    assert rows_of(groups) == [[0, 2, 5], [1, 3]]
    assert groups[0].distances.tolist() == [0, 5, 5]
    assert groups[1].distances.tolist() == [0, 0.5]


def test_a_chain_of_small_steps_is_one_group_though_its_ends_are_far_apart():
    codes = np.array([[2.0], [0.0], [1.0], [3.5]], np.float32)
    [group] = find_duplicates(codes, "euclidean", 1)
    assert group.rows.tolist() == [0, 1, 2]
    assert group.distances.tolist() == [0, 2, 1]


def test_the_largest_groups_come_first_and_of_one_size_the_tightest():
    codes = np.array([[0], [1], [10], [10.5], [20], [20.1], [20.2], [30], [31]], np.float64)
    assert rows_of(find_duplicates(codes, "euclidean", 1)) == [[4, 5, 6], [2, 3], [0, 1], [7, 8]]


def test_cosine_looks_at_directions_only():
    codes = np.array([[1, 0], [0, 1], [7, 0], [0, 0], [-3, 0], [0, 0]], np.float32)
    groups = find_duplicates(codes, "cosine", 0)
    assert rows_of(groups) == [[0, 2], [3, 5]]
    assert rows_of(find_duplicates(codes[:2], "cosine", 0.99)) == []
    [group] = find_duplicates(codes[:2], "cosine", 1)
    np.testing.assert_allclose(group.distances, [0, 1])


@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    n=st.integers(1, 120),
    d=st.integers(1, 9),
    lattice=st.booleans(),
    quantile=st.floats(0, 0.1),
    blocks=st.tuples(st.integers(1, 40), st.integers(1, 40)),
)
def test_groups_are_those_of_brute_force(metric, seed, n, d, lattice, quantile, blocks):
    random = np.random.default_rng(seed)
    codes = random.integers(-2, 3, (n, d)) if lattice else random.standard_normal((n, d))
    codes = codes.astype(np.float32)
    pairs = np.linalg.norm(codes[:, np.newaxis] - codes, axis=2)
    # Between the distances there are, lest the last bit decide.
    max_distance = np.quantile(pairs, quantile) ** (2 if metric == "cosine" else 1) + 1e-7
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(duplicates, "ROWS_PER_BLOCK", blocks[0])
        patch.setattr(duplicates._Space, "width", blocks[1])
        groups = find_duplicates(codes, metric, max_distance)
    assert sorted(rows_of(groups)) == brute_force(codes, metric, max_distance)


@pytest.mark.parametrize("scale", [1e-18, 1, 1e25])
def test_small_distances_far_from_the_origin_do_not_cancel(random, scale):
    codes = np.repeat(1000 + random.integers(0, 50, (300, 8)), 2, axis=0).astype(np.float32)
    codes[1::2, 0] += 0.25
    codes *= np.float32(scale)
    assert rows_of(find_duplicates(codes, "euclidean", 0.2 * scale)) == []
    assert len(find_duplicates(codes, "euclidean", 0.3 * scale)) == 300


@pytest.mark.parametrize("noise", [0, 1e-3])
def test_60000_codes_that_are_all_duplicates_are_one_group_in_small_memory(random, noise):
    codes = np.full((60_000, 16), 3, np.float32)
    codes += noise * random.random(codes.shape, np.float32)
    tracemalloc.start()
    [group] = find_duplicates(codes, "euclidean", 0.01)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(group.rows) == 60_000
    assert peak < 100e6


def test_a_long_comparison_says_how_far_it_is(random, monkeypatch, caplog):
    caplog.set_level("INFO")
    monkeypatch.setattr(duplicates, "ROWS_PER_BLOCK", 4)
    monkeypatch.setattr(terminal, "LINE_SECONDS", 0)
    find_duplicates(random.normal(size=(10, 3)), "euclidean", 0.1)
    lines = [message.rpartition(", about")[0] for message in caplog.messages]
    assert lines == ["comparing: 4 of 10 pictures", "comparing: 8 of 10 pictures"]


def test_many_tight_clusters_are_so_many_groups(random):
    centres = 100 * random.standard_normal((50, 8))
    codes = np.repeat(centres, 200, axis=0) + 0.01 * random.standard_normal((10_000, 8))
    groups = find_duplicates(codes.astype(np.float32), "euclidean", 0.05)
    assert [len(group.rows) for group in groups] == [200] * 50
    assert sorted(group.rows[0] for group in groups) == list(range(0, 10_000, 200))


def test_codes_may_stay_in_a_file(tmp_path, random):
    codes = random.standard_normal((3000, 8)).astype(np.float32)
    codes[2000] = codes[17]
    codes.tofile(tmp_path / "codes")
    mapped = np.memmap(tmp_path / "codes", np.float32, "r", shape=codes.shape)
    assert rows_of(find_duplicates(mapped, "euclidean", 0)) == [[17, 2000]]
    assert default_distance(mapped, "cosine") == default_distance(codes, "cosine")


def test_hashes_that_agree_make_no_duplicates(monkeypatch):
    class Zeros:
        def integers(self, *args, size, **kwargs):
            return np.zeros(size, np.uint64)

        def permutation(self, rows):
            return rows

    # Multiplied by the 1 that remains, the bits of these codes have the same sum.
    codes = np.array([[1, 2], [2, 1], [2, 1], [5, 5]], np.float32)
    monkeypatch.setattr(duplicates.np.random, "default_rng", lambda _: Zeros())
    assert rows_of(find_duplicates(codes, "euclidean", 0)) == [[1, 2]]


@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
@pytest.mark.parametrize("n", [1, 2, 5])
def test_few_codes_and_no_duplicates_are_fine(metric, n):
    codes = np.eye(5, dtype=np.float32)[:n]
    assert find_duplicates(codes, metric, 0.1) == []
    assert default_distance(codes, metric) < 0.3
    assert default_distance(codes[[0, 0, 0]], metric) == 0


@pytest.mark.parametrize(
    ("codes", "metric", "max_distance", "message"),
    [
        (
            np.zeros((2, 2)),
            "manhattan",
            1,
            "unknown metric manhattan: expected euclidean or cosine",
        ),
        (np.zeros((2, 2)), "cosine", -1, "0 or more, received -1"),
        (np.zeros((2, 2)), "cosine", np.nan, "0 or more, received nan"),
        (np.zeros(2), "cosine", 1, r"shape \(n, d\), received float64 \(2,\)"),
        (np.zeros((0, 2)), "cosine", 1, r"received float64 \(0, 2\)"),
        (np.zeros((2, 2), int), "cosine", 1, "received int64"),
        (np.array([[0, np.nan]]), "euclidean", 1, "NaN or infinity"),
    ],
)
def test_what_cannot_be_compared_is_refused(codes, metric, max_distance, message):
    with pytest.raises(ValueError, match=message):
        find_duplicates(codes, metric, max_distance)


@pytest.fixture(scope="module")
def planted(small_index):
    """Codes of 20,000 digits, then of copies of the first 300: as JPEG, brightened, the same."""
    encoder, digits = load_index(small_index).encoder, open_dataset("mnist").images[:20_000]
    jpeg = [cv2.imencode(".jpg", x, [cv2.IMWRITE_JPEG_QUALITY, 95])[1] for x in digits[:100]]
    copies = [
        digits[200:300],
        np.stack([cv2.imdecode(x, cv2.IMREAD_GRAYSCALE) for x in jpeg])[..., np.newaxis],
        np.clip(digits[100:200] * 1.05, 0, 255).astype(np.uint8),
    ]
    pictures = unit_float(np.concatenate([digits, copies[1], copies[2], copies[0]]))
    return np.concatenate([encoder.encode(part) for part in np.array_split(pictures, 20)])


@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
def test_altered_copies_of_real_digits_are_found_within_the_default_distance(planted, metric):
    found = rows_of(find_duplicates(planted, metric, default_distance(planted, metric)))
    pairs = {(row, 20_000 + row) for row in range(300)}
    # Measured: all 300, and 3 (euclidean) or 2 (cosine) groups of other, like digits.
    assert len(pairs & {tuple(group) for group in found}) >= 297
    assert len(found) <= 306


@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
def test_the_default_distance_hardly_moves_when_every_picture_is_there_many_times(planted, metric):
    codes = planted[:10_000]
    shaken = codes + np.random.default_rng(0).normal(0, 0.05, codes.shape).astype(np.float32)
    alone = default_distance(codes, metric)
    for copies in ([codes] * 6, [codes, shaken]):
        together = default_distance(np.concatenate(copies), metric)
        assert together == pytest.approx(alone, rel=0.15)


def test_similar_is_within_the_tenth_neighbour_and_rare_among_pairs(random):
    many = random.standard_normal((3000, 8)).astype(np.float32)
    typical = neighbour_distance(many, "euclidean")
    assert default_distance(many, "euclidean") < similar_distance(many, "euclidean") == typical
    few = many[:40]  # of which ten are a quarter
    near = similar_distance(few, "euclidean")
    assert 0 < near < neighbour_distance(few, "euclidean")
    pairs = np.linalg.norm(few[:, np.newaxis] - few, axis=2)[np.triu_indices(40, 1)]
    assert 0.03 < (pairs <= near).mean() < 0.07
    assert similar_distance(few[[0, 0]], "cosine") == 0
