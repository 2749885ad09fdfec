"""Pictures of K-means clusters: the members nearest to each centre, and the elbow."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyimagesearch.engines.kmeans import Clusters, clusters_of, nearest_to_centres
from pyimagesearch.indexes.local_index import LocalIndex
from pyimagesearch.show.card import Card
from pyimagesearch.show.image_file import write_image
from pyimagesearch.show.montage import Group, groups_sheet
from pyimagesearch.show.plots import plot_elbow
from pyimagesearch.show.reporter import Reporter
from pyimagesearch.show.sizes import GROUP_PICTURES


def draw_clusters(index: LocalIndex, folder: str | Path) -> list[str]:
    """Draw the clusters of an index, with its pictures, into a folder.

    `clusters.png` shows the pictures nearest to each centre; `elbow.png` plots the choice of the
    number of clusters, where it was not given. Returns the paths of both.
    """
    paths = [f"{folder}/clusters.png"]
    reporter = Reporter(index.pictures())
    engine = index.engine
    clusters = clusters_of(engine)
    titles = _titles(clusters, index.labels, reporter.label)
    groups = []
    for title, (rows, distances) in zip(titles, nearest_to_centres(engine, clusters), strict=True):
        ids = index.ids_of(rows)
        pairs = zip(ids[:GROUP_PICTURES], distances.tolist(), strict=False)
        cards = [Card(reporter.picture(id), (id, f"{distance:.3f}")) for id, distance in pairs]
        groups.append(Group(title, cards, len(ids)))
    write_image(paths[0], groups_sheet(groups, len(groups)))
    if engine.elbow:
        paths.append(f"{folder}/elbow.png")
        plot_elbow(paths[1], engine.elbow)
    return paths


def _titles(
    clusters: Clusters, labels: NDArray[np.int64] | None, name_of: Callable[[int], Any]
) -> list[str]:
    """Return a line for each cluster: its size and, where labels are known, the most frequent."""
    titles = []
    for cluster in range(len(clusters.centroids)):
        members = clusters.assignments == cluster
        titles.append(f"cluster {cluster}: {np.count_nonzero(members):,} pictures")
        known = np.empty(0) if labels is None else labels[members]
        known = known[known >= 0]
        if len(known):
            values, counts = np.unique(known, return_counts=True)
            share = counts.max() / len(known)
            titles[-1] += f", {share:.0%} of the labelled are {name_of(values[counts.argmax()])}"
    return titles
