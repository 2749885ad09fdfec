"""Keras, imported without TensorFlow's start-up messages, and its devices and precision."""

import os
import sys
from contextlib import contextmanager


@contextmanager
def _silenced_stderr():
    """Discard what C++ code writes to standard error; Python exceptions are raised as usual."""
    sys.stderr.flush()
    saved = os.dup(2)
    try:
        with open(os.devnull, "wb") as devnull:
            os.dup2(devnull.fileno(), 2)
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)


with _silenced_stderr():
    import keras

__all__ = ["devices", "keras", "precision"]


@contextmanager
def devices(strategy=None):
    """Train on one device, or with "mirrored" on all GPUs of this machine (or all logical CPUs).

    "mirrored" divides each batch among the devices. GPU memory is allocated as it is needed.
    """
    import tensorflow as tf

    for gpu in tf.config.list_physical_devices("GPU"):
        tf.config.experimental.set_memory_growth(gpu, True)
    if strategy is None:
        yield
        return
    with tf.distribute.MirroredStrategy().scope():
        yield


@contextmanager
def precision(mixed):
    """Compute in bfloat16 if `mixed`, with weights in float32.

    Unlike float16, bfloat16 has the range of float32, so that losses need no scaling.
    """
    before = keras.mixed_precision.dtype_policy()
    keras.mixed_precision.set_dtype_policy("mixed_bfloat16" if mixed else before)
    try:
        yield
    finally:
        keras.mixed_precision.set_dtype_policy(before)
