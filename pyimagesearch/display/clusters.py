"""Pictures of K-means clusters: the members nearest to each centre, and the elbow."""

import numpy as np

from pyimagesearch.display.montage import groups_sheet, write_image
from pyimagesearch.display.plots import plot_elbow
from pyimagesearch.display.report import Reporter
from pyimagesearch.search.kmeans import clusters_of, nearest_to_centres


def draw_clusters(engine, gallery, folder):
    """Draw the clusters of an engine, with images of the dataset `gallery`, into a folder.

    `clusters.png` shows the pictures nearest to each centre; `elbow.png` plots the choice of the
    number of clusters, where it was not given. Returns the paths of both.
    """
    paths, reporter = [f"{folder}/clusters.png"], Reporter(gallery)
    clusters = clusters_of(engine)
    groups = nearest_to_centres(engine, clusters)
    titles = _titles(clusters, gallery.labels, reporter.label)
    sheet = groups_sheet(groups, titles, gallery.ids, reporter.picture, rows=len(groups))
    write_image(paths[0], sheet)
    if engine.elbow:
        paths.append(f"{folder}/elbow.png")
        plot_elbow(paths[1], engine.elbow)
    return paths


def _titles(clusters, labels, name_of):
    """Return a line per cluster: its size and, where labels are known, the most frequent one."""
    titles = []
    for cluster in range(len(clusters.centroids)):
        members = clusters.assignments == cluster
        size = np.count_nonzero(members)
        titles.append(f"cluster {cluster}: {size:,} pictures")
        known = np.empty(0) if labels is None else labels[members][labels[members] >= 0]
        if len(known):
            values, counts = np.unique(known, return_counts=True)
            titles[-1] += f", {counts.max() / size:.0%} are {name_of(values[counts.argmax()])}"
    return titles
