"""Running the networks of Keras: their codes of a dataset, and the part that gives the code."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pyimagesearch.arrays import Floats
from pyimagesearch.encoders.encoder import Codes
from pyimagesearch.encoders.encoding import Rows, warn_unreadable
from pyimagesearch.pictures.input_spec import InputSpec
from pyimagesearch.terminal import ctrl_c_waits

if TYPE_CHECKING:
    from keras import Model

    from pyimagesearch.datasets.dataset import Dataset

CODE_LAYERS = ("encoded", "encoder")  # names of the layer whose output is the code


def encoder_of(model: "Model", path: str | Path = "the model", *, flat: bool = True) -> "Model":
    """Return the network from a model's images to the output of its layer `encoded` or `encoder`.

    With `flat`, the codes are (n, dim) even if the layer's output has more axes. Raises ValueError,
    which names `path`, when there is no such layer.
    """
    from pyimagesearch.backend import keras

    names = [layer.name for layer in model.layers]
    layer = next((name for name in CODE_LAYERS if name in names), None)
    if layer is None:
        raise ValueError(
            f"{path} has no layer named {' or '.join(CODE_LAYERS)}, whose output would be the "
            f"code; its layers are {', '.join(names)}"
        )
    code = model.get_layer(layer).output
    if flat and len(code.shape) > 2:
        code = keras.layers.Flatten()(code)
    return keras.Model(model.inputs[0], code)


def outputs_of(network: "Model", images: Floats) -> Floats:
    """Return what a Keras network gives for images (n, ...), float32 (n, ...); Ctrl-C waits."""
    with ctrl_c_waits():
        # Not `predict`: for a model on several devices it returns the batch once for each.
        return np.asarray(network(images, training=False), np.float32)


def encode_with_network(
    network: "Model", dataset: "Dataset", spec: InputSpec, rows: Rows, *, batch_size: int = 256
) -> tuple[Rows, Codes]:
    """Encode rows of a dataset with a Keras network whose codes are (n, d).

    Returns the rows that could be read, int64 (k,), and their codes, float32 (k, d); others are
    named in warnings. Raises ValueError when none can be read.
    """
    good = []
    codes = []
    for start in range(0, len(rows), batch_size):
        batch = dataset.read_good(rows[start : start + batch_size], spec)
        warn_unreadable(batch.unreadable)
        if len(batch.rows):
            good.append(batch.rows)
            codes.append(outputs_of(network, batch.images))
    if not good:
        raise ValueError("none of the pictures can be read")
    return np.concatenate(good), np.concatenate(codes)
