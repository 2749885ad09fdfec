"""Searching by words: text encoders of exports, in every kind of index, and --text."""

import json
from importlib.util import find_spec

import numpy as np
import onnx
import pytest

import index_images
import search
from pyimagesearch.encoders.export import open_encoder
from pyimagesearch.encoders.tokenizer_files import KNOWN_PATTERNS, PUNCTUATION, _ending
from pyimagesearch.indexes.stores import open_store
from pyimagesearch.queries.texts import text_queries
from tests import onnx_exports as exports
from tests.scripts import error_of, run

pytest.importorskip("tokenizers", reason="pip install tokenizers")


def expected(path, tokens, output="text_embeds", mask=True):
    inputs = {"input_ids": np.array([tokens])}
    if mask:
        inputs["attention_mask"] = np.array([[token != 0 for token in tokens]], np.int64)
    return exports.unit(exports.outputs_of(path, **inputs)[output])


@pytest.mark.parametrize("length", ["tokens", 12])
def test_a_text_is_encoded_as_by_its_own_tokenizer_and_network(tmp_path, length):
    exports.save_clip(tmp_path)
    path = exports.save_text(tmp_path / "onnx" / "text_model.onnx", length=length)
    encoder = open_encoder(tmp_path)
    codes = encoder.encode_texts(["a red flower", "blue"])
    tokens = [[6, 2, 5] + 9 * [0], [4] + 11 * [0]]  # of WORDS, after <pad> and <unk>
    for code, row in zip(codes, tokens, strict=True):
        np.testing.assert_allclose(code, expected(path, row)[0], atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(codes, axis=1), 1, atol=1e-6)
    assert encoder.dim == codes.shape[1] == exports.JOINT_DIM


def test_a_text_that_is_too_long_is_cut(tmp_path):
    exports.save_clip(tmp_path)
    encoder = open_encoder(tmp_path)
    long, cut = encoder.encode_texts(["red " * 40, "red " * 12])
    np.testing.assert_array_equal(long, cut)


def test_siglip_pads_in_sight_of_the_network_and_in_lower_case(tmp_path):
    exports.write_json(tmp_path / "preprocessor_config.json", exports.SIGLIP)
    exports.write_json(tmp_path / "config.json", {"model_type": "siglip"})
    exports.save_vision(tmp_path / "onnx" / "vision_model.onnx", ["pooler_output"])
    path = tmp_path / "onnx" / "text_model.onnx"
    exports.save_text(path, mask=False, dim=exports.DIM, output="pooler_output")
    exports.save_tokenizer(tmp_path, model_max_length=10**30, pad_token={"content": "<unk>"})
    tokens = [2, 5] + 62 * [1]  # 64 in all
    np.testing.assert_allclose(
        open_encoder(tmp_path).encode_texts(["RED Flower"]),
        expected(path, tokens, "pooler_output", mask=False),
        atol=1e-5,
    )


def test_the_text_half_of_a_network_of_images_and_texts_is_taken(tmp_path):
    exports.write_json(tmp_path / "preprocessor_config.json", exports.CLIP)
    exports.save_joint(tmp_path / "model.onnx")
    exports.save_tokenizer(tmp_path)
    encoder = open_encoder(tmp_path)
    graph = onnx.load_from_string(encoder.text).graph
    assert {node.name for node in graph.input} == {"input_ids", "attention_mask"}
    assert encoder.encode_texts(["a red flower"]).shape == (1, exports.JOINT_DIM)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda f: (f / "tokenizer.json").unlink(), "has no tokenizer.json"),
        (lambda f: exports.save_text(f / "onnx" / "text_model.onnx", dim=4), "have 4 dimensions"),
        (
            lambda f: exports.save_text(f / "onnx" / "text_model.onnx", output="pooler_output"),
            "no output text_embeds to compare with image_embeds, only pooler_output",
        ),
        (lambda f: (f / "onnx" / "text_model.onnx").write_bytes(b"none"), "not a complete ONNX"),
    ],
)
def test_a_text_encoder_that_does_not_fit_leaves_an_index_of_images(
    tmp_path, caplog, change, reason
):
    change(exports.save_clip(tmp_path))
    encoder = open_encoder(tmp_path)
    assert encoder.text is None
    assert reason in caplog.text
    with pytest.raises(ValueError, match="the index carries no text encoder"):
        encoder.encode_texts(["red"])


