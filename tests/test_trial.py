"""Networks that cannot give codes are refused before an index is made, with the reason."""

import cv2
import numpy as np
import pytest
from onnx import TensorProto

import index_images
from pyimagesearch.datasets.catalog import open_dataset
from pyimagesearch.encoders.encoder import Encoder, finite_rows
from pyimagesearch.encoders.encoding import Encoded, without_nan
from pyimagesearch.encoders.export import open_encoder
from pyimagesearch.encoders.trial import require_codes, trial_images
from pyimagesearch.indexes.stores import open_store
from pyimagesearch.pictures.input_spec import InputSpec
from pyimagesearch.replacing import REJECTS_MARK
from tests import onnx_exports as exports
from tests.scripts import error_of, run

SIDE = 32


def save(path, add_codes):
    """Write a network whose codes `add_codes(graph, features)` makes of (n, 6) features."""
    graph = exports.Graph()
    weights = graph.normal(exports.DIM, 3, exports.PATCH, exports.PATCH)
    cells = graph.add("Conv", "images", weights, strides=[exports.PATCH] * 2)
    features = graph.add("Flatten", graph.add("GlobalAveragePool", cells))
    codes = graph.add("Identity", add_codes(graph, features), output="embeddings")
    inputs = [exports.tensor("images", ["n", 3, SIDE, SIDE])]
    return graph.save(path, inputs, [exports.tensor(codes, ["n", None])])


def constant(graph, features):
    return graph.add("Add", graph.add("Mul", features, np.zeros(1, np.float32)), np.ones(6, "f"))


def random(graph, features):
    return graph.add("Add", features, graph.add("RandomNormalLike", features))


def noise_alone(graph, features):
    return graph.add("RandomNormalLike", features, dtype=TensorProto.FLOAT)


def less_the_mean_of_the_batch(graph, features):
    mean = graph.add("ReduceMean", features, axes=[0], keepdims=1)
    return graph.add("Add", graph.add("Sub", features, mean), np.full(6, 0.01, np.float32))


def by_the_deviation_of_the_batch(graph, features):
    mean = graph.add("ReduceMean", features, axes=[0], keepdims=1)
    square = graph.add("Mul", graph.add("Sub", features, mean), graph.add("Sub", features, mean))
    variance = graph.add("ReduceMean", square, axes=[0], keepdims=1)
    deviation = graph.add("Sqrt", graph.add("Add", variance, np.full(1, 1e-5, np.float32)))
    return graph.add("Div", features, deviation)


def not_a_number(graph, features):
    return graph.add("Sqrt", graph.add("Neg", graph.add("Abs", features)))


@pytest.mark.parametrize(
    ("add_codes", "reason"),
    [
        (constant, "gives the same code for 4 different images"),
        (random, "other codes each time for the same images, by chance"),
        (noise_alone, "other codes each time for the same images, by chance"),
        (less_the_mean_of_the_batch, "depend on the other images of a batch"),
        (by_the_deviation_of_the_batch, "depend on the other images of a batch"),
        (not_a_number, "NaN or infinity for all of 4 different images"),
    ],
)
def test_a_network_without_codes_is_refused_with_the_reason(tmp_path, capsys, add_codes, reason):
    path = save(tmp_path / "net.onnx", add_codes)
    exports.write_json(tmp_path / "preprocessor_config.json", exports.SIGLIP)
    flags = "--index", tmp_path / "index.h5", "--dataset", "mnist", "--limit", 5
    message = error_of(capsys, index_images, "--model", path, *flags)
    assert "the model net.onnx gives" in message
    assert reason in message
    assert not (tmp_path / "index.h5").exists()


def test_a_network_that_rounds_by_the_batch_on_purpose_is_used(tmp_path):
    def quantized(graph, features):
        names = ["q", "scale", "zero"]
        graph.nodes.append(exports.helper.make_node("DynamicQuantizeLinear", [features], names))
        return graph.add("DequantizeLinear", *names)

    assert open_encoder(save(tmp_path / "net.onnx", quantized)).dim == exports.DIM


def test_half_precision_is_no_dependence_on_the_batch(tmp_path):
    exports.save_convnet(tmp_path / "net.onnx", kind=np.float16)
    assert open_encoder(tmp_path / "net.onnx").dim == exports.DIM


def test_trial_images_differ():
    images = trial_images(InputSpec(9, 17, 1))
    assert images.shape == (4, 9, 17, 1)
    assert images.min() >= 0
    assert images.max() <= 1
    assert np.abs(images[0] - images[1]).mean() > 0.05


