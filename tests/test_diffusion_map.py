import numpy as np
import pytest

from pyimagesearch.decomposition.diffusion_map import (
    align,
    diffusion_map,
    extend_map,
    nearest_rows,
    neighbour_map,
    shared_neighbours,
)


@pytest.fixture
def arcs(random):
    """Two half circles that interlock, 200 points each: no straight line separates them."""
    angles = np.linspace(0, np.pi, 200)
    upper = np.column_stack([np.cos(angles), np.sin(angles)])
    lower = np.column_stack([1 - np.cos(angles), 0.4 - np.sin(angles)])
    points = np.concatenate([upper, lower]) + 0.03 * random.standard_normal((400, 2))
    return points.astype(np.float32), np.repeat([0, 1], 200)


def test_a_point_is_not_its_own_neighbour_even_among_copies():
    codes = np.repeat(np.arange(6, dtype=np.float32), 4)[:, np.newaxis]
    rows = nearest_rows(codes, codes, 3, same=True)
    assert rows.shape == (24, 3)
    assert not (rows == np.arange(24)[:, np.newaxis]).any()
    assert (codes[rows, 0] == codes).all()


def test_the_weight_of_an_edge_is_the_number_of_common_neighbours_if_above_1():
    rows = np.array([[1, 2], [0, 2], [0, 1], [2, 4], [2, 3]])
    graph = shared_neighbours(rows).toarray()
    np.testing.assert_array_equal(graph, graph.T)
    assert graph[2, 3] == 0  # they share 0 neighbours, and 3 has 2 for one
    # By hand: 0 -> {1, 2} and 1 -> {0, 2} share 2 only.
    assert graph[0, 1] == 0
    twice = shared_neighbours(np.array([[1, 2, 3], [0, 2, 3], [0, 1, 3], [0, 1, 2]])).toarray()
    assert (twice[~np.eye(4, dtype=bool)] == 2).all()


def test_a_map_separates_classes_that_no_straight_line_does(arcs):
    codes, labels = arcs
    points = neighbour_map(codes, 1)[:, 0]
    np.testing.assert_allclose(np.abs(points), 1, atol=1e-5)
    assert ((points > 0) == (labels == (points[-1] > 0))).all()


def test_a_map_is_the_same_each_time(arcs):
    np.testing.assert_array_equal(neighbour_map(arcs[0], 2), neighbour_map(arcs[0], 2))


def test_a_longer_walk_draws_the_ends_of_an_arc_together(arcs):
    graph = shared_neighbours(nearest_rows(arcs[0], arcs[0], 20, same=True))
    spreads = [diffusion_map(graph, 4, steps)[:200].std(axis=0).sum() for steps in (1, 5000)]
    assert spreads[1] < spreads[0] / 2


def test_aligning_preserves_distances_and_undoes_a_rotation(random):
    points = random.standard_normal((50, 3)).astype(np.float32)
    turn, _ = np.linalg.qr(random.standard_normal((3, 3)))
    np.testing.assert_allclose(align(points, points @ turn), points @ turn, atol=1e-5)
    codes = random.standard_normal((50, 5)).astype(np.float32)
    aligned = align(points, codes)
    assert aligned.shape == (50, 5)
    np.testing.assert_allclose(aligned @ aligned.T, points @ points.T, atol=1e-4)


def test_new_codes_are_mapped_to_where_their_neighbours_are(arcs):
    codes, _ = arcs
    points = 7 * neighbour_map(codes, 2)
    extended = extend_map(points, codes, codes[::7] + 0.01)
    np.testing.assert_allclose(np.linalg.norm(extended, axis=1), 7, rtol=1e-4)
    cosines = (extended * points[::7]).sum(axis=1) / 49
    assert cosines.mean() > 0.95


def test_too_few_images_are_an_error_that_says_how_many_are_needed():
    with pytest.raises(ValueError, match="at least 100 images to train on, received 60"):
        neighbour_map(np.zeros((60, 4), np.float32), 4)
