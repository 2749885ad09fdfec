"""Random changes to training images, so that a network sees each a little differently each time."""

import cv2
import numpy as np


def flip(image, random):
    """Mirror an image left to right, every other time."""
    return image[:, ::-1] if random.random() < 0.5 else image


def affine(image, random):
    """Turn an image by up to 10 degrees, scale it by up to 10 % and shift it by up to 5 %."""
    height, width = image.shape[:2]
    turn = cv2.getRotationMatrix2D(
        (width / 2, height / 2), random.uniform(-10, 10), random.uniform(0.9, 1.1)
    )
    turn[:, 2] += random.uniform(-0.05, 0.05, 2) * (width, height)
    # What comes in at the edges repeats the edge: black would be a shape of its own to learn.
    moved = cv2.warpAffine(
        np.ascontiguousarray(image), turn, (width, height), borderMode=cv2.BORDER_REPLICATE
    )
    return moved.reshape(image.shape)


AUGMENTATIONS = {"flip": flip, "affine": affine}


def augment(images, names, random):
    """Return float32 images (n, h, w, c), each changed by the augmentations of these names."""
    for name in names:
        images = np.stack([AUGMENTATIONS[name](image, random) for image in images])
    return images
