"""Networks of keras.applications, with random weights: the real ones would be downloads."""

import subprocess
import sys
import warnings

import cv2
import numpy as np
import pytest
from picture_files import fill

import index_images
import search
from pyimagesearch import terminal
from pyimagesearch.backend import keras
from pyimagesearch.encoders import pretrained
from pyimagesearch.encoders.pretrained import NETWORKS, PretrainedModel
from pyimagesearch.indexes.index_file import load_index
from tests.scripts import MODEL, ROOT

SIDE = 32  # the smallest that all of them take
pytestmark = pytest.mark.filterwarnings("ignore:`input_shape` is undefined or:UserWarning")


@pytest.fixture(scope="module")
def network():
    """mobilenet_v2 as Keras builds it, the smallest of them."""
    built, wanted = as_keras_builds_it("mobilenet_v2")
    assert wanted == [NETWORKS["mobilenet_v2"].weights]
    return built


@pytest.fixture(scope="module")
def mobilenet(network, tmp_path_factory):
    """A file of the weights of `network`, laid out as in the files of ImageNet's."""
    path = tmp_path_factory.mktemp("weights") / "mobilenet.h5"
    network.save(path)
    return path


def as_keras_builds_it(name):
    """Return a network as Keras builds it for ImageNet's weights, but with random ones.

    Returns the name of the file it would have loaded, too.
    """
    wanted = []
    files = sys.modules["keras.src.utils.file_utils"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(files, "get_file", lambda file, *args, **kwargs: wanted.append(file))
        patch.setattr(keras.Model, "load_weights", lambda *args, **kwargs: None)
        keras.utils.set_random_seed(0)
        network = getattr(keras.applications, NETWORKS[name].constructor)(
            include_top=False, pooling="avg", input_shape=(SIDE, SIDE, 3)
        )
    for layer in network.layers:
        if isinstance(layer, keras.layers.Normalization) and layer.weights:
            # What the file holds: https://github.com/tensorflow/tensorflow/issues/49930
            values = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225], 0
            layer.set_weights([np.array(value) for value in values])
            layer.finalize_state()
    return network, wanted


def check_codes(encoder, name, network, random):
    """Check that codes are those of Keras from its own preprocessing, with length 1."""
    pictures = random.integers(0, 256, (2, SIDE, SIDE, 3), dtype=np.uint8)
    constructor = getattr(keras.applications, NETWORKS[name].constructor)
    preprocess = sys.modules[constructor.__module__].preprocess_input
    expected = np.asarray(network(preprocess(pictures.astype(np.float32)), training=False))
    expected = expected / np.linalg.norm(expected, axis=1, keepdims=True)
    assert np.abs(expected[0] - expected[1]).max() > 1e-3

    codes = encoder.encode(pictures.astype(np.float32) / 255)
    np.testing.assert_allclose(codes, expected, atol=1e-4)
    np.testing.assert_allclose(np.linalg.norm(codes, axis=1), 1, atol=1e-5)
    assert (encoder.model, encoder.dim) == (name, network.output_shape[1])


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in NETWORKS if name != "mobilenet_v2"])
def test_codes_are_those_of_keras_from_its_own_preprocessing(name, tmp_path, random):
    network, wanted = as_keras_builds_it(name)
    assert wanted == [NETWORKS[name].weights]
    path = tmp_path / "weights.h5"
    network.save(path)
    check_codes(PretrainedModel(name, path, (SIDE, SIDE)).open(), name, network, random)


def test_offline_the_error_says_which_file_to_put_where(tmp_path, monkeypatch):
    def offline(**_):
        raise Exception("URL fetch failure: name resolution")

    monkeypatch.setattr(keras.applications, "VGG16", offline)
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    file = "vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5"
    with pytest.raises(
        OSError, match=rf"name resolution.*put {file} into {tmp_path}/models,.* --weights"
    ):
        PretrainedModel("vgg16").open()


def test_a_download_that_fails_gives_its_reason_without_warnings(tmp_path, monkeypatch, recwarn):
    def download(**_):
        warnings.warn("`input_shape` is undefined", stacklevel=1)  # as MobileNetV2 does
        raise Exception("no network")

    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    monkeypatch.setattr(keras.applications, "MobileNetV2", download)
    with pytest.raises(OSError, match="downloaded"):
        pretrained.weights_file("mobilenet_v2")
    assert [str(warning.message) for warning in recwarn if "input_shape" in str(warning)] == []


def test_a_download_is_shown_while_it_goes_on_and_not_on_standard_output(
    tmp_path, monkeypatch, capsys, caplog
):
    caplog.set_level("INFO")
    files = sys.modules["keras.src.utils.file_utils"]
    progbar = files.Progbar
    name = NETWORKS["vgg16"].weights
    (tmp_path / "server").mkdir()
    (tmp_path / "server" / name).write_bytes(bytes(40_000))
    source = (tmp_path / "server" / name).as_uri()

    def download(**_):
        keras.utils.get_file(name, source, cache_subdir="models", cache_dir=tmp_path)

    monkeypatch.setattr(keras.applications, "VGG16", download)
    monkeypatch.setattr(terminal, "LINE_SECONDS", 0)
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    assert pretrained.weights_file("vgg16").stat().st_size == 40_000
    assert capsys.readouterr().out == ""
    assert f"{name}: 8 of 40 kB, about 0 s left" in caplog.messages
    assert files.Progbar is progbar


