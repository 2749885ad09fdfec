"""Pictures of K-means clusters: the members nearest to each centre, and the elbow."""

import numpy as np

from pyimagesearch.engines.kmeans import clusters_of, nearest_to_centres
from pyimagesearch.show.image_file import write_image
from pyimagesearch.show.montage import groups_sheet
from pyimagesearch.show.plots import plot_elbow
from pyimagesearch.show.reporter import Reporter


def draw_clusters(engine, gallery, folder):
    """Draw the clusters of an engine, with images of the dataset `gallery`, into a folder.

    `clusters.png` shows the pictures nearest to each centre; `elbow.png` plots the choice of the
    number of clusters, where it was not given. Returns the paths of both.
    """
    paths, reporter = [f"{folder}/clusters.png"], Reporter(gallery)
    clusters = clusters_of(engine)
    groups = [
        (rows, [[str(gallery.ids[row]), f"{distance:.4g}"] for row, distance in pairs])
        for rows, distances in nearest_to_centres(engine, clusters)
        for pairs in [zip(rows, distances, strict=True)]
    ]
    titles = _titles(clusters, gallery.labels, reporter.label)
    sheet = groups_sheet(groups, titles, reporter.picture, rows=len(groups))
    write_image(paths[0], sheet)
    if engine.elbow:
        paths.append(f"{folder}/elbow.png")
        plot_elbow(paths[1], engine.elbow)
    return paths


def _titles(clusters, labels, name_of):
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
