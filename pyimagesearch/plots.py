"""Plots of numbers, by matplotlib."""

from matplotlib import style
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from pyimagesearch.files import replacing


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
        with replacing(path) as temporary:
            figure.savefig(temporary)
