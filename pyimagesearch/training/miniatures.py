"""The architecture `patches`, trained by `views` on miniatures, for use beside another network."""

import logging

import numpy as np

from pyimagesearch.arrays import Floats
from pyimagesearch.backend import keras
from pyimagesearch.datasets.array import ArrayDataset
from pyimagesearch.datasets.dataset import RowIds
from pyimagesearch.encoders import onnx_edit as edit
from pyimagesearch.encoders.keras_network import encode_with_network, encoder_of
from pyimagesearch.encoders.miniatures import MiniatureNetwork
from pyimagesearch.pictures.input_spec import InputSpec
from pyimagesearch.training.patches import (
    CONTRAST_EPSILON,
    FILTERS,
    Scale,
    build_patches,
    scales_of,
)
from pyimagesearch.training.views import fit_views

logger = logging.getLogger(__name__)

DIM = 64  # of the codes
BLOCK = 16  # channels that ONNX Runtime computes together; for other numbers it copies the results


class Miniatures(ArrayDataset):
    """Images in memory, float32 in [0, 1], (n, height, width, channels)."""

    def __init__(self, images: Floats) -> None:
        self.images = images
        self.ids = RowIds(len(images))
        self.unreadable = {}


def fit_miniatures(images: Floats, seed: int) -> tuple[MiniatureNetwork, Floats]:
    """Train a network on miniatures, float32 (n, height, width, channels) in [0, 1].

    Returns it with the codes that it gives them, float32 (n, DIM). Raises ValueError for images
    that are too small, or all the same.
    """
    spec = InputSpec(*images.shape[1:])
    keras.utils.set_random_seed(seed)
    logger.info(
        f"training the architecture patches on {len(images):,} miniatures of {spec.height} x "
        f"{spec.width} pixels, to stand beside the network..."
    )
    model = build_patches(spec.width, spec.height, spec.channels, (FILTERS,), DIM)
    dataset = Miniatures(images)
    fit_views(model, dataset, spec, seed=seed)
    _, codes = encode_with_network(encoder_of(model), dataset, spec, np.arange(len(images)))
    return network_of(model, spec), codes


def network_of(model: keras.Model, spec: InputSpec) -> MiniatureNetwork:
    """Return a Keras network of the architecture `patches` as a MiniatureNetwork."""
    branches = [_branch(model, scale) for scale in scales_of(spec.width, spec.height)]
    matrix, bias = model.get_layer("linear").get_weights()
    linear = [edit.Step("MatMul", constants=[matrix]), edit.Step("Add", constants=[bias])]
    return MiniatureNetwork(spec, branches, [*linear, edit.NORMALIZE])


def _branch(model: keras.Model, scale: Scale) -> list[edit.Step]:
    """Return the steps from miniatures to the responses of the filters of a scale."""
    [components] = model.get_layer("components" + scale.suffix).get_weights()
    filters, bias = model.get_layer("filters" + scale.suffix).get_weights()
    areas = model.get_layer("areas" + scale.suffix)
    # The layer `contrast` divides by sqrt(mean of squares + epsilon). ONNX divides by the root of
    # the sum alone, so that a further component, which is constant, brings the epsilon. More, of 0,
    # make their number a multiple of BLOCK.
    count = components.shape[3]
    added = BLOCK - count % BLOCK
    kernel = np.pad(components.transpose(3, 2, 0, 1), [(0, added), (0, 0), (0, 0), (0, 0)])
    constant = np.zeros(count + added, np.float32)
    constant[count] = np.sqrt(count * CONTRAST_EPSILON)
    mean_not_sum = np.float32(np.sqrt(count))
    mixed = np.pad(filters.transpose(3, 2, 0, 1), [(0, 0), (0, added), (0, 0), (0, 0)])
    return [
        edit.Step("Conv", {"strides": [scale.stride] * 2}, [kernel, constant]),
        edit.Step("LpNormalization", {"axis": 1, "p": 2}),
        edit.Step("Conv", constants=[mean_not_sum * mixed, bias]),
        edit.RELU,
        edit.Step("AveragePool", {"kernel_shape": areas.pool_size, "strides": areas.strides}),
        edit.Step("Softsign"),
        edit.Step("Transpose", {"perm": [0, 2, 3, 1]}),
        edit.FLATTEN,
    ]
