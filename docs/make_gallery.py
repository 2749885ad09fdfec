"""Draw the pictures of docs/gallery.md by the scripts themselves, from what is included.

usage: make gallery

The window is drawn on a virtual screen, and needs Xvfb; the page needs Chromium. What is missing is
left out with a warning, and its former picture stays.
"""

import argparse
import os
import shutil
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from pyimagesearch.arrays import Pixels
from pyimagesearch.cli import warn
from pyimagesearch.datasets.catalog import open_dataset

ROOT = Path(__file__).parent.parent
MODEL = ROOT / "output" / "neighbours.h5"
DIGIT = ROOT / "digit.png"
SCREEN = (1366, 768)  # width and height, of a small laptop
WIDTH = 900  # pixels at most, of a picture
COLOURS = 128  # which make the files a third as large
SECONDS = 120  # until a window or a page is drawn


def main() -> None:
    """Write all pictures to a folder, by default docs/gallery/."""
    parser = argparse.ArgumentParser(description="Draw the pictures of docs/gallery.md.")
    parser.add_argument("--output", type=Path, default=ROOT / "docs" / "gallery")
    target = parser.parse_args().output
    target.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        index = folder / "digits.pickle"
        run("index_images.py", "--model", MODEL, "--metric", "cosine", "--index", index)
        draw_sheets(index, folder, target)
        draw_duplicates(folder, target)
        draw_page(index, folder, target)
        draw_window(index, target)


def run(script: str, *arguments: object) -> None:
    """Run one of the scripts; its results are not shown."""
    command = [sys.executable, ROOT / script, *map(str, arguments)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, cwd=ROOT)


def draw_sheets(index: Path, folder: Path, target: Path) -> None:
    """Draw a sheet of results, a strip and a map."""
    query = ("--index", index, "--query", DIGIT.name)
    run("search.py", *query, "--max-results", 60, "--map", "--output", folder / "sheets")
    run("search.py", *query, "--max-results", 7, "--strip", "--output", folder / "strip")
    save_small(read(folder / "sheets" / "results_0.png"), target / "montage.png")
    save_small(read(folder / "strip" / "results_0.png"), target / "strip.png")
    save_small(read(folder / "sheets" / "map_0.png"), target / "map.png")


def draw_duplicates(folder: Path, target: Path) -> None:
    """Draw the near-identical pictures of a folder of digits, some of them saved again."""
    pictures = folder / "pictures"
    pictures.mkdir()
    digits = open_dataset("mnist", "test", 300)
    for row in range(len(digits)):
        digit = cv2.resize(digits.picture(row), (112, 112), interpolation=cv2.INTER_CUBIC)
        cv2.imwrite(str(pictures / f"{row:03}.png"), digit)
        if row % 100 == 0:
            cv2.imwrite(str(pictures / f"{row:03}-copy.jpg"), digit)
            small = cv2.resize(digit, (84, 84), interpolation=cv2.INTER_AREA)
            cv2.imwrite(str(pictures / f"{row:03}-small.png"), small)
    index = folder / "pictures.pickle"
    run("index_images.py", "--model", MODEL, "--dataset", pictures, "--index", index)
    run("search.py", "--index", index, "--duplicates", "--output", folder / "duplicates")
    save_small(read(folder / "duplicates" / "duplicates.png"), target / "duplicates.png")


def draw_page(index: Path, folder: Path, target: Path) -> None:
    """Photograph the page of --html."""
    browser = shutil.which("chromium") or shutil.which("chromium-browser")
    if browser is None:
        warn("no picture of a page: Chromium is not installed")
        return
    page = folder / "page.html"
    run("search.py", "--index", index, "--query", DIGIT.name, "--max-results", 24, "--html", page)
    shot = folder / "page.png"
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"]
    options += [f"--window-size={SCREEN[0]},{SCREEN[1]}", f"--screenshot={shot}"]
    command = [browser, *options, page.as_uri()]
    subprocess.run(command, check=True, capture_output=True, timeout=120)
    save_small(read(shot), target / "page.png")


def draw_window(index: Path, target: Path) -> None:
    """Photograph a window on a virtual screen."""
    if shutil.which("Xvfb") is None:
        warn("no picture of a window: Xvfb is not installed")
        return
    with tempfile.TemporaryDirectory() as folder:
        reader, writer = os.pipe()
        size = f"{SCREEN[0]}x{SCREEN[1]}x24"
        command = ["Xvfb", "-displayfd", str(writer), "-screen", "0", size, "-nocursor"]
        command += ["-fbdir", folder]
        server = subprocess.Popen(command, pass_fds=[writer], stderr=subprocess.DEVNULL)
        os.close(writer)
        with os.fdopen(reader) as number:
            display = f":{number.readline().strip()}"
        flags = ["--index", str(index), "--query", DIGIT.name]
        searching = subprocess.Popen(
            [sys.executable, ROOT / "search.py", *flags],
            cwd=ROOT,
            env={**os.environ, "DISPLAY": display},
            stdout=subprocess.DEVNULL,
        )
        try:
            shot = settled_screen(Path(folder) / "Xvfb_screen0")
        except TimeoutError as error:
            warn(f"no picture of a window: {error}")
            return
        finally:
            searching.terminate()
            searching.wait()
            server.terminate()
            server.wait()
    lit = np.argwhere(shot.any(axis=2))
    height, width = lit.max(axis=0) + 1
    save_small(shot[:height, :width], target / "window.png")


def settled_screen(framebuffer: Path) -> Pixels:
    """Return what is on a virtual screen, uint8 BGR, once it shows something and stays so."""
    before = screen_pixels(framebuffer)
    until = time.monotonic() + SECONDS
    while time.monotonic() < until:
        time.sleep(2)
        pixels = screen_pixels(framebuffer)
        if pixels.any() and np.array_equal(pixels, before):
            return pixels
        before = pixels
    raise TimeoutError(f"no window was drawn within {SECONDS} seconds")


def screen_pixels(framebuffer: Path) -> Pixels:
    """Return the pixels of a file in the format of xwd, uint8 BGR (h, w, 3)."""
    data = framebuffer.read_bytes()
    header = struct.unpack(">20I", data[:80])
    size, width, height, stride, colours = (header[place] for place in (0, 4, 5, 12, 19))
    pixels = np.frombuffer(data, np.uint8, offset=size + 12 * colours)
    return pixels[: stride * height].reshape(height, stride // 4, 4)[:, :width, :3].copy()


def read(path: Path) -> Pixels:
    """Return the pixels of a picture file, uint8 BGR."""
    return cv2.imread(str(path))


def save_small(image: Pixels, path: Path) -> None:
    """Write a picture, uint8 BGR, at most WIDTH pixels wide and in COLOURS colours."""
    scale = min(1.0, WIDTH / image.shape[1])
    small = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    picture = Image.fromarray(cv2.cvtColor(small, cv2.COLOR_BGR2RGB))
    picture.quantize(COLOURS).save(path, optimize=True)


if __name__ == "__main__":
    main()
