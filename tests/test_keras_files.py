import json
import zipfile

import h5py
import numpy as np
import onnx
import pytest

from pyimagesearch import files
from pyimagesearch.backend import keras
from pyimagesearch.convautoencoder import ConvAutoencoder
from pyimagesearch.encoders.encoder import Encoder
from pyimagesearch.encoders.export import encoder_from_keras, save_encoder
from pyimagesearch.encoders.keras_config import DROPPED_KEYS, require_known_classes, update_old_keys
from pyimagesearch.encoders.keras_files import load_model, save_model
from pyimagesearch.encoders.pretrained import NETWORKS
from pyimagesearch.encoders.trained_on import input_shape, trained_on
from pyimagesearch.pictures.input_spec import InputSpec
from pyimagesearch.training.architectures import ARCHITECTURES, build
from tests.scripts import ROOT


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
@pytest.mark.parametrize("fit", ["letterbox", "crop", "stretch"])
def test_a_model_is_read_with_the_input_spec_it_was_saved_with(tmp_path, random, suffix, fit):
    model = ConvAutoencoder.build(width=8, height=12, depth=3, filters=(2,), latentDim=2)
    path = tmp_path / f"model{suffix}"
    save_model(model, path, InputSpec(12, 8, 3, fit))
    loaded, spec = load_model(path)
    assert spec == InputSpec(12, 8, 3, fit)
    images = random.random((2, 12, 8, 3), dtype=np.float32)
    np.testing.assert_allclose(loaded(images), model(images), atol=1e-6)


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
def test_a_model_saved_by_keras_itself_is_letterboxed(tmp_path, suffix):
    path = tmp_path / f"model{suffix}"
    ConvAutoencoder.build(8, 8, 1, filters=(2,), latentDim=2).save(path)
    assert load_model(path)[1] == InputSpec(8, 8, 1, "letterbox")


# --- files that are not trusted


def planted(tmp_path, change, suffix=".keras"):
    """Save a small model with a changed configuration; return its path."""
    path = tmp_path / f"model{suffix}"
    save_model(ConvAutoencoder.build(8, 8, 1, (2,), 2), path, InputSpec(8, 8, 1))
    change_config(path, change)
    return path


def change_config(path, change):
    """Apply `change` to the configuration in a model file."""
    if path.suffix == ".h5":
        with h5py.File(path, "a") as file:
            config = json.loads(file.attrs["model_config"])
            change(config)
            file.attrs["model_config"] = json.dumps(config)
            file.attrs.pop("has_checksum", None)  # like a file of Keras' own
        return
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    config = json.loads(members["config.json"])
    change(config)
    members["config.json"] = json.dumps(config)
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)


def layer(class_name, **values):
    def change(config):
        config["config"]["layers"][2] = {"class_name": class_name, "config": {}, **values}

    return change


def nested(class_name):
    def change(config):
        inner = {"class_name": class_name, "config": {}}
        model = {"class_name": "Sequential", "module": "keras", "config": {"layers": [inner]}}
        config["config"]["layers"][1]["config"]["kernel_initializer"] = [{"a": model}]

    return change


CHANGES = {
    "Lambda": layer("Lambda", module="keras.layers"),
    "TFSMLayer": layer("TFSMLayer", module="keras.layers"),
    "system": layer("system", module="os"),
    "os.Dense": layer("Dense", module="os"),
    "keras.src.utils.Dense": layer("Dense", module="keras.src.utils"),
    "Dense": layer("Dense", module="keras.layers", registered_name="mine>Dense"),
    "function": layer("function", module="builtins"),
    "__lambda__": nested("__lambda__"),
    "StringLookup": nested("StringLookup"),
}


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
@pytest.mark.parametrize("name", CHANGES)
def test_a_class_that_is_not_on_the_list_is_refused_before_keras_reads_the_file(
    tmp_path, monkeypatch, name, suffix
):
    path = planted(tmp_path, CHANGES[name], suffix)
    monkeypatch.setattr(keras.saving, "load_model", None)
    with pytest.raises(ValueError, match=f"uses the class .*{name.split('.')[-1]}, which is not"):
        load_model(path)


def test_a_nested_model_is_not_compiled(tmp_path):
    def change(config):
        compiled = {"optimizer": {"class_name": "Adam", "module": "keras.optimizers"}}
        config["config"]["layers"][1]["compile_config"] = compiled

    with pytest.raises(ValueError, match=r"uses the class keras\.optimizers\.Adam"):
        load_model(planted(tmp_path, change))


def test_a_compiled_model_is_accepted(tmp_path):
    model = ConvAutoencoder.build(8, 8, 1, (2,), 2)
    model.compile("adam", loss="mse")
    for suffix in (".keras", ".h5"):
        model.save(tmp_path / f"model{suffix}")
        load_model(tmp_path / f"model{suffix}")


