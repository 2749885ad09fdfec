"""Keras, imported without TensorFlow's start-up messages, and its devices and precision."""

import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

# What TensorFlow says of itself while it is loaded, before it reads TF_CPP_MIN_LOG_LEVEL: the
# lines of information and warnings in the forms of absl and of TensorFlow, what goes on in a second
# line, and the libraries of a GPU that two parts of it register.
_START_UP_LINE = (
    rb"[IW]\d{4} \d\d:\d\d:"
    rb"|E\d{4} \d\d:\d\d:.*Unable to register cu"
    rb"|\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d+: [IW] "
    rb"|WARNING: All log messages before absl::InitializeLog"
    rb"|To enable the following instructions: "
)
# A process of its own passes the lines on, so that those of a native crash arrive too.
_FILTER = f"""
import re, sys
for line in sys.stdin.buffer:
    if not re.match({_START_UP_LINE!r}, line):
        sys.stderr.buffer.write(line)
        sys.stderr.buffer.flush()
"""


@contextmanager
def _without_start_up_messages() -> Iterator[None]:
    """Keep TensorFlow's start-up messages from standard error; all else is written there."""
    sys.stderr.flush()
    saved = os.dup(2)
    command = [sys.executable, "-I", "-S", "-c", _FILTER]
    # In a session of its own, it is not ended by Ctrl-C before it has passed everything on.
    with subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True) as passed_on:
        assert passed_on.stdin is not None
        os.dup2(passed_on.stdin.fileno(), 2)
        passed_on.stdin.close()
        try:
            yield
        finally:
            os.dup2(saved, 2)
            os.close(saved)


os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # errors, once TensorFlow runs
with _without_start_up_messages():
    import keras

logging.getLogger("absl").setLevel(logging.ERROR)  # "this file format is considered legacy"

__all__ = ["devices", "keras", "memory_errors", "precision"]


@contextmanager
def devices(strategy: str | None = None) -> Iterator[None]:
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
def memory_errors() -> Iterator[None]:
    """Raise MemoryError, with the remedy, where TensorFlow finds too little memory."""
    import tensorflow as tf

    try:
        yield
    except tf.errors.ResourceExhaustedError as error:
        raise MemoryError(
            "the network or a batch takes more memory than there is: give a smaller --batch-size, "
            "--image-size, --filters or --latent-dim"
        ) from error


@contextmanager
def precision(mixed: bool) -> Iterator[None]:
    """Compute in bfloat16 if `mixed`, with weights in float32.

    Unlike float16, bfloat16 has the range of float32, so that losses need no scaling.
    """
    before = keras.mixed_precision.dtype_policy()
    if mixed:
        keras.mixed_precision.set_dtype_policy("mixed_bfloat16")
    try:
        yield
    finally:
        keras.mixed_precision.set_dtype_policy(before)
