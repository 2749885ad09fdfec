"""Checks of Keras model files before anything in them is built.

Keras builds any class that the configuration in a file names. Its safe mode refuses only some of
those that run code of the file, and has been bypassed; here, a class must be on a list.
"""

import io
import json
import re
import zipfile
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from pyimagesearch.files import MAX_TEXT, verify_checksum
from pyimagesearch.hdf5_files import hdf5_text, require_plain_hdf5

# The layers of our architectures and of keras.applications.
LAYERS = {
    *("InputLayer", "Dense", "Activation", "ReLU", "LeakyReLU", "PReLU", "ELU", "Softmax"),
    *("Conv2D", "Conv2DTranspose", "DepthwiseConv2D", "SeparableConv2D", "UpSampling2D"),
    *("MaxPooling2D", "AveragePooling2D", "GlobalAveragePooling2D", "GlobalMaxPooling2D"),
    *("BatchNormalization", "LayerNormalization", "RMSNormalization", "UnitNormalization"),
    *("Normalization", "Rescaling", "CustomScaleLayer", "LayerScale"),
    *("Dropout", "SpatialDropout2D", "GaussianNoise"),
    *("Flatten", "Reshape", "Permute", "ZeroPadding2D", "Cropping2D"),
    *("Add", "Subtract", "Multiply", "Average", "Maximum", "Concatenate"),
}
INITIALIZERS = {
    *("Zeros", "Ones", "Constant", "RandomNormal", "RandomUniform", "TruncatedNormal"),
    *("VarianceScaling", "GlorotNormal", "GlorotUniform", "HeNormal", "HeUniform"),
    *("LecunNormal", "LecunUniform", "Orthogonal", "Identity"),
}
OTHERS = {
    *("Functional", "Model", "Sequential", "DTypePolicy", "Policy", "__keras_tensor__"),
    *("L1", "L2", "L1L2", "MaxNorm", "NonNeg", "UnitNorm"),
}
CLASSES = LAYERS | INITIALIZERS | OTHERS
MODULES = re.compile(
    r"keras|keras\.(layers|initializers|regularizers|constraints)"
    r"|keras\.src\.(models|layers|initializers|regularizers|constraints|applications)\.[\w.]+"
    r"|keras\.src\.ops\.numpy"
)
WEIGHTS = "model.weights.h5"
MEMBERS = {"metadata.json", "config.json", WEIGHTS}
CHECKSUM_KEY = "has_checksum"  # an attribute of .h5 files that end with a checksum

# What one version of Keras writes and others refuse, though it stands for what these do anyway, as
# Keras 2 (TensorFlow 2.3 to 2.15) for convolutions: {class: {key: the value that may be dropped}}.
DROPPED_KEYS: Mapping[str, Mapping[str, object]] = {
    "Conv2DTranspose": {"groups": 1},
    "DepthwiseConv2D": {"groups": 1},
    "SeparableConv2D": {"groups": 1},
    "SpatialDropout2D": {"noise_shape": None},
    # Keras 3.12 to 3.15
    "BatchNormalization": {"renorm": False, "renorm_clipping": None, "renorm_momentum": 0.99},
    "Dense": {"quantization_config": None},
}
# Likewise of every initializer, whose values the stored weights replace: Keras 3.15.
DROPPED_FROM_INITIALIZERS: Mapping[str, object] = {"input_axes": None, "output_axes": None}
# Keys that have another name since: {class: {old key: new key}}.
RENAMED_KEYS: Mapping[str, Mapping[str, str]] = {"LeakyReLU": {"alpha": "negative_slope"}}


