import numpy as np
import pytest

from pyimagesearch.engines import ExactEngine, normalise


def test_distances_worked_by_hand():
    codes = np.array([[0, 0], [3, 4], [6, 8]], np.float32)
    distances, rows = ExactEngine(codes).search(np.array([[3, 4]], np.float32), k=3)
    assert rows[0, 0] == 1
    np.testing.assert_allclose(distances, [[0, 5, 5]], atol=1e-6)


def test_cosine_distance_worked_by_hand():
    codes = np.array([[0, 2], [-5, 0], [9, 0]], np.float32)
    distances, rows = ExactEngine(codes, "cosine").search(np.array([[1, 0]], np.float32), k=3)
    assert rows.tolist() == [[2, 0, 1]]
    np.testing.assert_allclose(distances, [[0, 1, 2]], atol=1e-6)


@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
@pytest.mark.parametrize("count", [1, 3, 50])
def test_agrees_with_float64_brute_force(random, metric, count):
    codes = random.standard_normal((2000, 16)).astype(np.float32)
    queries = random.standard_normal((count, 16)).astype(np.float32)
    a, b = queries.astype(np.float64), codes.astype(np.float64)
    if metric == "cosine":
        expected = 1 - normalise(a) @ normalise(b).T
    else:
        expected = np.linalg.norm(a[:, np.newaxis] - b, axis=2)
    distances, rows = ExactEngine(codes, metric).search(queries, k=100)
    np.testing.assert_allclose(distances, np.sort(expected, axis=1)[:, :100], atol=1e-4)
    np.testing.assert_allclose(distances, np.take_along_axis(expected, rows, axis=1), atol=1e-4)


def test_a_code_is_at_distance_zero_from_itself_even_far_from_the_origin(random):
    codes = (1000 + random.standard_normal((500, 16))).astype(np.float32)
    distances, rows = ExactEngine(codes).search(codes[:100], k=1)
    assert rows[:, 0].tolist() == list(range(100))
    assert distances.max() == 0


def test_k_is_cut_to_the_number_of_codes():
    distances, rows = ExactEngine(np.eye(3, dtype=np.float32)).search(
        np.eye(3, dtype=np.float32), 9
    )
    assert distances.shape == rows.shape == (3, 3)


def test_equal_codes_are_all_found():
    distances, rows = ExactEngine(np.ones((5, 2), np.float32)).search(
        np.ones((1, 2), np.float32), 5
    )
    assert sorted(rows[0]) == [0, 1, 2, 3, 4]
    assert not distances.any()


def test_a_code_of_zeros_is_at_cosine_distance_one():
    codes = np.array([[0, 0], [1, 0]], np.float32)
    distances, rows = ExactEngine(codes, "cosine").search(np.array([[1, 0]], np.float32), 2)
    assert rows.tolist() == [[1, 0]]
    np.testing.assert_allclose(distances, [[0, 1]], atol=1e-6)
