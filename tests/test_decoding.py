import io
import os
import re
import struct
import subprocess
import sys
import time
import tracemalloc
import zlib

import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps

from pyimagesearch import decoding
from pyimagesearch.decoding import MAX_PIXELS, picture_format, read_picture

# pytest records warnings before the filters that keep them from the terminal; see the last test.
pytestmark = pytest.mark.filterwarnings("ignore:::PIL")

# A smooth picture whose corners differ: red, green, blue and nearly white.
CORNERS = np.array([[[230, 20, 20], [20, 230, 20]], [[20, 20, 230], [250, 250, 240]]], np.uint8)
PICTURE = cv2.resize(CORNERS, (48, 32), interpolation=cv2.INTER_LINEAR)
GREY = cv2.cvtColor(PICTURE, cv2.COLOR_RGB2GRAY)
ALPHA = np.tile(np.linspace(0, 255, 48).astype(np.uint8), (32, 1))

# name: (Pillow mode, format, options, largest error)
FILES = {
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
    mode, format, options, _ = FILES[name]
    buffer = io.BytesIO()
    if mode == "P":
        image = Image.fromarray(PICTURE).quantize(256, method=Image.Quantize.MEDIANCUT)
    else:
        image = Image.fromarray(PICTURE).convert(mode)
    image.save(buffer, format, **options)
    return buffer.getvalue()


ENCODED = {name: encode(name) for name in FILES}


def write(path, data):
    path.write_bytes(data)
    return path


def save(path, image, **options):
    image.save(path, **options)
    return read_picture(path)


def read_or_reason(path):
    try:
        return read_picture(path), None
    except (ValueError, OSError) as error:
        return None, str(error)


def error_of(picture, expected):
    return abs(picture.astype(int) - expected).max()


def as_rgb(grey):
    return np.repeat(grey[..., np.newaxis], 3, axis=2)


@pytest.mark.parametrize("name", FILES)
def test_every_format_gives_its_colours_whatever_its_suffix(name, tmp_path, capfd):
    picture = read_picture(write(tmp_path / "picture.dat", ENCODED[name]))
    assert (picture.shape, picture.dtype) == ((32, 48, 3), np.uint8)
    expected = as_rgb(GREY) if FILES[name][0] == "L" else PICTURE
    assert error_of(picture, expected) <= FILES[name][3]
    assert picture_format(ENCODED[name][:64]) == FILES[name][1]
    assert "".join(capfd.readouterr()) == ""


@pytest.mark.parametrize("suffix", ["png", "tiff", "pgm", "jp2"])
def test_16_bit_grey_is_scaled_and_not_clipped(suffix, tmp_path):
    path = tmp_path / f"deep.{suffix}"
    cv2.imwrite(str(path), GREY.astype(np.uint16) * 257)
    assert error_of(read_picture(path), as_rgb(GREY)) <= 1


@pytest.mark.parametrize("suffix", ["png", "tiff", "ppm"])
def test_16_bit_colour_is_scaled_and_not_clipped(suffix, tmp_path):
    path = tmp_path / f"deep.{suffix}"
    cv2.imwrite(str(path), PICTURE[..., ::-1].astype(np.uint16) * 257)
    assert error_of(read_picture(path), PICTURE) <= 1


def test_16_bit_colour_in_jpeg_2000_is_refused_because_it_would_come_out_wrong(tmp_path):
    path = tmp_path / "deep.jp2"
    cv2.imwrite(str(path), PICTURE[..., ::-1].astype(np.uint16) * 257)
    with pytest.raises(ValueError, match=r"colours of more than 8 bits .* save it as PNG"):
        read_picture(path)


def test_a_float_tiff_is_read_in_0_1_and_refused_beyond(tmp_path):
    unit = GREY.astype(np.float32) / 255
    assert error_of(save(tmp_path / "unit.tiff", Image.fromarray(unit)), as_rgb(GREY)) == 0
    for wrong in (unit * 900, unit - 1, unit * np.nan):
        with pytest.raises(ValueError, match=r"float32 pixels run from .* expected 0 to 1"):
            save(tmp_path / "wide.tiff", Image.fromarray(wrong))


@pytest.mark.parametrize("suffix", ["png", "webp", "tiff", "avif"])
def test_transparency_is_laid_on_white(suffix, tmp_path):
    image = Image.fromarray(np.dstack([PICTURE, ALPHA]))
    options = {"webp": {"lossless": True}, "avif": {"quality": 95}}.get(suffix, {})
    weight = ALPHA[..., np.newaxis] / 255
    expected = PICTURE * weight + 255 * (1 - weight)
    picture = save(tmp_path / f"clear.{suffix}", image, **options)
    assert error_of(picture, expected) <= (30 if suffix == "avif" else 1)


def test_transparent_grey_palette_and_black_and_white_are_read(tmp_path):
    clear_black = Image.fromarray(np.zeros((8, 8, 2), np.uint8), "LA")
    assert (save(tmp_path / "la.png", clear_black) == 255).all()
    palette = Image.new("RGB", (8, 8), "navy").quantize(2)
    key = palette.getpixel((0, 0))
    assert (save(tmp_path / "p.png", palette, transparency=key) == 255).all()
    assert (save(tmp_path / "p.gif", palette, transparency=key) == 255).all()
    grey = Image.new("L", (8, 8), 7)
    assert (save(tmp_path / "key.png", grey, transparency=7) == 255).all()
    assert (save(tmp_path / "one.pbm", Image.new("1", (8, 8), 1)) == 255).all()


@pytest.mark.parametrize("suffix", ["gif", "webp", "png", "avif", "tiff"])
def test_an_animation_gives_its_first_frame(suffix, tmp_path):
    frames = [Image.new("RGB", (32, 32), colour) for colour in ("red", "blue")]
    picture = save(tmp_path / f"a.{suffix}", frames[0], save_all=True, append_images=frames[1:])
    assert error_of(picture, (255, 0, 0)) <= 5


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "tiff", "avif"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_exif_orientation_is_applied(suffix, orientation, tmp_path):
    image = Image.fromarray(PICTURE)
    exif = Image.Exif()
    exif[0x0112] = orientation
    picture = save(tmp_path / f"turned.{suffix}", image, exif=exif)
    image.getexif()[0x0112] = orientation
    upright = np.asarray(ImageOps.exif_transpose(image))
    assert picture.shape == upright.shape
    assert error_of(picture, upright) <= 40
    # The corners, of which each has another colour, tell all eight apart.
    assert error_of(picture[::16, ::16], upright[::16, ::16]) <= 40


@pytest.mark.parametrize("orientation", [0, 9, 65535])
def test_an_orientation_that_makes_no_sense_is_ignored(orientation, tmp_path):
    exif = Image.Exif()
    exif[0x0112] = orientation
    picture = save(tmp_path / "odd.png", Image.fromarray(PICTURE), exif=exif)
    assert error_of(picture, PICTURE) == 0


@pytest.mark.parametrize(
    ("size", "decoded"),
    [
        ((100, 100), (100, 134)),
        ((101, 60), (200, 267)),
        ((64, 130), (200, 267)),
        ((400, 400), (400, 533)),
        ((401, 401), (800, 1066)),
        ((2000, 2000), (800, 1066)),
    ],
)
@pytest.mark.parametrize("turned", [False, True])
def test_a_jpeg_is_decoded_at_reduced_scale_but_never_below_the_wanted_size(
    size, decoded, turned, tmp_path
):
    large = Image.fromarray(cv2.resize(CORNERS, (1066, 800), interpolation=cv2.INTER_LINEAR))
    exif = Image.Exif()
    exif[0x0112] = 6 if turned else 1
    large.save(tmp_path / "large.jpg", exif=exif)
    picture = read_picture(tmp_path / "large.jpg", size)
    assert picture.shape[:2] == (decoded[::-1] if turned else decoded)


def test_a_reduced_decode_matches_a_full_one(tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (100, 128, 3), np.uint8)
    large = cv2.resize(noise, (1024, 800), interpolation=cv2.INTER_CUBIC)
    Image.fromarray(large).save(tmp_path / "large.jpg", quality=90)
    for side in (100, 128, 200, 224):
        reduced, full = (
            cv2.resize(picture, (side, side), interpolation=cv2.INTER_AREA).ravel() - 127.5
            for picture in (
                read_picture(tmp_path / "large.jpg", (side, side)),
                read_picture(tmp_path / "large.jpg"),
            )
        )
        cosine = reduced @ full / np.linalg.norm(reduced) / np.linalg.norm(full)
        assert cosine > 0.99, side  # about the mean, so that brightness does not flatter it


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_is_cut_short_is_refused_unless_nothing_of_the_picture_is_missing(
    name, tmp_path, capfd
):
    data = ENCODED[name]
    whole = read_picture(write(tmp_path / "whole", data))
    refused = 0
    for length in sorted(
        {*range(1, len(data), len(data) // 25 + 1), len(data) - 1, len(data) // 2}
    ):
        path = write(tmp_path / "cut", data[:length])
        picture, reason = read_or_reason(path)
        if picture is None:
            refused += 1
            assert re.match("cannot be decoded as |not a picture: ", reason)
            assert str(path) not in reason
        else:
            assert np.array_equal(picture, whole), length
    assert refused > 20
    assert "".join(capfd.readouterr()) == ""


def test_a_truncated_jpeg_says_so(tmp_path):
    for scale in (None, (8, 8)):
        with pytest.raises(
            ValueError, match=r"^cannot be decoded as JPEG: image file is truncated"
        ):
            read_picture(write(tmp_path / "a.jpg", ENCODED["jpg"][:-40]), scale)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "empty: 0 bytes"),
        (
            b"Dear diary,\n",
            "not a picture: its content is of no known format (jpg, png, webp, ...)",
        ),
        (b"BMW is a make of cars, and this is text", "not a picture: its content is of no known"),
        (b"P5 is what we called it", "not a picture: its content is of no known"),
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "HEIF pictures cannot be read: convert it to JPEG"),
        (b"P5 0 5 255 ", "cannot be decoded as PPM: "),
    ],
)
def test_what_is_no_picture_is_refused_with_one_reason(content, message, tmp_path):
    with pytest.raises(ValueError, match=r"^" + re.escape(message)):
        read_picture(write(tmp_path / "a.jpg", content))


