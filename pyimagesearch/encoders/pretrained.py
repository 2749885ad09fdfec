"""Encoders from the networks of keras.applications, trained on ImageNet."""

import contextlib
import hashlib
import io
import json
import logging
import os
import sys
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pyimagesearch.encoders.encoder import Encoder
from pyimagesearch.encoders.export import encoder_from_network
from pyimagesearch.files import sha256_of
from pyimagesearch.pictures.input_spec import InputSpec
from pyimagesearch.suggestions import did_you_mean_file
from pyimagesearch.terminal import progress

if TYPE_CHECKING:
    from keras import Model

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Network:
    """A network of keras.applications without its classifier.

    `constructor` is its function in keras.applications, `preprocessing` a key of PREPROCESSING,
    `side` the height and width in pixels of the images it was trained with, and `weights` the name
    of its file in Keras' cache. `entry` names the first layer after the network's own
    preprocessing, if it has any: PREPROCESSING replaces the layers before it.
    """

    constructor: str
    preprocessing: str
    side: int
    weights: str
    entry: str | None = None


_KERNELS = "weights_tf_dim_ordering_tf_kernels"
_V3_SMALL = "weights_mobilenet_v3_small_224_1.0_float_no_top_v2.h5"
NETWORKS = {
    "vgg16": Network("VGG16", "caffe", 224, f"vgg16_{_KERNELS}_notop.h5"),
    "resnet50": Network("ResNet50", "caffe", 224, f"resnet50_{_KERNELS}_notop.h5"),
    "densenet121": Network("DenseNet121", "torch", 224, f"densenet121_{_KERNELS}_notop.h5"),
    "mobilenet_v2": Network("MobileNetV2", "tf", 224, f"mobilenet_v2_{_KERNELS}_1.0_224_no_top.h5"),
    "mobilenet_v3_small": Network("MobileNetV3Small", "tf", 224, _V3_SMALL, "conv"),
    "efficientnet_b0": Network(
        "EfficientNetB0", "torch", 224, "efficientnetb0_notop.h5", "stem_conv_pad"
    ),
    "efficientnet_v2_b0": Network(
        "EfficientNetV2B0", "torch", 224, "efficientnetv2-b0_notop.h5", "stem_conv"
    ),
}

# The three modes of keras.applications' preprocess_input, for RGB in [0, 1] instead of [0, 255]:
# the order of the channels, then the scale and the offset of each.
PREPROCESSING = {
    "caffe": ("BGR", (255.0, 255.0, 255.0), (-103.939, -116.779, -123.68)),
    "tf": ("RGB", (2.0, 2.0, 2.0), (-1.0, -1.0, -1.0)),
    "torch": (
        "RGB",
        (1 / 0.229, 1 / 0.224, 1 / 0.225),
        (-0.485 / 0.229, -0.456 / 0.224, -0.406 / 0.225),
    ),
}


@dataclass(frozen=True)
class PretrainedModel:
    """A network in NETWORKS with its weights and preprocessing, to be opened as an encoder.

    `weights` is a weights file of the network, `.h5` or `.weights.h5`; None means ImageNet's, from
    Keras' cache or downloaded. `size` is the (height, width) of the images, by default those the
    network was trained with; `resize_mode` is that of InputSpec.
    """

    name: str
    weights: str | Path | None = None
    size: tuple[int, int] | None = None
    resize_mode: str = "letterbox"

    def open(self) -> Encoder:
        """Return the encoder: the network's last features, averaged, of length 1.

        Raises OSError when there are no weights, and ValueError when they belong to another network
        or the images are too small for this one.
        """
        path = weights_file(self.name, self.weights)
        network = build_network(self.name, path, self.spec)
        return encoder_from_network(network, self.spec, self.name, self.fingerprint())

    def fingerprint(self) -> str:
        """Return the `model_sha256` of the encoder.

        It depends on the network, the content of the weights file and the preprocessing. Keras is
        imported only to download weights.
        """
        row = NETWORKS[self.name]
        content = sha256_of(weights_file(self.name, self.weights))
        preprocessing = PREPROCESSING[row.preprocessing]
        identity = [row.constructor, preprocessing, content, self.spec.to_dict()]
        return hashlib.sha256(json.dumps(identity).encode()).hexdigest()

    @property
    def spec(self) -> InputSpec:
        """What the network takes."""
        side = NETWORKS[self.name].side
        height, width = self.size or (side, side)
        return InputSpec(height, width, channels=3, resize_mode=self.resize_mode)


