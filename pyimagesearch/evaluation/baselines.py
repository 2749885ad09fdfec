"""Codes that need no training, to compare with: pixels, principal components, histograms, HOG.

A new baseline is one entry of BASELINES.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

import cv2
import numpy as np

from pyimagesearch.arrays import Floats
from pyimagesearch.decomposition.pca import PrincipalComponents, principal_components
from pyimagesearch.metric import get_metric
from pyimagesearch.pictures.input_spec import LUMA, InputSpec

SIDE = 32  # pixels, to which larger images are reduced
MAX_FITTED = 10_000  # images that principal components are computed from
BINS = 8, 4, 4  # of hue, saturation and value
CELL = 8  # pixels, the sides of a cell of HOG
ORIENTATIONS = 9
HOG_BATCH = 250  # images


class Baseline(NamedTuple):
    """An entry of BASELINES.

    `encode(images, components)` returns the codes, float32 (n, d), of images, float32 in [0, 1]
    (n, h, w, c); `components` are the PrincipalComponents of the gallery. `metric` is the name of
    the metric they are compared by. Those of `colour` need RGB images.
    """

    encode: Callable[[Floats, PrincipalComponents], Floats]
    metric: str = "euclidean"
    colour: bool = False


def _pixels(images: Floats) -> Floats:
    return images.reshape(len(images), -1)


def project(images: Floats, components: PrincipalComponents) -> Floats:
    """Return the projection of images on principal components."""
    return components.project(_pixels(images))


def project_whitened(images: Floats, components: PrincipalComponents) -> Floats:
    """Return the projection on principal components, each divided by its standard deviation."""
    deviations: Floats = np.sqrt(components.variances)
    return project(images, components) / deviations


def colour_histograms(images: Floats) -> Floats:
    """Return the square roots of histograms of hue, saturation and value, (n, 128).

    Their Euclidean distance is the Hellinger distance of the histograms.
    """
    codes = np.empty((len(images), np.prod(BINS)), np.float32)
    for code, image in zip(codes, images, strict=True):
        hsv = cv2.cvtColor(image, cv2.COLOR_RGB2HSV)  # hue in degrees, the others from 0 to 1
        limits = [0, 360.001, 0, 1.001, 0, 1.001]
        code[:] = cv2.calcHist([hsv], [0, 1, 2], None, BINS, limits).ravel()
    return np.sqrt(codes / (images.shape[1] * images.shape[2]))


def oriented_gradients(images: Floats) -> Floats:
    """Return histograms of oriented gradients (Dalal and Triggs, 2005) of grey images.

    Cells have 8 x 8 pixels; pixels at the right and the bottom that do not fill one are left out,
    and images with shorter sides are continued by their edges.
    Gradients without sign are counted in ORIENTATIONS bins, weighted by their length, and the
    histograms are normalised in blocks of 2 x 2 cells, clipped at 0.2 and normalised again.
    """
    return np.concatenate(
        [_hog(images[start : start + HOG_BATCH]) for start in range(0, len(images), HOG_BATCH)]
    )


def _hog(images: Floats) -> Floats:
    grey = images @ LUMA if images.shape[3] == 3 else images[..., 0]
    missing = [(0, max(0, CELL - side)) for side in grey.shape[1:]]
    grey = np.pad(grey, [(0, 0), *missing], mode="edge")
    height, width = (side // CELL * CELL for side in grey.shape[1:])
    slopes: Any = np.gradient(grey, axis=(1, 2))
    down = slopes[0][:, :height, :width]
    across = slopes[1][:, :height, :width]
    lengths = np.hypot(down, across)
    # Each gradient is divided between the two bins nearest to its angle; bin 0 is at 0 degrees.
    places = np.arctan2(down, across) % np.pi * (ORIENTATIONS / np.pi)
    bins = np.arange(ORIENTATIONS).reshape(-1, 1, 1, 1)
    distances = np.abs(places - bins)
    shares = np.maximum(1 - np.minimum(distances, ORIENTATIONS - distances), 0) * lengths
    cells = shares.reshape(ORIENTATIONS, len(grey), -1, CELL, shares.shape[3] // CELL, CELL)
    cells = np.moveaxis(cells.sum(axis=(3, 5)), 0, -1)
    size = [min(2, count) for count in cells.shape[1:3]]
    blocks = np.lib.stride_tricks.sliding_window_view(cells, size, axis=(1, 2))
    blocks = np.moveaxis(blocks, 3, -1).reshape(len(grey), -1, np.prod(size) * ORIENTATIONS)
    for _ in range(2):
        squares = np.square(blocks).sum(axis=2, keepdims=True)
        blocks = np.minimum(blocks / np.sqrt(squares + 1e-6), 0.2)
    return blocks.reshape(len(grey), -1).astype(np.float32)


BASELINES = {
    "raw pixels": Baseline(lambda images, _: _pixels(images)),
    "PCA": Baseline(project),
    "PCA, whitened": Baseline(project_whitened, "cosine"),
    "HSV histogram": Baseline(lambda images, _: colour_histograms(images), colour=True),
    "HOG": Baseline(lambda images, _: oriented_gradients(images)),
}


def reduced(spec: InputSpec) -> InputSpec:
    """Return an InputSpec with sides of at most SIDE pixels, for the images of baselines."""
    return replace(
        spec, height=min(spec.height, SIDE), width=min(spec.width, SIDE), resampling=None
    )


class Points(NamedTuple):
    """Codes as points, float32 (n, d) and (q, d), and the name of the metric that made them."""

    gallery: Floats
    queries: Floats
    metric: str


def baseline_points(gallery: Floats, queries: Floats, dim: int) -> dict[str, Points]:
    """Return the Points of all baselines by their names.

    `gallery` and `queries` are float32 images, (n, h, w, c) and (q, h, w, c); `dim` is the number
    of principal components. Points rank by Euclidean distance as codes do by the baseline's metric.
    """
    components = principal_components(_pixels(gallery[:MAX_FITTED]), dim)
    points = {}
    for name, baseline in BASELINES.items():
        if baseline.colour and gallery.shape[3] != 3:
            continue
        metric = get_metric(baseline.metric)
        codes = baseline.encode(gallery, components)
        sought = codes if queries is gallery else baseline.encode(queries, components)
        exact = metric.exact_points(codes)
        of_queries = exact if sought is codes else metric.exact_points(sought)
        points[f"{name}, {codes.shape[1]}-d"] = Points(exact, of_queries, metric.name)
    return points
