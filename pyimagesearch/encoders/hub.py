"""Networks by name from a hub of models: `hf:OWNER/NAME[@REVISION][#NETWORK]`.

Only the files that an encoder is made of are fetched.
"""

import hashlib
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from pyimagesearch.encoders.hub_client import COMMIT, Listing, RemoteFile, download, list_files
from pyimagesearch.encoders.onnx_facts import network_facts
from pyimagesearch.encoders.onnx_files import (
    IMAGE_NETWORKS,
    IMAGE_SETTINGS,
    MAX_BYTES,
    TEXT_SETTINGS,
    TOKENIZERS,
    text_networks,
)

if TYPE_CHECKING:
    from pyimagesearch.encoders.encoder import Encoder

PREFIX = "hf:"
PART = r"\b[\w.-]{1,96}\b"  # of the name of a repository, as the hub's client checks it
FORM = "hf:OWNER/NAME, hf:OWNER/NAME@REVISION or hf:OWNER/NAME@REVISION#NETWORK"
MAX_FILES = 1000  # of two networks with their weights and settings
SETTINGS = {*IMAGE_SETTINGS, *TOKENIZERS, *TEXT_SETTINGS}


@dataclass(frozen=True)
class HubReference:
    """A network of a repository; `revision` and `network` are None where they are not named."""

    repository: str
    revision: str | None = None
    network: str | None = None

    @classmethod
    def parse(cls, text: str) -> "HubReference":
        """Return the reference that a text such as "hf:owner/name@main#fp16" stands for.

        Raises ValueError, which names the form, for another text.
        """
        match = re.fullmatch(rf"hf:({PART}/{PART})(?:@([^@#]+))?(?:#([^#]+))?", text)
        if match is None or ".." in text or "--" in match[1] or match[1].endswith(".git"):
            raise ValueError(f"expected {FORM}, received {text}")
        return cls(match[1], match[2], match[3])

    def __str__(self) -> str:
        revision = "" if self.revision is None else f"@{self.revision}"
        network = "" if self.network is None else f"#{self.network}"
        return f"{PREFIX}{self.repository}{revision}{network}"

    def pinned_by(self, made_with: str | None) -> "HubReference":
        """Return this reference at the commit that an index was made with.

        `made_with` is the name of the index' model. A revision or a network that is named here
        counts, and what another repository made is left alone.
        """
        if made_with is None or not made_with.startswith(PREFIX):
            return self
        pinned = HubReference.parse(made_with)
        if pinned.repository != self.repository:
            return self
        if self.revision not in (None, pinned.revision):
            return self
        return replace(self, revision=pinned.revision, network=self.network or pinned.network)


