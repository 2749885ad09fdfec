"""A small picture, and files of it in every format."""

import io
import struct

import cv2
import numpy as np
from PIL import Image

from pyimagesearch.pictures.decoding import read_picture

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


def tiff(samples, photometric=1, sample_format=1, bits=None, planar=False, order="<", **tags):
    """Return an uncompressed TIFF file of samples, (h, w) or (h, w, channels), of any type.

    `bits` below those of the type are packed, `order` is that of the bytes, and `tags` named t254
    and so on are added, as numbers of 32 bits.
    """
    samples = np.atleast_3d(samples)
    height, width, channels = samples.shape
    data = np.moveaxis(samples, 2, 0) if planar else samples
    if bits is None:
        bits = 8 * data.dtype.itemsize
        data = data.astype(data.dtype.newbyteorder(order)).tobytes()
    else:
        values = data.reshape(height, -1, 1)
        data = np.packbits(values >> np.arange(bits)[::-1] & 1).tobytes()
    entries = {
        256: width,
        257: height,
        258: [bits] * channels,
        259: 1,
        262: photometric,
        277: channels,
        278: height,
        284: 2 if planar else 1,
        339: [sample_format] * channels,
        **({338: 2} if channels == 4 else {}),
        **{int(name[1:]): value for name, value in tags.items()},
    }
    planes = channels if planar else 1
    start = 8 + 2 + 12 * (len(entries) + 2) + 4
    size = len(data) // planes
    outside = b""

    def entry(tag, value, long):
        nonlocal outside
        values = value if isinstance(value, list) else [value]
        packed = struct.pack(order + "HI"[long] * len(values), *values)
        if len(packed) > 4:
            outside, packed = outside + packed, struct.pack(order + "I", start + len(outside))
        return struct.pack(order + "HHI", tag, 3 + long, len(values)) + packed.ljust(4, b"\0")

    # The offsets are known once everything else is in its place.
    count_outside = sum(2 * len(v) for v in entries.values() if isinstance(v, list) and len(v) > 2)
    count_outside += 8 * planes if planes > 1 else 0
    offsets = [start + count_outside + plane * size for plane in range(planes)]
    entries |= {273: offsets, 279: [size] * planes}
    longs = {256, 257, 273, 278, 279, *(int(name[1:]) for name in tags)}
    directory = b"".join(entry(tag, entries[tag], tag in longs) for tag in sorted(entries))
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "I", 8)
    count = struct.pack(order + "H", len(entries))
    return head + count + directory + b"\0\0\0\0" + outside + data


def icc_profile(to_xyz, gamma, space=b"RGB "):
    """Return an ICC profile, version 2, of RGB primaries (XYZ of D50 in columns) or of grey."""

    def number(value):
        return struct.pack(">i", round(value * 65536))

    curve = b"curv\0\0\0\0" + struct.pack(">IH", 1, round(gamma * 256)) + b"\0\0"
    name = b"test"
    description = b"desc\0\0\0\0" + struct.pack(">I", len(name) + 1) + name + bytes(79)
    tags = {
        b"desc": description,
        b"cprt": b"text\0\0\0\0none\0",
        b"wtpt": b"XYZ \0\0\0\0" + b"".join(map(number, (0.9642, 1, 0.8249))),
    }
    if space == b"GRAY":
        tags[b"kTRC"] = curve
    else:
        for letter, column in zip((b"r", b"g", b"b"), np.transpose(to_xyz), strict=True):
            tags[letter + b"XYZ"] = b"XYZ \0\0\0\0" + b"".join(map(number, column))
            tags[letter + b"TRC"] = curve
    table, data = struct.pack(">I", len(tags)), b""
    start = 128 + 4 + 12 * len(tags)
    for tag, value in tags.items():
        table += tag + struct.pack(">II", start + len(data), len(value))
        data += value + bytes(-len(value) % 4)
    head = struct.pack(
        ">I4sI4s4s4s", start + len(data), b"lcms", 0x02400000, b"mntr", space, b"XYZ "
    )
    head += bytes(12) + b"acsp" + bytes(28) + b"".join(map(number, (0.9642, 1, 0.8249)))
    return head.ljust(128, b"\0") + table + data