def test_a_model_whose_layers_make_gigabytes_of_an_image_is_refused(tmp_path):
    def change(config):
        nested = config["config"]["layers"][1]["config"]
        nested["layers"][1]["config"]["size"] = [4000, 4000]

    inputs = keras.Input((8, 8, 3))
    inner = keras.Model(inputs, keras.layers.UpSampling2D()(inputs))
    codes = keras.layers.GlobalAveragePooling2D(name="encoded")(inner(inputs))
    keras.Model(inputs, codes).save(tmp_path / "model.keras")
    load_model(tmp_path / "model.keras")
    change_config(tmp_path / "model.keras", change)
    with pytest.raises(ValueError, match=r"makes 3,072,000,000 values of an image, too many"):
        load_model(tmp_path / "model.keras")


def test_a_model_of_more_weights_than_its_file_can_hold_is_refused(tmp_path):
    def change(config):
        config["config"]["layers"][1]["config"]["filters"] = 10**9

    inputs = keras.Input((8, 8, 3))
    codes = keras.layers.GlobalAveragePooling2D(name="encoded")(keras.layers.Conv2D(2, 3)(inputs))
    keras.Model(inputs, codes).save(tmp_path / "model.keras")
    change_config(tmp_path / "model.keras", change)
    with pytest.raises(ValueError, match=r"have 28,000,000,000 weights, more than its file"):
        load_model(tmp_path / "model.keras")
    keras.layers.Lambda(abs)(inputs)  # when Keras gives values to all variables without any


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_our_architectures_are_on_the_list(name):
    model = build(name, InputSpec(32, 32, 3))
    require_known_classes(keras.saving.serialize_keras_object(model))


# The others take two seconds each.
QUICK = {"vgg16", "mobilenet_v2", "mobilenet_v3_small"}


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=() if name in QUICK else pytest.mark.slow) for name in NETWORKS],
)
def test_pretrained_networks_are_on_the_list(name):
    network = getattr(keras.applications, NETWORKS[name].constructor)(weights=None, pooling="avg")
    require_known_classes(keras.saving.serialize_keras_object(network))


@pytest.mark.parametrize("kind", ["link", "storage", "virtual"])
def test_weights_in_other_files_are_refused(tmp_path, kind):
    with h5py.File(tmp_path / "secret.h5", "w") as file:
        file["weights"] = np.zeros(4, np.float32)
    path = planted(tmp_path, lambda config: None, ".h5")
    with h5py.File(path, "a") as file:
        if kind == "link":
            file["more"] = h5py.ExternalLink(tmp_path / "secret.h5", "weights")
        elif kind == "storage":
            storage = [(str(tmp_path / "secret.h5"), 0, 16)]
            file.create_dataset("more", 4, "f4", external=storage)
        else:
            layout = h5py.VirtualLayout(4, "f4")
            layout[:] = h5py.VirtualSource(tmp_path / "secret.h5", "weights", 4)
            file.create_virtual_dataset("more", layout)
    with pytest.raises(ValueError, match=r"another file|other file"):
        load_model(path)


def test_an_hdf5_model_whose_layers_are_larger_than_its_weights_is_refused(tmp_path):
    path = tmp_path / "model.h5"
    inputs = keras.Input((8, 8, 3))
    codes = keras.layers.GlobalAveragePooling2D(name="encoded")(keras.layers.Conv2D(2, 3)(inputs))
    keras.Model(inputs, codes).save(path)
    with h5py.File(path, "a") as file:
        config = json.loads(file.attrs["model_config"])
        config["config"]["layers"][1]["config"]["filters"] = 10**9
        file.attrs["model_config"] = json.dumps(config)
    with pytest.raises(ValueError, match=r"cannot load .* as a Keras model: Shape mismatch"):
        load_model(path)


def test_a_model_of_nan_says_so(tmp_path):
    model = ConvAutoencoder.build(8, 8, 1, (2,), 2)
    model.set_weights([weights * np.nan for weights in model.get_weights()])
    save_model(model, tmp_path / "nan.keras", InputSpec(8, 8, 1))
    with pytest.raises(ValueError, match="codes with NaN or infinity: its training diverged"):
        encoder_from_keras(tmp_path / "nan.keras")


def test_an_encoder_that_was_changed_is_refused(tmp_path):
    path = tmp_path / "encoder.onnx"
    save_encoder(ConvAutoencoder.build(8, 8, 1, (2,), 2), path, InputSpec(8, 8, 1))
    assert onnx.load(path).metadata_props[-1].key == "sha256"  # other programs can read it
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(ValueError, match="it is damaged"):
        Encoder.from_onnx(path)


