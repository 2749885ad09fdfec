"""Changes to ONNX graphs: which outputs and nodes are kept, and what is put before and after them.

All operators that are added are in every opset since 7 in the same form.
"""

from typing import NamedTuple

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

PREFIX = "pyimagesearch_"  # of names that are added
FLOATS = (TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.DOUBLE)
# Names of outputs that hold one vector an image, the most specific first.
POOLED = (
    *("image_embeds", "text_embeds", "pooler_output", "sentence_embedding"),
    *("embeddings", "embedding", "image_features", "features", "pooled_output"),
)
# Steps, for `append_steps`. Euclidean distances of codes of length 1 rank as cosine distances do.
CAST = ("Cast", {"to": TensorProto.FLOAT})
NORMALIZE = ("LpNormalization", {"axis": -1, "p": 2})
FIRST_TOKEN = ("Gather", {"axis": 1}, np.array(0))
AVERAGE = [("GlobalAveragePool", {}), ("Flatten", {"axis": 1})]  # over all axes after the second


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
    size: tuple
    channels_first: bool


def fed_inputs(graph):
    """Return the inputs of a graph that have no value of their own, {name: ValueInfoProto}."""
    own = {tensor.name for tensor in graph.initializer}
    return {node.name: node for node in graph.input if node.name not in own}


def find_image_input(graph, name="the network"):
    """Return the ImageInput of a graph: `pixel_values`, or else its only input of four axes.

    Channels come first unless the last axis is the one of 1 or 3. Raises ValueError when there is
    no such input or its type is no float.
    """
    inputs = fed_inputs(graph)
    found = {key: shape_of(node) for key, node in inputs.items() if len(shape_of(node)) == 4}
    found = {"pixel_values": found["pixel_values"]} if "pixel_values" in found else found
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
    batch, channels, *size = [shape[i] for i in ((0, 1, 2, 3) if first else (0, 3, 1, 2))]
    channels = 3 if channels is None else channels
    if channels not in (1, 3):
        raise ValueError(
            f"cannot use {name} as an encoder: expected images of 1 or 3 channels, received the "
            f"shape {shape}"
        )
    return ImageInput(key, kind, batch, channels, tuple(size), first)


def shape_of(node):
    """Return the shape of an input or output: positive integers, None where any will do."""
    dims = node.type.tensor_type.shape.dim
    return [d.dim_value if d.HasField("dim_value") and d.dim_value > 0 else None for d in dims]


def choose_output(graph, given, name="the network"):
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

    def preference(output):
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


def required_inputs(graph, output):
    """Return the names of the inputs of a graph that one of its outputs depends on."""
    return fed_inputs(graph).keys() & _needed(graph, output)


def _needed(graph, output):
    """Return the names of all tensors that an output depends on."""
    makers = {name: node for node in graph.node for name in node.output}
    found, waiting = set(), [output]
    while waiting:
        name = waiting.pop()
        if name in found:
            continue
        found.add(name)
        if name in makers:
            waiting += [*makers[name].output, *_node_inputs(makers[name])]
    return found


def _node_inputs(node):
    """Return the names that a node reads, also within its branches and loops."""
    names = [name for name in node.input if name]
    for attribute in node.attribute:
        for graph in (attribute.g, *attribute.graphs):
            names += [output.name for output in graph.output]
            for inner in graph.node:
                names += _node_inputs(inner)
    return names


def pruned(model, output):
    """Return a copy of a model with one output, and with what this depends on only."""
    graph, needed = model.graph, _needed(model.graph, output)
    kept = helper.make_graph(
        [node for node in graph.node if needed.intersection(node.output)],
        graph.name or "encoder",
        [node for node in graph.input if node.name in needed],
        [node for node in graph.output if node.name == output],
        [tensor for tensor in graph.initializer if tensor.name in needed],
    )
    kept.sparse_initializer.extend(graph.sparse_initializer)
    copy = onnx.ModelProto()
    copy.ir_version, copy.producer_name = model.ir_version, model.producer_name
    copy.opset_import.extend(model.opset_import)
    copy.functions.extend(model.functions)
    copy.graph.CopyFrom(kept)
    return copy


def prepend_preprocessing(model, image, size, scale, offset):
    """Let a model take images in [0, 1], float32 (n, *size, channels), in place of its own input.

    They are multiplied by `scale`, `offset` is added, and the axes and the type are those that the
    ImageInput `image` expects.
    """
    graph, names = model.graph, [f"{PREFIX}{step}" for step in ("images", "scaled", "shifted")]
    graph.initializer.extend(
        [
            numpy_helper.from_array(np.asarray(scale, np.float32), f"{PREFIX}scale"),
            numpy_helper.from_array(np.asarray(offset, np.float32), f"{PREFIX}offset"),
        ]
    )
    nodes = [
        helper.make_node("Mul", [names[0], f"{PREFIX}scale"], [names[1]]),
        helper.make_node("Add", [names[1], f"{PREFIX}offset"], [names[2]]),
    ]
    if image.channels_first:
        names.append(f"{PREFIX}transposed")
        nodes.append(helper.make_node("Transpose", names[-2:-1], names[-1:], perm=[0, 3, 1, 2]))
    nodes.append(helper.make_node("Cast", names[-1:], [image.name], to=image.type))
    others = list(graph.node)
    del graph.node[:]
    graph.node.extend([*nodes, *others])
    inputs = [node for node in graph.input if node.name != image.name]
    del graph.input[:]
    shape = [image.batch or "n", *size, image.channels]
    graph.input.extend([helper.make_tensor_value_info(names[0], TensorProto.FLOAT, shape), *inputs])


def append_steps(model, steps):
    """Put operators after the one output of a model, which then is float32.

    A step is an operator, its attributes, and perhaps an array as its second input.
    """
    graph, name = model.graph, model.graph.output[0].name
    for i, (operator, attributes, *arrays) in enumerate([CAST, *steps]):
        constants = [f"{PREFIX}constant_{i}"] * len(arrays)
        graph.initializer.extend(map(numpy_helper.from_array, arrays, constants))
        output = f"{PREFIX}after_{len(graph.node)}"
        graph.node.append(helper.make_node(operator, [name, *constants], [output], **attributes))
        name = output
    del graph.output[:]
    graph.output.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, None))


def pooling_steps(shape, size, channels_first):
    """Return the steps from the features of images to one vector each, for `append_steps`.

    `shape` is that of the features of images of `size`, (height, width), with the batch. Vectors
    (n, dim) stay as they are. Of tokens (n, tokens, dim) the first is taken, the class token, or
    their average if they are the cells of a grid alone; features of four axes are averaged over
    height and width.

    Raises ValueError for other shapes, and for images.
    """
    if len(shape) == 2:
        return []
    if len(shape) == 3 and is_grid(shape[1], size):
        return [("Transpose", {"perm": [0, 2, 1]}), *AVERAGE]
    if len(shape) == 3:
        return [FIRST_TOKEN]
    if len(shape) == 4 and sorted(shape[1:])[:2] == [1, 1]:  # averaged already
        return [("Flatten", {"axis": 1})]
    inner = shape[2:] if channels_first else shape[1:3]
    if len(shape) != 4 or tuple(inner) == tuple(size):
        raise ValueError(f"expected one output of codes or features, received the shape {shape}")
    return AVERAGE if channels_first else [("Transpose", {"perm": [0, 3, 1, 2]}), *AVERAGE]


def is_grid(tokens, size):
    """Whether a number of tokens is that of the square patches of images of `size` pixels."""
    height, width = size
    return any(
        (height // side) * (width // side) == tokens for side in range(1, min(height, width) + 1)
    )
