"""Checks of Keras model files before anything in them is built.

Keras builds any class that the configuration in a file names. Its safe mode refuses only some of
those that run code of the file, and has been bypassed; here, a class must be on a list.
"""

import io
import json
import re
import zipfile
from pathlib import Path

from pyimagesearch.files import require_plain_hdf5, verify_checksum

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
MEMBERS = {"metadata.json", "config.json", "model.weights.h5"}
CHECKSUM_KEY = "has_checksum"  # an attribute of .h5 files that end with a checksum


def require_safe_model(path, note):
    """Raise ValueError if a Keras file, .keras or .h5, is damaged or names a class not on the list.

    Its weights must be in the file itself. `note` is the name of a member that the archive may
    have besides Keras' own. Raises OSError when the file cannot be read.
    """
    suffix = Path(path).suffix.lower()
    if suffix == ".keras":
        config = _archive_config(path, note)
        # Needed only to continue a training; Keras is told not to read it.
        config.pop("compile_config", None)
    elif suffix in (".h5", ".hdf5"):
        config = _hdf5_config(path)
    else:
        raise ValueError("expected a name ending in .keras or .h5")
    require_known_classes(config)


def require_known_classes(config):
    """Raise ValueError if a configuration names a class that is not on the list, at any depth."""
    pending = [config]
    while pending:
        value = pending.pop()
        if isinstance(value, list):
            pending += value
        elif isinstance(value, dict):
            pending += value.values()
            if "class_name" in value:
                _require_known(*(value.get(k) for k in ("class_name", "module", "registered_name")))


def _require_known(name, module, registered):
    known = isinstance(name, str) and name in CLASSES
    inside = module is None or (isinstance(module, str) and MODULES.fullmatch(module))
    if not (known and inside and registered in (None, name)):
        full = f"{module}.{name}" if module else name
        raise ValueError(
            f"it uses the class {full}, which is not among the layers that this program accepts, "
            "because it could run any code"
        )


def _archive_config(path, note):
    import h5py

    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
        if len(set(names)) < len(names) or not MEMBERS <= set(names) <= {*MEMBERS, note}:
            raise ValueError(f"it has other members than {', '.join(sorted(MEMBERS))}")
        if any(info.compress_type != zipfile.ZIP_STORED for info in archive.infolist()):
            raise ValueError("its members are compressed, which Keras does not do")
        if damaged := archive.testzip():
            raise ValueError(f"it is damaged: the checksum of {damaged} differs")
        weights = archive.read("model.weights.h5")
        with h5py.File(io.BytesIO(weights), "r") as file:
            require_plain_hdf5(file, len(weights))
        config = json.loads(archive.read("config.json"))
    if not isinstance(config, dict):
        raise ValueError("its configuration is damaged")
    return config


def _hdf5_config(path):
    import h5py

    has_checksum = verify_checksum(path)
    with h5py.File(path, "r") as file:
        if CHECKSUM_KEY in file.attrs and not has_checksum:
            raise ValueError("it is damaged: its checksum is missing")
        require_plain_hdf5(file, Path(path).stat().st_size)
        if "model_config" not in file.attrs:
            raise ValueError("it has no model configuration")
        return json.loads(file.attrs["model_config"])
