"""Networks of other libraries as encoders: each convention of their inputs and outputs."""

import numpy as np
import onnx
import pytest

import index_images
import search
from pyimagesearch.encoders.encoder import Encoder
from pyimagesearch.encoders.export import open_encoder
from pyimagesearch.indexes.stores import open_store
from tests import onnx_exports as exports
from tests.scripts import error_of, run

MEAN, STD = np.float32(exports.MEAN), np.float32(exports.STD)


@pytest.fixture
def images(random):
    return random.random((3, 32, 32, 3), dtype=np.float32)


def first(images):
    return np.ascontiguousarray(images.transpose(0, 3, 1, 2))


def folder(tmp_path, settings, outputs, **network):
    name = "config.json" if "pretrained_cfg" in settings else "preprocessor_config.json"
    exports.write_json(tmp_path / name, settings)
    return exports.save_vision(tmp_path / "onnx" / "model.onnx", outputs, **network)


@pytest.mark.parametrize(
    ("outputs", "class_token", "code"),
    [
        (["last_hidden_state"], True, lambda out: out["last_hidden_state"][:, 0]),
        (["last_hidden_state"], False, lambda out: out["last_hidden_state"].mean(1)),
        (["last_hidden_state", "pooler_output"], True, lambda out: out["pooler_output"]),
        (["pooler_output", "image_embeds"], True, lambda out: out["image_embeds"]),
    ],
    ids=["DINOv2, class token", "average of tokens", "SigLIP, pooler", "CLIP, image_embeds"],
)
def test_a_transformer_gives_its_pooled_output_or_class_token(
    tmp_path, images, outputs, class_token, code
):
    path = folder(tmp_path, exports.DINO, outputs, class_token=class_token)
    encoder = open_encoder(str(tmp_path))
    raw = exports.outputs_of(path, pixel_values=first((images - MEAN) / STD))
    np.testing.assert_allclose(encoder.encode(images), exports.unit(code(raw)), atol=1e-5)
    assert encoder.dim == code(raw).shape[1]


@pytest.mark.parametrize("pooled", [True, False])
@pytest.mark.parametrize("channels_first", [True, False])
def test_features_of_a_convnet_are_averaged(tmp_path, images, channels_first, pooled):
    path = exports.save_convnet(tmp_path / "net.onnx", channels_first, pooled)
    [raw] = exports.outputs_of(path, images=first(images) if channels_first else images).values()
    raw = raw.mean((2, 3) if channels_first or pooled else (1, 2))
    encoder = open_encoder(path)
    np.testing.assert_allclose(encoder.encode(images), exports.unit(raw), atol=1e-5)
    assert encoder.spec.shape == (32, 32, 3)


def test_a_convnet_of_timm_is_prepared_by_its_own_settings(tmp_path, images):
    exports.write_json(tmp_path / "config.json", exports.TIMM)
    path = exports.save_vision(tmp_path / "model.onnx", ["pooler_output"], batch="n")
    encoder = open_encoder(tmp_path)
    raw = exports.outputs_of(path, pixel_values=first((images - MEAN) / STD))
    np.testing.assert_allclose(
        encoder.encode(images), exports.unit(raw["pooler_output"]), atol=1e-5
    )
    resampling = encoder.spec.resampling
    assert (resampling.filter, resampling.size) == ("bilinear", (36,))  # 32 / 0.875
    assert resampling.rounding == "torchvision"


def test_scores_of_classes_are_taken_with_a_warning(tmp_path, images, caplog):
    graph = exports.Graph()
    pooled = graph.add("GlobalAveragePool", "pixel_values")
    graph.add("Flatten", pooled, output="logits")
    shape = exports.tensor("pixel_values", ["n", 3, 32, 32])
    path = graph.save(tmp_path / "net.onnx", [shape], [exports.tensor("logits", ["n", 3])])
    expected = exports.unit(images.mean((1, 2)))
    np.testing.assert_allclose(open_encoder(path).encode(images), expected, atol=1e-5)
    assert "scores of classes" in caplog.text


