"""Training from a network that others trained: the scripts from pictures to results."""

import json
import os
from dataclasses import replace

import numpy as np
import onnx
import pytest

import index_images
import search
import train_autoencoder
from pyimagesearch.datasets.catalog import open_dataset
from pyimagesearch.decomposition.adapted_map import LinearMap
from pyimagesearch.encoders import encoding, feature_file, kept_codes
from pyimagesearch.encoders.adapted_head import with_head
from pyimagesearch.encoders.encoder import PIXELS_AT_ONCE, Encoder
from pyimagesearch.encoders.export import open_encoder
from pyimagesearch.encoders.feature_file import FeatureFile, origin_of
from pyimagesearch.encoders.keras_network import encoder_of
from pyimagesearch.encoders.miniatures import miniature_spec, with_miniatures
from pyimagesearch.indexes.stores import open_store
from pyimagesearch.pictures.input_spec import InputSpec
from pyimagesearch.training import adaptation, contrast_head, miniatures, views
from pyimagesearch.training.adaptation import Adaptation
from pyimagesearch.training.miniatures import network_of
from pyimagesearch.training.patches import build_patches
from tests import onnx_exports as exports
from tests.scripts import codes_of, error_of, run
from tests.test_flags import usage_error
from tests.test_full_disk import full_disk

