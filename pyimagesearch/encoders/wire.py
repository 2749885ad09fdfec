"""Fields of protocol buffers, read strictly and without copying.

The format is described in the documentation of protocol buffers under "Encoding".
"""

from collections.abc import Iterator
from typing import NamedTuple

VARINT = 0
FIXED64 = 1
BYTES = 2
FIXED32 = 5
FIXED_SIZES = {FIXED64: 8, FIXED32: 4}
MAX_VARINT = 10  # bytes
MAX_FIELD = 2**29 - 1


class Field(NamedTuple):
    """One field of a message: a whole number, or the bytes of text, of a message or of a float."""

    number: int
    kind: int
    integer: int
    content: memoryview


EMPTY = memoryview(b"")


def fields(message: memoryview) -> Iterator[Field]:
    """Yield the fields of a message, in its order.

    Groups, which neither ONNX nor SentencePiece has, are refused. Raises ValueError where the bytes
    are not a complete message.
    """
    position = 0
    end = len(message)
    while position < end:
        tag, position = _varint(message, position)
        number = tag >> 3
        kind = tag & 7
        if not 0 < number <= MAX_FIELD:
            raise ValueError(f"it has a field of the number {number}")
        integer = 0
        content = EMPTY
        if kind == VARINT:
            integer, position = _varint(message, position)
        elif kind == BYTES:
            size, position = _varint(message, position)
            content, position = _take(message, position, size)
        elif kind in FIXED_SIZES:
            content, position = _take(message, position, FIXED_SIZES[kind])
        else:
            raise ValueError(f"it has a field of the kind {kind}")
        yield Field(number, kind, integer, content)


def _varint(message: memoryview, position: int) -> tuple[int, int]:
    """Return a number, below 2**64, and where it ends; it may have more bytes than it needs."""
    if position < len(message) and message[position] < 0x80:  # most have one byte
        return message[position], position + 1
    value = 0
    for count, byte in enumerate(message[position : position + MAX_VARINT]):
        value |= (byte & 0x7F) << (7 * count)
        if byte < 0x80:
            return value & (2**64 - 1), position + count + 1
    raise ValueError("it ends within a number")


def _take(message: memoryview, position: int, size: int) -> tuple[memoryview, int]:
    """Return the next bytes, and where they end."""
    end = position + size
    if end > len(message):
        raise ValueError("it ends within a field")
    return message[position:end], end