@pytest.mark.parametrize("kind", [np.float16, np.float64])
def test_images_of_any_float_type(tmp_path, images, kind):
    path = folder(tmp_path, exports.CLIP, ["image_embeds"], kind=kind)
    raw = exports.outputs_of(path, pixel_values=first((images - MEAN) / STD).astype(kind))
    codes = open_encoder(path).encode(images)
    assert codes.dtype == np.float32
    np.testing.assert_allclose(codes, exports.unit(raw["image_embeds"]), atol=5e-3)


@pytest.mark.parametrize("batch", [1, 2])
def test_a_network_of_a_fixed_batch_encodes_any_number_of_images(tmp_path, images, batch):
    folder(tmp_path, exports.CLIP, ["image_embeds"])
    expected = open_encoder(tmp_path).encode(images)
    folder(tmp_path, exports.CLIP, ["image_embeds"], batch=batch, sides=(32, 32))
    np.testing.assert_allclose(open_encoder(tmp_path).encode(images), expected, atol=1e-6)


def test_a_network_of_any_size_takes_the_size_that_is_named(tmp_path):
    path = exports.save_vision(tmp_path / "net.onnx", ["pooler_output"], side=64)
    encoder = open_encoder(path, (64, 64), "crop")
    assert (encoder.spec.shape, encoder.spec.resize_mode) == ((64, 64, 3), "crop")
    guess = "cannot be run: .* 224 x 224 pixels is a guess: name its size with --image-size H W$"
    with pytest.raises(ValueError, match=guess):  # these have more patches
        open_encoder(path)
    with pytest.raises(ValueError, match=r"matrix multiplication$"):
        open_encoder(path, (96, 96))


def test_the_image_half_of_a_network_of_images_and_texts_is_taken(tmp_path, images):
    exports.write_json(tmp_path / "preprocessor_config.json", exports.CLIP)
    path = exports.save_joint(tmp_path / "model.onnx")
    pixels = first((images - MEAN) / STD)
    tokens = np.ones((1, 2), np.int64)
    raw = exports.outputs_of(path, pixel_values=pixels, input_ids=tokens, attention_mask=tokens)
    encoder = open_encoder(tmp_path)
    np.testing.assert_allclose(encoder.encode(images), exports.unit(raw["image_embeds"]), atol=1e-5)
    graph = onnx.load_from_string(encoder.onnx).graph
    assert [node.name for node in graph.input] == ["pyimagesearch_images"]
    assert not any(node.op_type == "Gather" and "input_ids" in node.input for node in graph.node)


def test_scores_that_need_a_text_are_refused_with_the_inputs(tmp_path):
    path = exports.save_joint(tmp_path / "model.onnx")
    model = onnx.load(path)
    del model.graph.output[1:]
    onnx.save(model, path)
    with pytest.raises(ValueError, match="need attention_mask, input_ids, pixel_values, and only"):
        open_encoder(path)


@pytest.mark.parametrize("sides", [(32, 32), (48, 48)])
def test_a_size_of_the_network_that_is_not_that_of_its_settings(tmp_path, sides):
    folder(tmp_path, exports.CLIP, ["image_embeds"], sides=sides)
    if sides == (32, 32):
        assert open_encoder(tmp_path).spec.shape == (32, 32, 3)
        return
    with pytest.raises(ValueError, match=r"takes images of \(48, 48\) pixels.*preprocessor_config"):
        open_encoder(tmp_path)


def test_other_inputs_than_images_are_refused(tmp_path):
    path = exports.save_text(tmp_path / "text.onnx")
    with pytest.raises(ValueError, match=r"one input of images with four axes, received input_ids"):
        open_encoder(path)
    graph = exports.Graph()
    graph.add("Cast", "images", to=1, output="codes")
    whole = exports.tensor("images", ["n", 3, 8, 8], np.uint8)
    graph.save(path, [whole], [exports.tensor("codes", ["n", 3, 8, 8])])
    with pytest.raises(ValueError, match="its images are UINT8, expected FLOAT"):
        open_encoder(path)


def test_a_network_from_images_to_images_is_refused(tmp_path):
    graph = exports.Graph()
    graph.add("Relu", "images", output="decoded")
    shapes = [exports.tensor(name, ["n", 8, 8, 3]) for name in ("images", "decoded")]
    path = graph.save(tmp_path / "whole.onnx", shapes[:1], shapes[1:])
    with pytest.raises(ValueError, match="one output of codes"):
        open_encoder(path)


