"""Plots of losses, precision and inertia, by matplotlib."""

from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import style
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from pyimagesearch.arrays import History
from pyimagesearch.engines.kmeans import Elbow
from pyimagesearch.evaluation.diagnostics import IMAGE_PHASES
from pyimagesearch.show.image_file import write_marked


def _write(figure: Figure, path: str | Path) -> None:
    content = BytesIO()  # as Pillow does not report that a JPEG does not fit on the disk
    figure.savefig(content, format=Path(path).suffix.lower().removeprefix("."))
    write_marked(path, content.getvalue())


def plot_elbow(path: str, elbow: Elbow) -> None:
    """Plot the inertia for each number of clusters, the chosen one marked, to the file `path`."""
    with style.context("ggplot"):
        figure = Figure()
        axes = figure.subplots()
        axes.plot(elbow.ks, elbow.inertias, marker=".")
        axes.axvline(elbow.chosen, linestyle="--", color="black", label=f"K = {elbow.chosen}")
        axes.set(
            title="Choosing the number of clusters by the elbow",
            xlabel="Clusters (K)",
            ylabel="Mean squared distance to the centroid",
        )
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.legend(loc="upper right")
        _write(figure, path)


def plot_training(path: str, history: History, baselines: dict[str, float]) -> None:
    """Plot the losses of each epoch to the file `path` and, if measured, the P@10 before them.

    `history` is a list of {"phase", "epoch", "loss", "val_loss"}, perhaps with "P@10". The losses
    of each phase are lines of their own, because they may differ in kind. `baselines` are P@10 by
    name, drawn as horizontal lines.
    """
    measured = "P@10" in history[0]
    with style.context("ggplot"):
        figure = Figure(figsize=(12.8, 4.8) if measured else (6.4, 4.8), layout="constrained")
        panels = np.atleast_1d(figure.subplots(1, 1 + measured))
        _plot_losses(panels[-1], history)
        if measured:
            _plot_precision(panels[0], history, baselines)
        for axes in panels:
            if axes.get_legend_handles_labels()[0]:
                axes.xaxis.set_major_locator(MaxNLocator(integer=True))
                # Below the axes, where it covers no curve.
                where = {"loc": "upper center", "bbox_to_anchor": (0.5, -0.13)}
                axes.legend(**where, ncols=3, fontsize="small")
        _write(figure, path)


def _plot_losses(axes: Any, history: History) -> None:
    phases = list(dict.fromkeys(row["phase"] for row in history))
    for number, phase in enumerate(phases):
        epochs = [i for i, row in enumerate(history, 1) if row["phase"] == phase]
        prefix = f"{phase}: " if len(phases) > 1 else ""
        for name, label, line in (("loss", "training", ":"), ("val_loss", "validation", "-")):
            values = [history[i - 1][name] for i in epochs]
            colour = f"C{number}"
            axes.plot(epochs, values, line, color=colour, label=prefix + label, marker=".")
    compares_images = set(phases) <= set(IMAGE_PHASES)
    kind = "mean squared error of images" if compares_images else "of its objective"
    axes.set(title="Training loss", xlabel="Epoch", ylabel=f"Loss ({kind})")
    if len(phases) > 1:
        axes.set(ylabel="Loss of each phase", yscale="log")


def _plot_precision(axes: Any, history: History, baselines: dict[str, float]) -> None:
    """Plot the P@10 of each epoch or, where the epochs do not change the codes, as a bar."""
    values = [row["P@10"] for row in history]
    label = f"this model {values[-1]:.3f}"
    ranked = sorted(baselines.items(), key=lambda pair: -pair[1])
    precision = "Precision of the 10 nearest (P@10)"
    axes.set_title("What a search finds: validation images among the training images", size=11)
    if len(set(values)) == 1:
        _plot_bars(axes, [("this model", values[0]), *ranked])
        axes.set(xlabel=precision)
        return
    axes.plot(range(1, len(values) + 1), values, label=label, marker="o", linewidth=2.5)
    for number, (name, value) in enumerate(ranked, 1):
        axes.axhline(value, label=f"{name} {value:.3f}", linestyle="--", color=f"C{number}")
    axes.set(xlabel="Epoch", ylabel=precision)


def _plot_bars(axes: Any, bars: Sequence[tuple[str, float]]) -> None:
    """Draw named values as horizontal bars from top to bottom, the first in another colour."""
    names, values = zip(*bars, strict=True)
    colours = ["C0", *["C3"] * (len(bars) - 1)]
    drawn = axes.barh(range(len(bars)), values, color=colours, tick_label=names)
    axes.bar_label(drawn, fmt=" %.3f")
    axes.invert_yaxis()
    axes.margins(x=0.15)
