"""Pickles of plain data from strangers: read without running anything in them.

A pickle is a program: it may name functions, call them, and set the state of what they return.
Here it may name a few functions of NumPy only, and in place of each gets one of ours, which checks
type, shape and number of bytes. Before that, `_scan` goes through the instructions: none but those
that plain data needs are let through, keys of dictionaries are text, numbers or bytes, and nothing
is longer than the file. So no instruction takes more memory or time than the file is long.
"""

import math
import pickle
import re
import struct
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

KINDS = "fiub"  # of the numbers in arrays: floats, integers with and without sign, booleans
MAX_NESTED = 4  # containers inside containers, in which arrays are looked for


def load_plain(
    path: str | Path, encoding: str = "ASCII", structured: np.dtype[Any] | None = None
) -> Any:
    """Return the plain containers and NumPy arrays pickled in the file `path`.

    `encoding` is that of `pickle.load`, for pickles of Python 2; arrays hold numbers, or records of
    the type `structured`. Arrays cannot be written to.

    Raises OSError when it cannot be read and ValueError when it is not a pickle, is truncated, or
    asks for anything but plain data.
    """
    data = Path(path).read_bytes()
    try:
        _scan(data)
        unpickler = _PlainUnpickler(BytesIO(data), encoding=encoding)
        unpickler.structured = structured
        return _resolved(unpickler.load())
    # A hostile or broken stream can make the unpickler raise nearly anything.
    except Exception as error:
        reason = " ".join(str(error).split())[:200]
        raise ValueError(f"{path} is not a complete pickle of plain data: {reason}") from None


# --- the instructions


_MARK = b"("
_STOP = b"."
# Instructions that push a value that may be a key, by the bytes of their argument, or by how those
# begin: with the number of bytes that follow, in this format of struct.
_FIXED = {b"K": 1, b"M": 2, b"J": 4, b"G": 8, b"N": 0, b"\x88": 0, b"\x89": 0}
_COUNTED = {
    b"\x8a": "<B",  # LONG1
    b"\x8b": "<i",  # LONG4
    b"U": "<B",  # SHORT_BINSTRING
    b"T": "<i",  # BINSTRING
    b"C": "<B",  # SHORT_BINBYTES
    b"B": "<I",  # BINBYTES
    b"\x8e": "<Q",  # BINBYTES8
    b"X": "<I",  # BINUNICODE
    b"\x8d": "<Q",  # BINUNICODE8
    b"\x96": "<Q",  # BYTEARRAY8
}
_LINES = {b"I", b"L", b"F", b"S", b"V"}  # values of protocol 0, as lines of text
_EMPTY = {b")": "t", b"]": "c", b"}": "c"}
_TUPLES = {b"\x85": 1, b"\x86": 2, b"\x87": 3}
_PUT = {b"q": "<B", b"r": "<I"}
_GET = {b"h": "<B", b"j": "<I"}
# Runs of whole numbers of one size, such as the row numbers of an index, are skipped at once.
_NUMBERS = re.compile(rb"(?:K.)+|(?:M..)+|(?:J....)+", re.DOTALL)
_NUMBER_SIZES = {b"K": 2, b"M": 3, b"J": 5}


