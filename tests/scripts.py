"""Running the scripts as a user does."""

import contextlib
import json
import os
import subprocess
from pathlib import Path

import cv2
import numpy as np

from pyimagesearch.datasets.catalog import open_dataset
from pyimagesearch.encoders.encoding import encode_rows

ROOT = Path(__file__).parent.parent
KERAS_MODEL = ROOT / "output" / "autoencoder.h5"
# Its encoder as --encoder writes it: exporting one takes TensorFlow, and half a second each time.
MODEL = ROOT / "tests" / "data" / "autoencoder.onnx"


@contextlib.contextmanager
def untraced():
    """Let Keras train without tracing, which takes seconds for each phase: the steps are few."""
    import tensorflow as tf

    tf.config.run_functions_eagerly(True)
    try:
        yield
    finally:
        tf.config.run_functions_eagerly(False)


def run(script, *arguments):
    return script.main([str(argument) for argument in arguments])


def error_of(capsys, script, *arguments):
    """Run a script that must fail; return its one line of error."""
    assert run(script, *arguments) == 1
    lines = [line for line in capsys.readouterr().err.splitlines() if "[INFO]" not in line]
    assert len(lines) == 1
    prefix = f"{Path(script.__file__).name}: error: "
    assert lines[0].startswith(prefix)
    return lines[0].removeprefix(prefix)


def result_of(command):
    """Return the JSON on the last line that a program of ours prints, in a process of its own."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    result = subprocess.run(
        command, capture_output=True, text=True, check=False, env=environment, cwd=ROOT
    )
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout.splitlines()[-1])


def codes_of(encoder, dataset):
    batches = encode_rows(dataset, range(len(dataset)), encoder)
    return np.concatenate([batch.codes for batch in batches])


def digit_file(folder, row=0):
    path = folder / f"digit_{row}.png"
    cv2.imwrite(str(path), open_dataset("mnist", "test").picture(row))
    return path
