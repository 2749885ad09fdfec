"""A trial of a network before an index is made: four images, alone and together."""

import time

import numpy as np
from numpy.typing import NDArray

from pyimagesearch.encoders.encoder import Codes, Encoder, finite_rows, network_bytes
from pyimagesearch.encoders.onnx_facts import network_facts
from pyimagesearch.pictures.input_spec import InputSpec

COUNT = 4
LONG_SECONDS = 10  # for all of them; then one alone is enough, as each takes seconds
SMALLEST_DIFFERENCE = 1e-6  # between codes of different images, relative to their length
# Differences between two codes of one image, as parts of those between images and of the length.
PART_OF_DIFFERENCE = 0.05
PART_OF_LENGTH = 0.005
# Operators that round to whole numbers by the largest value of a batch, on purpose.
BATCH_ROUNDING = {"DynamicQuantizeLinear", "DynamicQuantizeMatMul", "DynamicQuantizeLSTM"}
ROUNDING_FACTOR = 10  # how much larger differences may be with these


def require_codes(encoder: Encoder) -> None:
    """Raise ValueError for a network that cannot give codes to search by.

    Such a network gives NaN, or the same code for all images, or one that depends on chance or on
    the other images of its batch.
    """
    images = trial_images(encoder.spec)
    model = encoder.model
    started = time.monotonic()
    together = encoder.encode(images)
    if time.monotonic() - started > LONG_SECONDS:
        images = images[:1]
    alone = np.concatenate([encoder.encode(image[np.newaxis]) for image in images])
    if not finite_rows(together).any():
        raise ValueError(
            f"the model {model} gives codes with NaN or infinity for all of {COUNT} different "
            "images: use another model, or check its preprocessing"
        )
    good = together[finite_rows(together)]
    spread = _spread(good)
    length = float(np.linalg.norm(good, axis=1).max(initial=0))
    if len(good) > 1 and spread <= SMALLEST_DIFFERENCE * length:
        raise ValueError(
            f"the model {model} gives the same code for {COUNT} different images: use another model"
        )
    allowed = PART_OF_DIFFERENCE * spread + PART_OF_LENGTH * length
    if BATCH_ROUNDING & network_facts(network_bytes(encoder.onnx)).operators:
        allowed *= ROUNDING_FACTOR
    if _difference(together, alone) <= allowed:
        return
    if _difference(together, encoder.encode(trial_images(encoder.spec))) > allowed:
        raise ValueError(
            f"the model {model} gives other codes each time for the same images, by chance: export "
            "it for inference"
        )
    raise ValueError(
        f"the model {model} gives codes that depend on the other images of a batch: export it for "
        "inference"
    )


def trial_images(spec: InputSpec) -> NDArray[np.float32]:
    """Return COUNT different pictures, float32 in [0, 1], (COUNT, *spec.shape).

    They are coloured waves, noise, a light disc on black and a dark cross on white: a network for
    drawings may see nothing in photographs, and the other way round.
    """
    random = np.random.default_rng(0)
    rows = np.linspace(-1, 1, spec.height, dtype=np.float32)[:, np.newaxis, np.newaxis]
    columns = np.linspace(-1, 1, spec.width, dtype=np.float32)[np.newaxis, :, np.newaxis]
    colours = 0.5 + 0.5 * random.random(spec.channels, np.float32)
    images = np.empty((COUNT, *spec.shape), np.float32)
    waves, noise, disc, cross = images  # one by one, as they may be of 200 MB
    waves[:] = colours * (0.5 + 0.5 * np.sin(6 * rows + 3 * columns))
    noise[:] = random.random(spec.shape, np.float32)
    disc[:] = np.where(rows**2 + columns**2 < 0.3, 1 - 0.2 * noise, 0)
    cross[:] = np.where((np.abs(rows) < 0.2) | (np.abs(columns) < 0.2), 0.2 * noise, 1)
    return images


def _spread(codes: Codes) -> float:
    """Return the mean distance between two codes of different images."""
    differences = codes[:, np.newaxis] - codes[np.newaxis]
    return float(np.linalg.norm(differences, axis=2).sum() / max(1, len(codes) * (len(codes) - 1)))


def _difference(codes: Codes, others: Codes) -> float:
    """Return the largest distance between two codes of one image; infinity if only one is NaN."""
    codes = codes[: len(others)]
    finite = finite_rows(codes)
    if (finite != finite_rows(others)).any():
        return np.inf
    return float(np.linalg.norm(codes[finite] - others[finite], axis=1).max(initial=0))
