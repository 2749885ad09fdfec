"""Random changes to training images: a new one is one entry of AUGMENTATIONS."""

from collections.abc import Sequence

import numpy as np

from pyimagesearch.arrays import AnyArray, Floats
from pyimagesearch.pictures.input_spec import LUMA


def flip(image: Floats, random: np.random.Generator) -> Floats:
    """Mirror an image left to right, every other time."""
    return image[:, ::-1] if random.random() < 0.5 else image


def affine(image: Floats, random: np.random.Generator) -> Floats:
    """Rotate an image by up to 10 degrees, scale it by up to 10 % and shift it by up to 5 %."""
    import cv2

    height, width = image.shape[:2]
    turn: AnyArray = cv2.getRotationMatrix2D(
        (width / 2, height / 2), random.uniform(-10, 10), random.uniform(0.9, 1.1)
    )
    turn[:, 2] += random.uniform(-0.05, 0.05, 2) * (width, height)
    # Edges are replicated, because black corners would be a shape to learn.
    moved: AnyArray = cv2.warpAffine(
        np.ascontiguousarray(image), turn, (width, height), borderMode=cv2.BORDER_REPLICATE
    )
    return moved.reshape(image.shape)


def crop(image: Floats, random: np.random.Generator) -> Floats:
    """Enlarge a random part of an image, of 70 to 100 % of its area, to the whole size."""
    import cv2

    height, width = image.shape[:2]
    area = random.uniform(0.7, 1)
    ratio = np.exp(random.uniform(-0.22, 0.22))
    part_height = height * min(1, np.sqrt(area * ratio))
    part_width = width * min(1, np.sqrt(area / ratio))
    top = random.uniform(0, height - part_height)
    left = random.uniform(0, width - part_width)
    scale_y = part_height / height
    scale_x = part_width / width
    # Centres of pixels are at .5, which warpAffine counts as 0.
    to_part = np.array(
        [[scale_x, 0, left + scale_x / 2 - 0.5], [0, scale_y, top + scale_y / 2 - 0.5]]
    )
    enlarged: AnyArray = cv2.warpAffine(
        np.ascontiguousarray(image),
        to_part,
        (width, height),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REPLICATE,
    )
    return enlarged.reshape(image.shape)


def colour(image: Floats, random: np.random.Generator) -> Floats:
    """Change brightness, contrast and, of RGB, saturation by up to 40 %, and the hue a little.

    One in ten becomes grey. The hue is turned by up to 18 degrees about the grey axis of RGB.
    """
    image = image * np.float32(random.uniform(0.6, 1.4))
    mean = image.mean()
    image = mean + (image - mean) * np.float32(random.uniform(0.6, 1.4))
    if image.shape[2] == 3:
        saturation = 0 if random.random() < 0.1 else random.uniform(0.6, 1.4)
        turn = random.uniform(-np.pi / 10, np.pi / 10)
        image = image @ _hue_rotation(turn).T.astype(np.float32)
        grey: AnyArray = (image @ LUMA)[..., np.newaxis]
        image = grey + (image - grey) * np.float32(saturation)
    return np.clip(image, 0, 1)


def _hue_rotation(angle: float) -> AnyArray:
    """Return the rotation of RGB by `angle`, in radians, about its grey axis, (3, 3)."""
    across = np.array([[0, -1, 1], [1, 0, -1], [-1, 1, 0]]) / np.sqrt(3)
    return np.cos(angle) * np.eye(3) + (1 - np.cos(angle)) / 3 + np.sin(angle) * across


AUGMENTATIONS = {"flip": flip, "affine": affine, "crop": crop, "colour": colour}


def augment(images: Floats, names: Sequence[str], random: np.random.Generator) -> Floats:
    """Return float32 images (n, h, w, c), each changed by the augmentations of these names."""
    for name in names:
        images = np.stack([AUGMENTATIONS[name](image, random) for image in images])
    return images
