"""Pickles of plain data from strangers: read without running anything in them.

A pickle is a program: it may name functions, call them, and set the state of what they return.
Here it may name a few functions of NumPy only, and in place of each gets one of ours, which checks
type, shape and number of bytes. Before that, `_scan` goes through the instructions: none but those
that plain data needs are let through, keys of dictionaries are text, numbers or bytes, and nothing
is longer than the file. So no instruction takes more memory or time than the file is long, and
their number is limited.
"""

import math
import mmap
import pickle
import pickletools
import re
from collections.abc import Callable
from io import BufferedReader
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

MAX_INSTRUCTIONS = 5_000_000  # that are followed one by one, in 10 s
MAX_VALUES = 20_000_000  # of one list or of all at once, such as the numbers of rows: 1 GB
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
    with open(path, "rb") as file:
        try:
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
                _scan(file, content)
            file.seek(0)
            unpickler = _PlainUnpickler(file, encoding=encoding)
            unpickler.structured = structured
            return _resolved(unpickler.load())
        # A hostile or broken stream can make the unpickler raise nearly anything.
        except Exception as error:
            reason = " ".join(str(error).split())[:200]
            raise ValueError(f"{path} is not a complete pickle of plain data: {reason}") from None


# --- the instructions


_VALUES = """
    NONE NEWTRUE NEWFALSE INT BININT BININT1 BININT2 LONG LONG1 LONG4 FLOAT BINFLOAT
    STRING BINSTRING SHORT_BINSTRING UNICODE BINUNICODE SHORT_BINUNICODE BINUNICODE8
    BINBYTES SHORT_BINBYTES BINBYTES8
"""
# What the instructions leave on the stack, as kinds: "k" for what may be a key, "t" for a tuple,
# "g" for a named function, "o" for what a function returned, "c" for other containers.
_GIVES = dict.fromkeys(_VALUES.split(), "k")
_GIVES |= dict.fromkeys(("EMPTY_TUPLE", "TUPLE", "TUPLE1", "TUPLE2", "TUPLE3"), "t")
_GIVES |= dict.fromkeys(("EMPTY_LIST", "EMPTY_DICT", "BYTEARRAY8", "LIST", "DICT"), "c")
_GIVES |= dict.fromkeys(("GLOBAL", "STACK_GLOBAL"), "g")
_GIVES |= dict.fromkeys(("REDUCE", "NEWOBJ", "BUILD"), "o")
# How many values they take from it, and which of them take all to the last mark.
_TAKES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3, "APPEND": 1, "SETITEM": 2, "STACK_GLOBAL": 2}
_TAKES |= {"REDUCE": 2, "NEWOBJ": 2, "BUILD": 2, "POP": 1}
_TAKES_TO_MARK = {"TUPLE", "LIST", "DICT", "APPENDS", "SETITEMS", "POP_MARK"}
# Kinds that these have to take: nothing else is called, named, or given a state.
_OPERANDS = {
    "REDUCE": ["g", "t"],
    "NEWOBJ": ["g", "t"],
    "BUILD": ["o", "t"],
    "STACK_GLOBAL": ["k", "k"],
}
_KEYED = {"DICT", "SETITEM", "SETITEMS"}  # of what they take, every second value is a key
_PUTS = {"PUT", "BINPUT", "LONG_BINPUT"}
_GETS = {"GET", "BINGET", "LONG_BINGET"}
_IGNORED = {"PROTO", "STOP"}
# Runs of whole numbers of one size, such as the row numbers of an index, are skipped at once.
_NUMBERS = re.compile(rb"(?:K.)+|(?:M..)+|(?:J....)+", re.DOTALL)
_NUMBER_SIZES = {b"K": 2, b"M": 3, b"J": 5}
# BINBYTES and BINBYTES8 with a length: what follows, such as the codes of an index, is not copied.
_BYTES = re.compile(rb"B.{4}|\x8e.{8}", re.DOTALL)


class _Scanner:
    """Goes through the instructions of a pickle with the kinds of the values on its stack."""

    def __init__(self, file: BufferedReader, data: mmap.mmap) -> None:
        """`data` is what `file` holds."""
        self._file = file
        self._data = data
        self._stack: list[str] = []
        self._marks: list[int] = []
        self._memo: dict[int, str] = {}

    def run(self) -> None:
        """Go through all instructions, or raise ValueError."""
        for count, (instruction, argument, _) in enumerate(pickletools.genops(self._file)):
            self._follow(instruction.name, argument)
            self._skip_runs()
            if count > MAX_INSTRUCTIONS or len(self._stack) > MAX_VALUES:
                raise ValueError("it has more values than an index that a pickle can hold")

    def _follow(self, name: str, argument: Any) -> None:
        if name == "MARK":
            self._marks.append(len(self._stack))
        elif name in _GIVES or name in _TAKES or name in _TAKES_TO_MARK:
            _require_operands(name, self._taken(name))
            if name in _GIVES:
                self._stack.append(_GIVES[name])
        elif name == "MEMOIZE":
            self._memo[len(self._memo)] = self._stack[-1]
        elif name in _PUTS:
            self._memo[argument] = self._stack[-1]
        elif name in _GETS:
            self._stack.append(self._memo[argument])
        elif name == "FRAME":
            if argument > len(self._data):
                raise ValueError("a frame is longer than the file")
        elif name not in _IGNORED:
            raise ValueError(f"it has the instruction {name}, which plain data never needs")

    def _taken(self, name: str) -> list[str]:
        """Remove what an instruction takes from the stack, and return it."""
        bottom = self._marks[-1] if self._marks else 0
        start = len(self._stack) - _TAKES.get(name, 0)
        if name in _TAKES_TO_MARK:
            start = self._marks.pop()
        elif start < bottom:
            raise ValueError("it takes more values than it has")
        taken = self._stack[start:]
        del self._stack[start:]
        return taken

    def _skip_runs(self) -> None:
        """Skip a run of numbers, or of short texts, such as the ids of an index, or an array."""
        data = self._data
        memo = self._memo
        remembered = len(memo)
        push = self._stack.append
        at = self._file.tell()
        if match := _NUMBERS.match(data, at):
            self._stack += ["k"] * (len(match[0]) // _NUMBER_SIZES[match[0][:1]])
            at = match.end()
        last = len(data) - 1
        while at < last and data[at] == 0x8C:  # SHORT_BINUNICODE, then the length and the text
            end = at + 2 + data[at + 1]
            if end > last:
                break
            push("k")
            if data[end] == 0x94:  # MEMOIZE
                memo[remembered] = "k"
                remembered += 1
                end += 1
            at = end
        if match := _BYTES.match(data, at):
            end = match.end() + int.from_bytes(match[0][1:], "little")
            if end < len(data):
                push("k")
                at = end
        self._file.seek(at)


def _require_operands(name: str, operands: list[str]) -> None:
    if name in _OPERANDS and operands != _OPERANDS[name]:
        raise ValueError(f"its instruction {name} takes what it never takes in plain data")
    if name in _KEYED and any(kind != "k" for kind in operands[::2]):
        raise ValueError("a key is neither text nor a number")


def _scan(file: BufferedReader, data: mmap.mmap) -> None:
    """Raise ValueError if a pickle has instructions that plain data never needs."""
    try:
        _Scanner(file, data).run()
    except (IndexError, KeyError) as error:
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
