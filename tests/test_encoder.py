import numpy as np
import pytest

from pyimagesearch.backend import keras
from pyimagesearch.convautoencoder import ConvAutoencoder
from pyimagesearch.datasets import array
from pyimagesearch.datasets.catalog import open_dataset
from pyimagesearch.encoders.encoder import Encoder
from pyimagesearch.encoders.export import encoder_from_keras, open_encoder
from pyimagesearch.files import sha256_of
from pyimagesearch.pictures.input_spec import InputSpec
from tests.scripts import KERAS_MODEL, MODEL, codes_of


@pytest.fixture(params=[".keras", ".h5"])
def saved(request, tmp_path):
    model = ConvAutoencoder.build(width=8, height=12, depth=3, filters=(4, 8), latentDim=5)
    path = tmp_path / f"model{request.param}"
    model.save(path)
    return model, path


def test_an_encoder_gives_the_codes_that_keras_gives(saved, random):
    model, path = saved
    encoder = encoder_from_keras(path)
    images = random.random((7, 12, 8, 3), dtype=np.float32)
    network = keras.Model(model.input, model.get_layer("encoded").output)
    codes = encoder.encode(images)
    assert (codes.shape, codes.dtype) == ((7, 5), np.float32)
    np.testing.assert_allclose(codes, network.predict_on_batch(images), atol=1e-5)
    assert (encoder.spec.shape, encoder.dim) == ((12, 8, 3), 5)
    assert encoder.model_sha256 == sha256_of(path)


def test_a_dataset_is_encoded_in_batches_as_at_once(monkeypatch):
    dataset = open_dataset("mnist", "test", limit=10)
    encoder = encoder_from_keras(KERAS_MODEL)
    monkeypatch.setattr(array, "ROWS_PER_BATCH", 4)
    images = dataset.read(range(10), encoder.spec)
    codes = encoder.encode(images)
    np.testing.assert_allclose(codes_of(encoder, dataset), codes, atol=1e-5)
    # The encoder of the other tests is that of the shipped model.
    np.testing.assert_allclose(open_encoder(MODEL).encode(images), codes, atol=1e-5)


def test_an_encoder_comes_back_from_an_onnx_file_with_its_fit(saved, random, tmp_path):
    encoder = encoder_from_keras(saved[1])
    encoder.spec = InputSpec(12, 8, 3, "crop")
    encoder.save_onnx(tmp_path / "encoder.onnx")
    again = open_encoder(str(tmp_path / "encoder.onnx"))
    assert (again.spec, again.dim, again.model) == (encoder.spec, 5, "encoder.onnx")
    images = random.random((7, 12, 8, 3), dtype=np.float32)
    np.testing.assert_array_equal(again.encode(images), encoder.encode(images))


def test_an_onnx_file_of_another_kind_is_refused(saved, tmp_path):
    (tmp_path / "text.onnx").write_text("hello")
    with pytest.raises(ValueError, match=r"text\.onnx cannot be run"):
        open_encoder(tmp_path / "text.onnx")
    saved[0](np.zeros((1, 12, 8, 3), np.float32))  # a model is exported as it was last called
    saved[0].export(tmp_path / "whole.onnx", format="onnx", verbose=False)
    with pytest.raises(ValueError, match="one output of codes"):
        open_encoder(tmp_path / "whole.onnx")
    with pytest.raises(FileNotFoundError):
        open_encoder(tmp_path / "none.onnx")


def test_an_encoder_comes_back_from_plain_values(saved, random):
    encoder = encoder_from_keras(saved[1])
    again = Encoder.from_dict(encoder.to_dict())
    images = random.random((2, 12, 8, 3), dtype=np.float32)
    np.testing.assert_array_equal(again.encode(images), encoder.encode(images))


def test_a_code_with_axes_is_flattened(tmp_path):
    images = keras.Input((8, 8, 1))
    code = keras.layers.MaxPooling2D(2, name="encoder")(images)
    keras.Model(images, keras.layers.UpSampling2D(2)(code)).save(tmp_path / "pool.keras")
    assert encoder_from_keras(tmp_path / "pool.keras").dim == 16


def test_a_model_without_a_code_layer_is_refused_with_its_layers(tmp_path):
    keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Flatten(name="flat")]).save(
        tmp_path / "model.keras"
    )
    with pytest.raises(ValueError, match=r"no layer named encoded or encoder.*its layers are flat"):
        encoder_from_keras(tmp_path / "model.keras")


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
def test_a_model_with_code_of_its_own_is_refused_and_does_not_run(tmp_path, suffix):
    target = tmp_path / "planted"

    def planted(x):
        import pathlib

        pathlib.Path(str(target)).touch()
        return x

    images = keras.Input((8, 8, 1))
    code = keras.layers.Lambda(planted, name="encoded")(images)
    keras.Model(images, code).save(tmp_path / f"model{suffix}")
    target.unlink()
    with pytest.raises(ValueError, match=r"cannot load .*model\."):
        encoder_from_keras(tmp_path / f"model{suffix}")
    assert not target.exists()


@pytest.mark.parametrize("name", ["text.keras", "text.h5", "text.txt"])
def test_a_file_that_is_no_model_is_refused_by_name(tmp_path, name):
    (tmp_path / name).write_text("hello")
    with pytest.raises(ValueError, match=f"cannot load .*{name}"):
        encoder_from_keras(tmp_path / name)


def test_a_missing_model_names_the_script_that_makes_it(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"none\.h5; make it with train_autoencoder\.py"):
        encoder_from_keras(tmp_path / "none.h5")


def test_a_broken_network_in_an_index_is_an_error_that_names_the_model(stub_encoder):
    with pytest.raises(ValueError, match=r"the encoder of model\.h5 cannot be run"):
        stub_encoder.encode(np.zeros((1, 28, 28, 1), np.float32))


@pytest.mark.parametrize(
    "spec",
    [{}, {"height": 0, "width": 1, "channels": 1}, {"height": "a", "width": 1, "channels": 1}],
)
def test_an_input_that_makes_no_sense_is_refused(spec):
    with pytest.raises(ValueError, match=r"height.*width.*channels"):
        InputSpec.from_dict(spec)
