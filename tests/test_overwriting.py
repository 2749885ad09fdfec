"""A training replaces a model only if the same command could make that again, or when asked to."""

import pytest

import index_images
import train_autoencoder
from pyimagesearch.convautoencoder import ConvAutoencoder
from pyimagesearch.encoders.encoder import Encoder
from pyimagesearch.encoders.export import save_encoder
from pyimagesearch.encoders.keras_files import save_model
from pyimagesearch.encoders.model_source import ModelFlags
from pyimagesearch.encoders.trained_on import require_same_images, trained_on
from pyimagesearch.indexes.choices import choose_encoder
from pyimagesearch.indexes.local_index import LocalIndex
from pyimagesearch.pictures.input_spec import InputSpec
from tests.scripts import KERAS_MODEL, error_of, run
from tests.test_nothing_lost import make_folder

MNIST = {"name": "mnist", "split": "train", "limit": None}
FOLDERS = {"name": "/my/photos", "split": "train", "limit": None, "folders": ["a", "b"]}
TRAINING = ["--limit", 256, "--epochs", 1, "--filters", 4, "--latent-dim", 4]


@pytest.fixture(scope="module")
def network():
    return ConvAutoencoder.build(16, 16, 1, (4,), 4)


def write_model(network, path, source):
    """Write a model that says it was trained on a source; return its bytes."""
    save = save_encoder if path.suffix == ".onnx" else save_model
    save(network, path, InputSpec(16, 16, 1), source)
    return path.read_bytes()


@pytest.mark.parametrize(
    ("source", "named"),
    [
        ({**MNIST, "name": "/my/photos"}, "/my/photos"),
        (FOLDERS, "a, b in /my/photos"),
        (MNIST, "mnist"),
        ({**MNIST, "limit": 257}, "the first 257 images of mnist"),
        (None, "unknown images"),
    ],
)
@pytest.mark.parametrize("name", ["model.keras", "model.h5", "encoder.onnx"])
def test_a_model_of_other_or_more_images_is_not_replaced(
    name, source, named, network, tmp_path, capsys
):
    path = tmp_path / name
    before = write_model(network, path, source)
    flag = "--encoder" if name == "encoder.onnx" else "--model"
    flags = [flag, path]
    if flag == "--encoder":
        flags += ["--model", tmp_path / "new.keras"]
    message = error_of(capsys, train_autoencoder, *flags, *TRAINING)
    assert message == (
        f"{flag} would replace {path}, a model of {named}, by one of the first 256 images of "
        "mnist: give another name, or --overwrite"
    )
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize(
    ("before", "now"),
    [
        (MNIST, MNIST),
        ({**MNIST, "limit": 256}, {**MNIST, "limit": 256}),
        ({**MNIST, "limit": 256}, MNIST),
        (FOLDERS, {**FOLDERS, "exclude": ["*.CR2"]}),
        ({**MNIST, "name": "d.npz"}, {**MNIST, "name": "./d.npz", "digest": "0"}),
    ],
)
def test_a_model_may_be_trained_again_on_the_same_or_more_images(before, now, network, tmp_path):
    path = tmp_path / "model.keras"
    assert not require_same_images(str(path), now, "--model")
    path.touch()
    assert not require_same_images(str(path), now, "--model")
    write_model(network, path, before)
    assert require_same_images(str(path), now, "--model")


def test_the_tutorials_model_may_be_trained_again():
    assert trained_on(str(KERAS_MODEL)) is None
    assert require_same_images(str(KERAS_MODEL), MNIST, "--model")


@pytest.mark.usefixtures("eager")
def test_a_folder_is_trained_on_twice_with_a_warning_and_a_quick_look_replaces_nothing(
    tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    make_folder(tmp_path / "pictures", range(40))
    flags = ["--model", "photos.keras", "--dataset", "pictures", "--image-size", 16, 16]
    flags += ["--architecture", "conv", "--filters", 4, "--epochs", 1]
    assert run(train_autoencoder, *flags) == 0
    warning = "[WARNING] photos.keras exists: it is going to be replaced when the training ends\n"
    assert warning not in capsys.readouterr().err
    assert run(index_images, "-m", "photos.keras", "-i", "photos.h5") == 0
    assert run(train_autoencoder, *flags, "--seed", 2) == 0
    assert warning in capsys.readouterr().err
    message = error_of(capsys, index_images, "-m", "photos.keras", "-i", "photos.h5")
    before, now = [part[:12] for part in message.split("SHA-256 ")[1:]]
    assert before != now
    assert run(index_images, "-i", "photos.h5") == 0
    message = error_of(capsys, train_autoencoder, *flags, "--limit", 20)
    assert f"a model of {tmp_path}/pictures, by one of the first 20 images of" in message
    assert run(train_autoencoder, *flags, "--limit", 20, "--overwrite") == 0
    assert trained_on("photos.keras")["limit"] == 20


def test_models_of_one_name_are_told_apart_by_their_digests(tmp_path):
    path = tmp_path / "photos.h5"
    path.write_bytes(KERAS_MODEL.read_bytes())
    encoder = Encoder(b"", InputSpec(28, 28, 1), 16, "photos.h5", "0123456789ab" + "c" * 52)
    index = LocalIndex([[0.0] * 16], ["a.png"])
    index.encoder = encoder
    before = r"photos\.h5 \(SHA-256 0123456789ab\.\.\.\), than"
    with pytest.raises(ValueError, match=before) as error:
        choose_encoder(index, ModelFlags(str(path)))
    assert "or leave --model out to go on with photos.h5" in str(error.value)