def test_weights_in_a_file_beside_the_network_come_into_the_index(tmp_path, images):
    external = {
        "save_as_external_data": True,
        "location": "model.onnx_data",
        "size_threshold": 0,
    }
    path = folder(tmp_path / "big", exports.CLIP, ["image_embeds"], external=external)
    folder(tmp_path / "small", exports.CLIP, ["image_embeds"])
    weights = path.with_name("model.onnx_data")
    assert weights.stat().st_size > path.stat().st_size / 2
    big, small = open_encoder(tmp_path / "big"), open_encoder(tmp_path / "small")
    np.testing.assert_array_equal(big.encode(images), small.encode(images))
    again = Encoder.from_dict(big.to_dict())
    np.testing.assert_array_equal(again.encode(images), small.encode(images))
    data = bytearray(weights.read_bytes())
    data[100] ^= 1
    weights.write_bytes(data)
    assert open_encoder(tmp_path / "big").model_sha256 != big.model_sha256
    weights.unlink()
    with pytest.raises(FileNotFoundError, match=r"needs the file model\.onnx_data"):
        open_encoder(tmp_path / "big")


@pytest.mark.parametrize("location", ["../secret", "/etc/hostname", "link"])
def test_no_file_outside_the_folder_is_read(tmp_path, location):
    (tmp_path / "secret").write_bytes(bytes(4096))
    export = tmp_path / "export"
    external = {"save_as_external_data": True, "location": "data", "size_threshold": 0}
    path = folder(export, exports.CLIP, ["image_embeds"], external=external)
    model = onnx.load(path, load_external_data=False)
    for weights in model.graph.initializer:
        for entry in weights.external_data:
            entry.value = location if entry.key == "location" else entry.value
    path.write_bytes(model.SerializeToString())
    (export / "onnx" / "link").symlink_to(tmp_path / "secret")
    with pytest.raises(ValueError, match="outside its folder"):
        open_encoder(export)


@pytest.mark.parametrize("place", ["clip", "onnx"])
@pytest.mark.parametrize("named", ["", "onnx", "onnx/model.onnx"])
def test_the_settings_beside_or_above_a_network_are_found(tmp_path, place, named):
    folder(tmp_path / place, exports.CLIP, ["image_embeds"])
    assert open_encoder(tmp_path / place / named).spec.resampling.size == (32,)


def test_the_settings_in_a_folder_called_onnx_are_found(tmp_path):
    exports.write_json(tmp_path / "onnx" / "preprocessor_config.json", exports.CLIP)
    exports.write_json(tmp_path / "preprocessor_config.json", exports.SIGLIP)
    exports.save_vision(tmp_path / "onnx" / "model.onnx", ["image_embeds"])
    assert open_encoder(tmp_path / "onnx").spec.resampling.size == (32,)
    assert open_encoder(tmp_path / "onnx" / "model.onnx").spec.resampling.size == (32,)


def test_the_links_of_the_cache_of_the_hub_are_followed(tmp_path, images):
    revision = tmp_path / "models--clip" / "snapshots" / "1234"
    path = folder(revision, exports.CLIP, ["image_embeds"])
    expected = open_encoder(revision).encode(images)
    blob = tmp_path / "models--clip" / "blobs" / "5678"
    blob.parent.mkdir()
    path.rename(blob)
    path.symlink_to(blob)
    np.testing.assert_array_equal(open_encoder(revision).encode(images), expected)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("preprocessor_config.json", "has no preprocessor_config.json"),
        ("onnx/model.onnx", "holds no vision_model.onnx or model.onnx"),
    ],
)
def test_a_folder_that_lacks_a_file_is_refused_by_its_name(tmp_path, name, reason):
    folder(tmp_path, exports.CLIP, ["image_embeds"])
    (tmp_path / name).unlink()
    with pytest.raises((ValueError, OSError), match=reason):
        open_encoder(tmp_path)


def test_the_fingerprint_covers_all_files_of_a_folder(tmp_path):
    pytest.importorskip("tokenizers")
    exports.save_clip(tmp_path)
    (tmp_path / "README.md").write_text("not a part of it")
    before = open_encoder(tmp_path).model_sha256
    for path in (p for p in tmp_path.rglob("*") if p.is_file() and p.name != "README.md"):
        content = path.read_bytes()
        with open(path, "ab") as file:
            file.write(b" " if path.suffix == ".json" else b"\x12\x00")  # an empty producer_name
        assert open_encoder(tmp_path).model_sha256 != before, path
        path.write_bytes(content)
    assert open_encoder(tmp_path).model_sha256 == before