def weights_file(name: str, weights: str | Path | None = None) -> Path:
    """Return the path of a network's weights: `weights`, or ImageNet's in Keras' cache.

    Weights that are not in the cache are downloaded. Raises OSError, which names the file and the
    folder to put it into, when that fails.
    """
    if weights is not None:
        if not Path(weights).is_file():
            raise FileNotFoundError(f"no such weights file: {weights}{did_you_mean_file(weights)}")
        return Path(weights)
    folder = Path(os.environ.get("KERAS_HOME", Path.home() / ".keras")) / "models"
    file = folder / NETWORKS[name].weights
    if not file.is_file():
        reason = _download(name)
        if not file.is_file():
            raise OSError(
                f"the ImageNet weights of {name} are not on this machine and could not be "
                f"downloaded ({reason}): put {file.name} into {folder}, or give a weights file "
                "with --weights"
            )
    return file


def _download(name: str) -> str:
    """Download a network's ImageNet weights to Keras' cache; return the reason for a failure."""
    from pyimagesearch.backend import keras

    logger.info(f"downloading the ImageNet weights of {name}...")
    try:
        with _download_progress(NETWORKS[name].weights), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the size of images: the network is not kept
            getattr(keras.applications, NETWORKS[name].constructor)(include_top=False)
    except Exception as error:  # Keras wraps urllib's errors in a bare Exception
        return str(error)
    return "Keras cannot write to its cache"


@contextlib.contextmanager
def _download_progress(title: str) -> Iterator[None]:
    """Show how far Keras' downloads are on standard error, and nothing on standard output."""
    files: Any = sys.modules.get("keras.src.utils.file_utils")
    original = getattr(files, "Progbar", None)
    with contextlib.ExitStack() as stack:

        class Bar:
            """What Keras calls in place of its own Progbar, with numbers of bytes."""

            def __init__(self, target: int | None) -> None:
                self.target = target  # which Keras reads at the end
                total = (target or 0) // 1000
                self._done = stack.enter_context(progress(total, "kB", title))
                self._kilobytes = 0

            def update(self, current: int, **_: Any) -> None:
                self._done(current // 1000 - self._kilobytes)
                self._kilobytes = current // 1000

        # "Downloading data from ..."
        stack.enter_context(contextlib.redirect_stdout(io.StringIO()))
        if original is not None:
            stack.callback(setattr, files, "Progbar", original)
            files.Progbar = Bar
        yield


def build_network(name: str, weights: str | Path, spec: InputSpec) -> "Model":
    """Return a Keras network from images in [0, 1], (n, *spec.shape), to codes of length 1.

    Raises ValueError when the file `weights` does not hold the weights of this network.
    """
    from pyimagesearch.backend import keras

    row = NETWORKS[name]
    network = getattr(keras.applications, row.constructor)(
        include_top=False, weights=None, input_shape=spec.shape, pooling="avg"
    )
    try:
        with warnings.catch_warnings():
            # Keras only warns when a file has no weights for a layer, which then stays random.
            warnings.simplefilter("error", UserWarning)
            network.load_weights(weights)
    except Exception as error:  # h5py and Keras raise errors of many types
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise ValueError(f"{weights} does not hold the weights of {name}: {reason}") from error
    if row.entry:
        # The network's own normalization holds constants that tf2onnx would turn into inputs, and
        # EfficientNetB0 lacks a part of it unless Keras itself loads ImageNet's weights.
        network = keras.Model(network.get_layer(row.entry).input, network.output)
    order, scale, offset = PREPROCESSING[row.preprocessing]
    images = keras.Input(spec.shape)
    channels = images
    if order == "BGR":
        channels = images[..., ::-1]
    features = network(keras.layers.Rescaling(scale, offset)(channels))
    return keras.Model(images, keras.layers.UnitNormalization()(features))
