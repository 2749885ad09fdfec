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
FONT, FONT_SCALE = cv2.FONT_HERSHEY_SIMPLEX, 0.45
RED, WHITE = (0, 0, 255), (255, 255, 255)  # BGR


def write_image(path, image):
    """Write a uint8 BGR picture; the suffix of `path` chooses the format."""
    with replacing(path) as temporary:
        if not cv2.imwrite(str(temporary), image):
            raise OSError(f"cannot write {path}")


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
    return 2 * side if side <= 64 else min(side, 160)


def tile(picture, side, wrong=False):
    """Fit a picture into a square of `side` pixels, on black; a wrong result gets a red border."""
    image = to_bgr(picture)
    scale = side / max(image.shape[:2])
    size = [max(1, round(length * scale)) for length in image.shape[1::-1]]
    # Whole pixels show what the encoder saw; photographs are averaged down.
    image = cv2.resize(
        image, size, interpolation=cv2.INTER_NEAREST if scale > 1 else cv2.INTER_AREA
    )
    square = np.zeros((side, side, 3), np.uint8)
    top, left = (side - image.shape[0]) // 2, (side - image.shape[1]) // 2
    square[top : top + image.shape[0], left : left + image.shape[1]] = image
    if wrong:
        cv2.rectangle(square, (0, 0), (side - 1, side - 1), RED, thickness=max(2, side // 28))
    return square


def montage(tiles, columns):
    """Lay square tiles of one size out in rows of `columns`, black where there are none left."""
    side = tiles[0].shape[0]
    rows = -(-len(tiles) // columns)
    [sheet] = build_montages(tiles, (side, side), (columns, rows))
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


def query_sheet(query):
    """Draw a query, with its id and label under it."""
    title = f"query {query.id}" + ("" if query.label is None else f": {query.label}")
    return with_caption(tile(query.picture, max(140, tile_side(query.picture))), [title])


def results_sheet(query, results, pictures):
    """Draw the pictures of the first results as a montage, with a caption that sums up all of them.

    Where the labels are known, results of another label than the query's get a red border.
    """
    hits = results.hits(query)
    side = tile_side(pictures[0])
    tiles = [
        tile(picture, side, wrong=hits is not None and not hits[i])
        for i, picture in enumerate(pictures)
    ]
    count, distances = len(results.rows), results.distances
    caption = f"{count} results, distance {distances[0]:.3f} to {distances[-1]:.3f}"
    if count > len(pictures):
        caption += f", first {len(pictures)} shown"
    if hits is not None:
        caption += f", {np.count_nonzero(hits)} of {count} are {query.label}"
    return with_caption(montage(tiles, math.ceil(math.sqrt(len(tiles)))), [caption])


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


def shorten(text, width):
    """Cut the middle out of a text that would be drawn wider than `width` pixels."""
    text = text.encode("utf-8", "replace").decode()  # names may hold bytes that are no UTF-8
    for kept in range(len(text), 0, -1):
        short = (
            text if kept == len(text) else text[: kept // 2] + ".." + text[-(kept - kept // 2) :]
        )
        if cv2.getTextSize(short, FONT, FONT_SCALE, 1)[0][0] <= width:
            return short
    return ""


def duplicates_sheet(groups, ids, picture_of, rows=20, columns=10):
    """Draw groups of near-identical pictures, a group a row, its first member first.

    `groups` are Groups of `find_duplicates`, `ids` holds the id of every row of the index, and
    `picture_of(row)` gives its picture, (h, w, 1 or 3). Under each stand its id and its distance
    to the first. What goes beyond `rows` groups and `columns` pictures is counted only.

    Raises ValueError when there are no groups.
    """
    if not groups:
        raise ValueError("no groups to draw: nothing was found within the distance")
    gap = np.zeros((16, 1, 3), np.uint8)
    strips = [
        np.vstack(_padded([_line(f"group {number}: {len(group.rows):,} pictures"), strip, gap]))
        for number, group in enumerate(groups[:rows])
        for strip in [_group_strip(group, ids, picture_of, columns)]
    ]
    if len(groups) > rows:
        strips.append(_line(f"... and {len(groups) - rows:,} more groups"))
    return np.vstack(_padded(strips))


def _group_strip(group, ids, picture_of, columns):
    """Draw the first members of a group side by side, and say how many more there are."""
    rows = group.rows[:columns].tolist()
    pictures = [picture_of(row) for row in rows]
    side = max(140, *(tile_side(picture) for picture in pictures))  # narrower holds no caption
    tiles = [
        with_caption(tile(picture, side), [shorten(str(ids[row]), side - 16), f"{distance:.4g}"])
        for row, picture, distance in zip(rows, pictures, group.distances, strict=False)
    ]
    gap = np.zeros((*tiles[0].shape[:1], 8, 3), np.uint8)
    parts = [part for image in tiles for part in (image, gap)]
    if len(group.rows) > columns:
        blank = np.zeros((side + 22, 1, 3), np.uint8)
        parts.append(with_caption(blank, [f"... and {len(group.rows) - columns:,} more"]))
    return np.hstack(parts)


def _line(text):
    return with_caption(np.zeros((0, 1, 3), np.uint8), [text])


def _padded(images):
    """Widen images with black on the right to the width of the widest."""
    width = max(image.shape[1] for image in images)
    return [np.pad(image, ((0, 0), (0, width - image.shape[1]), (0, 0))) for image in images]