@pytest.fixture
def pictures(tmp_path, random):
    import cv2

    folder = tmp_path / "pictures"
    folder.mkdir()
    for i in range(6):
        values = random.integers(0, 256, (40 + i, 50, 3), dtype=np.uint8)
        cv2.imwrite(str(folder / f"{i}.png"), values)
    return folder


LITE = pytest.mark.skipif(
    not (find_spec("pymilvus") and find_spec("milvus_lite")),
    reason="needs pymilvus and milvus-lite, of requirements-scale.txt",
)


COLLECTION = pytest.param("milvus.db", marks=[pytest.mark.milvus, LITE])


@pytest.fixture(params=["index.pickle", "index.h5", COLLECTION])
def index(request, tmp_path, pictures):
    export = exports.save_clip(tmp_path / "clip")
    path = tmp_path / request.param
    assert run(index_images, "--model", export, "--index", path, "--dataset", pictures) == 0
    return path


def results(capsys, *arguments):
    capsys.readouterr()
    assert run(search, *arguments, "--json") == 0
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_text_finds_the_nearest_pictures(tmp_path, index, capsys):
    found = results(capsys, "--index", index, "--text", "a red flower", "blue", "-k", 6)
    assert [record["query"] for record in found] == ["a red flower", "blue"]
    loaded = open_store(index).open().load()
    for record, text in zip(found, ("a red flower", "blue"), strict=True):
        [code] = open_encoder(tmp_path / "clip").encode_texts([text])
        distances = np.linalg.norm(loaded.codes - code, axis=1)
        order = np.argsort(distances)
        assert [hit["id"] for hit in record["results"]] == [loaded.ids[row] for row in order]
        np.testing.assert_allclose(
            [hit["distance"] for hit in record["results"]], distances[order], atol=1e-5
        )


def test_texts_and_pictures_are_combined_by_weight(tmp_path, index, pictures, capsys):
    encoder, loaded = open_encoder(tmp_path / "clip"), open_store(index).open().load()
    parts = "--text", "2:a red flower", "-0.5:blue", "--query", f"1.5:{pictures / '3.png'}"
    [found] = results(capsys, "--index", index, "--combine", *parts, "-k", 6)
    red, blue = encoder.encode_texts(["a red flower", "blue"])
    code = (1.5 * loaded.codes[3] + 2 * red - 0.5 * blue) / 3
    distances = np.sort(np.linalg.norm(loaded.codes - code, axis=1))
    np.testing.assert_allclose([hit["distance"] for hit in found["results"]], distances, atol=1e-4)
    [by_id] = results(capsys, "--index", index, "--combine", *parts[:3], "--query-id", "1.5:3.png")
    assert [hit["id"] for hit in by_id["results"]] == [
        hit["id"] for hit in found["results"] if hit["id"] != "3.png"
    ]


def test_texts_are_shown_on_their_query_sheets(tmp_path, index, pictures):
    import cv2

    flags = "--index", index, "--text", "a red flower"
    assert run(search, *flags, "--output", tmp_path / "one") == 0
    [sheet] = [cv2.imread(str(p)) for p in (tmp_path / "one").glob("*uery*.png")]
    white = (sheet == 255).all(axis=2)
    assert white[:100].mean() > 0.5  # words on white, above the title
    assert (sheet[:100] < 128).any()
    combined = "--combine", "--query", pictures / "1.png", "--output", tmp_path / "two", "--strip"
    assert run(search, *flags, *combined) == 0
    assert list((tmp_path / "two").glob("*.png"))


def test_an_index_without_a_text_encoder_says_so(small_index, capsys):
    message = error_of(capsys, search, "--index", small_index, "--text", "seven")
    assert "the index carries no text encoder, which --text needs" in message


def test_text_names_the_package_that_it_needs(index, capsys, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "tokenizers", None)
    message = error_of(capsys, search, "--index", index, "--text", "seven")
    assert message == "--text needs tokenizers: pip install tokenizers"


def test_an_index_is_updated_with_its_own_text_encoder(tmp_path, index, pictures, capsys):
    before = open_store(index).open().encoder.text
    (pictures / "0.png").rename(pictures / "9.png")
    assert run(index_images, "--index", index) == 0
    assert bytes(open_store(index).open().encoder.text) == bytes(before)
    if index.suffix != ".db":  # collections cannot be merged into files
        other = tmp_path / ("copy.h5" if index.suffix == ".pickle" else "copy.pickle")
        assert run(index_images, "--index", other, "--merge", index) == 0
        assert bytes(open_store(other).open().encoder.text) == bytes(before)


