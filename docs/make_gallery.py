"""Draw the pictures of docs/gallery.md by the scripts themselves, from what is included.

usage: make gallery

The window is drawn on a virtual screen, and needs Xvfb and xdotool; the page needs Chromium. What
is missing is left out with a warning, and its former picture stays.
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
import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from pyimagesearch.arrays import Pixels
from pyimagesearch.cli import warn
from pyimagesearch.datasets.catalog import open_dataset

ROOT = Path(__file__).parent.parent
MODEL = ROOT / "output" / "neighbours.h5"
DIGIT = ROOT / "digit.png"
INDEXED = "1222"  # a training digit, for the picture of the README
SCREEN = (1366, 768)  # width and height, of a small laptop
WIDTH = 900  # pixels at most, of a picture
COLOURS = 128  # which make the files a third as large
SECONDS = 120  # until a window or a page is drawn
DARK = 24  # grey of a terminal, and of its text
LIGHT = 224
FRAME_TIME = 1500  # milliseconds
STEPS = (  # of browsing, in the words of xdotool
    "mousemove 443 145",
    "click 1",
    "mousemove 675 319",
    "keydown ctrl click 1 keyup ctrl",
    "mousemove 385 435",
    "click 3",
    "mousemove 60 20 mousedown 1 mousemove 180 140",
    "mouseup 1",
    "key Next",
    "key question",
)


def main() -> None:
    """Write all pictures to a folder, by default docs/gallery/."""
    parser = argparse.ArgumentParser(description="Draw the pictures of docs/gallery.md.")
    parser.add_argument("--output", type=Path, default=ROOT / "docs" / "gallery")
    target = parser.parse_args().output
    target.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        index = folder / "output" / "index.pickle"
        run("index_images.py", "--model", MODEL, "--metric", "cosine", "--index", index)
        draw_sheets(index, folder, target)
        draw_duplicates(folder, target)
        draw_page(index, folder, target)
        draw_terminal(folder, target)
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
    run("search.py", "--index", index, "--query-id", INDEXED, "--output", folder / "tutorial")
    save_small(read(folder / "tutorial" / "results_0.png"), ROOT / "output" / "montage.png")
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


def draw_terminal(folder: Path, target: Path) -> None:
    """Draw what a default search writes in a terminal."""
    shutil.copy(DIGIT, folder)
    command = ["search.py", "--index", "output/index.pickle", "--query", DIGIT.name]
    done = subprocess.run(
        [sys.executable, ROOT / command[0], *command[1:]],
        check=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=folder,
        env={name: value for name, value in os.environ.items() if name != "DISPLAY"},
    )
    text = f"$ python {' '.join(command)}\n{done.stdout}"
    font = ImageFont.truetype(f"{matplotlib.get_data_path()}/fonts/ttf/DejaVuSansMono.ttf", 15)
    canvas = ImageDraw.Draw(Image.new("L", (1, 1)))
    _, _, right, bottom = canvas.multiline_textbbox((16, 12), text, font)
    picture = Image.new("L", (round(right) + 16, round(bottom) + 12), DARK)
    ImageDraw.Draw(picture).multiline_text((16, 12), text, LIGHT, font)
    picture.save(target / "terminal.png", optimize=True)


def draw_window(index: Path, target: Path) -> None:
    """Photograph a window on a virtual screen, and what it shows while someone browses."""
    if shutil.which("Xvfb") is None or shutil.which("xdotool") is None:
        warn("no picture of a window: Xvfb or xdotool is not installed")
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        reader, writer = os.pipe()
        size = f"{SCREEN[0]}x{SCREEN[1]}x24"
        # Without -noreset the server would be gone for a moment after its last client.
        command = ["Xvfb", "-displayfd", str(writer), "-screen", "0", size, "-noreset"]
        command += ["-fbdir", name]
        server = subprocess.Popen(command, pass_fds=[writer], stderr=subprocess.DEVNULL)
        os.close(writer)
        with os.fdopen(reader) as number:
            environment = {**os.environ, "DISPLAY": f":{number.readline().strip()}"}
        searching = subprocess.Popen(
            [sys.executable, ROOT / "search.py", "--index", index, "--query", DIGIT.name],
            cwd=ROOT,
            env=environment,
            stdout=subprocess.DEVNULL,
        )
        try:
            shots = browsing(folder / "Xvfb_screen0", environment)
        except TimeoutError as error:
            warn(f"no picture of a window: {error}")
            return
        finally:
            searching.terminate()
            searching.wait()
            server.terminate()
            server.wait()
    lit = np.argwhere(shots[0].any(axis=2))
    height, width = lit.max(axis=0) + 1
    save_small(shots[0][:height, :width], target / "window.png")
    frames = [fitted(shot[:height, :width]) for shot in shots]
    palette = Image.fromarray(np.vstack(frames)).quantize(COLOURS, Image.Quantize.MAXCOVERAGE)
    first, *others = (Image.fromarray(frame).quantize(palette=palette) for frame in frames)
    first.save(
        target / "browsing.gif", save_all=True, append_images=others, duration=FRAME_TIME, loop=0
    )


def browsing(framebuffer: Path, environment: dict[str, str]) -> list[Pixels]:
    """Do STEPS in the window on a virtual screen; return what is seen at first and after each."""
    shots = [settled_screen(framebuffer)]
    for step in STEPS:
        subprocess.run(["xdotool", *step.split()], check=True, env=environment)
        shots.append(settled_screen(framebuffer, shots[-1]))
    return shots


def settled_screen(framebuffer: Path, former: Pixels | None = None) -> Pixels:
    """Return what is on a virtual screen, uint8 BGR, once it shows something and stays so.

    It is something else than `former`.
    """
    before = screen_pixels(framebuffer)
    if former is None:
        former = np.zeros_like(before)
    until = time.monotonic() + SECONDS
    while time.monotonic() < until:
        time.sleep(1)
        pixels = screen_pixels(framebuffer)
        if np.array_equal(pixels, before) and not np.array_equal(pixels, former):
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
    Image.fromarray(fitted(image)).quantize(COLOURS).save(path, optimize=True)


def fitted(image: Pixels) -> Pixels:
    """Return a picture, uint8 BGR, at most WIDTH pixels wide, as uint8 RGB."""
    scale = min(1.0, WIDTH / image.shape[1])
    small = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    return cv2.cvtColor(small, cv2.COLOR_BGR2RGB)


if __name__ == "__main__":
    main()
