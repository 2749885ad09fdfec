"""How libraries lay out their exports: files, names, weights, and what settings leave out."""

import numpy as np
import onnx
import pytest

from pyimagesearch.encoders.export import open_encoder
from pyimagesearch.encoders.preprocessing import read_preprocessing
from pyimagesearch.encoders.processor_defaults import DEFAULTS
from pyimagesearch.encoders.trial import trial_images
from tests import onnx_exports as exports

MEAN, STD = np.float32(exports.MEAN), np.float32(exports.STD)
OPEN_CLIP = {"mean": exports.MEAN, "std": exports.STD, "interpolation": "bicubic"}


def first(images):
    return np.ascontiguousarray(images.transpose(0, 3, 1, 2))


def require_image_codes(encoder, path, output, source="pixel_values"):
    images = trial_images(encoder.spec)
    raw = exports.outputs_of(path, **{source: first((images - MEAN) / STD)})[output]
    np.testing.assert_allclose(encoder.encode(images), exports.unit(raw), atol=1e-5)


def require_words(encoder, path, output, tokens=(6, 2, 5), source="input_ids"):
    """Require the code of "a red flower", which has these tokens after those of the padding."""
    row = np.array([[*tokens, *[0] * (12 - len(tokens))]])
    inputs = {source: row}
    if source == "input_ids":
        inputs["attention_mask"] = (row != 0).astype(np.int64)
    raw = exports.outputs_of(path, **inputs)[output]
    codes = encoder.encode_texts(["a red flower"])
    np.testing.assert_allclose(codes, exports.unit(raw), atol=1e-5)


tokenizers = pytest.mark.usefixtures("needs_tokenizers")


@pytest.fixture
def needs_tokenizers():
    pytest.importorskip("tokenizers", reason="pip install tokenizers")


@tokenizers
def test_a_folder_of_transformers_5_with_a_processor_config(tmp_path):
    exports.save_clip(tmp_path)
    (tmp_path / "preprocessor_config.json").unlink()
    processor = {"image_processor": exports.CLIP, "processor_class": "CLIPProcessor"}
    exports.write_json(tmp_path / "processor_config.json", processor)
    encoder = open_encoder(tmp_path)
    require_image_codes(encoder, tmp_path / "onnx" / "vision_model.onnx", "image_embeds")
    require_words(encoder, tmp_path / "onnx" / "text_model.onnx", "text_embeds")
    before = encoder.model_sha256
    processor["image_processor"] = {**exports.CLIP, "resample": 2}
    exports.write_json(tmp_path / "processor_config.json", processor)
    assert open_encoder(tmp_path).model_sha256 != before


@tokenizers
@pytest.mark.parametrize(
    ("image", "text"),
    [
        ("image_features", "text_features"),
        ("image_embeddings", "text_embeddings"),
        ("l2norm_image_embeddings", "l2norm_text_embeddings"),
    ],
)
def test_outputs_of_images_and_texts_that_belong_together(tmp_path, image, text):
    exports.save_clip(tmp_path)
    images = exports.rename(tmp_path / "onnx" / "vision_model.onnx", image_embeds=image)
    words = exports.rename(tmp_path / "onnx" / "text_model.onnx", text_embeds=text)
    encoder = open_encoder(tmp_path)
    require_image_codes(encoder, images, image)
    require_words(encoder, words, text)


@tokenizers
def test_a_folder_of_immich(tmp_path):
    cfg = {**OPEN_CLIP, "size": [32, 32], "mode": "RGB", "resize_mode": "squash", "fill_color": 0}
    exports.write_json(tmp_path / "visual" / "preprocess_cfg.json", cfg)
    exports.write_json(tmp_path / "config.json", {"embed_dim": 5, "text_cfg": {}})
    images = tmp_path / "visual" / "model.onnx"
    exports.save_vision(images, ["image_embeds"], sides=(32, 32))
    exports.rename(images, pixel_values="image", image_embeds="embedding")
    words = exports.save_text(tmp_path / "textual" / "model.onnx", mask=False, length=12)
    exports.rename(words, input_ids="text", text_embeds="embedding")
    exports.save_tokenizer(tmp_path / "textual")
    encoder = open_encoder(tmp_path)
    assert (encoder.spec.resize_mode, encoder.spec.resampling.rounding) == (
        "stretch",
        "torchvision",
    )
    require_image_codes(encoder, images, "embedding", "image")
    require_words(encoder, words, "embedding", source="text")
    for inner in ("visual", "visual/model.onnx"):
        assert open_encoder(tmp_path / inner).spec == encoder.spec
    before = encoder.model_sha256
    exports.save_tokenizer(tmp_path / "textual", model_max_length=11)
    assert open_encoder(tmp_path).model_sha256 != before


