"""What the tests share: the shipped model, and indexes that the real scripts made of real MNIST."""

import os
import signal
import sys

# FAISS reads this when it is first imported: threads that wait by spinning would take the cores
# from the tests beside.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import numpy as np
import pytest

import index_images
from pyimagesearch.encoders.encoder import Encoder
from pyimagesearch.pictures.input_spec import InputSpec
from tests.scripts import MODEL, untraced

# A shell has what it runs in the background ignore Ctrl-C, and so would the scripts of the tests.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def mnist_index(tmp_path_factory):
    """The index of all 60,000 training digits."""
    path = tmp_path_factory.mktemp("mnist") / "index.pickle"
    assert index_images.main(["--model", str(MODEL), "--index", str(path)]) == 0
    return path


@pytest.fixture(scope="session")
def small_index(tmp_path_factory):
    """The index of the first 2,000 training digits."""
    path = tmp_path_factory.mktemp("small") / "index.pickle"
    arguments = ["--model", str(MODEL), "--index", str(path), "--limit", "2000"]
    assert index_images.main(arguments) == 0
    return path


@pytest.fixture
def stub_encoder():
    """An encoder with the right fields for 28x28 grey images and 4-d codes, and no network."""
    return Encoder(b"not a network", InputSpec(28, 28, 1), 4, "model.h5", "0" * 64)


@pytest.fixture
def eager():
    with untraced():
        yield


@pytest.fixture
def random():
    return np.random.default_rng(0)


@pytest.fixture
def python():
    """How to start a script of ours in a process of its own."""
    return lambda *arguments: [sys.executable, *map(str, arguments)]


@pytest.fixture(autouse=True)
def _no_display(monkeypatch):
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
