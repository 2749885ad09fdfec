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
from pyimagesearch.encoders.miniatures import MiniatureNetwork
from pyimagesearch.encoders.onnx_session import HEAD_KEY

SQRT = edit.Step("Sqrt")


def with_head(
    encoder: Encoder, head: Sequence[LinearMap], miniatures: MiniatureNetwork | None = None
) -> Encoder:
    """Return the encoder of images alone that puts a head after the codes of `encoder`.

    Between the layers of the head are rectifiers: negative values become 0. Codes are of length 1.
    With `miniatures`, the codes of `encoder` end in miniatures, as those of `with_miniatures` do,
    and the head takes the codes of these in their place.
    """
    import onnx

    model = onnx.load_from_string(bytes(network_bytes(encoder.onnx)))
    graph = model.graph
    note = [graph.output[0].name, *astuple(origin_of(encoder))]
    onnx.helper.set_model_props(model, {HEAD_KEY: json.dumps(note)})
    name = edit.chained(graph, graph.output[0].name, [edit.CAST])
    roots = [edit.RELU, SQRT] if head[0].rooted else []
    if miniatures is None:
        name = edit.chained(graph, name, roots)
    else:
        features = encoder.dim - miniatures.pixels
        parts = [
            edit.chained(graph, name, [edit.columns(0, features), *roots]),
            miniatures.added_to(graph, name, features),
        ]
        name = edit.side_by_side(graph, parts)
    steps: list[edit.Step] = []
    for layer in head:
        if steps:
            steps.append(edit.RELU)
        steps.append(edit.Step("MatMul", constants=[layer.matrix]))
        steps.append(edit.Step("Add", constants=[layer.bias]))
    name = edit.chained(graph, name, [*steps, edit.NORMALIZE])
    dim = len(head[-1].bias)
    # The number of axes must be known, also where a network's own shapes are not.
    edit.set_output(graph, name, dim)
    return Encoder(model.SerializeToString(), encoder.spec, dim, encoder.model, "")