def save_undefined_for_plain_pictures(path):
    """Write a network that divides by the deviation of a picture, as some exports do."""
    graph = exports.Graph()
    mean = graph.add("ReduceMean", "images", axes=[1, 2, 3], keepdims=1)
    less = graph.add("Sub", "images", mean)
    square = graph.add("ReduceMean", graph.add("Mul", less, less), axes=[1, 2, 3], keepdims=1)
    flat = graph.add("Flatten", graph.add("Div", less, graph.add("Sqrt", square)))
    codes = graph.add("MatMul", flat, graph.normal(3 * SIDE * SIDE, 8), output="embeddings")
    inputs = [exports.tensor("images", ["n", 3, SIDE, SIDE])]
    return graph.save(path, inputs, [exports.tensor(codes, ["n", 8])])


@pytest.fixture
def undefined(tmp_path):
    return save_undefined_for_plain_pictures(tmp_path / "net.onnx")


def test_a_picture_without_a_code_is_named_and_all_others_are_indexed(
    tmp_path, undefined, capsys, caplog, random
):
    folder = tmp_path / "pictures"
    folder.mkdir()
    for i in range(5):
        noise = random.integers(0, 256, (40, 40, 3), dtype=np.uint8)
        cv2.imwrite(str(folder / f"{i}.png"), noise)
    cv2.imwrite(str(folder / "black.png"), np.zeros((40, 40, 3), np.uint8))
    index = tmp_path / "index.h5"
    flags = "--index", index, "--dataset", folder, "--rejects", tmp_path / "rejects.txt"
    assert run(index_images, "--model", undefined, *flags) == 0
    assert "added 5" in capsys.readouterr().out
    assert list(open_store(index).open().load().ids) == [f"{i}.png" for i in range(5)]
    reason = "the model net.onnx gives a code with NaN or infinity for it"
    assert f"black.png: {reason}" in caplog.text
    assert (tmp_path / "rejects.txt").read_text() == f"{REJECTS_MARK}\nblack.png\t{reason}\n"


def test_an_encoder_tells_which_images_have_no_code(undefined):
    encoder = open_encoder(undefined)
    images = trial_images(encoder.spec)
    images[2] = 0
    assert finite_rows(encoder.encode(images)).tolist() == [True, True, False, True]


def test_an_array_with_an_image_without_a_code_is_refused_by_its_number():
    dataset = open_dataset("mnist", limit=3)
    codes = np.array([[1, 2], [np.inf, 3], [4, 5]], np.float32)
    with pytest.raises(ValueError, match=r"^1: the model m gives a code with NaN or infinity"):
        without_nan(dataset, Encoded(np.arange(3), codes, None), "m")


def test_networks_of_an_index_are_read_when_they_are_needed(tmp_path):
    exports.save_convnet(tmp_path / "net.onnx")
    made = open_encoder(tmp_path / "net.onnx")
    reads = []

    def read():
        reads.append(1)
        return made.onnx

    encoder = Encoder(read, made.spec, made.dim, made.model, made.model_sha256)
    again = Encoder.from_dict({**made.to_dict(), "onnx": read})
    assert not reads
    images = trial_images(made.spec)
    np.testing.assert_array_equal(encoder.encode(images), made.encode(images))
    np.testing.assert_array_equal(again.encode(images), made.encode(images))
    assert len(reads) == 2


def test_the_network_in_an_hdf5_index_stays_in_its_file(tmp_path):
    exports.save_convnet(tmp_path / "net.onnx")
    flags = "--dataset", "mnist", "--limit", 5
    index = tmp_path / "index.h5"
    assert run(index_images, "--model", tmp_path / "net.onnx", "--index", index, *flags) == 0
    encoder = open_store(index).open().encoder
    assert isinstance(encoder.onnx, np.memmap)
    assert encoder.to_dict()["onnx"] is encoder.onnx
    images = trial_images(encoder.spec)
    expected = open_encoder(tmp_path / "net.onnx").encode(images)
    np.testing.assert_array_equal(encoder.encode(images), expected)
    require_codes(encoder)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"dim": 0}, "codes of 1 to 1,048,576 dimensions"),
        ({"dim": 10**9}, "codes of 1 to 1,048,576 dimensions"),
        ({"dim": True}, "codes of 1 to 1,048,576 dimensions"),
        ({"model": "x" * 5000}, "expected model of its encoder as text"),
        ({"model_sha256": 5}, "expected model_sha256 of its encoder as text"),
        ({"onnx": "text"}, "expected the network onnx of its encoder as bytes"),
        ({"text": np.zeros(3)}, "expected the network text of its encoder as bytes"),
        ({"more": 1}, "expected its encoder to hold onnx, spec, dim"),
    ],
)
def test_values_of_an_encoder_in_an_index_have_limits(stub_encoder, change, reason):
    with pytest.raises(ValueError, match=reason):
        Encoder.from_dict({**stub_encoder.to_dict(), **change})
