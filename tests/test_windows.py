"""Windows on a virtual screen, with a real mouse and keys; skipped without Xvfb and xdotool."""

import ctypes
import json
import os
import shutil
import struct
import subprocess
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pytest

import index_images
import search
from pyimagesearch.datasets.catalog import open_dataset
from pyimagesearch.show.card import tile
from tests.scripts import MODEL, ROOT, run

CURSOR = 2000  # values on the screen, more than those of the mouse's pointer
PANEL, SIDE, GAP = 240, 56, 2  # pixels: the query's panel, a tile, and between two tiles


@dataclass
class Screen:
    """A virtual screen: what is on it, its mouse and its keys."""

    display: str
    framebuffer: Path

    def pixels(self):
        """Return what is on the screen, uint8 BGR (h, w, 3): a file in the format of xwd."""
        data = self.framebuffer.read_bytes()
        size, _, _, _, width, height, *rest = struct.unpack(">20I", data[:80])
        stride, colours = rest[6], rest[13]
        pixels = np.frombuffer(data, np.uint8, offset=size + 12 * colours)
        return pixels[: stride * height].reshape(height, stride // 4, 4)[:, :width, :3]

    def do(self, *arguments):
        """Run xdotool; return what it prints."""
        environment = {**os.environ, "DISPLAY": self.display}
        command = ["xdotool", *map(str, arguments)]
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=60, check=True
        )
        return done.stdout

    def focus(self, title):
        """Wait until the window of a title is drawn, and give it the keyboard.

        Under load Qt sometimes loses the event that says that a window was mapped, and leaves the
        window black: it is then mapped again, as if it had been minimised and restored.
        """
        found = self.do("search", "--sync", "--onlyvisible", "--name", f"^{title}")
        window = found.split()[0]
        for _ in range(12):
            if self._is_drawn_within(5):
                break
            self.do("windowunmap", "--sync", window)
            self.do("windowmap", "--sync", window)
        self.settled()
        self.do("windowfocus", "--sync", window)

    def _is_drawn_within(self, seconds):
        until = time.monotonic() + seconds
        while np.count_nonzero(self.pixels()) < CURSOR:
            if time.monotonic() > until:
                return False
            time.sleep(0.02)
        return True

    def press(self, *keys):
        """Press keys, each after the one before has changed the screen: OpenCV keeps one only."""
        for key in keys:
            before, until = self.settled(), time.monotonic() + 30
            self.do("key", key)
            while np.array_equal(self.pixels(), before):
                assert time.monotonic() < until
                time.sleep(0.02)

    def click(self, x, y, *events):
        """Click at a place, once the status line has changed as the mouse came there."""
        before, until = self.settled(), time.monotonic() + 30
        self.do("mousemove", x, y)
        while np.array_equal(self.pixels(), before):
            assert time.monotonic() < until
            time.sleep(0.02)
        self.settled()
        self.do(*events)

    def ask_to_close(self, title):
        """Ask the window of a title to close, as a window manager does for a click on its X."""
        window = int(self.do("search", "--onlyvisible", "--name", f"^{title}").split()[0])
        x11 = ctypes.CDLL("libX11.so.6")
        x11.XOpenDisplay.restype = ctypes.c_void_p
        x11.XInternAtom.restype = ctypes.c_ulong
        display = ctypes.c_void_p(x11.XOpenDisplay(self.display.encode()))
        protocols = x11.XInternAtom(display, b"WM_PROTOCOLS", 0)
        delete = x11.XInternAtom(display, b"WM_DELETE_WINDOW", 0)
        # XClientMessageEvent: type 33, its window, kind and format, data of five longs.
        fields = (33, 0, 1, 0, window, protocols, 32, delete, 0, 0, 0, 0)
        event = ctypes.create_string_buffer(struct.pack("@iLiPLLi5l", *fields), 192)
        x11.XSendEvent(display, ctypes.c_ulong(window), 0, ctypes.c_long(0), event)
        x11.XCloseDisplay(display)

    def settled(self):
        """Return what is on the screen once it does not change any more."""
        before = None
        while not np.array_equal(before, pixels := self.pixels()):
            before = pixels
            time.sleep(0.1)
        return pixels

    def wait_for(self, picture, x, y):
        """Wait until a picture, uint8 BGR, is on the screen at a place."""
        part = slice(y, y + picture.shape[0]), slice(x, x + picture.shape[1])
        until = time.monotonic() + 60
        while not np.array_equal(self.pixels()[part], picture):
            assert time.monotonic() < until
            time.sleep(0.02)


@pytest.fixture
def screen(tmp_path):
    for program in ("Xvfb", "xdotool"):
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed")
    reader, writer = os.pipe()
    # Without -noreset the server would be gone for a moment after its last client.
    command = ["Xvfb", "-displayfd", str(writer), "-screen", "0", "1280x1024x24", "-noreset"]
    command += ["-fbdir", str(tmp_path)]
    server = subprocess.Popen(command, pass_fds=[writer], stderr=subprocess.DEVNULL)
    os.close(writer)
    with os.fdopen(reader) as number:
        display = f":{number.readline().strip()}"
    yield Screen(display, tmp_path / "Xvfb_screen0")
    server.terminate()
    server.wait()


