import numpy as np
import pytest

from pyimagesearch.convautoencoder import ConvAutoencoder
from pyimagesearch.datasets.transforms import InputSpec
from pyimagesearch.models.keras_files import load_model, save_model


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
