"""Standard error while Keras is imported: no start-up messages, but those of a crash."""

import os
import signal
import subprocess
import sys

import pytest

from tests.scripts import ROOT

NOISE = """\
WARNING: All log messages before absl::InitializeLog() is called are written to STDERR
I0000 00:00:1795686928.005150   27754 port.cc:153] oneDNN custom operations are on.
W0000 00:00:1795686928.005617   27754 cudart_stub.cc:31] Could not find cuda drivers
E0000 00:00:1795686928.005617   27754 cuda_dnn.cc:8579] Unable to register cuDNN factory
2026-11-26 09:55:28.088021: I tensorflow/core/util/port.cc:153] oneDNN custom operations are on.
To enable the following instructions: AVX2 AVX512F FMA, in other operations, rebuild TensorFlow
"""


def stderr_of_import(tmp_path, module):
    """Import the back end with `module` as Keras; return standard error and the exit status."""
    (tmp_path / "keras.py").write_text(module)
    code = "import pyimagesearch.backend, os; os.write(2, b'afterwards\\n')"
    environment = {**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=60
    )
    return done.stderr, done.returncode


def test_start_up_messages_are_left_out(tmp_path):
    module = f"import os\nos.write(2, {NOISE.encode()!r})\nos.write(2, b'no space left\\n')\n"
    assert stderr_of_import(tmp_path, module) == ("no space left\nafterwards\n", 0)


@pytest.mark.skipif(os.name == "nt", reason="signals")
def test_the_message_of_a_native_crash_arrives(tmp_path):
    crash = "F0000 00:00:1795686928.005150 27754 check.cc:1] Check failed: a != b"
    module = f"import os\nos.write(2, {NOISE.encode()!r} + {crash.encode()!r})\nos.abort()\n"
    message, status = stderr_of_import(tmp_path, module)
    assert (message, status) == (crash, -signal.SIGABRT)


def test_an_exception_is_raised_as_usual(tmp_path):
    message, status = stderr_of_import(tmp_path, "raise ImportError('no TensorFlow')")
    assert status == 1
    assert message.rstrip().endswith("ImportError: no TensorFlow")
