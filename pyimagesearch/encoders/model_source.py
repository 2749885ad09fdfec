"""What `--model` names: a file or folder, a network of Keras, or one on the hub."""

import difflib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from pyimagesearch.encoders.encoder import Encoder
from pyimagesearch.encoders.hub import PREFIX as HUB_PREFIX
from pyimagesearch.encoders.hub import HubModel, HubReference
from pyimagesearch.encoders.onnx_files import is_export, model_fingerprint
from pyimagesearch.encoders.pretrained import NETWORKS, PretrainedModel
from pyimagesearch.files import require_regular
from pyimagesearch.suggestions import did_you_mean_file

KERAS_PREFIX = "keras:"
HUB_PAGES = "https://huggingface.co/"
MODEL_SUFFIXES = (".keras", ".h5", ".hdf5", ".onnx")


@dataclass(frozen=True)
class ModelFlags:
    """The model that was named: a file, a folder of an export, one of NETWORKS, or on the hub.

    `weights` apply to NETWORKS; `image_size`, (height, width), and `resize_mode` apply to them too,
    and to exports that do not state them. None stands for what was not named.
    """

    name: str | None = None
    weights: str | None = None
    image_size: tuple[int, int] | None = None
    resize_mode: str | None = None


class ModelSource(Protocol):
    """A model that can be opened as an encoder."""

    def fingerprint(self) -> str:
        """Return the `model_sha256` of its encoder, without opening it."""

    def open(self) -> Encoder:
        """Return its encoder; raises OSError or ValueError with the reason if it has none."""


@dataclass(frozen=True)
class ModelFile:
    """A model file, or a folder of an export."""

    path: str
    image_size: tuple[int, int] | None = None
    resize_mode: str | None = None

    def fingerprint(self) -> str:
        """Return the SHA-256 of what its codes depend on."""
        return model_fingerprint(self.path)

    def open(self) -> Encoder:
        """Return its encoder."""
        from pyimagesearch.encoders.export import open_encoder

        return open_encoder(self.path, self.image_size, self.resize_mode)


def find_model(model: ModelFlags, made_with: str | None = None) -> ModelSource:
    """Return the model that flags name.

    `made_with` is the name of the model of an index that is to be updated, or None: a network of
    the hub is then taken at its commit. Raises ValueError or OSError when the name is that of no
    model, or flags do not apply to it.
    """
    assert model.name is not None
    network = network_name(model.name)
    if network is not None:
        mode = model.resize_mode or "letterbox"
        return PretrainedModel(network, model.weights, model.image_size, mode)
    path = model_path(model.name)
    sized = model.image_size or model.resize_mode
    if model.weights or (sized and path is not None and not is_export(path)):
        raise ValueError(
            f"--weights, --image-size and --fit are for {', '.join(NETWORKS)}: {model.name} is a "
            "model file, which brings its own"
        )
    if path is None:
        reference = HubReference.parse(model.name).pinned_by(made_with)
        return HubModel(reference, model.image_size, model.resize_mode)
    if os.path.isfile(path) and Path(path).suffix.lower() not in MODEL_SUFFIXES:
        suffixes = " or ".join(MODEL_SUFFIXES)
        raise ValueError(f"{path} is not a model: expected a name ending in {suffixes}")
    return ModelFile(path, model.image_size, model.resize_mode)


def network_name(name: str) -> str | None:
    """Return the network of Keras that a name means, None if it means something else.

    Raises ValueError if it may as well mean a file or folder beside, or `keras:` names no network.
    """
    if name.startswith(KERAS_PREFIX):
        network = name.removeprefix(KERAS_PREFIX)
        if network not in NETWORKS:
            raise ValueError(f"Keras has no network {network} here; {_networks_like(network)}")
        return network
    if name not in NETWORKS:
        return None
    if _holds_network(Path(name)):
        raise ValueError(
            f"{name} is both a network of Keras and here on disk: name {KERAS_PREFIX}{name} or "
            f"{os.path.join('.', name)}"
        )
    return name


def model_path(name: str) -> str | None:
    """Return the path that a name of a model is, None for networks of Keras and of the hub.

    Raises FileNotFoundError, which lists the networks, if there is no such file.
    """
    if network_name(name) is not None:
        return None
    require_regular(name)
    if os.path.exists(name):
        return name
    if name.startswith(HUB_PREFIX):
        return None
    if os.path.dirname(name) or Path(name).suffix.lower() in MODEL_SUFFIXES:
        remedy = did_you_mean_file(name) or _hub_name_like(name)
        remedy = remedy or "; make it with train_autoencoder.py"
        raise FileNotFoundError(f"no such model file: {name}{remedy}")
    raise FileNotFoundError(f"no such model file or network: {name}; {_networks_like(name)}")


def _holds_network(path: Path) -> bool:
    """Whether there is a model file at a path, or a folder with one."""
    if path.is_file():
        return True
    # Exports keep networks in their folder or one level below.
    files = (file for pattern in ("*", "*/*") for file in path.glob(pattern))
    return any(file.suffix.lower() in MODEL_SUFFIXES for file in files)


def _hub_name_like(name: str) -> str:
    """Return "; did you mean hf:OWNER/NAME?" for the name or the page of a repository, or ""."""
    if Path(name).suffix.lower() in MODEL_SUFFIXES or os.path.isdir(os.path.dirname(name)):
        return ""
    try:
        reference = HubReference.parse(HUB_PREFIX + name.removeprefix(HUB_PAGES).rstrip("/"))
    except ValueError:
        return ""
    return f"; did you mean {reference}, on the hub?"


def _networks_like(name: str) -> str:
    """Return a list of the networks of Keras, those with names nearest to this first."""
    nearest = difflib.get_close_matches(name, NETWORKS, n=len(NETWORKS), cutoff=0)
    return f"hf:OWNER/NAME is one on the hub; networks by name: {', '.join(nearest)}"
