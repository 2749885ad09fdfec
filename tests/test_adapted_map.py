"""The map that adapts features without labels, on features whose kinds are known."""

import numpy as np
import pytest

from pyimagesearch.decomposition.adapted_map import (
    BESIDE,
    MIN_PICTURES,
    LinearMap,
    adapted_map,
    components_of,
)
from pyimagesearch.evaluation.metrics import evaluate
from pyimagesearch.metric import normalise

KINDS = 6


def features(count, seed, *, signed=False):
    """Return features of length 1 and labels: 6 values differ by kind, 60 only by chance.

    Those by chance have the larger variance, so that they decide which features are near.
    """
    random = np.random.default_rng(seed)
    labels = random.integers(0, KINDS, count)
    centres = np.random.default_rng(99).normal(size=(KINDS, 6))
    if not signed:
        centres = np.abs(centres)
    kinds = centres[labels] + 0.3 * random.normal(size=(count, 6))
    values = np.concatenate([kinds, 0.9 * random.normal(size=(count, 60))], axis=1)
    if not signed:
        values = np.square(values)
    return normalise(values).astype(np.float32), labels


def blocks_of(values, size=37):
    return lambda: (values[start : start + size] for start in range(0, len(values), size))


def precision(codes, labels, queries, query_labels):
    scores = evaluate(normalise(queries), query_labels, normalise(codes), labels)
    return scores["P@1"]


@pytest.mark.parametrize(
    ("signed", "least"),
    [(False, 0.5), (True, 0.9)],  # measured: .410 to .590, and .615 to .950
)
def test_adapted_codes_find_kinds_that_the_features_hide(signed, least):
    known, labels = features(1000, 0, signed=signed)
    new, new_labels = features(200, 1, signed=signed)
    found = adapted_map(components_of(blocks_of(known)), 8)
    assert bool(found.rooted) is not signed
    raw = precision(known, labels, new, new_labels)
    adapted = precision(found.apply(known), labels, found.apply(new), new_labels)
    assert raw < 0.65
    assert adapted > max(least, raw + 0.1)


def test_components_do_not_depend_on_the_blocks_that_features_are_read_in():
    known, _ = features(300, 0)
    one, many = (components_of(blocks_of(known, size)) for size in (300, 7))
    np.testing.assert_allclose(np.abs(one.points), np.abs(many.points), atol=1e-3)


def test_components_are_those_of_roots_divided_by_deviations():
    known, _ = features(300, 0)
    roots = np.sqrt(known)
    scaled = (roots - roots.mean(0)) / (roots.std(0) + 0.01 * roots.std(0).mean())
    found = components_of(blocks_of(known))
    variances = np.linalg.eigvalsh(np.cov(scaled.T, bias=True))[::-1]
    np.testing.assert_allclose(found.points.var(axis=0), variances, rtol=1e-2, atol=1e-4)


def test_a_map_by_hand():
    values = np.array([[4.0, 9.0], [-1.0, 1.0]], np.float32)
    matrix = np.array([[1.0], [10.0]], np.float32)
    bias = np.array([0.5], np.float32)
    assert LinearMap(matrix, bias, rooted=2).apply(values).tolist() == [[32.5], [10.5]]
    assert LinearMap(matrix, bias).apply(values).tolist() == [[94.5], [9.5]]
    assert LinearMap(matrix, bias, rooted=1).apply(values).tolist() == [[92.5], [10.5]]
    doubled = LinearMap(matrix, bias, rooted=2).followed_by(np.array([[2.0]]), 1.0)
    assert doubled.apply(values).tolist() == [[66.0], [22.0]]


def test_codes_beside_components_weigh_as_much_as_they_should(random):
    known, _ = features(300, 0)
    codes = (3 + random.normal(size=(300, 4))).astype(np.float32)
    components = components_of(blocks_of(known))
    both = components.beside(codes)
    expected = both.projection.apply(np.concatenate([known, codes], axis=1))
    np.testing.assert_allclose(both.points, expected, atol=1e-3)
    old, new = np.split(both.points, [components.points.shape[1]], axis=1)
    assert (old == components.points).all()
    weight = BESIDE / (1 + 2000 / 300)
    assert np.square(new).sum() == pytest.approx(weight**2 * np.square(old).sum(), rel=1e-4)
    np.testing.assert_allclose(new.mean(axis=0), 0, atol=1e-5)


def test_few_features_give_as_many_dimensions():
    random = np.random.default_rng(0)
    found = adapted_map(components_of(blocks_of(random.random((150, 5), np.float32))), 64)
    assert found.matrix.shape == (5, 5)
    assert np.isfinite(found.matrix).all()


def test_copies_of_a_few_pictures_give_finite_codes():
    few = np.random.default_rng(0).random((3, 40), np.float32)
    found = adapted_map(components_of(blocks_of(np.repeat(few, 50, axis=0))), 16)
    assert np.isfinite(found.matrix).all()


def test_too_few_pictures_are_refused():
    known, _ = features(MIN_PICTURES - 1, 0)
    with pytest.raises(ValueError, match="adapted to 100 pictures or more, received 99"):
        components_of(blocks_of(known))


def test_equal_features_are_refused():
    with pytest.raises(ValueError, match="the same features for all pictures"):
        components_of(blocks_of(np.ones((120, 5), np.float32)))