@pytest.mark.parametrize("name", ["model.onnx", "other.onnx"])
@pytest.mark.parametrize("stated", ["network", "settings", "model"])
def test_a_folder_of_open_clip(tmp_path, name, stated):
    settings = {"model_cfg": {"embed_dim": 5}, "preprocess_cfg": {**OPEN_CLIP}}
    if stated == "settings":
        settings["preprocess_cfg"]["size"] = 32
    if stated == "model":
        settings["model_cfg"]["vision_cfg"] = {"image_size": 32}
    exports.write_json(tmp_path / "open_clip_config.json", settings)
    sides = (32, 32) if stated == "network" else ("h", "w")
    exports.save_vision(tmp_path / name, ["image_embeds"], sides=sides)
    path = exports.rename(tmp_path / name, pixel_values="image", image_embeds="image_features")
    encoder = open_encoder(tmp_path if name == "model.onnx" else path)
    assert (encoder.spec.resize_mode, encoder.spec.resampling.size) == ("crop", (32,))
    require_image_codes(encoder, path, "image_features", "image")


def test_settings_of_open_clip_without_any_size_are_refused(tmp_path):
    exports.write_json(tmp_path / "open_clip_config.json", {"preprocess_cfg": OPEN_CLIP})
    exports.save_vision(tmp_path / "model.onnx", ["image_embeds"])
    with pytest.raises(ValueError, match=r"open_clip_config\.json has no size"):
        open_encoder(tmp_path)


@pytest.mark.parametrize("mode", ["longest", "other"])
def test_ways_to_resize_that_are_not_reproduced_are_refused(mode):
    settings = {**OPEN_CLIP, "size": 32, "resize_mode": mode}
    with pytest.raises(ValueError, match=f"resize_mode {mode} of 32 x 32"):
        read_preprocessing(settings, "preprocess_cfg.json")


@tokenizers
def test_siglip_with_a_sentencepiece_model(tmp_path):
    exports.write_json(tmp_path / "preprocessor_config.json", exports.SIGLIP)
    exports.write_json(tmp_path / "config.json", {"model_type": "siglip"})
    tokenizer = {"tokenizer_class": "SiglipTokenizer", "pad_token": "</s>", "model_max_length": 64}
    exports.write_json(tmp_path / "tokenizer_config.json", tokenizer)
    (tmp_path / "spiece.model").write_bytes(exports.sentencepiece_model())
    exports.save_vision(tmp_path / "onnx" / "vision_model.onnx", ["pooler_output"])
    path = tmp_path / "onnx" / "text_model.onnx"
    exports.save_text(path, mask=False, dim=exports.DIM, output="pooler_output")
    encoder = open_encoder(tmp_path)
    tokens = np.array([[6, 2, 5, 0, 1] + 59 * [1]])  # unknown words are 0, and 1 ends a text
    expected = exports.unit(exports.outputs_of(path, input_ids=tokens)["pooler_output"])
    np.testing.assert_allclose(
        encoder.encode_texts([" A  red, (flower)! table"]), expected, atol=1e-5
    )
    before = encoder.model_sha256
    words = "<unk>", "</s>", *(f"▁{word}" for word in reversed(exports.WORDS))
    (tmp_path / "spiece.model").write_bytes(exports.sentencepiece_model(words))
    assert open_encoder(tmp_path).model_sha256 != before


@tokenizers
@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"tokenizer_class": "T5Tokenizer"}, "of T5Tokenizer, and only that of SiglipTokenizer"),
        ({"content": b"none"}, "spiece.model is damaged"),
        ({"content": b""}, "not a Unigram model"),
    ],
)
def test_a_sentencepiece_model_that_is_not_read_leaves_an_index_of_images(
    tmp_path, caplog, change, reason
):
    exports.save_clip(tmp_path)
    (tmp_path / "tokenizer.json").unlink()
    kind = change.get("tokenizer_class", "SiglipTokenizer")
    exports.write_json(tmp_path / "tokenizer_config.json", {"tokenizer_class": kind})
    content = change.get("content", exports.sentencepiece_model())
    (tmp_path / "spiece.model").write_bytes(content)
    assert open_encoder(tmp_path).text is None
    assert reason in caplog.text


LONG = "weights of the network of images " + "and of all its layers " * 6 + ".bin"


@pytest.mark.parametrize("attributes", [False, True])
@pytest.mark.parametrize("location", ["./model.onnx_data", "weights/of/model.data", LONG])
def test_weights_in_any_file_below_the_network(tmp_path, location, attributes):
    exports.write_json(tmp_path / "preprocessor_config.json", exports.CLIP)
    path = exports.save_vision(tmp_path / "onnx" / "model.onnx", ["image_embeds"])
    images = trial_images(open_encoder(tmp_path).spec)
    expected = open_encoder(tmp_path).encode(images)
    file = exports.place_weights(path, location, attributes)
    encoder = open_encoder(tmp_path)
    np.testing.assert_array_equal(encoder.encode(images), expected)
    data = bytearray(file.read_bytes())
    data[2] ^= 1
    file.write_bytes(data)
    assert open_encoder(tmp_path).model_sha256 != encoder.model_sha256


@pytest.mark.parametrize("location", ["weights/../../../secret", "..", "a\\b", "/dev/zero", "."])
def test_weights_outside_the_folder_are_refused(tmp_path, location):
    export = tmp_path / "export"
    exports.write_json(export / "preprocessor_config.json", exports.CLIP)
    path = exports.save_vision(export / "model.onnx", ["image_embeds"])
    exports.place_weights(path, "data")
    model = onnx.load(path, load_external_data=False)
    for tensor in model.graph.initializer:
        tensor.external_data[0].value = location
    path.write_bytes(model.SerializeToString())
    with pytest.raises(ValueError, match="outside its folder"):
        open_encoder(export)