COUNT = 120  # pictures, in two sub-folders
SIDE = 32


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    """A convolutional network of random weights that takes images in [0, 1], as a folder."""
    folder = tmp_path_factory.mktemp("network")
    exports.write_json(folder / "preprocessor_config.json", exports.SIGLIP)
    exports.save_vision(folder / "model.onnx", ["last_hidden_state"], class_token=False)
    return folder


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A folder with pictures: bright ones in `day`, dark ones in `night`, noisy all."""
    folder = tmp_path_factory.mktemp("made") / "pictures"
    return write_pictures(folder, COUNT)


def write_pictures(folder, count):
    import cv2

    random = np.random.default_rng(0)
    for number in range(count):
        kind = ("day", "night")[number % 2]
        base = (170, 60)[number % 2]
        image = np.clip(random.normal(base, 20, (SIDE, SIDE, 3)), 0, 255).astype(np.uint8)
        (folder / kind).mkdir(parents=True, exist_ok=True)
        assert cv2.imwrite(str(folder / kind / f"{number:03}.png"), image)
    return folder


def train(folder, network, pictures, *more, name="photos.onnx"):
    flags = ("--backbone", network, "--dataset", pictures, "--model", folder / name)
    return run(train_autoencoder, *flags, *more)


def features_in(folder):
    [path] = folder.glob("*.features")
    return path


def counting(monkeypatch):
    """Count the pictures that networks are run on, in trainings and for indexes, from here on."""
    counted = []
    encode = encoding.encode_rows

    def encode_rows(dataset, rows, encoder):
        counted.extend(dataset.ids[row] for row in rows)
        return encode(dataset, rows, encoder)

    monkeypatch.setattr(feature_file, "encode_rows", encode_rows)
    monkeypatch.setattr(encoding, "encode_rows", encode_rows)
    return counted


def test_a_network_is_adapted_indexed_and_searched(tmp_path, network, made, capsys):
    assert train(tmp_path, network, made, "--latent-dim", 4) == 0
    status = capsys.readouterr().err
    assert "has the features of 0 of 120 pictures" in status
    assert "adapted 6 features to codes of 4 dimensions by 120 pictures" in status
    index = tmp_path / "index.h5"
    # What it was trained on need not be named again.
    assert run(index_images, "--model", tmp_path / "photos.onnx", "--index", index) == 0
    assert "added 120" in capsys.readouterr().out
    query = made / "night" / "001.png"
    flags = ("--index", index, "--query", query, "--max-results", 5, "--paths")
    assert run(search, *flags) == 0
    results = capsys.readouterr().out.split()
    assert results[0].endswith("night/001.png")
    assert all("night" in result for result in results)
    assert open_store(index).open().codes.shape == (COUNT, 4)


def test_the_codes_of_the_model_are_the_features_times_the_map(tmp_path, network, made):
    assert train(tmp_path, network, made, "--latent-dim", 3) == 0
    adapted = Encoder.from_onnx(tmp_path / "photos.onnx")
    plain = open_encoder(network)
    dataset = open_dataset(str(made))
    images = dataset.read(np.arange(8), plain.spec)
    constants = weights_of(tmp_path / "photos.onnx", 2)
    matrix, bias = constants
    expected = exports.unit(plain.encode(images) @ matrix + bias)
    np.testing.assert_allclose(adapted.encode(images), expected, atol=1e-5)
    assert adapted.spec == plain.spec


def weights_of(path, count):
    """Return the last `count` arrays of a network."""
    tensors = list(onnx.load(path).graph.initializer)[-count:]
    return [onnx.numpy_helper.to_array(tensor) for tensor in tensors]


@pytest.mark.parametrize("rooted", [exports.DIM, 0])
def test_a_head_of_two_layers_gives_the_same_codes_in_the_graph(network, random, rooted):
    encoder = open_encoder(network)
    head = [
        LinearMap(exports_normal(random, encoder.dim, 7), exports_normal(random, 7), rooted),
        LinearMap(exports_normal(random, 7, 3), exports_normal(random, 3)),
    ]
    images = random.random((4, *encoder.spec.shape), dtype=np.float32)
    hidden = np.maximum(head[0].apply(encoder.encode(images)), 0)
    expected = exports.unit(head[1].apply(hidden))
    np.testing.assert_allclose(with_head(encoder, head).encode(images), expected, atol=1e-5)


def exports_normal(random, *shape):
    return random.normal(size=shape).astype(np.float32)


def test_a_network_with_a_fixed_batch_is_adapted_too(tmp_path, made, capsys):
    folder = tmp_path / "network"
    exports.write_json(folder / "preprocessor_config.json", exports.SIGLIP)
    exports.save_vision(folder / "model.onnx", ["pooler_output"], batch=4)
    assert train(tmp_path, folder, made) == 0
    dataset = open_dataset(str(made))
    encoder = open_encoder(tmp_path / "photos.onnx")
    assert encoder.encode(dataset.read(np.arange(3), encoder.spec)).shape == (3, exports.DIM)


def test_a_second_training_computes_no_features(tmp_path, network, made, monkeypatch):
    counted = counting(monkeypatch)
    assert train(tmp_path, network, made) == 0
    assert len(counted) == COUNT
    first = (tmp_path / "photos.onnx").read_bytes()
    counted.clear()
    assert train(tmp_path, network, made) == 0
    assert counted == []
    assert (tmp_path / "photos.onnx").read_bytes() == first


def test_only_pictures_that_changed_are_computed_again(tmp_path, network, monkeypatch):
    """Their content tells, not their time: then neither trainings nor indexes get old features."""
    pictures = write_pictures(tmp_path / "pictures", COUNT)
    changed = pictures / "night" / "changed.bmp"
    save_bitmap(changed, 40)
    assert train(tmp_path, network, pictures) == 0
    before = changed.stat()
    save_bitmap(changed, 220)
    os.utime(changed, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert changed.stat().st_size == before.st_size
    (pictures / "day" / "002.png").rename(pictures / "day" / "moved.png")
    counted = counting(monkeypatch)
    index = index_of(tmp_path)
    assert counted == ["night/changed.bmp"]
    require_codes_of_model(index, tmp_path, pictures)
    assert train(tmp_path, network, pictures) == 0
    assert counted == ["night/changed.bmp"] * 2


def save_bitmap(path, value):
    import cv2

    image = np.full((SIDE, SIDE, 3), value, np.uint8)
    image[: SIDE // 2] = 128
    assert cv2.imwrite(str(path), image)


def index_of(folder):
    """Return the index of what `photos.onnx` in a folder was trained on."""
    index = folder / "index.h5"
    assert run(index_images, "--model", folder / "photos.onnx", "--index", index) == 0
    return open_store(index).open()


def require_codes_of_model(index, folder, pictures):
    """Check that the codes of an index are those that `photos.onnx` gives pictures."""
    encoder = Encoder.from_onnx(folder / "photos.onnx")
    expected = codes_of(encoder, open_dataset(str(pictures)))
    np.testing.assert_allclose(index.codes, expected, atol=1e-5)


def test_an_index_gets_its_codes_from_kept_features(tmp_path, network, made, monkeypatch):
    assert train(tmp_path, network, made, "--latent-dim", 4) == 0
    path = features_in(tmp_path)
    path.write_bytes(path.read_bytes()[:-30] + b"damaged" + path.read_bytes()[-23:])
    counted = counting(monkeypatch)
    index = index_of(tmp_path)
    assert counted == ["night/119.png"]
    require_codes_of_model(index, tmp_path, made)
    spec = index.encoder.spec
    hashes = np.concatenate([batch.digests for batch in open_dataset(str(made)).batches(spec)])
    assert (index.records().file_stats["digest"] == hashes).all()


NOTE = ["codes", "network", "0" * 64, 6]


@pytest.mark.parametrize(
    "note",
    [
        "no JSON",
        json.dumps({}),
        json.dumps([*NOTE[:3], "6"]),
        json.dumps([*NOTE[:3], 0]),
        json.dumps([*NOTE[:2], "../" + "0" * 61, 6]),
        json.dumps(["c" * 20_000, *NOTE[1:]]),
        "[" * 9_000,
        None,
    ],
)
def test_a_head_that_is_not_noted_well_is_not_run_alone(network, note):
    encoder = open_encoder(network)
    model = onnx.load_from_string(encoder.onnx)
    onnx.helper.set_model_props(model, {} if note is None else {"head": note})
    assert kept_codes.open_head(replace(encoder, onnx=model.SerializeToString())) is None


def test_a_head_is_run_on_few_features_at_a_time(network, random, monkeypatch):
    """A network of miniatures takes megabytes for each, more than a session may for all."""
    head = [LinearMap(exports_normal(random, exports.DIM, 3), exports_normal(random, 3))]
    opened = kept_codes.open_head(with_head(open_encoder(network), head))
    features = exports_normal(random, 11, exports.DIM)
    monkeypatch.setattr(kept_codes, "ROWS_AT_ONCE", 4)
    counts = []
    run_session = kept_codes.run_session

    def counted(session, inputs, name):
        counts.extend(map(len, inputs.values()))
        return run_session(session, inputs, name)

    monkeypatch.setattr(kept_codes, "run_session", counted)
    expected = exports.unit(head[0].apply(features))
    np.testing.assert_allclose(opened.codes(features), expected, atol=1e-5)
    assert counts == [4, 4, 3]


def test_a_head_of_other_codes_is_refused(network):
    encoder = with_head(
        open_encoder(network),
        [LinearMap(np.eye(6, dtype=np.float32), np.zeros(6, np.float32))],
    )
    head = kept_codes.open_head(replace(encoder, dim=5))
    with pytest.raises(ValueError, match=r"the head of .* gives codes of shape \(2, 6\)"):
        head.codes(np.ones((2, 6), np.float32))


def test_another_network_or_preprocessing_has_a_file_of_its_own(tmp_path, network, made):
    assert train(tmp_path, network, made) == 0
    other = tmp_path / "network"
    exports.write_json(other / "preprocessor_config.json", {**exports.SIGLIP, "resample": 2})
    exports.save_vision(other / "model.onnx", ["pooler_output"], batch="n")
    assert train(tmp_path, other, made) == 0
    assert len(list(tmp_path.glob("*.features"))) == 2


@pytest.mark.parametrize(
    ("damage", "lost"),
    [
        (lambda data: data[:-5], 1),  # cut short, as by a full disk
        (lambda data: data[:-30] + b"\xff" + data[-29:], 1),
        (lambda data: b"\0" * len(data), COUNT),
        (lambda data: data[:3], COUNT),
        (lambda data: b"", COUNT),
    ],
    ids=["cut", "changed", "zeros", "a part of the header", "empty"],
)
def test_what_is_damaged_is_computed_again(tmp_path, network, made, monkeypatch, damage, lost):
    assert train(tmp_path, network, made) == 0
    model = (tmp_path / "photos.onnx").read_bytes()
    path = features_in(tmp_path)
    whole = path.read_bytes()
    path.write_bytes(damage(whole))
    counted = counting(monkeypatch)
    assert train(tmp_path, network, made) == 0
    assert len(counted) == lost
    assert path.read_bytes() == whole
    assert (tmp_path / "photos.onnx").read_bytes() == model


def test_features_of_an_interrupted_training_are_kept(tmp_path, network, made, monkeypatch):
    encode = feature_file.encode_rows

    def stopped(dataset, rows, encoder):
        yield next(iter(encode(dataset, rows, encoder)))
        raise KeyboardInterrupt

    monkeypatch.setattr(feature_file, "encode_rows", stopped)
    with pytest.raises(KeyboardInterrupt):
        train_features(tmp_path, network, made)
    monkeypatch.setattr(feature_file, "encode_rows", encode)
    counted = counting(monkeypatch)
    assert len(train_features(tmp_path, network, made)) == COUNT
    assert len(counted) == COUNT - 64  # a batch


def test_on_a_full_disk_whole_features_are_kept_and_the_file_is_named(
    tmp_path, network, made, monkeypatch
):
    train_features(tmp_path, network, made)
    path = features_in(tmp_path)
    whole = path.read_bytes()
    path.unlink()
    record = (len(whole) - len(whole) % COUNT) // COUNT
    room = len(whole) - record // 2
    with full_disk(room), pytest.raises(OSError, match=rf"cannot write {path}: File too large"):
        train_features(tmp_path, network, made)
    header = len(whole) - COUNT * record
    assert path.read_bytes() == whole[: header + 64 * record]  # a batch
    counted = counting(monkeypatch)
    assert len(train_features(tmp_path, network, made)) == COUNT
    assert len(counted) == COUNT - 64


def test_a_pipe_in_place_of_features_is_not_waited_for(tmp_path, network, made):
    train_features(tmp_path, network, made)
    path = features_in(tmp_path)
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(OSError, match="is a device or pipe"):
        train_features(tmp_path, network, made)
    dataset = open_dataset(str(made))
    with pytest.raises(OSError, match="is a device or pipe"):  # as for an index
        FeatureFile(tmp_path, origin_of(open_encoder(network))).kept(dataset, np.arange(3))


def train_features(folder, network, pictures):
    dataset = open_dataset(str(pictures))
    encoder = open_encoder(network)
    file = FeatureFile(folder, origin_of(encoder))
    return file.features(dataset, np.arange(len(dataset)), encoder)


def test_features_are_read_in_blocks_in_the_order_of_the_pictures(
    tmp_path, network, made, monkeypatch
):
    features = train_features(tmp_path, network, made)
    encoder = open_encoder(network)
    expected = codes_of(encoder, open_dataset(str(made)))
    monkeypatch.setattr(feature_file, "BLOCK_BYTES", 500)
    blocks = list(features.blocks())
    assert len(blocks) > 5
    np.testing.assert_allclose(np.concatenate(blocks), expected, atol=1e-6)


def test_pictures_that_cannot_be_read_are_named_and_left_out(tmp_path, network, capsys):
    pictures = write_pictures(tmp_path / "pictures", COUNT)
    (pictures / "day" / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nnothing")
    assert train(tmp_path, network, pictures) == 0
    status = capsys.readouterr().err
    assert "day/broken.png" in status
    assert "by 120 pictures" in status


@pytest.mark.slow
def test_labels_are_learnt(tmp_path, network, made, capsys):
    assert train(tmp_path, network, made, "--objective", "supcon", "--latent-dim", 4) == 0
    index = tmp_path / "index.h5"
    assert run(index_images, "--model", tmp_path / "photos.onnx", "--index", index) == 0
    capsys.readouterr()
    flags = ("--index", index, "--query", made / "day" / "000.png", "--max-results", 20)
    assert run(search, *flags, "--paths") == 0
    assert all("/day/" in path for path in capsys.readouterr().out.split())


@pytest.fixture
def quick(monkeypatch):
    """Trainings of patches and of heads with labels take less time."""
    monkeypatch.setattr(views, "PATCHES", 5_000)
    monkeypatch.setattr(views, "VIEWS", 500)
    monkeypatch.setattr(miniatures, "FILTERS", 16)
    monkeypatch.setattr(contrast_head, "EPOCHS", 2)


def untrained(*_, **settings):
    """Leave the random weights of a network, in place of `fit_views`."""


def test_patches_beside_a_network_are_trained_and_indexed_by_kept_features(
    tmp_path, network, made, monkeypatch, quick, capsys
):
    assert train(tmp_path, network, made, "--objective", "views", "--latent-dim", 4) == 0
    assert "patches on 120 miniatures of 32 x 32 pixels" in capsys.readouterr().err
    counted = counting(monkeypatch)
    require_codes_of_model(index_of(tmp_path), tmp_path, made)
    monkeypatch.setattr(miniatures, "fit_views", untrained)
    flags = ("--architecture", "patches", "--objective", "supcon", "--latent-dim", 4)
    assert train(tmp_path, network, made, *flags) == 0
    (tmp_path / "index.h5").unlink()
    index = index_of(tmp_path)
    assert counted == []
    require_codes_of_model(index, tmp_path, made)
    cosines = index.codes @ index.codes.T
    same = index.labels[:, np.newaxis] == index.labels
    assert cosines[same].mean() > 0.6 > 0.2 > cosines[~same].mean()


@pytest.mark.parametrize("channels", [1, 3])
def test_patches_beside_a_network_give_the_same_codes_in_the_graph(tmp_path, random, channels):
    """Images of 70 x 101 become miniatures of 35 x 50, for patches of both sizes."""
    graph = exports.Graph()
    cells = graph.add("Transpose", "images", perm=[0, 3, 1, 2])
    graph.add("Flatten", graph.add("GlobalAveragePool", cells), output="codes")
    shape = (70, 101, channels)
    images = exports.tensor("images", [2, *shape])
    path = graph.save(tmp_path / "network.onnx", [images], [exports.tensor("codes", [2, channels])])
    encoder = with_miniatures(Encoder.from_onnx(path))
    pictures = random.random((5, *shape), np.float32)
    averages = pictures[:, :, :100].reshape(5, 35, 2, 50, 2, channels).mean(axis=(2, 4))
    spec = miniature_spec(encoder.spec)
    assert spec.shape == averages.shape[1:]
    features = pictures.mean(axis=(1, 2))
    flat = averages.transpose(0, 3, 1, 2).reshape(5, -1)
    np.testing.assert_allclose(
        encoder.encode(pictures), np.concatenate([features, flat], axis=1), atol=1e-5
    )

    model = build_patches(50, 35, channels, filters=[6], latent_dim=7)
    for layer in model.layers:
        layer.set_weights([exports_normal(random, *weight.shape) for weight in layer.get_weights()])
    for layer in model.layers:
        if layer.name.startswith("contrast"):
            layer.set_weights([np.ones_like(weight) for weight in layer.get_weights()])
    head = [LinearMap(exports_normal(random, channels + 7, 4), exports_normal(random, 4), channels)]
    codes = np.asarray(encoder_of(model)(averages))
    expected = exports.unit(head[0].apply(np.concatenate([features, codes], axis=1)))
    both = with_head(encoder, head, network_of(model, spec))
    np.testing.assert_allclose(both.encode(pictures), expected, atol=1e-4)


def test_as_many_miniatures_as_are_encoded_at_once_fit_into_memory(tmp_path, random):
    graph = exports.Graph()
    graph.add("Flatten", graph.add("ReduceMean", "images", axes=[1, 2], keepdims=0), output="codes")
    images = exports.tensor("images", ["n", 32, 32, 3])
    path = graph.save(tmp_path / "network.onnx", [images], [exports.tensor("codes", ["n", 3])])
    encoder = Encoder.from_onnx(path)
    beside = network_of(build_patches(32, 32, 3), InputSpec(32, 32, 3))
    head = [LinearMap(exports_normal(random, 3 + 64, 4), np.zeros(4, np.float32))]
    count = PIXELS_AT_ONCE // 32**2
    pictures = np.ones((count, 32, 32, 3), np.float32)
    codes = with_head(with_miniatures(encoder), head, beside).encode(pictures)
    assert codes.shape == (count, 4)


def test_images_too_small_for_patches_are_refused(tmp_path):
    graph = exports.Graph()
    graph.add("Flatten", graph.add("ReduceMean", "images", axes=[1, 2], keepdims=0), output="codes")
    images = exports.tensor("images", ["n", 9, 40, 3])
    path = graph.save(tmp_path / "network.onnx", [images], [exports.tensor("codes", ["n", 3])])
    with pytest.raises(ValueError, match=r"takes images of 9 pixels, .* patches .* needs 10"):
        adaptation.adapt(Encoder.from_onnx(path), None, tmp_path, Adaptation(patches=True))


def test_words_are_refused_with_the_reason(tmp_path, made, capsys):
    pytest.importorskip("tokenizers")
    clip = exports.save_clip(tmp_path / "clip")
    assert train(tmp_path, clip, made) == 0
    assert "will not be searched by --text: a map that is learnt from pictures does not fit" in (
        capsys.readouterr().err
    )
    index = tmp_path / "index.h5"
    assert run(index_images, "--model", tmp_path / "photos.onnx", "--index", index) == 0
    capsys.readouterr()
    message = error_of(capsys, search, "--index", index, "--text", "a red flower")
    assert "photos.onnx was adapted to pictures, and what it learnt from them does not" in message


def test_a_model_that_was_adapted_is_adapted_again(tmp_path, network, made):
    assert train(tmp_path, network, made) == 0
    assert train(tmp_path, tmp_path / "photos.onnx", made, "--latent-dim", 3, name="b.onnx") == 0
    assert Encoder.from_onnx(tmp_path / "b.onnx").dim == 3


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--epochs", 3], "--epochs has no effect with --backbone"),
        (["--resume", "--filters", 4], "--filters and --resume have no effect with --backbone"),
        (["--objective", "denoising"], "neighbours or views or supcon with --backbone, received"),
        (["--architecture", "conv"], "expected patches with --backbone, received conv"),
        (
            ["--architecture", "patches", "--objective", "neighbours"],
            "expected views or supcon with --backbone and --architecture patches, received",
        ),
        (["--model", "a.keras"], "a name ending in .onnx with --backbone, received a.keras"),
    ],
)
def test_flags_without_effect_are_refused(tmp_path, network, made, capsys, flags, message):
    base = ("--backbone", network, "--dataset", made, "--model", tmp_path / "photos.onnx")
    assert message in usage_error(capsys, train_autoencoder, *base, *flags)


def test_onnx_is_for_backbones(tmp_path, capsys):
    line = usage_error(capsys, train_autoencoder, "--model", "photos.onnx")
    assert "a name ending in .keras or .h5 without --backbone, received photos.onnx" in line


def failure(capsys, folder, network, pictures, *more):
    flags = ("--backbone", network, "--dataset", pictures, "--model", folder / "photos.onnx")
    return error_of(capsys, train_autoencoder, *flags, *more)


def test_too_few_pictures_are_one_line(tmp_path, network, capsys):
    pictures = write_pictures(tmp_path / "pictures", 20)
    message = failure(capsys, tmp_path, network, pictures)
    assert "a network is adapted to 100 pictures or more, received 20" in message
    assert not (tmp_path / "photos.onnx").exists()


def test_labels_that_are_missing_are_one_line(tmp_path, network, made, capsys):
    message = failure(capsys, tmp_path, network, made / "day", "--objective", "supcon")
    assert "the objective supcon needs labels of 2 classes or more" in message


def test_a_network_that_is_not_there_is_one_line(tmp_path, made, capsys):
    assert "no such model file: gone.onnx" in failure(capsys, tmp_path, "gone.onnx", made)
    assert "no such model file or network: resnet5" in failure(capsys, tmp_path, "resnet5", made)


def test_the_backbone_is_not_written_over(tmp_path, network, made, capsys):
    path = tmp_path / "photos.onnx"
    path.write_bytes((network / "model.onnx").read_bytes())
    assert "both use" in failure(capsys, tmp_path, path, made)


def test_a_map_that_is_no_numbers_leaves_the_old_model(
    tmp_path, network, made, monkeypatch, capsys
):
    path = tmp_path / "photos.onnx"
    path.write_bytes((network / "model.onnx").read_bytes())
    before = path.read_bytes()

    def nothing_learnt(components, dim):
        width = components.projection.matrix.shape[0]
        return LinearMap(np.full((width, 4), np.nan, np.float32), np.zeros(4, np.float32))

    monkeypatch.setattr(adaptation, "adapted_map", nothing_learnt)
    message = failure(capsys, tmp_path, network, made, "--overwrite")
    assert "gives codes with NaN or infinity" in message
    assert path.read_bytes() == before