@contextmanager
def searching(python, screen, folder, *flags):
    """Start a search in windows, in a folder; it has to end by itself without complaints."""
    with subprocess.Popen(
        python(ROOT / "search.py", *flags),
        cwd=folder,
        env={**os.environ, "DISPLAY": screen.display},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        timer = threading.Timer(120, process.kill)  # else a lost event would block forever
        timer.start()
        try:
            yield process
            process.wait()
        finally:
            process.kill()
            timer.cancel()
        chatter = [line for line in process.stderr if "[INFO]" not in line]
    assert process.returncode == 0
    assert chatter == []


@pytest.mark.parametrize(
    ("keys", "shown"), [(["space", "space", "q"], 2), (["q"], 1), (["Escape"], 1)]
)
def test_windows_open_and_close_by_key(small_index, python, screen, tmp_path, keys, shown):
    flags = "-i", small_index, "-s", 2, "--seed", 0
    with searching(python, screen, tmp_path, *flags) as process:
        screen.focus("Results")
        screen.press(*keys)
        assert sum(line.startswith("query ") for line in process.stdout) == shown


def test_closing_the_window_ends_the_search(small_index, python, screen, tmp_path):
    with searching(python, screen, tmp_path, "-i", small_index, "--query-id", 7) as process:
        screen.focus("Results")
        screen.settled()
        screen.ask_to_close("Results")
        assert sum(line.startswith("query ") for line in process.stdout) == 1


def test_mouse_and_keys_search_on(small_index, python, screen, tmp_path, capsys):
    assert run(search, "-i", small_index, "--query-id", 7, "--json") == 0
    ids = [r["id"] for r in json.loads(capsys.readouterr().out)["results"]]
    images = open_dataset("mnist", "train")

    def at(place):
        row, column = divmod(place, 15)
        return PANEL + (SIDE + GAP) * column + 3, (SIDE + GAP) * row + 3

    def drawn(id):
        return tile(images.picture(int(id)), SIDE)[5:-5, 5:-5]

    with searching(python, screen, tmp_path, "-i", small_index, "--query-id", 7, 8) as process:

        def line():
            return next(line for line in process.stdout if line[0] != " ").split(":")[0]

        assert line() == "query 7 (3)"
        screen.focus("Results")
        for place in (0, 14, 224):  # the pixels on the screen are those that the mouse points at
            x, y = at(place)
            screen.wait_for(drawn(ids[place]), x + 2, y + 2)
        screen.click(*at(16), "click", 1)
        assert line().startswith(f"query {ids[16]} (")
        screen.press("BackSpace")
        assert line() == "query 7 (3)"
        screen.click(*at(40), "keydown", "ctrl", "click", 1, "keyup", "ctrl")
        assert line() == "query 7 (3), 1 liked (weight 0.75)"
        screen.click(*at(224), "click", 3)
        assert line() == "query 7 (3), 1 liked (weight 0.75), 1 disliked (weight -0.15)"
        screen.press("BackSpace", "BackSpace")
        assert [line(), line()][1] == "query 7 (3)"
        screen.click(8, 8, "mousedown", 1, "mousemove", 120, 232, "mouseup", 1)
        assert line() == "query 7 (3), crop 0,0,0.5,1"
        screen.press("r", "f")
        assert [line(), line()][1] == "query 7 (3), crop 0,0,0.5,1, mirrored, turned left"
        screen.press("BackSpace", "BackSpace", "BackSpace")
        assert [line(), line(), line()][2] == "query 7 (3)"
        screen.do("mousemove", 100, 600)
        screen.press("Down", "Right", "Down", "Return")  # also after clicks
        assert line().startswith(f"query {ids[16]} (")
        screen.press("BackSpace", "Next", "Prior", "s", "space")
        assert [line(), line()] == ["query 7 (3)", "query 8 (1)"]
        assert (tmp_path / "output" / "saved_0.txt").read_text().split() == ids
        saved = cv2.imread(str(tmp_path / "output" / "saved_0.png"))
        x, y = at(224)
        np.testing.assert_array_equal(saved[y + 2 :, x + 2 :][:46, :46], drawn(ids[224]))
        screen.press("m")
        screen.focus("Map")
        screen.do("key", "q")
        assert all(line.startswith("  ") for line in process.stdout)


def test_duplicates_are_shown_in_a_window_that_any_key_closes(python, screen, tmp_path):
    folder = tmp_path / "pictures"
    folder.mkdir()
    for row in (0, 0, 1):
        name = folder / f"{len(list(folder.iterdir()))}.png"
        cv2.imwrite(str(name), open_dataset("mnist", "test").picture(row))
    index = tmp_path / "index.h5"
    assert run(index_images, "-m", MODEL, "-i", index, "--dataset", folder) == 0
    with searching(python, screen, tmp_path, "-i", index, "--duplicates") as process:
        screen.focus("Duplicates")
        screen.do("key", "x")
        assert len(process.stdout.readlines()) == 3  # the group, and its two members