def test_weights_in_the_cache_of_keras_are_used(tmp_path, monkeypatch, mobilenet):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / NETWORKS["mobilenet_v2"].weights).write_bytes(mobilenet.read_bytes())
    expected = PretrainedModel("mobilenet_v2", mobilenet).fingerprint()
    assert PretrainedModel("mobilenet_v2").fingerprint() == expected


@pytest.mark.parametrize("name", ["text.h5", "text.weights.h5", "text.txt"])
def test_a_file_that_holds_no_weights_is_refused_by_name(tmp_path, name):
    (tmp_path / name).write_text("hello")
    with pytest.raises(ValueError, match=f"{name} does not hold the weights of mobilenet_v2"):
        PretrainedModel("mobilenet_v2", tmp_path / name, (32, 32)).open()


def test_weights_of_another_network_are_refused(mobilenet):
    with pytest.raises(ValueError, match="does not hold the weights of vgg16"):
        PretrainedModel("vgg16", mobilenet, (32, 32)).open()


def test_images_that_are_too_small_are_refused(mobilenet):
    with pytest.raises(ValueError, match="at least 32x32"):
        PretrainedModel("mobilenet_v2", mobilenet, (16, 16)).open()


def test_the_fingerprint_tells_network_weights_size_and_fit_apart(tmp_path):
    for name in "ab":
        (tmp_path / name).write_text(name)
    a, b = tmp_path / "a", tmp_path / "b"
    settings = [
        ("vgg16", a),
        ("resnet50", a),
        ("vgg16", b),
        ("vgg16", a, (32, 32)),
        ("vgg16", a, (32, 64)),
        ("vgg16", a, None, "crop"),
    ]
    fingerprints = {PretrainedModel(*each).fingerprint() for each in settings}
    assert len(fingerprints) == len(settings)
    explicit = PretrainedModel("vgg16", a, (224, 224))
    assert explicit.fingerprint() == PretrainedModel("vgg16", a).fingerprint()


def error_of(capsys, *arguments):
    """Run index_images.py, which must fail; return its one line of error."""
    assert index_images.main([str(argument) for argument in arguments]) == 1
    lines = [line for line in capsys.readouterr().err.splitlines() if "[INFO]" not in line]
    assert len(lines) == 1
    return lines[0].removeprefix("index_images.py: error: ")


@pytest.mark.slow
def test_a_folder_is_indexed_as_by_keras_searched_and_synced_without_tensorflow(
    tmp_path, mobilenet, network, random, capsys
):
    fill(tmp_path / "pictures", "a.png", "b.png")
    photo = tmp_path / "pictures" / "c.png"
    picture = np.random.default_rng(0).integers(0, 256, (40, 30, 3), dtype=np.uint8)
    cv2.imwrite(str(photo), picture)
    index = tmp_path / "index.h5"
    arguments = ["--model", "mobilenet_v2", "--weights", mobilenet, "--image-size", 32, 32]
    arguments += ["--dataset", tmp_path / "pictures", "--index", index]
    assert index_images.main(list(map(str, arguments))) == 0
    check_codes(load_index(index).encoder, "mobilenet_v2", network, random)
    assert search.main(["-i", str(index), "-q", str(photo), "-k", "1", "--json"]) == 0
    assert '"id": "c.png"' in capsys.readouterr().out

    (tmp_path / "pictures" / "d.png").write_bytes(photo.read_bytes()[:-1] + b"\x83")
    program = "import sys, index_images; print(index_images.main(sys.argv[1:]), 'keras' in "
    program += "sys.modules, 'tensorflow' in sys.modules)"
    command = [sys.executable, "-c", program, *map(str, arguments)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-2:] == [
        "added 1, changed 0, removed 0, kept 3",
        "0 False False",
    ]

    message = error_of(capsys, *arguments, "--fit", "crop")
    assert "other weights or images of mobilenet_v2 (32 x 32, letterbox)" in message


@pytest.mark.slow
def test_grey_arrays_are_encoded_as_rgb_at_the_size_and_fit_asked_for(tmp_path, network):
    index, weights = tmp_path / "index.pickle", tmp_path / "mobilenet.weights.h5"
    network.save_weights(weights)
    arguments = ["--model", "mobilenet_v2", "--weights", weights, "--limit", 20, "--index", index]
    arguments += ["--dataset", "mnist", "--image-size", 32, 64, "--fit", "crop"]
    assert index_images.main(list(map(str, arguments))) == 0
    spec = load_index(index).encoder.spec
    assert (spec.shape, spec.resize_mode) == ((32, 64, 3), "crop")


@pytest.mark.parametrize("flag", [["--weights", "w.h5"], ["--image-size", 8, 8], ["--fit", "crop"]])
def test_flags_of_pretrained_networks_are_refused_with_a_model_file(tmp_path, capsys, flag):
    arguments = ["--model", MODEL, "--limit", 1, *flag]
    message = error_of(capsys, *arguments, "--index", tmp_path / "index.pickle")
    assert "are for vgg16, " in message
    assert "autoencoder.onnx is a model file" in message


def test_missing_weights_are_named(tmp_path, capsys):
    arguments = ["--model", "vgg16", "--weights", tmp_path / "none.h5", "--dataset", "mnist"]
    message = error_of(capsys, *arguments, "--index", tmp_path / "index.pickle")
    assert message == f"no such weights file: {tmp_path / 'none.h5'}"
