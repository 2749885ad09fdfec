import collections
import os
import pickle
import pickletools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyimagesearch import pickles
from pyimagesearch.pickles import load_plain


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


class Call:
    """Pickles as the call of a function, and perhaps a state that is set afterwards."""

    def __init__(self, function, arguments, state=None):
        self.parts = (function, arguments) if state is None else (function, arguments, state)

    def __reduce__(self):
        return self.parts


HOSTILE = {
    "an array that takes its shape from an address": Call(np.ndarray, ((1,), "O", b"12345678")),
    "an array of objects": np.array([None, "a"], object),
    "an array of dates": np.zeros(2, "M8[s]"),
    "an array larger than its bytes": Call(
        np._core.multiarray._reconstruct,
        (np.ndarray, (0,), b"b"),
        (1, (10**12,), np.dtype("f4"), False, b"1234"),
    ),
    "an array of negative sides": Call(
        np._core.multiarray._reconstruct,
        (np.ndarray, (0,), b"b"),
        (1, (-1, -1), np.dtype("f4"), False, b"1234"),
    ),
    "the state of a range": Call(range, (3,), {"a": 1}),
}


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("protocol", [2, 4, 5])
def test_no_function_of_numpy_is_called(name, protocol, tmp_path):
    path = tmp_path / "hostile.pickle"
    path.write_bytes(pickle.dumps({"features": HOSTILE[name]}, protocol=protocol))
    with pytest.raises(ValueError, match="is not a complete pickle of plain data"):
        load_plain(path)


def test_a_key_of_nested_pairs_is_not_hashed(tmp_path):
    pairs = b"".join([b"N", *[b"2\x86" for _ in range(40)]])  # DUP, TUPLE2
    memoized = b"N\x94" + b"".join(
        b"h" + bytes([i]) + b"h" + bytes([i]) + b"\x86\x94" for i in range(40)
    )
    for keys in (pairs, memoized):
        path = tmp_path / "hash.pickle"
        path.write_bytes(b"\x80\x04}" + keys + b"Ns.")
        with pytest.raises(ValueError, match=r"hash\.pickle"):
            load_plain(path)


def test_numbers_of_numpy_and_ranges_are_numbers(tmp_path):
    path = tmp_path / "data.pickle"
    data = {"indexes": [np.int64(3), np.int64(-1)], "range": range(4), "one": np.float32(0.5)}
    path.write_bytes(pickle.dumps(data, protocol=4))
    loaded = load_plain(path)
    assert loaded == {"indexes": [3, -1], "range": range(4), "one": 0.5}
    assert type(loaded["indexes"][0]) is int


def test_fortran_order_and_big_endian_arrays_come_back(tmp_path):
    path = tmp_path / "data.pickle"
    arrays = {
        "fortran": np.asfortranarray(np.arange(6, dtype=np.float32).reshape(2, 3)),
        "big": np.arange(3, dtype=">i4"),
        "empty": np.zeros((0, 4), np.float32),
    }
    for protocol in (2, 4, 5):
        path.write_bytes(pickle.dumps(arrays, protocol=protocol))
        if protocol == 2:  # bytes are written as a call of codecs.encode, which is refused
            with pytest.raises(ValueError, match=r"_codecs\.encode"):
                load_plain(path)
            continue
        for name, array in load_plain(path).items():
            np.testing.assert_array_equal(array, arrays[name])


@settings(deadline=None, max_examples=300)
@given(st.integers(0, 10**9))
def test_changed_instructions_never_raise_anything_but_value_error(tmp_path_factory, seed):
    """Bytes that are instructions are replaced by other instructions, of which there are 68."""
    random = np.random.default_rng(seed)
    whole = pickle.dumps(
        {"indexes": list(range(300)), "features": np.eye(3, dtype=np.float32), "a": {"b": (1, 2)}}
    )
    starts = [place for _, _, place in pickletools.genops(whole)]
    codes = [op.code.encode("latin-1") for op in pickletools.opcodes]
    data = bytearray(whole)
    for place in random.choice(starts, 2):
        data[place : place + 1] = codes[random.integers(len(codes))]
    path = tmp_path_factory.getbasetemp() / "mutant.pickle"
    path.write_bytes(data)
    try:
        load_plain(path)
    except ValueError as error:
        assert "mutant.pickle" in str(error)


@pytest.mark.parametrize(
    ("limit", "content"),
    [("MAX_INSTRUCTIONS", b"]" * 100), ("MAX_VALUES", b"K\0" * 100 + b"N")],
)
def test_values_are_limited_in_number(limit, content, tmp_path, monkeypatch):
    """A list of one byte takes 64 in memory, and a microsecond to look at."""
    path = tmp_path / "many.pickle"
    path.write_bytes(b"\x80\x04]" + b"(" + content + b"e.")
    assert len(load_plain(path)) >= 100
    monkeypatch.setattr(pickles, limit, 99)
    with pytest.raises(ValueError, match="more values"):
        load_plain(path)