def test_a_damaged_text_encoder_in_an_index_is_an_error_of_one_line(tmp_path):
    exports.save_clip(tmp_path)
    encoder = open_encoder(tmp_path)
    for text in (b"none", encoder.onnx):
        encoder.text = text
        encoder.__dict__.pop("_text_encoder", None)
        with pytest.raises(ValueError, match=r"encoder of .* (is damaged|cannot be run)"):
            encoder.encode_texts(["red"])


def test_texts_that_are_cut_are_told_once(tmp_path, caplog):
    exports.save_clip(tmp_path)
    encoder = open_encoder(tmp_path)
    encoder.encode_texts(["red " * 12])
    assert "cut" not in caplog.text
    encoder.encode_texts(["red " * 13, "blue", "green " * 40])
    [warning] = [record.message for record in caplog.records if "are cut" in record.message]
    assert warning.startswith("2 of 3 texts are cut:")
    assert "first 12 tokens" in warning


@pytest.mark.parametrize("text", ["", "  ", "\n\t"])
def test_a_text_without_words_is_no_query(tmp_path, text):
    exports.save_clip(tmp_path)
    with pytest.raises(ValueError, match="has no words"):
        open_encoder(tmp_path).encode_texts(["red", text])


def test_a_text_that_is_not_in_utf8_is_no_query():
    with pytest.raises(ValueError, match=r"^expected words in UTF-8, received 'red\\\\xe9'$"):
        text_queries(["red\udce9"], None)


def test_a_text_of_no_word_that_is_known_is_no_query(tmp_path):
    exports.save_clip(tmp_path)
    encoder = open_encoder(tmp_path)
    letters = {"type": "BPE", "vocab": {"r": 2, "e": 3, "d": 4}, "merges": []}
    encoder.text = with_entries(encoder, tokenizer={"model": letters})
    assert len(text_queries(["red"], encoder)) == 1
    with pytest.raises(ValueError, match="knows no word of '☃': use other words"):
        text_queries(["red", "☃"], encoder)


def with_entries(encoder, settings=None, tokenizer=None):
    """Return the text network of an encoder with other settings or another tokenizer."""
    model = onnx.load_from_string(encoder.text)
    for entry in model.metadata_props:
        values = json.loads(entry.value)
        changes = settings if entry.key == "text_settings.json" else tokenizer
        entry.value = json.dumps({**values, **(changes or {})})
    return model.SerializeToString()


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"length": 10**9}, "texts of up to 4,096 tokens"),
        ({"length": 0}, "texts of up to 4,096 tokens"),
        ({"length": True}, "texts of up to 4,096 tokens"),
        ({"padding": 10**30}, "a token number up to"),
        ({"padding": -1}, "a token number up to"),
        ({"padding": "0"}, "a token number up to"),
        ({"lower": 1}, "true or false as lower"),
        ({"seen": None}, "true or false as lower"),
        ({"more": 1}, "unexpected keyword"),
    ],
)
def test_settings_of_texts_in_an_index_have_limits(tmp_path, settings, reason):
    exports.save_clip(tmp_path)
    encoder = open_encoder(tmp_path)
    encoder.text = with_entries(encoder, settings=settings)
    with pytest.raises(ValueError, match=f"text encoder of .* is damaged.*{reason}"):
        encoder.encode_texts(["red"])