def test_what_is_no_file_is_refused_at_once(tmp_path):
    os.mkfifo(tmp_path / "pipe.jpg")
    for path, kind, message in (
        (tmp_path / "gone.jpg", FileNotFoundError, "No such file or directory"),
        (tmp_path, OSError, "a folder, not a picture file"),
        (tmp_path / "pipe.jpg", OSError, "a device or pipe, not a picture file"),
    ):
        with pytest.raises(kind) as caught:
            read_picture(path)
        assert str(caught.value) == message


def test_a_file_without_permission_is_refused(tmp_path, monkeypatch):
    def deny(path, mode):
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr(decoding, "open", deny, raising=False)  # root may open everything
    with pytest.raises(PermissionError) as caught:
        read_picture(write(tmp_path / "a.jpg", ENCODED["jpg"]))
    assert str(caught.value) == "Permission denied"


def png(width, height, rows):
    """A one-bit grey PNG; `rows` are its scan lines, or none of them for a mere header."""

    def chunk(kind, data):
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    packer = zlib.compressobj()
    data = b"".join(packer.compress(row) for row in rows) + packer.flush()
    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize("rows", [0, 60_000])
def test_a_bomb_is_refused_by_its_header(rows, tmp_path):
    path = write(tmp_path / "bomb.png", png(60_000, 60_000, (bytes(7501) for _ in range(rows))))
    assert path.stat().st_size < 1e6
    tracemalloc.start()
    start = time.perf_counter()
    with pytest.raises(
        ValueError, match=r"^60,000 x 60,000 pixels: .* at most 178,956,970 in all$"
    ):
        read_picture(path, (224, 224))
    seconds = time.perf_counter() - start
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert seconds < 0.5  # 2 ms on an idle machine
    assert peak < 2e6


