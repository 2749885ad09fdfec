import collections
import os
import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyimagesearch.files import load_plain


class Exploit:
    def __init__(self, target):
        self.target = target

    def __reduce__(self):
        return os.mkdir, (str(self.target),)


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_plain_data_and_arrays_come_back(tmp_path, protocol):
    data = {"indexes": [0, 1], "features": np.eye(2, dtype=np.float32), "text": "a", "b": b"b"}
    path = tmp_path / "data.pickle"
    if protocol == 2:
        del data["b"]  # Python 3 writes bytes to protocol 2 as a call of codecs.encode
        data["features"] = None
    path.write_bytes(pickle.dumps(data, protocol=protocol))
    loaded = load_plain(path)
    assert loaded["indexes"] == [0, 1]
    np.testing.assert_array_equal(loaded["features"], data["features"])


def test_arrays_pickled_by_numpy_1_come_back(tmp_path):
    data = pickle.dumps(np.arange(3), protocol=3).replace(b"numpy._core", b"numpy.core")
    (tmp_path / "old.pickle").write_bytes(data)
    assert load_plain(tmp_path / "old.pickle").tolist() == [0, 1, 2]


@pytest.mark.parametrize("protocol", range(6))
def test_a_planted_exploit_does_not_run(tmp_path, protocol):
    target = tmp_path / "planted"
    path = tmp_path / "exploit.pickle"
    path.write_bytes(pickle.dumps({"features": Exploit(target)}, protocol=protocol))
    with pytest.raises(ValueError, match=r"exploit\.pickle.*mkdir.*attack"):
        load_plain(path)
    assert not target.exists()


def test_any_other_global_is_refused_even_a_harmless_one(tmp_path):
    path = tmp_path / "other.pickle"
    path.write_bytes(pickle.dumps(collections.OrderedDict()))
    with pytest.raises(ValueError, match=r"collections\.OrderedDict"):
        load_plain(path)


def test_a_truncated_pickle_is_refused_at_any_length(tmp_path):
    whole = pickle.dumps({"features": np.zeros((3, 2), np.float32), "indexes": [0, 1, 2]})
    path = tmp_path / "cut.pickle"
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(ValueError, match=r"cut\.pickle"):
            load_plain(path)


def test_a_missing_file_is_an_os_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        load_plain(tmp_path / "none.pickle")


@settings(deadline=None, max_examples=300)
@given(st.binary(max_size=200))
def test_random_bytes_never_raise_anything_but_value_error(tmp_path_factory, data):
    path = tmp_path_factory.getbasetemp() / "fuzz.pickle"
    path.write_bytes(data)
    try:
        load_plain(path)
    except ValueError as error:
        assert "fuzz.pickle" in str(error)
