"""Retrieval without labels: each altered copy of an image should find the image first."""

import cv2
import numpy as np

from pyimagesearch.arrays import AnyArray, Floats

SAMPLE = 200  # images of which copies are made


def turned(image: Floats) -> Floats:
    """Return an image turned by 10 degrees."""
    height, width = image.shape[:2]
    matrix = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), 10, 1)
    turned: AnyArray = cv2.warpAffine(
        image, matrix, (width, height), borderMode=cv2.BORDER_REPLICATE
    )
    return turned.reshape(image.shape)


def cropped(image: Floats) -> Floats:
    """Return the middle of an image, with 90 % of its sides, enlarged to the whole size."""
    height, width = image.shape[:2]
    part: AnyArray = cv2.getRectSubPix(
        image,
        (max(1, round(0.9 * width)), max(1, round(0.9 * height))),
        ((width - 1) / 2, (height - 1) / 2),
    )
    enlarged: AnyArray = cv2.resize(part, (width, height))
    return enlarged.reshape(image.shape)


def recompressed(image: Floats) -> Floats:
    """Return an image that was stored as JPEG of quality 30."""
    data = cv2.imencode(
        ".jpg", np.round(image * 255).astype(np.uint8), [cv2.IMWRITE_JPEG_QUALITY, 30]
    )[1]
    stored = cv2.imdecode(data, cv2.IMREAD_UNCHANGED)
    assert stored is not None  # it was written a moment ago
    pixels: AnyArray = stored.astype(np.float32) / 255
    return pixels.reshape(image.shape)


COPIES = {"turned": turned, "cropped": cropped, "recompressed": recompressed}


def make_copies(images: Floats) -> Floats:
    """Return the copies of float32 images (n, h, w, c), kind after kind: (3n, h, w, c)."""
    return np.stack([change(image) for change in COPIES.values() for image in images])
