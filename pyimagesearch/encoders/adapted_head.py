"""A head on a network: layers from its codes to codes of fewer dimensions, in one ONNX graph."""

from collections.abc import Sequence

import numpy as np

from pyimagesearch.arrays import Floats
from pyimagesearch.decomposition.adapted_map import LinearMap
from pyimagesearch.encoders import onnx_edit as edit
from pyimagesearch.encoders.encoder import Encoder, network_bytes
from pyimagesearch.metric import normalise

RELU = edit.Step("Relu")


def head_codes(head: Sequence[LinearMap], features: Floats) -> Floats:
    """Return what a head makes of features (n, d): codes of length 1, float32 (n, dim).

    Between the layers of a head are rectifiers: negative values become 0.
    """
    first, *others = head
    codes = first.apply(features)
    for layer in others:
        codes = layer.apply(np.maximum(codes, 0))
    return normalise(codes).astype(np.float32)


def with_head(encoder: Encoder, head: Sequence[LinearMap]) -> Encoder:
    """Return the encoder of images alone whose codes are `head_codes` of those of `encoder`."""
    import onnx

    model = onnx.load_from_string(bytes(network_bytes(encoder.onnx)))
    steps: list[edit.Step] = []
    for layer in head:
        if steps or layer.root:
            steps.append(RELU)
        if layer.root:
            steps.append(edit.Step("Sqrt"))
        steps.append(edit.Step("MatMul", constant=layer.matrix))
        steps.append(edit.Step("Add", constant=layer.bias))
    edit.append_steps(model, [*steps, edit.NORMALIZE])
    dim = len(head[-1].bias)
    # The number of axes must be known, also where a network's own shapes are not.
    name = model.graph.output[0].name
    del model.graph.output[:]
    output = onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, ["n", dim])
    model.graph.output.append(output)
    return Encoder(model.SerializeToString(), encoder.spec, dim, encoder.model, "")
