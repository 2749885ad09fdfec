"""Samples of every depth, sign, polarity, layout and colour space give the right 8-bit sRGB."""

import struct
import tracemalloc
import zlib

import cv2
import numpy as np
import pytest
from picture_files import PICTURE, error_of, icc_profile, tiff, write
from PIL import Image

from pyimagesearch.pictures import pixels
from pyimagesearch.pictures.decoding import read_picture
from pyimagesearch.pictures.pixels import integer_range, scaled

# A ramp from black to white, and three colours of it that differ.
GREY = np.tile(np.linspace(0, 255, 48).round().astype(np.uint8), (32, 1))
COLOURS = np.dstack([GREY, 255 - GREY, GREY // 2 + 60])
DEEP_GREY, DEEP_COLOURS = GREY.astype(np.uint16) * 257, COLOURS.astype(np.uint16) * 257
OPAQUE = np.full((32, 48, 1), 65535, np.uint16)
RGB = 2  # photometric interpretation of TIFF; 0 is white as zero, 1 black as zero


def of_12_bits(values):
    return np.round(values / 255 * 4095).astype(np.uint16)


def png(values):
    return cv2.imencode(".png", values[..., ::-1] if values.ndim == 3 else values)[1].tobytes()


def with_chunk(data, kind, content):
    """Return a PNG with one more chunk after its header."""
    chunk = struct.pack(">I", len(content)) + kind + content
    return data[:33] + chunk + struct.pack(">I", zlib.crc32(kind + content)) + data[33:]


def bmp_of_32_bits(alpha):
    """Return a BMP with a channel for transparency, as OpenCV writes it."""
    return cv2.imencode(".bmp", np.dstack([COLOURS[..., ::-1], alpha]))[1].tobytes()


def pnm(magic, values, maximum):
    head = f"{magic} 48 32 {maximum}\n".encode()
    return head + values.astype(">u2" if maximum > 255 else np.uint8).tobytes()


KINDS = {
    "PNG, 16-bit grey": (png(DEEP_GREY), GREY),
    "PNG, 16-bit colours": (png(DEEP_COLOURS), COLOURS),
    "PNG, 12-bit grey in 16": (png(of_12_bits(GREY)), GREY),
    "PNG, 12-bit colours in 16": (png(of_12_bits(COLOURS)), COLOURS),
    "PNG, 10-bit grey in 16, stated": (
        with_chunk(png(np.round(GREY / 255 * 1023).astype(np.uint16)), b"sBIT", b"\x0a"),
        GREY,
    ),
    "PNG, dark 16-bit grey, stated": (
        with_chunk(png(DEEP_GREY // 32), b"sBIT", b"\x10"),
        GREY / 32,
    ),
    "PNG, 8-bit grey in 16": (png(GREY.astype(np.uint16)), GREY),
    "TIFF, 16-bit grey": (tiff(DEEP_GREY), GREY),
    "TIFF, 16-bit grey, big-endian": (tiff(DEEP_GREY, order=">"), GREY),
    "TIFF, 8-bit white as zero": (tiff(255 - GREY, 0), GREY),
    "TIFF, 16-bit white as zero": (tiff(65535 - DEEP_GREY, 0), GREY),
    "TIFF, packed 12-bit grey": (tiff(of_12_bits(GREY), bits=12), GREY),
    "TIFF, 12-bit grey in 16": (tiff(of_12_bits(GREY)), GREY),
    "TIFF, 12-bit colours in 16": (tiff(of_12_bits(COLOURS), RGB), COLOURS),
    "TIFF, signed 8-bit": (tiff((GREY - 128.0).astype(np.int8), sample_format=2), GREY),
    "TIFF, signed 16-bit": (tiff((GREY * 257.0 - 32768).astype(np.int16), sample_format=2), GREY),
    "TIFF, signed 16-bit above 0": (tiff(GREY.astype(np.int16) * 128, sample_format=2), GREY),
    "TIFF, 32-bit grey": (tiff(GREY.astype(np.uint32) * 0x01010101), GREY),
    "TIFF, 16-bit grey in 32": (tiff(DEEP_GREY.astype(np.uint32)), GREY),
    "TIFF, float grey": (tiff(np.float32(GREY / 255), sample_format=3), GREY),
    "TIFF, 16-bit colours": (tiff(DEEP_COLOURS, RGB), COLOURS),
    "TIFF, 16-bit colours, big-endian": (tiff(DEEP_COLOURS, RGB, order=">"), COLOURS),
    "TIFF, 16-bit colours, opaque": (tiff(np.dstack([DEEP_COLOURS, OPAQUE]), RGB), COLOURS),
    "TIFF, 16-bit colours, clear": (
        tiff(np.dstack([DEEP_COLOURS, OPAQUE * 0]), RGB),
        GREY * 0 + 255,
    ),
    "TIFF, 8-bit planes": (tiff(COLOURS, RGB, planar=True), COLOURS),
    "TIFF, 16-bit planes": (tiff(DEEP_COLOURS, RGB, planar=True), COLOURS),
    "TIFF, 16-bit planes, big-endian": (tiff(DEEP_COLOURS, RGB, planar=True, order=">"), COLOURS),
    "PGM, 12-bit": (pnm("P5", of_12_bits(GREY), 4095), GREY),
    "PGM, dark 16-bit": (pnm("P5", DEEP_GREY // 32, 65535), GREY / 32),
    "PPM, 10-bit": (pnm("P6", np.round(COLOURS / 255 * 1023), 1023), COLOURS),
    "PPM, up to 100": (pnm("P6", np.round(COLOURS / 255 * 100), 100), COLOURS),
    "BMP, opaque": (bmp_of_32_bits(GREY * 0 + 255), COLOURS),
    "BMP, unused transparency": (bmp_of_32_bits(GREY * 0), COLOURS),
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_kind_of_file_gives_the_right_values(kind, tmp_path):
    data, expected = KINDS[kind]
    picture = read_picture(write(tmp_path / "picture", data))
    expected = np.broadcast_to(np.atleast_3d(expected), (32, 48, 3))
    assert error_of(picture, expected) <= 1.5


def test_12_bits_in_16_are_reported_once(tmp_path, caplog):
    from pyimagesearch.pictures import pixels

    pixels._warn_assumed.cache_clear()
    for _ in range(2):
        read_picture(write(tmp_path / "a.png", png(of_12_bits(GREY))))
    read_picture(write(tmp_path / "b.png", png(DEEP_GREY)))
    [message] = [record.getMessage() for record in caplog.records]
    assert "16-bit samples" in message
    assert "0 is black and 4,095 white" in message


def test_12_bits_in_16_bit_planes_are_refused(tmp_path):
    data = tiff(of_12_bits(COLOURS), RGB, planar=True)
    with pytest.raises(ValueError, match="16-bit colours are all below 4,096: save it with 8 bits"):
        read_picture(write(tmp_path / "a.tiff", data))


PRO_PHOTO = [[0.7976749, 0.1351917, 0.0313534], [0.2880402, 0.7118741, 0.0000857], [0, 0, 0.82521]]
ADOBE = [[0.6097559, 0.2052401, 0.149224], [0.3111242, 0.625656, 0.0632197],
         [0.0194811, 0.0608902, 0.7448387]]  # fmt: skip
P3 = [[0.5151187, 0.291978, 0.1571035], [0.2411892, 0.6922441, 0.0665668],
      [-0.0010505, 0.0418791, 0.7840713]]  # fmt: skip
XYZ_TO_SRGB = [[3.1338561, -1.6168667, -0.4906146], [-0.9787684, 1.9161415, 0.033454],
               [0.0719453, -0.2289914, 1.4052427]]  # fmt: skip


def srgb_of(colours, to_xyz, gamma):
    """Convert by the formulas of IEC 61966-2-1 and of lindbloom.com (matrices for D50)."""
    linear = (colours / 255) ** gamma @ np.transpose(to_xyz) @ np.transpose(XYZ_TO_SRGB)
    linear = np.clip(linear, 0, 1)
    return 255 * np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)


@pytest.mark.parametrize(
    ("to_xyz", "gamma"),
    [(PRO_PHOTO, 1.8), (ADOBE, 2.2), (P3, 2.2)],
    ids=["ProPhoto", "Adobe", "P3"],
)
@pytest.mark.parametrize("suffix", ["png", "jpg", "tiff", "webp", "avif"])
def test_an_embedded_profile_is_converted_to_srgb(to_xyz, gamma, suffix, tmp_path):
    profile = icc_profile(to_xyz, gamma)
    muted = 90 + PICTURE // 4  # colours that sRGB has
    path = tmp_path / f"a.{suffix}"
    Image.fromarray(muted).save(path, icc_profile=profile)
    stored = np.asarray(Image.open(path))  # not quite `muted` where the format is lossy
    expected = srgb_of(stored, to_xyz, gamma)
    assert error_of(stored, expected) > 8
    assert error_of(read_picture(path), expected) <= 1.5


def test_a_profile_of_grey_is_converted_and_transparency_kept(tmp_path):
    profile = icc_profile(None, 1.5, b"GRAY")
    Image.fromarray(GREY).save(tmp_path / "grey.png", icc_profile=profile)
    expected = srgb_of(np.dstack([GREY] * 3), np.linalg.inv(XYZ_TO_SRGB), 1.5)
    assert error_of(read_picture(tmp_path / "grey.png"), expected) <= 3
    clear = np.dstack([PICTURE, np.zeros((32, 48), np.uint8)])
    Image.fromarray(clear).save(tmp_path / "a.png", icc_profile=icc_profile(PRO_PHOTO, 1.8))
    assert (read_picture(tmp_path / "a.png") == 255).all()


@pytest.mark.parametrize("profile", [b"no profile", icc_profile(None, 1.0, b"GRAY")])
def test_a_profile_that_does_not_fit_leaves_the_colours_as_they_are(profile, tmp_path):
    Image.fromarray(PICTURE).save(tmp_path / "a.png", icc_profile=profile)
    assert error_of(read_picture(tmp_path / "a.png"), PICTURE) == 0


@pytest.mark.parametrize(
    ("low", "high", "bits", "signed", "expected"),
    [
        (0, 255, 16, False, (0, 255)),
        (0, 256, 16, False, (0, 4095)),
        (9, 4095, 16, False, (0, 4095)),
        (0, 4096, 16, False, (0, 65535)),
        (0, 32767, 16, True, (0, 32767)),
        (-1, 0, 16, True, (-128, 127)),
        (-128, 128, 16, True, (-2048, 2047)),
        (-32768, 5, 16, True, (-32768, 32767)),
        (0, 2**63, 64, False, (0, 2**64 - 1)),
        (0, 100, 8, True, (0, 127)),
    ],
)
def test_the_range_of_integers_is_the_smallest_usual_one_that_holds_them(
    low, high, bits, signed, expected
):
    values = np.array([low, high], object)
    assert integer_range(values, bits, signed, (8, 12, 16)) == expected
    unit = scaled(np.array([low, high, *expected]), *expected)
    assert unit.dtype == np.float32
    assert unit[2:].tolist() == [0, 1]
    assert ((unit >= 0) & (unit <= 1)).all()


def test_samples_of_16_bits_become_8_in_little_memory(random):
    samples = random.integers(0, 2**16, (3000, 1500), np.uint16)
    expected = np.clip(np.float32(samples) / 65535, 0, 1) * np.float32(255) + np.float32(0.5)
    tracemalloc.start()
    levels = pixels._scaled_to_8_bits(samples, (0, 65535))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert np.abs(levels.astype(int) - expected.astype(np.uint8)).max() <= 1
    assert (levels == expected.astype(np.uint8)).mean() > 0.999
    assert peak < 25e6  # 4.5 MB of results; as floats they would take 18 MB a step
