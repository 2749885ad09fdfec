"""The files of a network exported as ONNX, alone or in a folder with its settings.

A folder is laid out as `optimum` and the hub of `transformers` do: settings as JSON, and networks
beside them or in the sub-folder `onnx`. No file outside the folder is read.
"""

import hashlib
import json
import re
from pathlib import Path

from pyimagesearch.encoders.onnx_session import CHECKSUM_ENTRY, EXTERNAL_DATA, INPUT_SPEC_KEY
from pyimagesearch.files import sha256_of

# Files on the preprocessing of images, and the keys of which they have one if they are about it.
IMAGE_SETTINGS = {
    "preprocessor_config.json": (),
    "config.json": ("pretrained_cfg", "input_size"),
}
TEXT_SETTINGS = ("tokenizer.json", "tokenizer_config.json", "config.json")
IMAGE_NETWORKS = ("vision_model.onnx", "model.onnx")
MAX_BYTES = 2**31 - 1  # of an ONNX network with its weights: a limit of protocol buffers
MAX_SETTINGS = 64 << 20  # bytes of a JSON file


class ExportedFiles:
    """The files of an export: `image` and `text` are the paths of its networks, `text` or None.

    Raises OSError when the network is not there, and
    ValueError for a folder with several that may be meant.
    """

    def __init__(self, path):
        path = Path(path)
        self.is_folder = path.is_dir()
        self.folder = path if self.is_folder else path.parent
        has_settings = any((self.folder / name).is_file() for name in IMAGE_SETTINGS)
        if self.folder.name == "onnx" and not has_settings:
            self.folder = self.folder.parent
        self.image = self._find_image(path) if self.is_folder else path
        if not self.image.is_file():
            raise FileNotFoundError(f"no such model file: {path}")
        self._require_inside(self.image)
        self.text = self._find_text()

    def _find_image(self, path):
        for name in IMAGE_NETWORKS:
            for place in (path / "onnx", path):
                if (place / name).is_file():
                    return place / name
        found = [p for pattern in ("*.onnx", "onnx/*.onnx") for p in sorted(path.glob(pattern))]
        found = [str(p.relative_to(path)) for p in found]
        some = f"it has {', '.join(found)}: name one" if found else "it has no .onnx file"
        raise FileNotFoundError(
            f"{path} holds no {' or '.join(IMAGE_NETWORKS)}, neither there nor in onnx/: {some}"
        )

    def _find_text(self):
        """Return the text network beside that of images, of the same precision if there is one."""
        for name in (self.image.name.replace("vision", "text"), "text_model.onnx"):
            path = self.image.with_name(name)
            if path != self.image and "text" in name and path.is_file():
                self._require_inside(path)
                return path
        return None

    def _require_inside(self, path):
        """Raise ValueError if a link leads out of the folder, or for the hub's cache out of that.

        The cache keeps MODEL/snapshots/REVISION/FILE as a link to MODEL/blobs/HASH.
        """
        root = self.folder.absolute()
        root = root.parents[1] if root.parent.name == "snapshots" else root
        if not path.resolve().is_relative_to(root.resolve()):
            raise ValueError(f"{path} leads to a file outside its folder, which is not read")

    def settings(self, name):
        """Return the content of a JSON file of the folder, {} where there is none.

        Raises ValueError when it is not a JSON object.
        """
        text = self.settings_text(name)
        try:
            values = json.loads(text or "{}")
        except (ValueError, RecursionError) as error:
            raise ValueError(f"{self.folder / name} is not JSON: {error}") from error
        if not isinstance(values, dict):
            raise ValueError(f"expected {self.folder / name} to be a JSON object")
        return values

    def settings_text(self, name):
        """Return the text of a JSON file of the folder, or None where there is none."""
        path = self.folder / name
        if not path.is_file():
            return None
        self._require_inside(path)
        if path.stat().st_size > MAX_SETTINGS:
            raise ValueError(f"{path} has more than {MAX_SETTINGS >> 20} MB, too many for settings")
        try:
            return path.read_text(encoding="utf-8")
        except UnicodeDecodeError as error:
            raise ValueError(f"{path} is not JSON: {error}") from error

    def image_settings(self):
        """Return the name and the content of the JSON file on preprocessing; (None, {}) if none.

        It is `preprocessor_config.json` of transformers, or else `config.json` of timm.
        """
        for name, keys in IMAGE_SETTINGS.items():
            values = self.settings(name)
            if values and (not keys or any(key in values for key in keys)):
                return name, values
        return None, {}

    def network(self, path):
        """Return an ONNX network of the folder as a ModelProto, with all of its weights.

        Raises ValueError when it is not ONNX, its weights are elsewhere, or there are 2 GB of them.
        """
        import onnx
        from google.protobuf.message import DecodeError

        data = path.read_bytes()
        size = len(data) + sum(p.stat().st_size for p in self._weights(path, data))
        if size > MAX_BYTES:
            raise ValueError(
                f"{path} has {size / 2**30:.1f} GB with its weights, and an index holds a network "
                "of up to 2 GB: export it as float16, or use a smaller one"
            )
        try:
            model = onnx.load_from_string(data)
        except DecodeError as error:
            raise ValueError(f"{path} cannot be run: it is not a complete ONNX file") from error
        for tensor in model.graph.initializer:
            if tensor.data_location == onnx.TensorProto.EXTERNAL:
                self._embed(tensor, path)
        return model

    def _weights(self, path, data):
        """Return the paths of the files with weights that an ONNX file, `data`, refers to."""
        found = re.finditer(re.escape(EXTERNAL_DATA) + rb"\x12([\x01-\x7f])", data, re.DOTALL)
        names = {data[match.end() : match.end() + match[1][0]] for match in found}
        return sorted(self._weights_file(path, name.decode("utf-8", "replace")) for name in names)

    def _weights_file(self, path, name):
        file = path.with_name(name) if re.fullmatch(r"[^/\\\0]+", name) else None
        if file is None or name in (".", ".."):
            raise ValueError(f"{path} keeps its weights at {name!r}, outside its folder")
        self._require_inside(file)
        if not file.is_file():
            raise FileNotFoundError(f"{path} needs the file {name} with its weights beside it")
        return file

    def _embed(self, tensor, path):
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

    def fingerprint(self):
        """Return the SHA-256 of all files that the codes depend on, 64 hexadecimal digits."""
        networks = [path for path in (self.image, self.text) if path]
        names = {self.image_settings()[0]}
        if (self.folder / TEXT_SETTINGS[0]).is_file():
            names.update(TEXT_SETTINGS)
        paths = [self.folder / name for name in names if name and (self.folder / name).is_file()]
        for path in networks:
            paths += [path, *self._weights(path, path.read_bytes())]
        digests = {path.relative_to(self.folder).as_posix(): sha256_of(path) for path in paths}
        if not self.is_folder and len(digests) == 1:
            return sha256_of(self.image)
        return hashlib.sha256(json.dumps(sorted(digests.items())).encode()).hexdigest()


def is_export(path):
    """Whether a model is a folder, or an ONNX file that was not written by `Encoder.save_onnx`."""
    path = Path(path)
    if path.suffix.lower() != ".onnx" or path.is_dir():
        return path.is_dir()
    if not path.is_file():
        raise FileNotFoundError(f"no such model file: {path}")
    data = path.read_bytes()
    return INPUT_SPEC_KEY.encode() not in data and CHECKSUM_ENTRY not in data[-100:]


def model_fingerprint(path):
    """Return the `model_sha256` of the encoder that `open_encoder` makes of a model."""
    return ExportedFiles(path).fingerprint() if is_export(path) else sha256_of(path)
