"""Codes that need no training, to compare with: raw pixels and principal components."""

import numpy as np


def flat_pixels(dataset, spec):
    """Return a whole dataset as float32 in [0, 1], (n, height * width * channels)."""
    return dataset.read(np.arange(len(dataset)), spec).reshape(len(dataset), -1)


def pca_codes(gallery, queries, dim):
    """Project flat images, float32 (n, p), on the first `dim` principal components of `gallery`."""
    mean = gallery.mean(axis=0)
    centred = gallery - mean
    _, vectors = np.linalg.eigh(centred.T @ centred)  # ascending eigenvalues
    components = vectors[:, ::-1][:, :dim]
    return centred @ components, (queries - mean) @ components