@dataclass(frozen=True)
class HubModel:
    """A network on the hub, to be opened as an encoder.

    `image_size`, (height, width), and `resize_mode` are those of `open_encoder`.
    """

    reference: HubReference
    image_size: tuple[int, int] | None = None
    resize_mode: str | None = None

    def fingerprint(self) -> str:
        """Return the `model_sha256` of its encoder: of the repository, commit and network.

        A commit stands for the content of all files, so that none needs to be fetched.
        """
        pinned = self._pinned
        identity = [pinned.repository, pinned.revision, pinned.network]
        return hashlib.sha256(json.dumps(identity).encode()).hexdigest()

    def open(self) -> "Encoder":
        """Fetch what is not in the cache and return the encoder.

        Raises ImportError without the client, OSError when files are missing, cannot be fetched or
        differ from what the hub says of them, ValueError when they are no network of images.
        """
        from pyimagesearch.encoders.export import open_encoder

        encoder = open_encoder(self.fetch(), self.image_size, self.resize_mode)
        encoder.model = str(self._pinned)
        encoder.model_sha256 = self.fingerprint()
        return encoder

    def fetch(self) -> Path:
        """Fetch what is not in the cache; return the path of the network of images."""
        network = self._pinned.network
        assert network is not None
        names = needed_files(network, self._listing.files)
        size = sum(self._listing.files[name].size for name in _parts(network, names))
        if size > MAX_BYTES:
            raise ValueError(
                f"{self._pinned} has {size / 2**30:.1f} GB with its weights, and an index holds a "
                f"network of up to 2 GB: name a smaller one, {self._other_networks()}"
            )
        self._require_few(names)
        folder = self._download(names)
        weights = self._weights_elsewhere(folder, names)
        if weights:
            self._require_few([*names, *weights])
            self._download(weights)
        return folder / network

    def _require_few(self, names: list[str]) -> None:
        """Raise ValueError if files are more than networks of images and texts can be."""
        size = sum(self._listing.files[name].size for name in names)
        if size > 2 * MAX_BYTES or len(names) > MAX_FILES:
            raise ValueError(
                f"{self._pinned} needs {len(names):,} files of {size / 2**30:.1f} GB, and up to "
                f"{MAX_FILES:,} of 4 GB are fetched: name another network"
            )

    @cached_property
    def _pinned(self) -> HubReference:
        """The reference with its commit and network."""
        reference = self.reference
        is_pinned = reference.revision and COMMIT.fullmatch(reference.revision)
        if is_pinned and reference.network and reference.network.endswith(".onnx"):
            return reference
        network = find_network(reference, self._listing.files)
        return replace(reference, revision=self._listing.commit, network=network)

    @cached_property
    def _listing(self) -> Listing:
        return list_files(self.reference.repository, self.reference.revision)

    def _download(self, names: list[str]) -> Path:
        reference = self.reference
        return download(names, self._listing, reference.repository, reference.revision)

    def _other_networks(self) -> str:
        return ", ".join(sorted(name for name in self._listing.files if name.endswith(".onnx")))

    def _weights_elsewhere(self, folder: Path, names: list[str]) -> list[str]:
        """Return the names of files with weights that fetched networks refer to."""
        missing = set()
        for name in names:
            if name.endswith(".onnx"):
                try:
                    facts = network_facts((folder / name).read_bytes())
                except ValueError as error:
                    raise ValueError(f"cannot use {name} of {self._pinned}: {error}") from None
                for location in facts.locations:
                    missing.add((PurePosixPath(name).parent / location).as_posix())
        return sorted(missing & set(self._listing.files) - set(names))


def find_network(reference: HubReference, files: dict[str, RemoteFile]) -> str:
    """Return the file of the network of images that is meant.

    `reference.network` is its name with or without folder and suffix, or the precision alone, such
    as "fp16". Raises FileNotFoundError, which lists the networks that are there.
    """
    wanted = reference.network
    if wanted is None:
        candidates = list(IMAGE_NETWORKS)
    else:
        stems = (wanted.removesuffix(".onnx"), f"vision_model_{wanted}", f"model_{wanted}")
        candidates = [f"{folder}{stem}.onnx" for stem in stems for folder in ("", "onnx/")]
    for name in candidates:
        if name in files:
            return name
    networks = sorted(name for name in files if name.endswith(".onnx"))
    has = f"it has {', '.join(networks)}" if networks else "it has no .onnx file"
    missing = wanted or "vision_model.onnx or model.onnx"
    raise FileNotFoundError(f"{reference.repository} has no network {missing}: {has}")


def needed_files(network: str, files: dict[str, RemoteFile]) -> list[str]:
    """Return the names of the files that an encoder is made of, given its network of images.

    They are the network, that of texts beside it, of the same precision if there is one, their
    weights, and the settings.
    """
    networks = [network]
    texts = map(str, text_networks(PurePosixPath(network)))
    networks += [text for text in texts if text in files and text != network][:1]
    weights = [part for each in networks for part in _parts(each, files)]
    folders = {"", *(f"{PurePosixPath(each).parent}/" for each in networks)}
    settings = [f"{folder}{name}" for folder in folders for name in SETTINGS]
    return sorted({*networks, *weights, *(name for name in settings if name in files)})


def _parts(network: str, names: Iterable[str]) -> list[str]:
    """Return those of the names that are a network's own or, as exporters call it, its weights'."""
    stem = re.escape(network.removesuffix(".onnx"))
    pattern = re.compile(rf"{stem}\.(onnx|onnx[._]data(_\d+)?|data)")
    return [name for name in names if pattern.fullmatch(name)]
