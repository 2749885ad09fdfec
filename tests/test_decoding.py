import re
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import pytest
from picture_files import CORNERS, ENCODED, FILE_STATS, GREY, PICTURE, error_of, fill, tiff, write
from PIL import Image, ImageOps

from pyimagesearch.datasets.folder import FolderDataset
from pyimagesearch.pictures import decoding as image_io
from pyimagesearch.pictures import formats
from pyimagesearch.pictures.decoding import read_picture
from pyimagesearch.pictures.formats import picture_format
from pyimagesearch.pictures.input_spec import InputSpec

ALPHA = np.tile(np.linspace(0, 255, 48).astype(np.uint8), (32, 1))


def save(path, image, **options):
    image.save(path, **options)
    return read_picture(path)


def as_rgb(grey):
    return np.repeat(grey[..., np.newaxis], 3, axis=2)


@pytest.mark.parametrize("name", FILE_STATS)
def test_every_format_gives_its_colours_whatever_its_suffix(name, tmp_path, capfd):
    picture = read_picture(write(tmp_path / "picture.dat", ENCODED[name]))
    assert (picture.shape, picture.dtype) == ((32, 48, 3), np.uint8)
    expected = as_rgb(GREY) if FILE_STATS[name][0] == "L" else PICTURE
    assert error_of(picture, expected) <= FILE_STATS[name][3]
    assert picture_format(ENCODED[name][:64]) == FILE_STATS[name][1]
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


@pytest.mark.parametrize(
    ("options", "read"), [({}, True), ({"progressive": True}, False), ({"quality": 50}, True)]
)
def test_a_jpeg_beyond_the_pixel_limit_is_read_at_an_eighth_if_in_bounded_memory(
    options, read, tmp_path, monkeypatch
):
    monkeypatch.setattr(image_io, "MAX_DECODED_PIXELS", 100_000)
    large = cv2.resize(CORNERS, (1600, 400), interpolation=cv2.INTER_LINEAR)
    Image.fromarray(large).save(tmp_path / "panorama.jpg", **options)
    for size in (None, (100, 100)):
        if not read:
            with pytest.raises(ValueError, match="1,600 x 400 pixels: expected"):
                read_picture(tmp_path / "panorama.jpg", size)
            continue
        picture = read_picture(tmp_path / "panorama.jpg", size)
        assert picture.shape == (50, 200, 3)
        assert error_of(picture[[0, -1]][:, [0, -1]], CORNERS) <= 12
    image = Image.fromarray(large)
    image.save(tmp_path / "panorama.mpo", save_all=True, append_images=[image], **options)
    with pytest.raises(ValueError, match="1,600 x 400 pixels: expected"):
        read_picture(tmp_path / "panorama.mpo", (100, 100))
    Image.fromarray(large).save(tmp_path / "panorama.png")
    with pytest.raises(ValueError, match="at most 100,000"):
        read_picture(tmp_path / "panorama.png", (100, 100))


