"""Encoders from the networks of keras.applications, trained on ImageNet."""

import contextlib
import hashlib
import json
import os
import sys
import warnings
from pathlib import Path
from typing import NamedTuple

from pyimagesearch.encoders.export import encoder_from_network
from pyimagesearch.files import sha256_of
from pyimagesearch.pictures.input_spec import InputSpec


class Network(NamedTuple):
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


def pretrained_encoder(name, weights=None, size=None, resize_mode="letterbox"):
    """Return the encoder of a network in NETWORKS: its last features, averaged, of length 1.

    `weights` is a weights file of the network, `.h5` or `.weights.h5`; None means ImageNet's, from
    Keras' cache or downloaded. `size` is the (height, width) of the images, by default those the
    network was trained with; `resize_mode` is that of InputSpec.

    Raises OSError when there are no weights, and ValueError when they belong to another network or
    the images are too small for this one.
    """
    spec = _input_spec(name, size, resize_mode)
    path = weights_file(name, weights)
    fingerprint = pretrained_fingerprint(name, path, size, resize_mode)
    return encoder_from_network(build_network(name, path, spec), spec, name, fingerprint)


def pretrained_fingerprint(name, weights=None, size=None, resize_mode="letterbox"):
    """Return the `model_sha256` of the encoder that `pretrained_encoder` returns.

    It depends on the network, the content of the weights file and the preprocessing. Keras is
    imported only to download weights.
    """
    row = NETWORKS[name]
    content = sha256_of(weights_file(name, weights))
    spec = _input_spec(name, size, resize_mode).to_dict()
    identity = [row.constructor, PREPROCESSING[row.preprocessing], content, spec]
    return hashlib.sha256(json.dumps(identity).encode()).hexdigest()


def _input_spec(name, size, resize_mode):
    side = NETWORKS[name].side
    return InputSpec(*(size or (side, side)), channels=3, resize_mode=resize_mode)


def weights_file(name, weights=None):
    """Return the path of a network's weights: `weights`, or ImageNet's in Keras' cache.

    Weights that are not in the cache are downloaded. Raises OSError, which names the file and the
    folder to put it into, when that fails.
    """
    if weights is not None:
        if not Path(weights).is_file():
            raise FileNotFoundError(f"no such weights file: {weights}")
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


def _download(name):
    """Download a network's ImageNet weights to Keras' cache; return the reason for a failure."""
    from pyimagesearch.backend import keras

    try:
        with contextlib.redirect_stdout(sys.stderr):  # standard output is for results
            getattr(keras.applications, NETWORKS[name].constructor)(include_top=False)
    except Exception as error:  # Keras wraps urllib's errors in a bare Exception
        return str(error)
    return "Keras cannot write to its cache"


def build_network(name, weights, spec):
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
    channels = images[..., ::-1] if order == "BGR" else images
    features = network(keras.layers.Rescaling(scale, offset)(channels))
    return keras.Model(images, keras.layers.UnitNormalization()(features))
