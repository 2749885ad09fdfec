"""Windows on the screen, where there is one."""

import ctypes
import os
import sys
from importlib.util import find_spec
from pathlib import Path

import cv2

from pyimagesearch.arrays import Pixels


def has_display() -> bool:
    """Whether OpenCV can open a window: Qt would end the process where it cannot."""
    if not cv2.currentUIFramework():  # opencv-python-headless
        return False
    if sys.platform != "linux":
        return True
    try:
        xcb = ctypes.CDLL("libxcb.so.1")  # which Qt needs as well; its wheel has no Wayland
    except OSError:
        return False
    xcb.xcb_connect.restype = ctypes.c_void_p
    connection = ctypes.c_void_p(xcb.xcb_connect(None, None))
    refused = xcb.xcb_connection_has_error(connection)
    xcb.xcb_disconnect(connection)
    return not refused


def prepare_windows() -> None:
    """Choose the platform of Qt that was tested, and fonts, of which its wheel has none."""
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


def show_windows(images: dict[str, Pixels]) -> bool:
    """Show images by window title and wait for a key; return False when the user wants to stop.

    Any key means next; q, Esc or closing a window means stop.
    """
    prepare_windows()
    for title, image in images.items():
        cv2.imshow(title, image)
    while True:
        key = cv2.waitKey(50)
        if key != -1:
            return key & 0xFF not in (ord("q"), 27)
        if not all(map(is_open, images)):
            return False