@pytest.mark.parametrize("size", [None, (16, 16)])
@pytest.mark.parametrize("name", ["jpg", "progressive.jpg", "grey.jpg"])
def test_a_truncated_jpeg_is_read_as_far_as_it_goes_if_asked_for(name, size, tmp_path):
    mode, _, options, _ = FILE_STATS[name]
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    Image.fromarray(noise).convert(mode).save(tmp_path / "whole.jpg", **options)
    data = (tmp_path / "whole.jpg").read_bytes()
    cut = write(tmp_path / "cut.jpg", data[: -len(data) // 3])
    with pytest.raises(ValueError, match="truncated"):
        read_picture(cut, size)
    picture = read_picture(cut, size, truncated=True)
    whole = read_picture(tmp_path / "whole.jpg", size)
    assert picture.shape == whole.shape
    if not name.startswith("progressive"):
        upper = len(whole) // 4
        assert np.array_equal(picture[:upper], whole[:upper])
        assert (picture[-1] == picture[-1, 0]).all()  # the rest has one colour
    assert np.array_equal(read_picture(tmp_path / "whole.jpg", size, truncated=True), whole)
    with pytest.raises(ValueError, match="cannot be decoded as JPEG"):
        read_picture(write(tmp_path / "cut.jpg", data[:100]), size, truncated=True)


RAW = {
    "CR2": b"II*\0\x10\0\0\0CR\x02\0" + bytes(100),
    "CR3": b"\0\0\0\x18ftypcrx \0\0\0\1crx isom" + bytes(100),
    "ORF": b"IIRO\x08\0\0\0" + bytes(100),
    "RW2": b"IIU\0\x18\0\0\0" + bytes(100),
    "RAF": b"FUJIFILMCCD-RAW 0201" + bytes(100),
    "NEF, ARW": tiff(PICTURE, 2, t254=1),
    "DNG": tiff(PICTURE, 2, order=">", t50706=0x01040000),
}


@pytest.mark.parametrize("kind", RAW)
def test_raw_files_are_refused_and_not_read_as_their_thumbnails(kind, tmp_path):
    fill(tmp_path, "DSC_0001", data=RAW[kind])
    dataset = FolderDataset(tmp_path)  # found by its content, and counted
    [(_, reason)] = dataset.read_good([0], InputSpec(8, 8, 3)).unreadable
    assert re.match("a RAW file of a camera, .* export it as JPEG or TIFF$", reason)


@pytest.mark.parametrize("name", ["HEIF", "JXL"])
def test_a_format_that_needs_another_package_names_it(name, tmp_path, monkeypatch):
    heads = {"HEIF": b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "JXL": b"\0\0\0\x0cJXL \r\n\x87\n"}
    packages = {"HEIF": ("pillow_heif", "pillow-heif"), "JXL": ("pillow_jxl", "pillow-jxl-plugin")}
    module, package = packages[name]
    monkeypatch.setitem(sys.modules, module, None)  # as if it were not installed
    formats.plugin.cache_clear()
    with pytest.raises(ValueError, match=f"^{name} pictures need: pip install {package}$"):
        read_picture(write(tmp_path / "a", heads[name]))


@pytest.mark.parametrize(("name", "module"), [("HEIF", "pillow_heif"), ("JXL", "pillow_jxl")])
def test_a_format_that_needs_another_package_is_read_with_it(name, module, tmp_path):
    pytest.importorskip(module)
    formats.plugin.cache_clear()
    opened = formats.plugin(name)  # registers the format for writing too
    assert opened
    path = tmp_path / "a.dat"
    Image.fromarray(PICTURE).save(path, name)
    assert picture_format(path.read_bytes()[:64]) == name
    assert error_of(read_picture(path), PICTURE) <= 30


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


def test_all_threads_together_decode_no_more_pixels_than_one_may(tmp_path, monkeypatch):
    fill(tmp_path, *(f"{i}.png" for i in range(8)))
    with Image.open(tmp_path / "0.png") as image:
        pixels = image.width * image.height
    monkeypatch.setattr(image_io, "_budget", image_io.PixelBudget(2 * pixels))
    together = []
    most = []
    load = image_io.load_rgb

    def slow_load(image, file, shrink):
        together.append(image)
        most.append(len(together))
        time.sleep(0.01)
        together.pop()
        return load(image, file, shrink)

    monkeypatch.setattr(image_io, "load_rgb", slow_load)
    with ThreadPoolExecutor(8) as pool:
        pictures = list(pool.map(lambda i: read_picture(str(tmp_path / f"{i}.png")), range(8)))
    assert len(pictures) == 8
    assert max(most) == 2


def test_what_fails_to_decode_gives_its_pixels_back():
    budget = image_io.PixelBudget(10)
    for _ in range(3):
        with pytest.raises(ValueError, match="damaged"), budget.taken(10):
            raise ValueError("damaged")
    with budget.taken(5), budget.taken(5):
        pass


@pytest.mark.parametrize("suffix", ["png", "webp", "jp2"])
def test_formats_whose_decoders_take_more_memory_may_have_fewer_pixels(
    suffix, tmp_path, monkeypatch
):
    Image.new("RGB", (30, 20)).save(tmp_path / f"a.{suffix}")
    monkeypatch.setattr(image_io, "MAX_DECODED_PIXELS", 600)
    if suffix == "png":
        assert read_picture(tmp_path / "a.png").shape == (20, 30, 3)
        return
    with pytest.raises(ValueError, match=r"30 x 20 pixels: .* at most [23]00 in"):
        read_picture(tmp_path / f"a.{suffix}")


@pytest.mark.parametrize("orientation", [1, 6])
def test_a_large_picture_is_shrunk_while_it_is_converted(orientation, tmp_path, monkeypatch):
    exif = Image.Exif()
    exif[0x0112] = orientation
    large = Image.fromarray(cv2.resize(CORNERS, (399, 301), interpolation=cv2.INTER_LINEAR))
    large.save(tmp_path / "a.png", exif=exif)
    whole = read_picture(tmp_path / "a.png")
    monkeypatch.setattr(image_io, "LARGE", 100_000)
    monkeypatch.setattr("pyimagesearch.pictures.pixels.STRIP", 2000)
    assert np.array_equal(read_picture(tmp_path / "a.png"), whole)
    small = read_picture(tmp_path / "a.png", (20, 10))
    sides = [-(-side // 7) for side in whole.shape[:2]]
    assert small.shape == (*sides, 3)
    assert error_of(small, cv2.resize(whole, sides[::-1], interpolation=cv2.INTER_AREA)) <= 1