def split(pattern):
    step = {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Removed", "invert": False}
    return {"pre_tokenizer": step}


def normalizers(*steps):
    return {"normalizer": {"type": "Sequence", "normalizers": list(steps)}}


def template(*pieces, tokens=()):
    processor = {"type": "TemplateProcessing", "single": list(pieces), "pair": []}
    known = {"</s>": {"id": "</s>", "ids": list(tokens), "tokens": ["</s>"] * len(tokens)}}
    return {"post_processor": {**processor, "special_tokens": known}}


TEXT = {"Sequence": {"id": "A", "type_id": 0}}
END = {"SpecialToken": {"id": "</s>", "type_id": 0}}
LONGER = {"type": "Replace", "pattern": {"String": "a"}, "content": "a" * 10}
CATASTROPHIC = (r"(a+)+$", r"(a|a)*b", r"(?:a|aa)+$", r"a*a*a*a*b", r"(a)\1", r"a?a?a?a?a?aaaaa")
CATASTROPHIC += (r"[[](a+)+$", r"(a*|b)(a*|b)a*", r"(a+){9}", r"(?<x>a)\k<x>")


@pytest.mark.parametrize(
    ("tokenizer", "reason"),
    [
        *[(split(pattern), "its regular expression") for pattern in CATASTROPHIC],
        (split("x" * 1000), "its regular expression"),
        (split("(a)(b)(c)(d)"), "its regular expression"),
        (split(5), "is no text"),
        (normalizers(LONGER), "replaces text by longer text"),
        (normalizers({"type": "Prepend", "prepend": "a" * 99}), "replaces text by longer text"),
        (normalizers({"pattern": {"String": "a"}, "content": "a" * 9}), "by longer text"),
        (normalizers(*[{"type": "NFC"}] * 10), "has more than 10 steps"),
        (normalizers(*[{"precompiled_charsmap": ""}] * 2), "several steps Precompiled"),
        (normalizers(*[{"type": "ByteLevel"}] * 2), "several steps Precompiled or ByteLevel"),
        (normalizers({"type": "Precompiled"}), "is not Base64"),
        (normalizers({"type": "Precompiled", "precompiled_charsmap": "\x1b"}), "is not Base64"),
        (
            {"post_processor": {**_ending("</s>", 1), "special_tokens": {}}},
            "has a token that it does not define",
        ),
        (template(*[TEXT] * 1000), "post_processor has more than 20 pieces"),
        (
            {"post_processor": {"processors": [*template(TEXT, TEXT, END).values()] * 9}},
            "more than 20 pieces",
        ),
        (template(END, tokens=[1] * 1000), "post_processor has more than 20 tokens"),
        ({"model": {"type": "WordLevel", "vocab": 5}}, "its tokenizer fails"),
        ({"model": {"type": "Unigram", "vocab": [], "unk_id": 10**30}}, "its tokenizer fails"),
        ({"padding": {"pad_id": 10**30}}, "its tokenizer fails"),
    ],
)
def test_a_tokenizer_of_a_stranger_has_limits(tmp_path, tokenizer, reason):
    exports.save_clip(tmp_path)
    encoder = open_encoder(tmp_path)
    encoder.text = with_entries(encoder, tokenizer=tokenizer)
    with pytest.raises(ValueError, match=f"text encoder of .* is damaged: .*{reason}"):
        encoder.encode_texts(["a" * 60])


def test_a_tokenizer_of_an_export_has_the_same_limits(tmp_path, caplog):
    exports.save_clip(tmp_path)
    values = json.loads((tmp_path / "tokenizer.json").read_text())
    exports.write_json(tmp_path / "tokenizer.json", {**values, **split(r"(a+)+$")})
    assert open_encoder(tmp_path).text is None
    assert "its regular expression '(a+)+$' is none of those" in caplog.text


@pytest.mark.parametrize(
    "pattern",
    [
        *sorted(KNOWN_PATTERNS),
        r"\s+",
        r" {2,}",
        PUNCTUATION,
        r"[!\"#$%&'()*+,\-.\/:;<=>?@\[\\\]^_`{|}~]",
        r"[^\s\p{L}\p{N}]+|\p{N}",
    ],
)
def test_regular_expressions_of_known_tokenizers_are_used(tmp_path, pattern):
    exports.save_clip(tmp_path)
    encoder = open_encoder(tmp_path)
    encoder.text = with_entries(encoder, tokenizer=split(pattern))
    assert encoder.encode_texts(["it's a red flower, isn't it? 12345"]).shape == (1, encoder.dim)


def test_a_panic_of_the_tokenizer_is_an_error_of_one_line(tmp_path, monkeypatch):
    class PanicException(BaseException):
        pass

    exports.save_clip(tmp_path)
    encoder = open_encoder(tmp_path)
    encoder.encode_texts(["red"])

    class Panics:
        def encode_batch(self, texts):
            raise PanicException("at\nsome\x1b place")

    monkeypatch.setattr(encoder._text_encoder, "_tokenizer", Panics())
    with pytest.raises(ValueError, match=r"its tokenizer fails: at some\\x1b place"):
        encoder.encode_texts(["red"])