def test_the_limit_itself_is_not_a_bomb(tmp_path, monkeypatch):
    monkeypatch.setattr(decoding, "MAX_PIXELS", 48 * 32)
    path = write(tmp_path / "a.png", ENCODED["png"])
    assert read_picture(path).shape == (32, 48, 3)
    monkeypatch.setattr(decoding, "MAX_PIXELS", 48 * 32 - 1)
    with pytest.raises(ValueError, match=r"^48 x 32 pixels: .* at most 1,535 in all"):
        read_picture(path)
    assert MAX_PIXELS == 178_956_970


fuzz = settings(
    max_examples=400,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


def assert_read_or_refused(path, capfd):
    picture, reason = read_or_reason(path)
    if picture is None:
        assert reason.strip()
        assert "\n" not in reason
    else:
        assert picture.dtype == np.uint8
        assert picture.ndim == 3
        assert picture.shape[2] == 3
    assert "".join(capfd.readouterr()) == ""


HEADS = [data[:16] for data in ENCODED.values()]


@fuzz
@given(head=st.sampled_from([b"", *HEADS]), tail=st.binary(max_size=300))
def test_random_bytes_are_read_or_refused_in_silence(head, tail, tmp_path, capfd):
    assert_read_or_refused(write(tmp_path / "fuzz", head + tail), capfd)


@fuzz
@given(data=st.data())
def test_damaged_pictures_are_read_or_refused_in_silence(data, tmp_path, capfd, monkeypatch):
    monkeypatch.setattr(decoding, "MAX_PIXELS", 4_000_000)  # to be quick where sizes are damaged
    content = bytearray(ENCODED[data.draw(st.sampled_from(sorted(ENCODED)))])
    places = st.integers(0, len(content) - 1)
    early = st.integers(0, min(200, len(content) - 1))
    for place in data.draw(st.lists(places | early, min_size=1, max_size=8)):
        content[place] = data.draw(st.integers(0, 255))
    length = data.draw(st.just(len(content)) | places)
    assert_read_or_refused(write(tmp_path / "fuzz", bytes(content[:length])), capfd)


def test_pillow_warns_nobody_and_is_imported_when_it_is_needed(tmp_path):
    cut = ENCODED["lzw.tiff"]
    path = write(tmp_path / "cut.tiff", cut[: len(cut) - 30])
    code = (
        "import sys; from pyimagesearch.decoding import read_picture; assert 'PIL' not in sys.modules"
        f"\ntry: read_picture({str(path)!r})\nexcept ValueError as error: print(error)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.startswith("cannot be decoded as TIFF: ")
    assert run.stderr == ""
