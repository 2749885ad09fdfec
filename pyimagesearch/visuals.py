"""Pictures of what happens: loss plots, reconstructions, montages, windows."""

import math
import os
import socket
import sys
from importlib.util import find_spec
from pathlib import Path

import cv2
import numpy as np
from imutils import build_montages

from pyimagesearch.files import replacing

SHOWN = 225  # results in a montage, as many as fit a screen
PHOTO_SIDE = 160  # pixels of a photograph's tile
FONT, FONT_SCALE, SMALL = cv2.FONT_HERSHEY_SIMPLEX, 0.45, 0.36
RED, WHITE, GREY = (0, 0, 255), (255, 255, 255), (90, 90, 90)  # BGR


def write_image(path, image):
    """Write a uint8 BGR picture; the suffix of `path` chooses the format."""
    with replacing(path) as temporary:
        if not cv2.imwrite(str(temporary), image):
            raise OSError("OpenCV failed to")


def to_bgr(picture):
    """Return an image, uint8 or float in [0, 1], (h, w, 1 or 3) RGB, as uint8 BGR for OpenCV."""
    if picture.dtype != np.uint8:
        picture = np.round(np.clip(picture, 0, 1) * 255).astype(np.uint8)
    code = cv2.COLOR_GRAY2BGR if picture.shape[2] == 1 else cv2.COLOR_RGB2BGR
    return cv2.cvtColor(picture, code)


def reconstruction_sheet(originals, decoded):
    """Stack original | reconstruction pairs; both are float in [0, 1], (n, h, w, c)."""
    return np.vstack(
        [np.hstack([to_bgr(a), to_bgr(b)]) for a, b in zip(originals, decoded, strict=True)]
    )


def plot_losses(path, losses):
    """Plot the training and validation loss of each epoch to the file `path`."""
    from matplotlib import style
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    with style.context("ggplot"):
        figure = Figure()
        axes = figure.subplots()
        epochs = range(1, len(losses["loss"]) + 1)
        axes.plot(epochs, losses["loss"], label="train_loss", marker=".")
        axes.plot(epochs, losses["val_loss"], label="val_loss", marker=".")
        axes.set(title="Training loss", xlabel="Epoch", ylabel="Loss (mean squared error)")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.legend(loc="upper right")
        with replacing(path) as temporary:
            figure.savefig(temporary)


def tile_side(picture):
    """Return the side, in pixels, at which to show pictures like this one in a montage."""
    side = max(picture.shape[:2])
    # Thumbnails of digits are doubled: at their own 28 pixels a wrong result is hard to see.
    return 2 * side if side <= 64 else PHOTO_SIDE


def tile(picture, side, colour=None):
    """Fit a picture into a square of `side` pixels, on black, with a border of `colour` if given.

    None, a picture that cannot be read any more, is shown as a crossed-out square.
    """
    square = np.zeros((side, side, 3), np.uint8)
    if picture is None:
        cv2.line(square, (0, 0), (side, side), GREY, 1, cv2.LINE_AA)
        cv2.line(square, (0, side), (side, 0), GREY, 1, cv2.LINE_AA)
    else:
        image = to_bgr(picture)
        scale = side / max(image.shape[:2])
        size = [max(1, round(length * scale)) for length in image.shape[1::-1]]
        # Whole pixels show what the encoder saw; photographs are averaged down.
        method = cv2.INTER_NEAREST if scale > 1 else cv2.INTER_AREA
        image = cv2.resize(image, size, interpolation=method)
        top, left = (side - image.shape[0]) // 2, (side - image.shape[1]) // 2
        square[top : top + image.shape[0], left : left + image.shape[1]] = image
    if colour is not None:
        cv2.rectangle(square, (0, 0), (side - 1, side - 1), colour, thickness=max(2, side // 28))
    return square


def montage(tiles, columns):
    """Lay tiles of one size out in rows of `columns`, black where there are none left."""
    height, width = tiles[0].shape[:2]
    rows = -(-len(tiles) // columns)
    [sheet] = build_montages(tiles, (width, height), (columns, rows))
    return sheet


def with_caption(image, lines):
    """Put lines of text under an image, which is widened with black where a line needs it."""
    sizes = [cv2.getTextSize(line, FONT, FONT_SCALE, 1)[0] for line in lines]
    width = max(image.shape[1], *(size[0] + 16 for size in sizes))
    sheet = np.zeros((image.shape[0] + 22 * len(lines) + 6, width, 3), np.uint8)
    left = (width - image.shape[1]) // 2
    sheet[: image.shape[0], left : left + image.shape[1]] = image
    for i, line in enumerate(lines):
        origin = 8, image.shape[0] + 22 * i + 18
        cv2.putText(sheet, line, origin, FONT, FONT_SCALE, WHITE, 1, cv2.LINE_AA)
    return sheet


def labelled(image, lines):
    """Put lines of text under a tile, each shortened in its middle to the tile's width."""
    sheet = np.zeros((image.shape[0] + 15 * len(lines) + 6, *image.shape[1:]), np.uint8)
    sheet[: image.shape[0]] = image
    for i, line in enumerate(lines):
        text, keep = line, len(line)
        while keep and cv2.getTextSize(text, FONT, SMALL, 1)[0][0] > image.shape[1] - 4:
            keep -= 1
            text = line[: keep // 2] + "..." + line[len(line) - (keep - keep // 2) :]
        origin = 2, image.shape[0] + 15 * i + 12
        cv2.putText(sheet, text, origin, FONT, SMALL, WHITE, 1, cv2.LINE_AA)
    return sheet


def query_sheet(title, picture):
    """Draw a query's picture, or None, over its title."""
    side = 140 if picture is None else max(140, tile_side(picture))
    return with_caption(tile(picture, side), [title])


def results_sheet(pictures, hits, side, captions, summary, columns=None):
    """Draw the pictures of results as a montage of tiles of `side` pixels over a line of summary.

    `hits` tells which are right, or is None: those that are not get a red border. `captions`,
    lines of text for each picture, or None, stand under the tiles.
    """
    tiles = [
        tile(picture, side, RED if hits is not None and not hits[i] else None)
        for i, picture in enumerate(pictures)
    ]
    if captions is not None:
        tiles = [labelled(*pair) for pair in zip(tiles, captions, strict=True)]
    columns = columns or math.ceil(math.sqrt(len(tiles)))
    return with_caption(montage(tiles, columns), [summary])


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
