"""Windows on the screen, where there is one."""

import ctypes
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import cv2

from pyimagesearch.arrays import Pixels
from pyimagesearch.files import printable
from pyimagesearch.show.keys import key_name

USUAL_SCREEN = (1366, 768)
FRAME = (16, 80)  # pixels of the screen that frames of windows, their titles and task bars take
PIXELS_PER_SCALE = 1000  # of a screen's height: more than twice as many are shown two to one
# Of Qt, which would enlarge once more what a Room has fitted to the pixels of the screen.
SCALING = ("QT_SCALE_FACTOR", "QT_SCREEN_SCALE_FACTORS", "QT_AUTO_SCREEN_SCALE_FACTOR")
PAGE_STEPS = {"space": 1, "n": 1, "page down": 1, "p": -1, "backspace": -1, "page up": -1}


def has_display() -> bool:
    """Whether OpenCV can open a window: Qt would end the process where it cannot."""
    if not cv2.currentUIFramework():  # opencv-python-headless
        return False
    return sys.platform != "linux" or _x_screen() is not None


def screen_size() -> tuple[int, int]:
    """Return the width and height of the screen in pixels, USUAL_SCREEN where it is not known."""
    if sys.platform == "win32":
        user32 = ctypes.windll.user32
        return user32.GetSystemMetrics(0), user32.GetSystemMetrics(1)
    return _x_screen() or USUAL_SCREEN


def _x_screen() -> tuple[int, int] | None:
    """Return the width and height of the screen of an X server, None where there is no server."""
    try:
        xcb = ctypes.CDLL("libxcb.so.1")  # which Qt needs as well; its wheel has no Wayland
    except OSError:
        return None
    xcb.xcb_connect.restype = ctypes.c_void_p
    xcb.xcb_get_setup.restype = ctypes.c_void_p
    xcb.xcb_setup_roots_iterator.restype = _ScreenIterator
    connection = ctypes.c_void_p(xcb.xcb_connect(None, None))
    size = None
    if not xcb.xcb_connection_has_error(connection):
        setup = ctypes.c_void_p(xcb.xcb_get_setup(connection))
        screen = xcb.xcb_setup_roots_iterator(setup).data.contents
        size = (screen.width, screen.height)
    xcb.xcb_disconnect(connection)
    return size


def prepare_windows() -> None:
    """Choose the platform of Qt that was tested, and fonts, of which its wheel has none.

    The scaling of Qt is turned off; see SCALING.
    """
    for name in SCALING:
        os.environ.pop(name, None)
    if sys.platform == "linux":
        os.environ["QT_QPA_PLATFORM"] = "xcb"
    matplotlib = find_spec("matplotlib")
    if matplotlib is not None and matplotlib.origin is not None:
        fonts = Path(matplotlib.origin).parent / "mpl-data" / "fonts" / "ttf"
        os.environ["QT_QPA_FONTDIR"] = str(fonts)


def is_open(title: str) -> bool:
    """Whether the window of a title has not been closed."""
    try:
        return cv2.getWindowProperty(title, cv2.WND_PROP_VISIBLE) >= 1
    except cv2.error:  # since OpenCV 4.12, where there is no such window
        return False


class _Screen(ctypes.Structure):
    """The beginning of xcb_screen_t."""

    _fields_ = (
        ("others", ctypes.c_uint32 * 5),
        ("width", ctypes.c_uint16),
        ("height", ctypes.c_uint16),
    )


class _ScreenIterator(ctypes.Structure):
    _fields_ = (
        ("data", ctypes.POINTER(_Screen)),
        ("rem", ctypes.c_int),
        ("index", ctypes.c_int),
    )


@dataclass(frozen=True)
class Room:
    """The pixels that a window may use: those of the screen without frames and task bars.

    On screens of a high resolution pictures are shown at `scale` times their own pixels, of which
    there is room for `width` x `height`.
    """

    width: int
    height: int
    scale: int = 1


def room_on(screen: tuple[int, int]) -> Room:
    """Return the Room on a screen of a width and height in pixels."""
    scale = max(1, screen[1] // PIXELS_PER_SCALE)
    width, height = (length - frame for length, frame in zip(screen, FRAME, strict=True))
    return Room(width // scale, height // scale, scale)


def open_window(name: str, size: tuple[int, int], room: Room, title: str | None = None) -> None:
    """Open a window without a toolbar for pictures of a width and height, smaller if need be."""
    cv2.namedWindow(name, cv2.WINDOW_NORMAL | cv2.WINDOW_KEEPRATIO | cv2.WINDOW_GUI_NORMAL)
    fit = min(1, room.width / size[0], room.height / size[1]) * room.scale
    cv2.resizeWindow(name, round(size[0] * fit), round(size[1] * fit))
    cv2.setWindowTitle(name, printable(title or name))


def show_pages(name: str, count: int, draw: Callable[[int], Pixels]) -> None:
    """Show `count` pages in a window, one at a time; `draw(page)` draws one, from 0.

    Space, n and Page Down turn to the next, p, Backspace and Page Up to the one before; another
    key, closing the window, or a key for a page that there is not, ends it.
    """
    prepare_windows()
    room = room_on(screen_size())
    page = 0
    while 0 <= page < count:
        image = draw(page)
        title = name
        if count > 1:
            title = f"{name}: page {page + 1:,} of {count:,}, Page Down and Page Up turn, q quits"
        open_window(name, image.shape[1::-1], room, title)
        cv2.imshow(name, image)
        step = PAGE_STEPS.get(_next_key(name) or "")
        if step is None:
            break
        page = max(0, page + step)
    cv2.destroyAllWindows()


def _next_key(name: str) -> str | None:
    """Wait for a key; return its name, None for one without or where the window was closed."""
    while is_open(name):
        code = cv2.waitKeyEx(50)
        if code != -1:
            return key_name(code)
    return None
