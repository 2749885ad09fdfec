"""A small picture, and files of it in every format."""

import io

import cv2
import numpy as np
from PIL import Image

from pyimagesearch.datasets.image_io import read_picture

# A smooth picture whose corners differ: red, green, blue and nearly white.
CORNERS = np.array([[[230, 20, 20], [20, 230, 20]], [[20, 20, 230], [250, 250, 240]]], np.uint8)
PICTURE = cv2.resize(CORNERS, (48, 32), interpolation=cv2.INTER_LINEAR)
GREY = cv2.cvtColor(PICTURE, cv2.COLOR_RGB2GRAY)

# name: (Pillow mode, format, options, largest error)
FILE_STATS = {
    "jpg": ("RGB", "JPEG", {"quality": 95, "subsampling": 0}, 6),
    "progressive.jpg": ("RGB", "JPEG", {"quality": 95, "progressive": True}, 30),
    "grey.jpg": ("L", "JPEG", {"quality": 95}, 6),
    "cmyk.jpg": ("CMYK", "JPEG", {"quality": 95}, 8),  # inverted, with Adobe's marker
    "png": ("RGB", "PNG", {}, 0),
    "grey.png": ("L", "PNG", {}, 0),
    "interlaced.png": ("RGB", "PNG", {}, 0),
    "palette.png": ("P", "PNG", {}, 30),
    "webp": ("RGB", "WEBP", {"lossless": True}, 0),
    "bmp": ("RGB", "BMP", {}, 0),
    "gif": ("P", "GIF", {}, 30),
    "tiff": ("RGB", "TIFF", {}, 0),
    "cmyk.tiff": ("CMYK", "TIFF", {}, 1),
    "lzw.tiff": ("RGB", "TIFF", {"compression": "tiff_lzw"}, 0),
    "jpeg.tiff": ("RGB", "TIFF", {"compression": "jpeg", "quality": 95}, 30),
    "avif": ("RGB", "AVIF", {"quality": 95}, 30),
    "ppm": ("RGB", "PPM", {}, 0),
    "pgm": ("L", "PPM", {}, 0),
    "jp2": ("RGB", "JPEG2000", {}, 0),
    "j2k": ("RGB", "JPEG2000", {"no_jp2": True}, 0),
}


def encode(name):
    mode, format, options, _ = FILE_STATS[name]
    buffer = io.BytesIO()
    if mode == "P":
        image = Image.fromarray(PICTURE).quantize(256, method=Image.Quantize.MEDIANCUT)
    else:
        image = Image.fromarray(PICTURE).convert(mode)
    image.save(buffer, format, **options)
    return buffer.getvalue()


ENCODED = {name: encode(name) for name in FILE_STATS}


def write(path, data):
    path.write_bytes(data)
    return path


def read_or_reason(path):
    try:
        return read_picture(path), None
    except (ValueError, OSError) as error:
        return None, str(error)


def error_of(picture, expected):
    return abs(picture.astype(int) - expected).max()


def fill(root, *paths, data=ENCODED["png"]):
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(data)
