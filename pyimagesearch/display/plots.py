"""Plots of numbers, by matplotlib."""

import numpy as np
from matplotlib import style
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from pyimagesearch.files import atomic_write


def plot_elbow(path, elbow):
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
        with atomic_write(path) as temporary:
            figure.savefig(temporary)


def plot_training(path, history, baselines):
    """Plot the losses of each epoch to the file `path`; beside them, if measured, the P@10.

    `history` is a list of {"phase", "epoch", "loss", "val_loss"}, perhaps with "P@10". Each phase
    has a loss of its own, drawn as a line of its own. `baselines` are P@10 by name, drawn across.
    """
    measured = "P@10" in history[0]
    phases = list(dict.fromkeys(row["phase"] for row in history))
    with style.context("ggplot"):
        figure = Figure(figsize=(12.8, 4.8) if measured else (6.4, 4.8), layout="tight")
        panels = np.atleast_1d(figure.subplots(1, 1 + measured))
        for number, phase in enumerate(phases):
            places = [i for i, row in enumerate(history, 1) if row["phase"] == phase]
            prefix = f"{phase}: " if len(phases) > 1 else ""
            for name, label, line in (("loss", "train_loss", ":"), ("val_loss", "val_loss", "-")):
                values = [history[i - 1][name] for i in places]
                colour = f"C{number}"
                panels[0].plot(places, values, line, color=colour, label=prefix + label, marker=".")
        panels[0].set(title="Training loss", xlabel="Epoch", ylabel="Loss (mean squared error)")
        if len(phases) > 1:  # whose losses are of different kinds
            panels[0].set(ylabel="Loss of each phase", yscale="log")
        if measured:
            values = [row["P@10"] for row in history]
            panels[1].plot(range(1, len(values) + 1), values, label="codes", marker=".")
            for i, (name, value) in enumerate(baselines.items(), 1):
                panels[1].axhline(value, label=name, linestyle="--", color=f"C{i}")
            panels[1].set(title="Retrieval of validation images", xlabel="Epoch", ylabel="P@10")
        for axes in panels:
            axes.xaxis.set_major_locator(MaxNLocator(integer=True))
            axes.legend()
        with atomic_write(path) as temporary:
            figure.savefig(temporary)