def test_a_folder_is_indexed_searched_and_recognised_again(tmp_path, capsys):
    export, index = tmp_path / "dino", tmp_path / "index.h5"
    folder(export, exports.DINO, ["last_hidden_state"])
    flags = "--index", index, "--dataset", "mnist", "--limit", 50
    assert run(index_images, "--model", export, *flags) == 0
    made = open_store(index).open()
    assert made.encoder.model == "dino"
    np.testing.assert_allclose(np.linalg.norm(made.codes, axis=1), 1, atol=1e-5)
    assert run(search, "--index", index, "--model", export, "--query-id", 3, "--json") == 0
    exports.write_json(export / "preprocessor_config.json", {**exports.DINO, "resample": 2})
    message = error_of(capsys, search, "--index", index, "--model", export, "--query-id", 3)
    assert "the index was made with another model of this name, dino" in message
    (export / "onnx" / "model.onnx").unlink()
    assert run(search, "--index", index, "--query-id", 3, "--json") == 0  # it needs no folder


def test_an_index_in_any_store_keeps_its_resampling(tmp_path):
    folder(tmp_path / "dino", exports.DINO, ["last_hidden_state"])
    for name in ("index.pickle", "index.h5"):
        flags = "--index", tmp_path / name, "--dataset", "mnist", "--limit", 5
        assert run(index_images, "--model", tmp_path / "dino", *flags) == 0
        spec = open_store(tmp_path / name).open().encoder.spec
        assert spec == open_encoder(tmp_path / "dino").spec
        assert spec.resampling.size == (40,)


def test_sizes_are_named_for_files_without_settings_only(tmp_path, capsys):
    path = exports.save_vision(tmp_path / "net.onnx", ["pooler_output"], side=64)
    flags = "--model", path, "--index", tmp_path / "index.h5", "--dataset", "mnist", "--limit", 5
    assert run(index_images, *flags, "--image-size", 64, 64, "--fit", "crop") == 0
    spec = open_store(tmp_path / "index.h5").open().encoder.spec
    assert (spec.shape, spec.resize_mode, spec.resampling) == ((64, 64, 3), "crop", None)
    assert run(index_images, *flags) == 0  # as the index has it
    exports.write_json(tmp_path / "preprocessor_config.json", exports.CLIP)
    capsys.readouterr()
    message = error_of(capsys, index_images, *flags, "--image-size", 64, 64)
    assert "--image-size and --fit have no effect" in message


@pytest.mark.parametrize("content", [b"", b"hello", b"\x08\x08\x12\x00", bytes(1000)])
def test_a_file_that_is_no_network_is_an_error_of_one_line(tmp_path, capsys, content):
    (tmp_path / "net.onnx").write_bytes(content)
    flags = "--index", tmp_path / "index.h5", "--dataset", "mnist", "--limit", 5
    assert "net.onnx" in error_of(capsys, index_images, "--model", tmp_path / "net.onnx", *flags)


@pytest.mark.parametrize("text", ["", "none", "[]", "{}", '{"size": 3}', "[" * 100_000])
def test_settings_that_are_no_settings_are_an_error_of_one_line(tmp_path, capsys, text):
    folder(tmp_path, exports.CLIP, ["image_embeds"])
    (tmp_path / "preprocessor_config.json").write_text(text)
    flags = "--index", tmp_path / "index.h5", "--dataset", "mnist", "--limit", 5
    message = error_of(capsys, index_images, "--model", tmp_path, *flags)
    assert "preprocessor_config.json" in message


def test_a_network_whose_bytes_were_changed_is_used_or_refused_in_one_line(tmp_path, random):
    path = folder(tmp_path, exports.CLIP, ["image_embeds"])
    data = path.read_bytes()
    for position in random.integers(0, len(data), 150):
        broken = bytearray(data)
        broken[position] ^= 1 << random.integers(8)
        path.write_bytes(broken)
        try:
            open_encoder(tmp_path)
        except (ValueError, OSError) as error:
            assert "\n" not in str(error)
