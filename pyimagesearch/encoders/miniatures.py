"""A small network beside a large one, in one ONNX graph: it sees miniatures of the same images."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from onnx import GraphProto, load_from_string

from pyimagesearch.encoders import onnx_edit as edit
from pyimagesearch.encoders.encoder import Encoder, network_bytes
from pyimagesearch.encoders.onnx_graph import fed_inputs
from pyimagesearch.pictures.input_spec import InputSpec

SIDE = 32  # pixels of the shorter side of a miniature, or up to twice as many


@dataclass(frozen=True)
class MiniatureNetwork:
    """A network of the miniatures of a `spec`, (n, channels, height, width).

    What the steps of each of the `branches` make of them, (n, k), is put side by side, and `last`
    are the steps from there to the code.
    """

    spec: InputSpec
    branches: Sequence[Sequence[edit.Step]]
    last: Sequence[edit.Step]

    @property
    def pixels(self) -> int:
        """The number of values of a miniature."""
        return math.prod(self.spec.shape)

    def added_to(self, graph: GraphProto, name: str, start: int) -> str:
        """Add the network to a graph; return the name of its codes.

        The miniatures are the columns from `start` on of the tensor `name`, float32 (n, k).
        """
        shape = [-1, self.spec.channels, self.spec.height, self.spec.width]
        pixels = [edit.columns(start, start + self.pixels), edit.reshape(shape)]
        miniatures = edit.chained(graph, name, pixels)
        results = [edit.chained(graph, miniatures, branch) for branch in self.branches]
        return edit.chained(graph, edit.side_by_side(graph, results), self.last)


def with_miniatures(encoder: Encoder) -> Encoder:
    """Return the encoder whose codes are those of `encoder`, then a miniature of the image.

    The miniature has the averages of squares of pixels, in [0, 1], in the order (channels, height,
    width); `miniature_spec` is its InputSpec.
    """
    model = load_from_string(bytes(network_bytes(encoder.onnx)))
    graph = model.graph
    square = [_factor(encoder.spec)] * 2
    steps = [
        edit.Step("Transpose", {"perm": [0, 3, 1, 2]}),
        edit.Step("AveragePool", {"kernel_shape": square, "strides": square}),
        edit.FLATTEN,
    ]
    [images] = fed_inputs(graph)
    miniatures = edit.chained(graph, images, steps)
    codes = edit.chained(graph, graph.output[0].name, [edit.CAST])
    dim = encoder.dim + math.prod(miniature_spec(encoder.spec).shape)
    edit.set_output(graph, edit.side_by_side(graph, [codes, miniatures]), dim)
    return replace(encoder, onnx=model.SerializeToString(), dim=dim, text=None)


def miniature_spec(spec: InputSpec) -> InputSpec:
    """Return the InputSpec of the miniatures of images of another."""
    factor = _factor(spec)
    return InputSpec(spec.height // factor, spec.width // factor, spec.channels)


def _factor(spec: InputSpec) -> int:
    return max(1, min(spec.height, spec.width) // SIDE)
