"""Keras, imported without the start-up chatter of TensorFlow."""

import os
import sys
from contextlib import contextmanager


@contextmanager
def _silenced_stderr():
    """Send what C++ code writes to standard error nowhere; Python exceptions pass as ever."""
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

__all__ = ["keras"]