class _Scanner:
    """Goes through the instructions of a pickle with the kinds of the values on its stack.

    A kind is "k" for what may be a key, "t" for a tuple, "g" for a named function, "o" for what a
    function returned, "c" for other containers.
    """

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0
        self._stack: list[str] = []
        self._marks: list[int] = []
        self._memo: dict[int, str] = {}

    def run(self) -> None:
        """Go through all instructions, or raise ValueError."""
        while self._step():
            pass

    def _step(self) -> bool:
        code = self._take(1)
        if code in b"KMJ":
            self._numbers(code)
        elif code == b"\x8c":
            self._texts()
        elif code in _FIXED:
            self._take(_FIXED[code])
            self._stack.append("k")
        elif code in _COUNTED:
            count = self._number(_COUNTED[code])
            if count < 0:
                raise ValueError("a length is below 0")
            self._take(count)
            self._stack.append("c" if code == b"\x96" else "k")
        elif code == b"\x94":  # MEMOIZE
            self._memo[len(self._memo)] = self._stack[-1]
        elif code in _PUT:
            self._memo[self._number(_PUT[code])] = self._stack[-1]
        elif code in _GET:
            self._stack.append(self._memo[self._number(_GET[code])])
        elif code in _LINES:
            self._line()
            self._stack.append("k")
        elif code == _STOP:
            return False
        else:
            self._structure(code)
        return True

    def _structure(self, code: bytes) -> None:
        """Follow an instruction that builds containers, or calls a function."""
        if code == _MARK:
            self._marks.append(len(self._stack))
        elif code in _EMPTY:
            self._stack.append(_EMPTY[code])
        elif code in _TUPLES:
            self._pop(_TUPLES[code])
            self._stack.append("t")
        elif code in b"tld":  # TUPLE, LIST, DICT
            items = self._to_mark()
            if code == b"d":
                _require_keys(items)
            self._stack.append("t" if code == b"t" else "c")
        elif code in b"ea":  # APPENDS, APPEND
            self._pop(1) if code == b"a" else self._to_mark()
        elif code in b"us":  # SETITEMS, SETITEM
            _require_keys(self._pop(2) if code == b"s" else self._to_mark())
        elif code in b"R\x81":  # REDUCE, NEWOBJ
            if self._pop(2) != ["g", "t"]:
                raise ValueError("it calls something that is not a function")
            self._stack.append("o")
        elif code == b"b":  # BUILD
            if self._pop(2) != ["o", "t"]:
                raise ValueError("it sets the state of something that has none")
            self._stack.append("o")
        elif code == b"c":  # GLOBAL
            self._line()
            self._line()
            self._stack.append("g")
        elif code == b"\x93":  # STACK_GLOBAL
            if self._pop(2) != ["k", "k"]:
                raise ValueError("it names a function by something that is not text")
            self._stack.append("g")
        elif code == b"0":  # POP
            self._pop(1)
        elif code == b"1":  # POP_MARK
            self._to_mark()
        elif code in (b"p", b"g"):  # PUT, GET of protocol 0
            number = int(self._line())
            if code == b"p":
                self._memo[number] = self._stack[-1]
            else:
                self._stack.append(self._memo[number])
        elif code == b"\x80":  # PROTO
            self._take(1)
        elif code == b"\x95":  # FRAME
            if self._number("<Q") > len(self._data):
                raise ValueError("a frame is longer than the file")
        else:
            raise ValueError(f"it has the instruction {code!r}, which plain data never needs")

    def _numbers(self, code: bytes) -> None:
        match = _NUMBERS.match(self._data, self._at - 1)
        if match is None:
            raise ValueError("it is cut short")
        self._stack += ["k"] * (len(match[0]) // _NUMBER_SIZES[code])
        self._at = match.end()

    def _texts(self) -> None:
        """Skip a run of short texts, such as the ids of an index."""
        data = self._data
        memo = self._memo
        at = self._at - 1
        last = len(data) - 1
        while at < last and data[at] == 0x8C:  # SHORT_BINUNICODE
            at += 2 + data[at + 1]
            self._stack.append("k")
            if at <= last and data[at] == 0x94:  # MEMOIZE
                memo[len(memo)] = "k"
                at += 1
        if at > last or at == self._at - 1:
            raise ValueError("it is cut short")
        self._at = at

    def _take(self, count: int) -> bytes:
        end = self._at + count
        if end > len(self._data):
            raise ValueError("it is cut short")
        part = self._data[self._at : end] if count <= 8 else b""  # contents are not looked at
        self._at = end
        return part

    def _number(self, form: str) -> int:
        [value] = struct.unpack(form, self._take(struct.calcsize(form)))
        return int(value)

    def _line(self) -> bytes:
        end = self._data.find(b"\n", self._at)
        if end < 0:
            raise ValueError("it is cut short")
        line = self._data[self._at : end]
        self._at = end + 1
        return line

    def _pop(self, count: int) -> list[str]:
        if len(self._stack) - (self._marks[-1] if self._marks else 0) < count:
            raise ValueError("it takes more values than it has")
        popped = self._stack[-count:]
        del self._stack[-count:]
        return popped

    def _to_mark(self) -> list[str]:
        start = self._marks.pop()
        popped = self._stack[start:]
        del self._stack[start:]
        return popped


def _require_keys(items: list[str]) -> None:
    if any(kind != "k" for kind in items[::2]):
        raise ValueError("a key is neither text nor a number")


def _scan(data: bytes) -> None:
    """Raise ValueError if a pickle has instructions that plain data never needs."""
    try:
        _Scanner(data).run()
    except (IndexError, KeyError, struct.error) as error:
        raise ValueError("its instructions do not fit together") from error


# --- the functions


class _PickledDtype:
    """Stands for numpy.dtype: a type of numbers, or the one type of records that is known."""

    def __init__(self, code: Any, *flags: Any) -> None:
        if isinstance(code, bytes):
            code = code.decode("ascii")
        if not isinstance(code, str) or not re.fullmatch(r"[fiubV]\d{1,3}|\?", code):
            raise ValueError("an array holds values that are not numbers")
        self.code = code
        self.order = "="
        self.names: Any = None

    def __setstate__(self, state: Any) -> None:
        """Take the state of numpy.dtype.__reduce__: its second entry is the order of bytes."""
        if not isinstance(state, tuple) or len(state) < 4:
            raise ValueError("a type of numbers is damaged")
        order = state[1].decode("ascii") if isinstance(state[1], bytes) else state[1]
        if order not in ("<", ">", "=", "|"):
            raise ValueError("a type of numbers is damaged")
        self.order = order
        self.names = state[3]

    def resolved(self, structured: np.dtype[Any] | None) -> np.dtype[Any]:
        """Return the type, or raise ValueError."""
        if self.code.startswith("V"):
            if structured is None or self.names != structured.names:
                raise ValueError("an array holds values that are not numbers")
            return structured
        dtype = np.dtype(self.code)
        if self.order in ("|", "="):
            return dtype
        return dtype.newbyteorder(">" if self.order == ">" else "<")


class _PickledArray:
    """Stands for numpy.ndarray: bytes with a type and a shape."""

    structured: np.dtype[Any] | None = None
    values: NDArray[Any] | None = None

    def __init__(self, *arguments: Any) -> None:
        raise ValueError("it makes an array in a way that plain data never needs")

    @classmethod
    def empty(cls, structured: np.dtype[Any] | None) -> "_PickledArray":
        """Return an array that waits for its state."""
        array = cls.__new__(cls)
        array.structured = structured
        array.values = None
        return array

    def __setstate__(self, state: Any) -> None:
        """Take the state of numpy.ndarray.__reduce__: version, shape, type, order and bytes."""
        if not isinstance(state, tuple) or len(state) != 5:
            raise ValueError("an array is damaged")
        _, shape, dtype, is_fortran, content = state
        self.fill(content, dtype, shape, order="F" if is_fortran is True else "C")

    def fill(self, content: Any, dtype: Any, shape: Any, *, order: Literal["C", "F"]) -> None:
        """Take the content, or raise ValueError where type, shape and bytes do not fit."""
        if not isinstance(dtype, _PickledDtype) or not isinstance(content, bytes | bytearray):
            raise ValueError("an array is damaged")
        sides_fit = isinstance(shape, tuple) and all(type(n) is int and n >= 0 for n in shape)
        if not sides_fit or len(shape) > MAX_NESTED + 1 or order not in ("C", "F"):
            raise ValueError("an array is damaged")
        kind = dtype.resolved(self.structured)
        if math.prod(shape) * kind.itemsize != len(content):
            raise ValueError("an array has another shape than its bytes")
        values: NDArray[Any] = np.frombuffer(content, kind) if content else np.empty(0, kind)
        self.values = values.reshape(shape, order=order)


class _PlainUnpickler(pickle.Unpickler):
    """Gives a pickle our functions in place of NumPy's."""

    structured: np.dtype[Any] | None = None

    def find_class(self, module: str, name: str) -> Any:
        """Return the stand-in for a function that is named; raise UnpicklingError for others."""
        known: dict[tuple[str, str], Callable[..., Any]] = {
            ("numpy", "ndarray"): _PickledArray,
            ("numpy", "dtype"): _PickledDtype,
            ("numpy._core.multiarray", "_reconstruct"): self._reconstruct,
            ("numpy._core.numeric", "_frombuffer"): self._frombuffer,
            ("numpy._core.multiarray", "scalar"): _scalar,
            ("builtins", "range"): range,
            ("__builtin__", "xrange"): range,
        }
        key = (module.replace("numpy.core.", "numpy._core."), name)
        if key not in known:
            shown = f"{module}.{name}"[:80]
            raise pickle.UnpicklingError(
                f"it asks for {shown!r}, which plain data never needs: it may be an attack"
            )
        return known[key]

    def persistent_load(self, pid: Any) -> Any:
        """Refuse references to what is kept elsewhere."""
        raise pickle.UnpicklingError("it refers to data that is kept elsewhere")

    def _reconstruct(self, *arguments: Any) -> _PickledArray:
        return _PickledArray.empty(self.structured)

    def _frombuffer(self, content: Any, dtype: Any, shape: Any, order: Any) -> _PickledArray:
        array = _PickledArray.empty(self.structured)
        array.fill(content, dtype, shape, order=order)
        return array


def _scalar(dtype: Any, content: Any) -> Any:
    """Return a number of NumPy as one of Python."""
    if not isinstance(dtype, _PickledDtype) or not isinstance(content, bytes):
        raise ValueError("a number is damaged")
    kind = dtype.resolved(None)
    if kind.itemsize != len(content):
        raise ValueError("a number is damaged")
    return np.frombuffer(content, kind)[0].item()


def _resolved(value: Any, depth: int = 0) -> Any:
    """Return a value with the arrays in it, or in the dictionaries in it, as NumPy's."""
    if isinstance(value, _PickledArray):
        if value.values is None:
            raise ValueError("an array has no content")
        return value.values
    if isinstance(value, dict) and depth < MAX_NESTED:
        return {key: _resolved(one, depth + 1) for key, one in value.items()}
    return value
