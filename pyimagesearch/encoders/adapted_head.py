"""A head on a network: layers from its codes to codes of fewer dimensions, in one ONNX graph.

The graph notes where the head begins and the Origin of what it takes: see `kept_codes`.
"""

import json
from collections.abc import Sequence
from dataclasses import astuple

from pyimagesearch.decomposition.adapted_map import LinearMap
from pyimagesearch.encoders import onnx_edit as edit
from pyimagesearch.encoders.encoder import Encoder, network_bytes
from pyimagesearch.encoders.feature_file import origin_of
from pyimagesearch.encoders.onnx_session import HEAD_KEY

RELU = edit.Step("Relu")


def with_head(encoder: Encoder, head: Sequence[LinearMap]) -> Encoder:
    """Return the encoder of images alone that puts a head after the codes of `encoder`.

    Between the layers of the head are rectifiers: negative values become 0. Codes are of length 1.
    """
    import onnx

    model = onnx.load_from_string(bytes(network_bytes(encoder.onnx)))
    note = [model.graph.output[0].name, *astuple(origin_of(encoder))]
    onnx.helper.set_model_props(model, {HEAD_KEY: json.dumps(note)})
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
