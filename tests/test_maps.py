import sys

import numpy as np
import pytest

from pyimagesearch.indexes.contract import Hits
from pyimagesearch.indexes.local_index import LocalIndex
from pyimagesearch.queries.query import Answer, Query
from pyimagesearch.show import projection


def test_principal_components_are_the_axes_of_most_variance():
    points = np.array([[0, 0, 5], [4, 0, 5], [0, 2, 5], [4, 2, 5]], np.float32)
    flat = np.abs(projection.first_two_components(points))
    np.testing.assert_allclose(flat, [[2, 1]] * 4, atol=1e-6)


def test_codes_of_one_number_lie_on_a_line():
    flat = projection.first_two_components(np.array([[1], [2], [4]], np.float32))
    assert flat.shape == (3, 2)
    assert not flat[:, 1].any()


def test_a_star_stands_where_the_query_is_and_rings_where_its_results_are(random):
    codes = np.array([[0, 0], [10, 0], [0, 5], [10, 5]], np.float32)
    chart = projection.Projection(codes, codes[1:2], [np.array([2])], ["a", "b", "a", "b"])
    sheet = chart.sheet(0, "query b")
    red = np.argwhere((sheet == projection.RED).all(axis=2)).mean(axis=0)
    np.testing.assert_allclose(red, chart._queries[0][::-1], atol=1)
    assert (chart._points[1] == chart._queries[0]).all()
    x, y = chart._points[2]
    assert not (sheet[y, x + 7] == 255).all()
    assert chart.nearest_row(x + 3, y) == 2
    assert chart.nearest_row(x + 60, y + 60) is None


def test_results_are_on_the_map_even_where_only_a_part_of_the_index_is(monkeypatch, random):
    monkeypatch.setitem(projection.MAX_POINTS, "pca", 10)
    codes = random.standard_normal((500, 4)).astype(np.float32)
    chart = projection.Projection(codes, codes[:1], [np.arange(490, 500)])
    assert set(range(490, 500)) <= set(chart.rows.tolist())
    assert len(chart.rows) <= 20
    chart.sheet(0, "query")


def test_groups_of_a_map_are_named_as_the_labels_that_were_loaded(monkeypatch):
    groups = []
    monkeypatch.setattr(projection, "Projection", lambda *parts, **_: groups.append(parts[3]))
    codes = np.eye(3, 4, dtype=np.float32)
    labels = np.array([1, 0, -1])
    loaded = LocalIndex(codes, ["a.png", "b.png", "c.png"], labels, ["cat", "dog"])
    answer = Answer(Query("a.png", code=codes[0]), Hits(["b.png"], np.zeros(1, np.float32), None))
    projection.project_index([answer], loaded, method="pca")
    assert groups == [["dog", "cat", projection.NO_LABEL]]


def test_many_groups_become_as_many_as_there_are_colours():
    names = [f"g{number:02}" for number in range(30) for _ in range(number + 1)]
    groups = list(projection._groups(names, len(names)))
    assert len(groups) == projection.COLOURS
    assert groups[-1][0] == "11 others"
    assert sum(len(rows) for *_, rows in groups) == len(names)


@pytest.mark.parametrize(("method", "module"), [("tsne", "sklearn.manifold"), ("umap", "umap")])
def test_a_missing_package_is_named_with_the_command_that_installs_it(
    monkeypatch, random, method, module
):
    monkeypatch.setitem(sys.modules, module, None)
    codes = random.standard_normal((20, 4)).astype(np.float32)
    with pytest.raises(ImportError, match="pip install"):
        projection.Projection(codes, codes[:1], [np.arange(3)], method=method)


def test_identical_codes_can_be_drawn():
    codes = np.ones((5, 3), np.float32)
    assert projection.Projection(codes, codes[:1], [np.arange(2)]).sheet(0, "query").shape[2] == 3


def test_a_few_long_codes_have_principal_components_too(random):
    codes = random.standard_normal((5, 4000)).astype(np.float32)
    flat = projection.first_two_components(codes)
    expected = np.linalg.svd(codes - codes.mean(axis=0), full_matrices=False)
    np.testing.assert_allclose(np.abs(flat), np.abs(expected[0] * expected[1])[:, :2], rtol=1e-3)


@pytest.mark.filterwarnings("error")
def test_names_of_groups_of_any_kind_are_drawn(random):
    codes = random.standard_normal((5, 3)).astype(np.float32)
    names = ["_a", r"$\frac", "\x1b[31m", "\udce9", "long " * 30]
    chart = projection.Projection(codes, codes[:1], [np.arange(1)], names)
    legend = chart.sheet(0, "query")[:150, 990:]
    text = np.flatnonzero((legend < 128).all(axis=2).any(axis=1))
    assert np.count_nonzero(np.diff(text) > 2) >= 4  # five lines of text, "_" is below its own