def test_an_encoder_with_weights_in_other_files_is_refused(tmp_path):
    save_encoder(ConvAutoencoder.build(8, 8, 1, (2,), 2), tmp_path / "a.onnx", InputSpec(8, 8, 1))
    model = onnx.load(tmp_path / "a.onnx")
    del model.metadata_props[:]
    options = {"location": "weights", "size_threshold": 0}
    onnx.save(model, tmp_path / "b.onnx", save_as_external_data=True, **options)
    with pytest.raises(ValueError, match="refers to other files"):
        Encoder.from_onnx(tmp_path / "b.onnx")


# --- files of Keras 2


def test_codes_of_a_keras_2_model_are_those_of_keras_2(recwarn):
    folder = ROOT / "tests" / "data" / "keras2"
    expected = json.loads((folder / "expected.json").read_text())
    images = np.linspace(0, 1, 128, dtype=np.float32).reshape(2, 8, 8, 1)
    codes = encoder_from_keras(folder / "tutorial.h5").encode(images)
    np.testing.assert_allclose(codes, expected["codes"], atol=1e-6)
    assert not [warning for warning in recwarn if "alpha" in str(warning.message)]


ARGUMENTS = {
    "SpatialDropout2D": (0.5,),
    "DepthwiseConv2D": (3,),
    "Dense": (2,),
    "BatchNormalization": (),
}


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
@pytest.mark.parametrize(
    ("name", "key", "value"),
    [(name, *item) for name, keys in DROPPED_KEYS.items() for item in keys.items()],
)
def test_a_key_of_another_keras_is_dropped(tmp_path, random, name, key, value, suffix):
    arguments = ARGUMENTS.get(name, (2, 3))
    inputs = keras.Input((8, 8, 3))
    added = getattr(keras.layers, name)(*arguments)(inputs)
    model = keras.Model(inputs, keras.layers.Flatten(name="encoded")(added))
    path = tmp_path / f"model{suffix}"
    model.save(path)

    def add_key(config):
        config["config"]["layers"][1]["config"][key] = value

    change_config(path, add_key)
    images = random.random((2, 8, 8, 3), dtype=np.float32)
    np.testing.assert_allclose(load_model(path)[0](images), model(images), atol=1e-6)


def test_settings_of_an_initializer_that_only_keras_3_15_knows_are_dropped():
    axes = {"input_axes": None, "output_axes": None}
    initializer = {"class_name": "GlorotUniform", "config": {"seed": 3, **axes}}
    config = {"layers": [{"config": {"kernel_initializer": initializer}}]}
    assert update_old_keys(config)
    assert initializer["config"] == {"seed": 3}
    assert not update_old_keys(config)


def test_a_key_of_keras_2_that_means_something_is_refused(tmp_path):
    model = ConvAutoencoder.build(8, 8, 1, (2,), 2)
    model.save(tmp_path / "model.h5")

    def add_groups(config):
        [*_, last] = [c for c in config["config"]["layers"] if c["class_name"] == "Conv2DTranspose"]
        last["config"]["groups"] = 2

    change_config(tmp_path / "model.h5", add_groups)
    with pytest.raises(ValueError, match=r"cannot load .* as a Keras model"):
        load_model(tmp_path / "model.h5")


@pytest.mark.parametrize("key", ["model_config", "input_spec.json", "trained_on"])
@pytest.mark.parametrize(
    "value",
    ["[" * (files.MAX_TEXT + 1), np.array(["{}", "{}"], object), 5, "[" * 100_000],
    ids=["long", "many", "number", "nested"],
)
def test_texts_of_an_hdf5_model_are_single_and_short(key, value, tmp_path):
    path = tmp_path / "model.h5"
    save_model(ConvAutoencoder.build(8, 8, 1, (2,), 2), path, InputSpec(8, 8, 1))
    with h5py.File(path, "a") as file:
        del file.attrs["has_checksum"]
        file.attrs[key] = value
    assert trained_on(str(path)) is None
    input_shape(str(path))
    if key != "trained_on":
        with pytest.raises(ValueError, match=r"cannot load .*model\.h5 as a Keras model") as error:
            load_model(path)
        assert len(str(error.value)) < 500


@pytest.mark.parametrize("name", ["config.json", "input_spec.json"])
def test_texts_of_an_archive_have_a_limit(name, tmp_path):
    path = planted(tmp_path, lambda config: None)
    with zipfile.ZipFile(path) as archive:
        members = {member: archive.read(member) for member in archive.namelist()}
    members[name] = b" " * (files.MAX_TEXT + 1)
    with zipfile.ZipFile(path, "w") as archive:
        for member, data in members.items():
            archive.writestr(member, data)
    with pytest.raises(ValueError, match=rf"its member {name} has more than"):
        load_model(path)