def safe_config(path: str | Path, notes: Collection[str] = ()) -> dict[str, Any]:
    """Return the configuration of a Keras file, .keras or .h5, which names only known classes.

    Its weights must be in the file itself. `notes` are names of members that the archive may
    have besides Keras' own. Raises ValueError when the file is damaged or names a class not on the
    list, OSError when it cannot be read.
    """
    suffix = Path(path).suffix.lower()
    if suffix == ".keras":
        config = _archive_config(path, notes)
        # Needed only to continue a training; Keras is told not to read it.
        config.pop("compile_config", None)
    elif suffix in (".h5", ".hdf5"):
        config = _hdf5_config(path)
    else:
        raise ValueError("expected a name ending in .keras or .h5")
    require_known_classes(config)
    return config


def require_known_classes(config: Any) -> None:
    """Raise ValueError if a configuration names a class that is not on the list, at any depth."""
    for value in _dicts(config):
        if "class_name" in value:
            module = value.get("module")
            registered = value.get("registered_name")
            _require_known(value["class_name"], module=module, registered=registered)


def update_old_keys(config: Any) -> bool:
    """Change a configuration, in place, to one that every version of Keras 3 reads.

    Returns whether anything was changed.
    """
    changed = False
    for value in _dicts(config):
        name = value.get("class_name")
        settings = value.get("config")
        if not isinstance(name, str) or not isinstance(settings, dict):
            continue
        dropped = DROPPED_KEYS.get(name, {})
        if name in INITIALIZERS:
            dropped = DROPPED_FROM_INITIALIZERS
        for key, default in dropped.items():
            if key in settings and settings[key] == default:
                del settings[key]
                changed = True
        for old, new in RENAMED_KEYS.get(name, {}).items():
            if old in settings and new not in settings:
                settings[new] = settings.pop(old)
                changed = True
    return changed


def _dicts(config: Any) -> Iterator[dict[str, Any]]:
    """Yield all dicts within a configuration, which may be nested deeper than Python can call."""
    pending = [config]
    while pending:
        value = pending.pop()
        if isinstance(value, list):
            pending += value
        elif isinstance(value, dict):
            yield value
            pending += value.values()


def _require_known(name: Any, *, module: Any, registered: Any) -> None:
    known = isinstance(name, str) and name in CLASSES
    inside = module is None or (isinstance(module, str) and MODULES.fullmatch(module))
    if not (known and inside and registered in (None, name)):
        full = f"{module}.{name}" if module else name
        raise ValueError(
            f"it uses the class {full}, which is not among the layers that this program accepts, "
            "because it could run any code"
        )


def _archive_config(path: str | Path, notes: Collection[str]) -> dict[str, Any]:
    import h5py

    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
        if len(set(names)) < len(names) or not MEMBERS <= set(names) <= {*MEMBERS, *notes}:
            raise ValueError(f"it has other members than {', '.join(sorted(MEMBERS))}")
        if any(info.compress_type != zipfile.ZIP_STORED for info in archive.infolist()):
            raise ValueError("its members are compressed, which Keras does not do")
        for name in names:
            if name != WEIGHTS and archive.getinfo(name).file_size > MAX_TEXT:
                raise ValueError(f"its member {name} has more than {MAX_TEXT:,} bytes")
        if damaged := archive.testzip():
            raise ValueError(f"it is damaged: the checksum of {damaged} differs")
        weights = archive.read(WEIGHTS)
        with h5py.File(io.BytesIO(weights), "r") as file:
            require_plain_hdf5(file, len(weights))
        config = json.loads(archive.read("config.json"))
    if not isinstance(config, dict):
        raise ValueError("its configuration is damaged")
    return config


def _hdf5_config(path: str | Path) -> dict[str, Any]:
    import h5py

    has_checksum = verify_checksum(path)
    with h5py.File(path, "r") as file:
        if CHECKSUM_KEY in file.attrs and not has_checksum:
            raise ValueError("it is damaged: its checksum is missing")
        require_plain_hdf5(file, Path(path).stat().st_size)
        text = hdf5_text(file, "model_config")
        if text is None:
            raise ValueError("it has no model configuration")
        config = json.loads(text)
    if not isinstance(config, dict):
        raise ValueError("its configuration is damaged")
    return config
