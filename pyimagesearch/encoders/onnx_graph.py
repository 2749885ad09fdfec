"""ONNX graphs: which inputs take images and texts, and which output gives codes."""

from collections.abc import Sequence
from typing import NamedTuple

from onnx import GraphProto, NodeProto, TensorProto, ValueInfoProto

from pyimagesearch.encoders.text_encoder import TOKEN_INPUTS

FLOATS = (TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.DOUBLE)
# Names of outputs that hold one vector an image, the most specific first.
POOLED = (
    *("image_embeds", "text_embeds", "image_embeddings", "text_embeddings"),
    *("pooler_output", "sentence_embedding", "embeddings", "embedding"),
    *("image_features", "features", "pooled_output"),
    *("l2norm_image_embeddings", "l2norm_text_embeddings"),
)
INTEGERS = (TensorProto.INT32, TensorProto.INT64)


class ImageInput(NamedTuple):
    """The input of a network that takes images.

    `name`, `type` of TensorProto; `batch` is the fixed number of images or None, `channels` 1 or 3,
    `size` (height, width), each None where any will do; `channels_first` whether the shape is
    (n, channels, height, width).
    """

    name: str
    type: int
    batch: int | None
    channels: int
    size: tuple[int | None, int | None]
    channels_first: bool


def fed_inputs(graph: GraphProto) -> dict[str, ValueInfoProto]:
    """Return the inputs of a graph that have no value of their own, {name: ValueInfoProto}."""
    own = {tensor.name for tensor in graph.initializer}
    return {node.name: node for node in graph.input if node.name not in own}


def find_text_input(graph: GraphProto) -> str | None:
    """Return the name of the input of token numbers, (n, tokens), or None where there is none."""
    inputs = fed_inputs(graph)
    for key, node in inputs.items():
        is_integer = node.type.tensor_type.elem_type in INTEGERS
        if key.lower() in TOKEN_INPUTS and is_integer and len(shape_of(node)) == 2:
            return key
    return None


def find_image_input(graph: GraphProto, name: object = "the network") -> ImageInput:
    """Return the ImageInput of a graph: `pixel_values`, or else its only input of four axes.

    Channels come first unless the last axis is the one of 1 or 3. Raises ValueError when there is
    no such input or its type is no float.
    """
    inputs = fed_inputs(graph)
    found = {key: shape_of(node) for key, node in inputs.items() if len(shape_of(node)) == 4}
    if "pixel_values" in found:
        found = {"pixel_values": found["pixel_values"]}
    if len(found) != 1:
        shapes = ", ".join(f"{key} {shape_of(node)}" for key, node in inputs.items()) or "none"
        raise ValueError(
            f"cannot use {name} as an encoder: expected one input of images with four axes, "
            f"received {shapes}"
        )
    [(key, shape)] = found.items()
    kind = inputs[key].type.tensor_type.elem_type
    if kind not in FLOATS:
        raise ValueError(
            f"cannot use {name} as an encoder: its images are {TensorProto.DataType.Name(kind)}, "
            "expected FLOAT, FLOAT16 or DOUBLE"
        )
    first = shape[3] not in (1, 3) or (shape[1] in (1, 3) and key == "pixel_values")
    batch, *others = shape
    channels = others.pop(0 if first else 2) or 3
    if channels not in (1, 3):
        raise ValueError(
            f"cannot use {name} as an encoder: expected images of 1 or 3 channels, received the "
            f"shape {shape}"
        )
    height, width = others
    return ImageInput(key, kind, batch, channels, (height, width), first)


def shape_of(node: ValueInfoProto) -> list[int | None]:
    """Return the shape of an input or output: positive integers, None where any will do."""
    # `dim_value` is 0 where a side has a name or nothing instead.
    sides = [dim.dim_value for dim in node.type.tensor_type.shape.dim]
    return [side if side > 0 else None for side in sides]


def choose_output(graph: GraphProto, given: Sequence[str], name: object = "the network") -> str:
    """Return the name of the output to take codes from: one that needs the inputs `given` only.

    Those are preferred that are named as in POOLED, then those of two axes, then the last hidden
    state and other features; scores of classes come last. Raises ValueError when all need more.
    """
    possible = [out for out in graph.output if required_inputs(graph, out.name) <= set(given)]
    if not possible:
        needed = set().union(*(required_inputs(graph, out.name) for out in graph.output))
        raise ValueError(
            f"cannot use {name} as an encoder: its outputs need {', '.join(sorted(needed))}, and "
            f"only {', '.join(given)} can be given"
        )

    def preference(output: ValueInfoProto) -> tuple[bool | int, ...]:
        axes = len(shape_of(output))
        known = output.name in POOLED
        return (
            "logits" in output.name.lower(),
            not known,
            POOLED.index(output.name) if known else 0,
            axes != 2,
            output.name != "last_hidden_state",
            axes not in (3, 4),
        )

    return min(possible, key=preference).name


def required_inputs(graph: GraphProto, output: str) -> set[str]:
    """Return the names of the inputs of a graph that one of its outputs depends on."""
    return fed_inputs(graph).keys() & needed_names(graph, output)


def needed_names(graph: GraphProto, output: str) -> set[str]:
    """Return the names of all tensors that an output depends on."""
    makers = {name: node for node in graph.node for name in node.output}
    found: set[str] = set()
    waiting = [output]
    while waiting:
        name = waiting.pop()
        if name in found:
            continue
        found.add(name)
        if name in makers:
            waiting += [*makers[name].output, *_node_inputs(makers[name])]
    return found


def _node_inputs(node: NodeProto) -> list[str]:
    """Return the names that a node reads, also within its branches and loops."""
    names = [name for name in node.input if name]
    for attribute in node.attribute:
        for graph in (attribute.g, *attribute.graphs):
            names += [output.name for output in graph.output]
            for inner in graph.node:
                names += _node_inputs(inner)
    return names