# What each class of transformers makes of a picture where its settings name the class alone.
CLASSES = {
    "CLIPImageProcessor": (224, 224, "crop", (224,), "bicubic", 0.48145466, 0.26862954),
    "CLIPImageProcessorFast": (224, 224, "crop", (224,), "bicubic", 0.48145466, 0.26862954),
    "CLIPFeatureExtractor": (224, 224, "crop", (224,), "bicubic", 0.48145466, 0.26862954),
    "ChineseCLIPImageProcessor": (224, 224, "crop", (224,), "bicubic", 0.48145466, 0.26862954),
    "BitImageProcessor": (224, 224, "crop", (224,), "bicubic", 0.48145466, 0.26862954),
    "ViTImageProcessor": (224, 224, "stretch", (224, 224), "bilinear", 0.5, 0.5),
    "SiglipImageProcessor": (224, 224, "stretch", (224, 224), "bicubic", 0.5, 0.5),
    "ConvNextImageProcessor": (384, 384, "stretch", (384, 384), "bilinear", 0.5, 0.5),
    "DeiTImageProcessor": (224, 224, "stretch", (256, 256), "bicubic", 0.5, 0.5),
    "BeitImageProcessor": (224, 224, "stretch", (256, 256), "bicubic", 0.5, 0.5),
    "MobileNetV1ImageProcessor": (224, 224, "crop", (256,), "bilinear", 0.5, 0.5),
    "MobileNetV2ImageProcessor": (224, 224, "crop", (256,), "bilinear", 0.5, 0.5),
    "LevitImageProcessor": (224, 224, "crop", (256,), "bicubic", 0.485, 0.229),
    "PoolFormerImageProcessor": (224, 224, "crop", (248,), "bicubic", 0.485, 0.229),
    "PvtImageProcessor": (224, 224, "stretch", (224, 224), "bilinear", 0.485, 0.229),
    "BlipImageProcessor": (384, 384, "stretch", (384, 384), "bicubic", 0.48145466, 0.26862954),
    "FlavaImageProcessor": (224, 224, "stretch", (224, 224), "bicubic", 0.48145466, 0.26862954),
    "DINOv3ViTImageProcessorFast": (224, 224, "stretch", (224, 224), "bilinear", 0.485, 0.229),
    "ViTHybridImageProcessor": (224, 224, "crop", (224,), "bicubic", 0.48145466, 0.26862954),
}


@pytest.mark.parametrize("kind", CLASSES)
def test_settings_that_rely_on_their_class(kind):
    height, width, mode, size, name, mean, std = CLASSES[kind]
    found = read_preprocessing({"image_processor_type": kind}, "preprocessor_config.json")
    assert found[:3] == (height, width, mode)
    assert (found.resampling.size, found.resampling.filter) == (size, name)
    np.testing.assert_allclose(found.scale[0], 1 / std, rtol=1e-6)
    np.testing.assert_allclose(found.offset[0], -mean / std, rtol=1e-6)


def test_efficientnet_divides_by_the_deviation_twice():
    kind = "EfficientNetImageProcessor"
    found = read_preprocessing({"image_processor_type": kind}, "preprocessor_config.json")
    assert found[:3] == (346, 346, "stretch")
    assert found.resampling.filter == "nearest"
    np.testing.assert_allclose([*found.scale, *found.offset], [4] * 3 + [-2] * 3)


def test_every_class_of_the_table_is_tested():
    stems = {kind.split("ImageProcessor")[0].split("FeatureExtractor")[0] for kind in CLASSES}
    assert set(DEFAULTS) - stems == {"EfficientNet", "MobileViT"}
    with pytest.raises(ValueError, match="do_flip_channel_order is a step"):
        read_preprocessing({"image_processor_type": "MobileViTImageProcessor"}, "p.json")


def test_settings_that_are_null_are_those_of_the_class():
    stated = {"image_processor_type": "SiglipImageProcessor", "image_mean": None, "resample": None}
    found = read_preprocessing(stated, "preprocessor_config.json")
    np.testing.assert_allclose(found.offset, -1)


@pytest.mark.parametrize(
    "change", [{"image_std": [1e-30] * 3}, {"rescale_factor": 1e9}, {"image_mean": [1e30] * 3}]
)
def test_deviations_that_no_picture_has_are_refused(change):
    with pytest.raises(ValueError, match=r"p\.json: its means and deviations multiply by"):
        read_preprocessing({**exports.CLIP, **change}, "p.json")


def test_messages_never_hold_much_of_a_strangers_settings():
    for key in ("size", "resample", "image_mean", "crop_size"):
        for value in ("x" * 10**6, {"x": "y" * 10**6}, [list(range(10**5))]):
            with pytest.raises(ValueError, match=r"p\.json") as error:
                read_preprocessing({**exports.CLIP, key: value}, "p.json")
            assert len(str(error.value)) < 2000
