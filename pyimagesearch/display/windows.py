"""Windows on the screen, where there is one."""

import os
import socket
import sys
from importlib.util import find_spec
from pathlib import Path

import cv2


def has_display():
    """Whether a window can be opened. Without a display Qt would end the whole process."""
    if sys.platform != "linux" or os.environ.get("WAYLAND_DISPLAY"):
        return True
    host, _, number = os.environ.get("DISPLAY", "").rpartition(":")
    number = number.split(".")[0]
    if not number.isdigit():
        return False
    try:
        if host in ("", "unix"):
            with socket.socket(socket.AF_UNIX) as server:
                server.connect(f"/tmp/.X11-unix/X{number}")
        else:
            socket.create_connection((host, 6000 + int(number)), timeout=5).close()
    except OSError:
        return False
    return True


def _give_qt_fonts():
    """Point OpenCV's Qt to Matplotlib's fonts: the wheel has none of its own, and Qt says so."""
    fonts = Path(find_spec("matplotlib").origin).parent / "mpl-data" / "fonts" / "ttf"
    os.environ["QT_QPA_FONTDIR"] = str(fonts)


def show_windows(images):
    """Show images by window title and wait for a key; return False when the user wants to stop.

    Any key means next; q, Esc or closing a window means stop.
    """
    _give_qt_fonts()
    for title, image in images.items():
        cv2.imshow(title, image)
    while True:
        key = cv2.waitKey(50)
        if key != -1:
            return key & 0xFF not in (ord("q"), 27)
        if any(cv2.getWindowProperty(title, cv2.WND_PROP_VISIBLE) < 1 for title in images):
            return False
