import os
import re
import struct
import subprocess
import sys
import tracemalloc
import zlib

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from picture_files import ENCODED, FILE_STATS, read_or_reason, write

from pyimagesearch.pictures import decoding as decoding
from pyimagesearch.pictures.decoding import MAX_DECODED_PIXELS, read_picture

# pytest records warnings before the filters that keep them from the terminal; see the last test.
pytestmark = pytest.mark.filterwarnings("ignore:::PIL")


@pytest.mark.parametrize("name", FILE_STATS)
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

    packer = zlib.compressobj(1)
    data = b"".join(packer.compress(row) for row in rows) + packer.flush()
    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize("rows", [0, 60_000])
def test_a_bomb_is_refused_by_its_header(rows, tmp_path):
    path = write(tmp_path / "bomb.png", png(60_000, 60_000, (bytes(7501) for _ in range(rows))))
    assert path.stat().st_size < 3e6
    tracemalloc.start()
    with pytest.raises(
        ValueError, match=r"^60,000 x 60,000 pixels: .* at most 178,956,970 in all$"
    ):
        read_picture(path, (224, 224))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2e6


def test_the_limit_itself_is_not_a_bomb(tmp_path, monkeypatch):
    monkeypatch.setattr(decoding, "MAX_DECODED_PIXELS", 48 * 32)
    path = write(tmp_path / "a.png", ENCODED["png"])
    assert read_picture(path).shape == (32, 48, 3)
    monkeypatch.setattr(decoding, "MAX_DECODED_PIXELS", 48 * 32 - 1)
    with pytest.raises(ValueError, match=r"^48 x 32 pixels: .* at most 1,535 in all"):
        read_picture(path)
    assert MAX_DECODED_PIXELS == 178_956_970


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
    # Fewer, to be quick where sizes are damaged.
    monkeypatch.setattr(decoding, "MAX_DECODED_PIXELS", 4_000_000)
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
        "import sys; from pyimagesearch.pictures.decoding import read_picture\n"
        "assert 'PIL' not in sys.modules\n"
        f"try: read_picture({str(path)!r})\nexcept ValueError as error: print(error)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.startswith("cannot be decoded as TIFF: ")
    assert run.stderr == ""
