import numpy as np
import pytest

from pyimagesearch.queries.query import Query
from pyimagesearch.queries.sources import combine, split_weight


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
