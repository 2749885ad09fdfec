"""Changes to ONNX graphs: which nodes are kept, and what is put before and after them.

All operators that are added are in every opset since 7 in the same form.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
from numpy.typing import ArrayLike, NDArray
from onnx import AttributeProto, GraphProto, ModelProto, TensorProto, helper, numpy_helper

from pyimagesearch.encoders.onnx_graph import ImageInput, needed_names

PREFIX = "pyimagesearch_"  # of names that are added


@dataclass(frozen=True)
class Step:
    """An operator to put after a network, with its attributes and its inputs after the first."""

    operator: str
    attributes: Mapping[str, Any] = field(default_factory=dict)
    constants: Sequence[NDArray[Any]] = ()


# Euclidean distances of codes of length 1 rank as cosine distances do.
CAST = Step("Cast", {"to": TensorProto.FLOAT})
NORMALIZE = Step("LpNormalization", {"axis": -1, "p": 2})
RELU = Step("Relu")
FIRST_TOKEN = Step("Gather", {"axis": 1}, [np.array(0)])
FLATTEN = Step("Flatten", {"axis": 1})
AVERAGE = [Step("GlobalAveragePool"), FLATTEN]  # over all axes after the second


def pruned(model: ModelProto, output: str) -> ModelProto:
    """Return a copy of a model with one output, and with what this depends on only."""
    graph = model.graph
    needed = needed_names(graph, output)
    copy = onnx.ModelProto()
    kept = copy.graph
    kept.name = graph.name or "encoder"
    kept.node.extend(node for node in graph.node if needed.intersection(node.output))
    kept.input.extend(node for node in graph.input if node.name in needed)
    kept.output.extend(node for node in graph.output if node.name == output)
    kept.initializer.extend(tensor for tensor in graph.initializer if tensor.name in needed)
    kept.sparse_initializer.extend(graph.sparse_initializer)
    copy.ir_version = model.ir_version
    copy.producer_name = model.producer_name
    copy.opset_import.extend(model.opset_import)
    copy.functions.extend(model.functions)
    return copy


def prepend_preprocessing(
    model: ModelProto,
    image: ImageInput,
    size: tuple[int, int],
    *,
    scale: ArrayLike,
    offset: ArrayLike,
) -> None:
    """Let a model take images in [0, 1], float32 (n, *size, channels), in place of its own input.

    They are multiplied by `scale`, `offset` is added, and the axes and the type are those that the
    ImageInput `image` expects.
    """
    graph = model.graph
    names = [f"{PREFIX}{step}" for step in ("images", "scaled", "shifted")]
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


def append_steps(model: ModelProto, steps: Iterable[Step]) -> None:
    """Put operators after the one output of a model, which then is float32."""
    graph = model.graph
    set_output(graph, chained(graph, graph.output[0].name, [CAST, *steps]))


def chained(graph: GraphProto, name: str, steps: Iterable[Step]) -> str:
    """Put operators one after another behind a tensor; return the name of the last result."""
    for step in steps:
        inputs = [name]
        for number, constant in enumerate(step.constants):
            inputs.append(f"{PREFIX}constant_{len(graph.node)}_{number}")
            graph.initializer.append(numpy_helper.from_array(constant, inputs[-1]))
        name = f"{PREFIX}after_{len(graph.node)}"
        graph.node.append(helper.make_node(step.operator, inputs, [name], **step.attributes))
    return name


def columns(start: int, stop: int) -> Step:
    """Return the step from vectors to their values from `start` to `stop`."""
    return Step("Gather", {"axis": 1}, [np.arange(start, stop)])


def reshape(shape: Sequence[int]) -> Step:
    """Return the step to another shape."""
    return Step("Reshape", constants=[np.array(shape, np.int64)])


def side_by_side(graph: GraphProto, names: Sequence[str]) -> str:
    """Put tensors (n, k) beside each other, (n, sum of k); return the name of the result."""
    result = f"{PREFIX}after_{len(graph.node)}"
    graph.node.append(helper.make_node("Concat", names, [result], axis=1))
    return result


def set_output(graph: GraphProto, name: str, dim: int | None = None) -> None:
    """Make a float32 tensor the one output; `dim` is that of codes, (n, dim)."""
    shape: list[str | int] | None = None if dim is None else ["n", dim]
    del graph.output[:]
    graph.output.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, shape))


def part_after(model: ModelProto, tensor: str, dim: int) -> ModelProto:
    """Return a copy of what follows a tensor, which is its input, float32 (n, dim).

    `model` is changed: what the tensor was computed by goes.
    """
    graph = model.graph
    others = [node for node in graph.node if tensor not in node.output]
    del graph.node[:]
    graph.node.extend(others)
    graph.input.append(helper.make_tensor_value_info(tensor, TensorProto.FLOAT, ["n", dim]))
    return pruned(model, graph.output[0].name)


def pooling_steps(shape: Sequence[int], size: tuple[int, int], channels_first: bool) -> list[Step]:
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
        return [Step("Transpose", {"perm": [0, 2, 1]}), *AVERAGE]
    if len(shape) == 3:
        return [FIRST_TOKEN]
    if len(shape) == 4 and sorted(shape[1:])[:2] == [1, 1]:  # averaged already
        return [FLATTEN]
    inner = shape[2:] if channels_first else shape[1:3]
    if len(shape) != 4 or tuple(inner) == tuple(size):
        raise ValueError(f"expected one output of codes or features, received the shape {shape}")
    if channels_first:
        return AVERAGE
    return [Step("Transpose", {"perm": [0, 3, 1, 2]}), *AVERAGE]


def pooled_dim(shape: Sequence[int], channels_first: bool) -> int:
    """Return the dimension of the codes that `pooling_steps` makes of features of a shape."""
    if len(shape) < 4:
        return shape[-1]
    if sorted(shape[1:])[:2] == [1, 1]:
        return max(shape[1:])
    return shape[1] if channels_first else shape[3]


def is_grid(tokens: int, size: tuple[int, int]) -> bool:
    """Whether a number of tokens is that of the square patches of images of `size` pixels."""
    height, width = size
    return any(
        (height // side) * (width // side) == tokens for side in range(1, min(height, width) + 1)
    )


def all_tensors(model: ModelProto) -> Iterator[TensorProto]:
    """Yield all arrays of a model: weights, attributes of nodes, also in branches and functions."""
    yield from _graph_tensors(model.graph)
    for info in model.training_info:
        yield from _graph_tensors(info.initialization)
        yield from _graph_tensors(info.algorithm)
    for function in model.functions:
        for attribute in function.attribute_proto:
            yield from _attribute_tensors(attribute)
        for node in function.node:
            for attribute in node.attribute:
                yield from _attribute_tensors(attribute)


def _graph_tensors(graph: GraphProto) -> Iterator[TensorProto]:
    yield from graph.initializer
    for sparse in graph.sparse_initializer:
        yield from (sparse.values, sparse.indices)
    for node in graph.node:
        for attribute in node.attribute:
            yield from _attribute_tensors(attribute)


def _attribute_tensors(attribute: AttributeProto) -> Iterator[TensorProto]:
    yield from (attribute.t, *attribute.tensors)
    for sparse in (attribute.sparse_tensor, *attribute.sparse_tensors):
        yield from (sparse.values, sparse.indices)
    for graph in (attribute.g, *attribute.graphs):
        yield from _graph_tensors(graph)
