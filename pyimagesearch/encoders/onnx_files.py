"""The files of a network exported as ONNX, alone or in a folder with its settings.

A folder is laid out as `optimum` and the hub of `transformers` do: settings as JSON, and networks
beside them or in the sub-folder `onnx`; or as `immich` does, in `visual` and `textual`. No file
outside the folder is read.
"""

import hashlib
import json
import mmap
from contextlib import suppress
from pathlib import Path, PurePath, PurePosixPath
from typing import TYPE_CHECKING, Any

from pyimagesearch.encoders.onnx_facts import network_facts
from pyimagesearch.encoders.onnx_session import CHECKSUM_ENTRY, INPUT_SPEC_KEY
from pyimagesearch.files import sha256_of

if TYPE_CHECKING:
    from onnx import ModelProto, TensorProto

# Files on the preprocessing of images, and the keys of which they have one if they are about it.
IMAGE_SETTINGS: dict[str, tuple[str, ...]] = {
    "preprocessor_config.json": (),
    "processor_config.json": ("image_processor",),
    "visual/preprocess_cfg.json": (),
    "preprocess_cfg.json": (),
    "open_clip_config.json": ("preprocess_cfg",),
    "config.json": ("pretrained_cfg", "input_size"),
}
TOKENIZERS = ("tokenizer.json", "spiece.model")
TEXT_SETTINGS = ("tokenizer.json", "tokenizer_config.json", "config.json")
IMAGE_NETWORKS = (
    *("onnx/vision_model.onnx", "vision_model.onnx"),
    *("onnx/model.onnx", "model.onnx", "visual/model.onnx"),
)
MAX_BYTES = 2**31 - 1  # of an ONNX network with its weights: a limit of protocol buffers
MAX_SETTINGS = 64 << 20  # bytes of a file of settings


class ExportedFiles:
    """The files of an export: `image` and `text` are the paths of its networks, `text` or None.

    `folder` is the one with the settings. Raises OSError when the network is not there, and
    ValueError for a folder with several that may be meant.
    """

    def __init__(self, path: str | Path) -> None:
        path = Path(path)
        self.is_folder = path.is_dir()
        self.folder = _folder_of_settings(path if self.is_folder else path.parent)
        self.image = self._find_image(path) if self.is_folder else path
        if not self.image.is_file():
            raise FileNotFoundError(f"no such model file: {path}")
        self._require_inside(self.image)
        self.text = self._find_text()

    def _find_image(self, path: Path) -> Path:
        for name in IMAGE_NETWORKS:
            if (path / name).is_file():
                return path / name
        found = [p for pattern in ("*.onnx", "onnx/*.onnx") for p in sorted(path.glob(pattern))]
        names = ", ".join(str(p.relative_to(path)) for p in found)
        some = f"it has {names}: name one" if found else "it has no .onnx file"
        raise FileNotFoundError(
            f"{path} holds no vision_model.onnx or model.onnx, neither there nor in onnx/ or "
            f"visual/: {some}"
        )

    def _find_text(self) -> Path | None:
        """Return the text network that belongs to that of images, or None."""
        for path in map(Path, text_networks(self.image)):
            if path != self.image and path.is_file():
                self._require_inside(path)
                return path
        return None

    def _require_inside(self, path: Path) -> None:
        """Raise ValueError if a link leads out of the folder, or for the hub's cache out of that.

        The cache keeps MODEL/snapshots/REVISION/FILE as a link to MODEL/blobs/HASH.
        """
        root = self.folder.absolute()
        root = root.parents[1] if root.parent.name == "snapshots" else root
        if not path.resolve().is_relative_to(root.resolve()):
            raise ValueError(f"{path} leads to a file outside its folder, which is not read")

    def settings(self, name: str) -> dict[str, Any]:
        """Return the content of a JSON file of the folder, {} where there is none.

        Raises ValueError when it is not a JSON object.
        """
        return self._json(self.folder / name)

    def text_settings(self, name: str) -> dict[str, Any]:
        """Return the content of a JSON file beside the tokenizer, {} where there is none."""
        return self._json(self._text_folder() / name)

    def sentencepiece_model(self) -> bytes | None:
        """Return the content of `spiece.model` where there is no tokenizer.json, or None."""
        path = self._text_folder() / TOKENIZERS[1]
        if not path.is_file() or path.with_name(TOKENIZERS[0]).is_file():
            return None
        self._require_readable(path)
        return path.read_bytes()

    def _text_folder(self) -> Path:
        """Return the folder with the tokenizer: that of the settings, or of the text network."""
        if self.text and not any((self.folder / name).is_file() for name in TOKENIZERS):
            return self.text.parent
        return self.folder

    def _json(self, path: Path) -> dict[str, Any]:
        if not path.is_file():
            return {}
        self._require_readable(path)
        try:
            values = json.loads(path.read_text(encoding="utf-8") or "{}")
        except (ValueError, RecursionError) as error:
            raise ValueError(f"{path} is not JSON: {error}") from error
        if not isinstance(values, dict):
            raise ValueError(f"expected {path} to be a JSON object")
        return values

    def _require_readable(self, path: Path) -> None:
        self._require_inside(path)
        if path.stat().st_size > MAX_SETTINGS:
            raise ValueError(f"{path} has more than {MAX_SETTINGS >> 20} MB, too many for settings")

    def image_settings(self) -> tuple[str | None, dict[str, Any]]:
        """Return the name and the content of the JSON file on preprocessing; (None, {}) if none."""
        for name, keys in IMAGE_SETTINGS.items():
            values = self.settings(name)
            if values and (not keys or any(key in values for key in keys)):
                return name, values
        return None, {}

    def network(self, path: Path) -> "ModelProto":
        """Return an ONNX network of the folder as a ModelProto, with all of its weights.

        Raises ValueError when it is not ONNX, its weights are elsewhere, or there are 2 GB of them.
        """
        import onnx
        from google.protobuf.message import DecodeError

        from pyimagesearch.encoders.onnx_edit import all_tensors

        data = _content(path)
        _require_size(path, len(data) + sum(p.stat().st_size for p in self._weights(path, data)))
        try:
            model = onnx.load_from_string(data)
        except DecodeError as error:
            raise ValueError(f"{path} cannot be run: it is not a complete ONNX file") from error
        total = len(data)
        for tensor in all_tensors(model):
            if tensor.data_location == onnx.TensorProto.EXTERNAL:
                self._embed(tensor, path)
                total += len(tensor.raw_data)
                _require_size(path, total)  # a file may be read many times
        return model

    def _weights(self, path: Path, data: bytes) -> list[Path]:
        """Return the paths of the files with weights that an ONNX file, `data`, refers to."""
        try:
            names = network_facts(data).locations
        except ValueError as error:
            raise ValueError(
                f"{path} cannot be run: it is not a complete ONNX file: {error}"
            ) from error
        return sorted({self._weights_file(path, name) for name in names})

    def _weights_file(self, path: Path, name: str) -> Path:
        """Return the file that a network at `path` refers to by a name, relative to its folder."""
        parts = PurePosixPath(name).parts
        if not parts or name.startswith("/") or ".." in parts or "\\" in name or "\0" in name:
            raise ValueError(f"{path} keeps its weights at {name!r}, outside its folder")
        file = path.parent.joinpath(*parts)
        self._require_inside(file)
        if not file.is_file():
            raise FileNotFoundError(f"{path} needs the file {name} with its weights beside it")
        return file

    def _embed(self, tensor: "TensorProto", path: Path) -> None:
        """Read the weights of a tensor from the file that it refers to."""
        entries = {entry.key: entry.value for entry in tensor.external_data}
        file = self._weights_file(path, entries.get("location", ""))
        try:
            with open(file, "rb") as weights:
                weights.seek(int(entries.get("offset", 0)))
                tensor.raw_data = weights.read(int(entries.get("length", -1)))
        except (ValueError, OverflowError) as error:
            raise ValueError(f"{path} is damaged: {error} in a reference to {file}") from error
        tensor.ClearField("data_location")
        tensor.ClearField("external_data")

    def fingerprint(self) -> str:
        """Return the SHA-256 of all files that the codes depend on, 64 hexadecimal digits."""
        paths = set()
        name, _ = self.image_settings()
        if name:
            paths.add(self.folder / name)
        folder = self._text_folder()
        if any((folder / tokenizer).is_file() for tokenizer in TOKENIZERS):
            paths.update(folder / settings for settings in (*TEXT_SETTINGS, TOKENIZERS[1]))
            if (folder / TOKENIZERS[0]).is_file():
                paths.discard(folder / TOKENIZERS[1])
            paths.add(self.folder / "config.json")
        paths.update([self.image, *self._weights(self.image, _content(self.image))])
        if self.text:
            paths.add(self.text)
            with suppress(ValueError):  # a damaged one is left out of the encoder
                paths.update(self._weights(self.text, _content(self.text)))
        digests = {
            path.relative_to(self.folder).as_posix(): sha256_of(path)
            for path in paths
            if path.is_file()
        }
        if not self.is_folder and len(digests) == 1:
            return sha256_of(self.image)
        return hashlib.sha256(json.dumps(sorted(digests.items())).encode()).hexdigest()


