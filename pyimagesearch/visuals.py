"""Pictures of what happens: loss plots, reconstructions, montages, windows."""

import cv2
import numpy as np

from pyimagesearch.files import replacing


def write_image(path, image):
    """Write a uint8 BGR picture; the suffix of `path` chooses the format."""
    with replacing(path) as temporary:
        if not cv2.imwrite(str(temporary), image):
            raise ValueError(f"cannot write {path}: give a name ending in .png or .jpg")


def to_bgr(picture):
    """Return an image, uint8 or float in [0, 1], (h, w, 1 or 3) RGB, as uint8 BGR for OpenCV."""
    if picture.dtype != np.uint8:
        picture = np.round(np.clip(picture, 0, 1) * 255).astype(np.uint8)
    code = cv2.COLOR_GRAY2BGR if picture.shape[2] == 1 else cv2.COLOR_RGB2BGR
    return cv2.cvtColor(picture, code)


def reconstruction_sheet(originals, decoded):
    """Stack original | reconstruction pairs; both are float in [0, 1], (n, h, w, c)."""
    return np.vstack([np.hstack([to_bgr(a), to_bgr(b)]) for a, b in zip(originals, decoded)])


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
