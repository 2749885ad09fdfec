"""What --model may name, and what is a model file."""

import zipfile

import h5py
import pytest

import index_images
import search
from pyimagesearch.datasets.builtin import load_npz
from pyimagesearch.encoders.hub import HubModel, HubReference
from pyimagesearch.encoders.model_files import is_model_file
from pyimagesearch.encoders.model_source import (
    ModelFile,
    ModelFlags,
    find_model,
    model_path,
    network_name,
)
from pyimagesearch.encoders.pretrained import NETWORKS, PretrainedModel, weights_file
from tests.scripts import KERAS_MODEL, MODEL, ROOT, error_of

BEFORE = ROOT / "tests" / "data" / "before"


def test_each_kind_of_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = [
        find_model(ModelFlags(name)) for name in ("vgg16", "keras:vgg16", "hf:a/b@v1", str(MODEL))
    ]
    network = PretrainedModel("vgg16")
    assert found == [network, network, HubModel(HubReference("a/b", "v1")), ModelFile(str(MODEL))]


@pytest.mark.parametrize("file", ["model.onnx", "onnx/model.onnx", "model.keras"])
def test_a_folder_with_the_name_of_a_network_is_asked_about(tmp_path, monkeypatch, capsys, file):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "resnet50" / file).parent.mkdir(parents=True)
    (tmp_path / "resnet50" / file).touch()
    arguments = ["--model", "resnet50", "--dataset", "mnist", "--index", "i.pickle"]
    message = error_of(capsys, index_images, *arguments)
    assert message.endswith("name keras:resnet50 or ./resnet50")
    assert model_path("./resnet50") == "./resnet50"
    assert network_name("keras:resnet50") == "resnet50"


def test_a_folder_without_a_network_is_no_model(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "resnet50").mkdir()
    (tmp_path / "resnet50" / "notes.txt").touch()
    assert network_name("resnet50") == "resnet50"


@pytest.mark.parametrize(
    ("name", "nearest"),
    [("resnet51", "resnet50"), ("keras:vgg19", "vgg16"), ("mobilenet_v2_", "mobilenet_v2")],
)
def test_a_misspelt_network_lists_the_names_nearest_first(capsys, name, nearest):
    message = error_of(capsys, index_images, "--model", name, "--index", "i.pickle")
    listed = message.partition("networks by name: ")[2].split(", ")
    assert listed[0] == nearest
    assert sorted(listed) == sorted(NETWORKS)


def test_a_missing_file_is_no_misspelt_network(capsys):
    message = error_of(capsys, index_images, "--model", "resnet51.keras", "--index", "i.pickle")
    assert message == "no such model file: resnet51.keras; make it with train_autoencoder.py"


@pytest.mark.parametrize("pages", ["", "https://huggingface.co/"])
def test_a_name_of_the_hub_without_its_prefix_is_answered_with_it(tmp_path, monkeypatch, pages):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"; did you mean hf:Xenova/clip, on the hub\?$"):
        model_path(f"{pages}Xenova/clip")
    (tmp_path / "models").mkdir()
    with pytest.raises(FileNotFoundError, match="make it with"):
        model_path("models/clip")


def test_a_misspelt_file_is_answered_with_the_nearest(tmp_path):
    (tmp_path / "photos.keras").touch()
    nearest = rf"; did you mean {tmp_path}/photos\.keras\?$"
    with pytest.raises(FileNotFoundError, match=nearest):
        model_path(str(tmp_path / "photo.keras"))
    with pytest.raises(FileNotFoundError, match=nearest):
        weights_file("vgg16", tmp_path / "photo.keras")
    with pytest.raises(FileNotFoundError, match=nearest):
        load_npz(str(tmp_path / "photo.keras"), "train", "x")


def test_flags_apply_to_networks_by_name(tmp_path):
    assert find_model(ModelFlags("hf:a/b", None, (32, 32))).image_size == (32, 32)
    with pytest.raises(ValueError, match="hf:a/b is a model"):
        find_model(ModelFlags("hf:a/b", "weights.h5"))


@pytest.mark.parametrize(
    "model",
    [
        *(KERAS_MODEL, BEFORE / "model.h5", BEFORE / "model.keras", BEFORE / "encoder.onnx"),
        ROOT / "tests" / "data" / "keras2" / "tutorial.h5",
    ],
    ids=lambda path: path.name,
)
def test_models_are_told_by_their_content(model, tmp_path):
    copy = tmp_path / "photos"
    copy.write_bytes(model.read_bytes())
    assert is_model_file(copy)


@pytest.mark.parametrize("suffix", [".keras", ".h5", ".pickle"])
@pytest.mark.parametrize("model", ["model.h5", "model.keras", "encoder.onnx"])
def test_a_model_that_is_named_as_an_index_is_left_alone(tmp_path, capsys, model, suffix):
    named = tmp_path / f"photos{suffix}"
    named.write_bytes((BEFORE / model).read_bytes())
    expected = f"{named} is a model, not an index: name it with --model"
    assert expected in error_of(capsys, search, "--index", named, "--query", "a.png")
    making = ["--index", named, "--model", MODEL, "--dataset", "mnist", "--limit", 1, "--rebuild"]
    assert expected in error_of(capsys, index_images, *making)
    assert named.read_bytes() == (BEFORE / model).read_bytes()


@pytest.mark.parametrize("name", ["array.h5", "array.pickle", "folder.pickle", "expected.json"])
def test_indexes_are_no_models(name):
    assert not is_model_file(BEFORE / name)


def test_other_archives_and_damaged_files_are_no_models(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("a.txt", "a")
    (tmp_path / "b.zip").write_bytes(b"PK\3\4 damaged")
    (tmp_path / "c.h5").write_bytes(b"\x89HDF\r\n\x1a\n damaged")
    with h5py.File(tmp_path / "d.h5", "w") as file:
        file["codes"] = [1.0]
    (tmp_path / "e.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(100))
    (tmp_path / "empty").touch()
    names = ["a.zip", "b.zip", "c.h5", "d.h5", "e.png", "empty", "missing", "."]
    assert not any(is_model_file(tmp_path / name) for name in names)