def text_networks(image: PurePath) -> list[PurePath]:
    """Return where a text network for one of images may be, first one of the same precision."""
    if image.parent.name == "visual":
        return [image.parent.parent / "textual" / image.name]
    names = image.name.replace("vision", "text"), "text_model.onnx"
    return [image.with_name(name) for name in names]


def _folder_of_settings(folder: Path) -> Path:
    """Return the folder with the settings: this, or the one above `onnx` or `visual`."""
    has_settings = any((folder / name).is_file() for name in IMAGE_SETTINGS)
    if folder.name == "onnx" and not has_settings:
        return folder.parent
    if folder.name == "visual" and (folder.parent / "textual").is_dir():
        return folder.parent
    return folder


def _content(path: Path) -> bytes:
    _require_size(path, path.stat().st_size)
    return path.read_bytes()


def _require_size(path: Path, size: int) -> None:
    if size > MAX_BYTES:
        raise ValueError(
            f"{path} has {size / 2**30:.1f} GB with its weights, and an index holds a network "
            "of up to 2 GB: export it as float16, or use a smaller one"
        )


def is_export(path: str | Path) -> bool:
    """Whether a model is a folder, or an ONNX file that was not written by `Encoder.save_onnx`."""
    path = Path(path)
    if path.suffix.lower() != ".onnx" or path.is_dir():
        return path.is_dir()
    if not path.is_file():
        raise FileNotFoundError(f"no such model file: {path}")
    if not path.stat().st_size:
        return True
    with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        return data.find(INPUT_SPEC_KEY.encode()) < 0 and CHECKSUM_ENTRY not in data[-100:]


def model_fingerprint(path: str | Path) -> str:
    """Return the `model_sha256` of the encoder that `open_encoder` makes of a model."""
    if is_export(path):
        return ExportedFiles(path).fingerprint()
    return sha256_of(path)
