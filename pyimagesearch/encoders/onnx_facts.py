"""What an ONNX network would do, read from its bytes before anything runs it.

Strangers' networks may refer to files, and may never end. ONNX Runtime reads the fields of a
message wherever and however they are written, and so does this: a search for bytes would not do.
Numbers of fields and messages are those of onnx.proto.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pyimagesearch.encoders.wire import BYTES, VARINT, Field, fields

MAX_DEPTH = 100  # messages within messages: as many as protocol buffers read
MAX_FIELDS = 3_000_000
MAX_NODES = 30_000  # with those of functions in place of their calls
MAX_TRIPS = 10_000  # iterations of a loop, and of all loops that it is in, multiplied
INT64 = 7  # of TensorProto.DataType
STRING = 8
# Fields that are messages: {message: {number of the field: its message}}.
MESSAGES: Mapping[str, Mapping[int, str]] = {
    "model": {7: "graph", 20: "training", 25: "function"},
    "training": {1: "graph", 2: "graph"},
    "function": {7: "node", 11: "attribute"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
    "tensor": {13: "entry"},
    "entry": {},
}
FUNCTION_NAME = 1
FUNCTION_DOMAIN = 10
NODE_INPUT = 1
NODE_OUTPUT = 2
NODE_OPERATOR = 4
NODE_DOMAIN = 7
ATTRIBUTE_NAME = 1
ATTRIBUTE_INTEGER = 3
TENSOR_TYPE = 2
TENSOR_INT64 = 7
TENSOR_NAME = 8
TENSOR_RAW = 9
TENSOR_LOCATION = 14
ENTRY_KEY = 1
ENTRY_VALUE = 2


@dataclass
class Message:
    """A message of a network, without its weights.

    `values` holds the fields that are no messages, {number: values in their order}, and `parts` the
    messages within it. Only fields that are needed below are kept.
    """

    kind: str
    values: dict[int, list[Any]] = field(default_factory=dict)
    parts: list["Message"] = field(default_factory=list)

    def text(self, number: int) -> str:
        """Return a field of text, of which the last counts; empty where there is none."""
        found = self.values.get(number) or [b""]
        return bytes(found[-1]).decode("utf-8", "replace")

    def of_kind(self, kind: str) -> list["Message"]:
        """Return the messages of a kind directly within this one."""
        return [part for part in self.parts if part.kind == kind]


# Fields that are kept, {message: numbers}.
KEPT: Mapping[str, frozenset[int]] = {
    "function": frozenset((FUNCTION_NAME, FUNCTION_DOMAIN)),
    "node": frozenset((NODE_INPUT, NODE_OUTPUT, NODE_OPERATOR, NODE_DOMAIN)),
    "attribute": frozenset((ATTRIBUTE_NAME, ATTRIBUTE_INTEGER)),
    "tensor": frozenset((TENSOR_TYPE, TENSOR_INT64, TENSOR_NAME, TENSOR_RAW, TENSOR_LOCATION)),
    "entry": frozenset((ENTRY_KEY, ENTRY_VALUE)),
}


@dataclass
class NetworkFacts:
    """`locations` are the names of files that a network refers to; `refers` says whether it does.

    `operators` are the names of all operators; `endless` is why it may never end, or None;
    `has_texts` says that it has tensors of text, or makes some.
    """

    locations: set[str] = field(default_factory=set)
    refers: bool = False
    operators: set[str] = field(default_factory=set)
    endless: str | None = None
    has_texts: bool = False


def network_facts(onnx: Any) -> NetworkFacts:
    """Return the facts of a network, bytes or an array of uint8, which is read where it is mapped.

    Raises ValueError when it is not a complete ONNX file.
    """
    model = _Reader().message("model", memoryview(onnx), 0)
    facts = NetworkFacts()
    _collect(model, facts)
    facts.endless = _endless_loop(model, {}, 1) or _too_many_nodes(model)
    return facts


def _too_many_nodes(model: Message) -> str | None:
    """Return why a network is refused whose functions call others that call others, or None.

    ONNX Runtime puts the nodes of a function in place of each of its calls.
    """
    functions: dict[str, Message] = {}
    for function in model.of_kind("function"):
        functions[_called(function, FUNCTION_DOMAIN, FUNCTION_NAME)] = function
    sizes: dict[str, int] = {}

    def size(message: Message, depth: int) -> int:
        total = 0
        for part in message.parts:
            total += size(part, depth)
        if message.kind != "node":
            return min(total, MAX_NODES + 1)
        name = _called(message, NODE_DOMAIN, NODE_OPERATOR)
        if name in functions and name not in sizes:
            sizes[name] = MAX_NODES + 1  # where it calls itself, or others too deeply
            if depth < MAX_DEPTH:
                sizes[name] = size(functions[name], depth + 1)
        return min(total + sizes.get(name, 1), MAX_NODES + 1)

    count = sum(size(graph, 0) for graph in model.of_kind("graph"))
    if count > MAX_NODES:
        return f"it has more than {MAX_NODES:,} operations"
    return None


def _called(message: Message, domain: int, name: int) -> str:
    return f"{message.text(domain)}:{message.text(name)}"


class _Reader:
    """Reads messages; counts fields, of which a small file can have millions."""

    def __init__(self) -> None:
        self._count = 0

    def message(self, kind: str, content: memoryview, depth: int) -> Message:
        if depth > MAX_DEPTH:
            raise ValueError(f"it has messages in more than {MAX_DEPTH} others")
        message = Message(kind)
        inner = MESSAGES[kind]
        kept = KEPT.get(kind, frozenset())
        for one in fields(content):
            self._count += 1
            if self._count > MAX_FIELDS:
                raise ValueError(f"it has more than {MAX_FIELDS:,} fields")
            if one.number in inner and one.kind == BYTES:
                part = self.message(inner[one.number], one.content, depth + 1)
                message.parts.append(part)
            elif one.number in kept:
                message.values.setdefault(one.number, []).append(_value(one))
        return message


def _value(one: Field) -> Any:
    return one.integer if one.kind == VARINT else one.content


def _collect(message: Message, facts: NetworkFacts) -> None:
    """Add the operators of a message, the files that it refers to, and whether it has texts."""
    if message.kind == "node":
        facts.operators.add(message.text(NODE_OPERATOR))
    if message.kind == "attribute":
        # Operators that make text of something else have attributes such as values_strings, or are
        # a Cast to it.
        name = message.text(ATTRIBUTE_NAME)
        to_text = name == "to" and STRING in message.values.get(ATTRIBUTE_INTEGER, [])
        facts.has_texts = facts.has_texts or to_text or "string" in name
    if message.kind == "tensor":
        facts.has_texts = facts.has_texts or STRING in message.values.get(TENSOR_TYPE, [])
        entries = message.of_kind("entry")
        places = [place for place in message.values.get(TENSOR_LOCATION, []) if place != 0]
        facts.refers = facts.refers or bool(entries or places)
        for entry in entries:
            if entry.text(ENTRY_KEY) == "location":
                facts.locations.add(entry.text(ENTRY_VALUE))
    for part in message.parts:
        _collect(part, facts)


def _endless_loop(message: Message, known: dict[str, int | None], trips: int) -> str | None:
    """Return why a loop within a message is refused, or None.

    `known` holds the numbers that are constant, by name, and `trips` how often all of it runs.
    """
    if message.kind in ("graph", "function"):
        known = {**known, **_constants(message)}
    for part in message.parts:
        inner = trips
        if part.kind == "node" and part.text(NODE_OPERATOR) == "Loop":
            reason = "it has a loop without a fixed number of iterations"
            count = _trip_count(part, known)
            if count is None:
                return reason
            inner = trips * max(1, count)
            if inner > MAX_TRIPS:
                return f"it has loops of more than {MAX_TRIPS:,} iterations"
        found = _endless_loop(part, known, inner)
        if found:
            return found
    return None


def _trip_count(loop: Message, known: dict[str, int | None]) -> int | None:
    """Return the number of iterations of a Loop, its first input; None where it is not fixed."""
    inputs = loop.values.get(NODE_INPUT) or [b""]
    name = bytes(inputs[0]).decode("utf-8", "replace")
    return known.get(name)


def _constants(graph: Message) -> dict[str, int | None]:
    """Return the whole numbers that are constant in a graph, and None for all other outputs."""
    found: dict[str, int | None] = {}
    for tensor in graph.of_kind("tensor"):
        found[tensor.text(TENSOR_NAME)] = _integer(tensor)
    for node in graph.of_kind("node"):
        value = None
        if node.text(NODE_OPERATOR) == "Constant":
            value = _constant_value(node)
        for output in node.values.get(NODE_OUTPUT, []):
            found[bytes(output).decode("utf-8", "replace")] = value
    return found


def _constant_value(node: Message) -> int | None:
    """Return the number that a node Constant gives, or None if it gives something else."""
    for attribute in node.of_kind("attribute"):
        for tensor in attribute.of_kind("tensor"):
            return _integer(tensor)
        for number in attribute.values.get(ATTRIBUTE_INTEGER, []):
            return _signed(number)
    return None


def _integer(tensor: Message) -> int | None:
    """Return the only number of a tensor of INT64, or None."""
    if tensor.values.get(TENSOR_TYPE, [0])[-1] != INT64:
        return None
    raw = tensor.values.get(TENSOR_RAW, [])
    if raw and len(raw[-1]) == 8:
        return int.from_bytes(raw[-1], "little", signed=True)
    packed = tensor.values.get(TENSOR_INT64, [])
    if not packed:
        return None
    number = packed[-1]
    if isinstance(number, memoryview):  # "packed": varints one after another
        tagged = b"\x08" + bytes(number)
        number = next(fields(memoryview(tagged))).integer
    return _signed(number)


def _signed(number: int) -> int:
    return number - 2**64 if number >= 2**63 else number
