"""Real codes to measure engines with: of the shipped model, or of PCA where there is none."""

from pathlib import Path

import numpy as np

from pyimagesearch.datasets.array import ArrayDataset
from pyimagesearch.decomposition.pca import principal_components
from pyimagesearch.encoders.encoding import encode_rows

MODEL = Path("output/autoencoder.h5")


def encode_all(encoder, dataset):
    """Return the codes of a dataset whose images can all be read, float32 (n, dim)."""
    batches = encode_rows(dataset, range(len(dataset)), encoder)
    return np.concatenate([batch.codes for batch in batches])


def mnist_codes(model=MODEL):
    """Return the codes of MNIST, (60,000, 16) and (10,000, 16) float32, and what made them."""
    splits = [ArrayDataset("mnist", split) for split in ("train", "test")]
    if Path(model).is_file():
        from pyimagesearch.encoders.export import encoder_from_keras

        encoder = encoder_from_keras(str(model))
        gallery, queries = (encode_all(encoder, split) for split in splits)
        return gallery, queries, str(model)
    pixels = [split.images.reshape(len(split), -1).astype(np.float32) / 255 for split in splits]
    found = principal_components(pixels[0], 16)
    return *map(found.project, pixels), "PCA of the pixels"


def many_codes(count, path=None, seed=0):
    """Return `count` codes, float32 (count, 16), and 1,000 queries: real ones, moved at random.

    Each number moves by a normal of a fifth of its standard deviation over MNIST. With `path` the
    codes are written there and memory-mapped.
    """
    gallery, queries, _ = mnist_codes()
    random, spread = np.random.default_rng(seed), gallery.std(axis=0) / 5
    shape = (count, gallery.shape[1])
    if path is None:
        codes = np.empty(shape, np.float32)
    else:
        codes = np.lib.format.open_memmap(path, "w+", np.float32, shape)
    for start in range(0, count, len(gallery)):
        block = codes[start : start + len(gallery)]
        noise = random.standard_normal(block.shape, np.float32)
        block[:] = gallery[: len(block)] + (noise * spread if count > len(gallery) else 0)
    moved = queries[:1000] + random.standard_normal((1000, shape[1]), np.float32) * spread
    return codes, moved.astype(np.float32)
