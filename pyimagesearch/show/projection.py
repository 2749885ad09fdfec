"""Projections of all codes to two dimensions, with queries and their results marked."""

import logging
from collections.abc import Iterator, Sequence
from typing import Any

import cv2
import numpy as np

from pyimagesearch.arrays import AnyArray, Floats, Pixels, Rows
from pyimagesearch.decomposition.pca import principal_components
from pyimagesearch.engines.kmeans import clusters_of
from pyimagesearch.files import printable
from pyimagesearch.indexes.local_index import LabelTexts, LocalIndex
from pyimagesearch.metric import get_metric
from pyimagesearch.queries.query import Answer
from pyimagesearch.show.lettering import BLACK, SMALL, WHITE, draw_text, with_caption

logger = logging.getLogger(__name__)

MAX_POINTS = {"pca": 200_000, "tsne": 5_000, "umap": 20_000}  # the latter two take minutes
COLOURS = 20  # distinguishable ones
LONGEST_NAME = 14  # characters of a group's name in the legend
NO_LABEL = "(no label)"
WIDTH = 1100  # pixels
HEIGHT = 850
RINGS = 10  # results that are marked
REACH = 8  # pixels from a point within which the mouse is over it
RED = (0, 0, 255)  # BGR


class Projection:
    """Codes as points in a plane, coloured by group, drawn with queries and results.

    Codes near each other become points near each other, as far as two dimensions allow.
    """

    def __init__(
        self,
        codes: Floats,
        queries: Floats,
        results: Sequence[Rows],
        groups: Sequence[str] | None = None,
        *,
        metric: str = "euclidean",
        method: str = "pca",
    ) -> None:
        """Project float32 `codes` (n, d), a random sample of many, and `queries` (q, d).

        `results` are int64 arrays, the rows of `codes` found for each query, which are always
        among the points. `groups` is a list of n names of groups, or None; `metric` the name of
        the metric, `method` one of PROJECTIONS.
        """
        rng = np.random.default_rng(0)
        rows = rng.choice(len(codes), min(MAX_POINTS[method], len(codes)), replace=False)
        self.rows = np.unique(np.concatenate([rows, *results]).astype(np.int64))
        self.results = results
        points = np.concatenate([codes[self.rows], queries])
        points = PROJECTIONS[method](get_metric(metric).points(points))
        names = None if groups is None else [groups[row] for row in self.rows]
        self._image, pixels = _scatter(points[: len(self.rows)], names, points)
        self._points = pixels[: len(self.rows)]
        self._queries = pixels[len(self.rows) :]

    def sheet(self, number: int, title: str) -> Pixels:
        """Return the map, uint8 BGR: query `number` is a star, its first results have rings."""
        image = self._image.copy()
        nearest = self.results[number][:RINGS]
        for rank, place in enumerate(np.searchsorted(self.rows, nearest), 1):
            x, y = self._points[place].tolist()
            for colour, thickness in ((WHITE, 4), (BLACK, 1)):
                cv2.circle(image, (x, y), 7, colour, thickness, cv2.LINE_AA)
                origin = (x + 8, y - 6)
                draw_text(image, str(rank), origin, SMALL, colour=colour, thickness=thickness)
        for colour, thickness in ((BLACK, 5), (RED, 2)):
            where = self._queries[number].tolist()
            cv2.drawMarker(image, where, colour, cv2.MARKER_STAR, 26, thickness, cv2.LINE_AA)
        rings = "no results" if not len(nearest) else f"rings: its first {len(nearest)} results"
        return with_caption(image, [f"star: {title}; {rings}"])

    def nearest_row(self, x: int, y: int) -> int | None:
        """Return the row of the code whose point is nearest to a pixel, None where none is near."""
        squares = ((self._points - (x, y)) ** 2).sum(axis=1)
        place = int(squares.argmin())
        return int(self.rows[place]) if squares[place] <= REACH**2 else None


def project_index(answers: Sequence[Answer], loaded: LocalIndex, *, method: str) -> Projection:
    """Return the Projection of what was loaded of an index, with its answers.

    It is coloured by label or, without labels, by cluster.
    """
    logger.info(f"drawing a map by {method}...")
    engine = loaded.engine
    groups = None
    if loaded.labels is not None:
        labels = LabelTexts(loaded)
        groups = [label or NO_LABEL for label in labels]
    elif engine.name.startswith("clusters") and hasattr(engine, "inverted"):
        groups = [f"cluster {number}" for number in clusters_of(engine).assignments]
    codes = []
    for answer in answers:
        assert answer.query.code is not None  # every query that was searched for has one
        codes.append(answer.query.code)
    rows = [loaded.rows_of(answer.hits.ids) for answer in answers]
    results = [np.array(list(places.values()), np.int64) for places in rows]
    queries = np.stack(codes)
    return Projection(loaded.codes, queries, results, groups, metric=loaded.metric, method=method)


def first_two_components(points: Floats) -> Floats:
    """Project float32 points (n, d) on their first two principal components, (n, 2)."""
    flat = principal_components(points, 2).project(points)
    return np.pad(flat, ((0, 0), (0, 2 - flat.shape[1])))


def tsne(points: Floats) -> Floats:
    """Lay out points by t-SNE (van der Maaten and Hinton, 2008); needs scikit-learn."""
    try:
        from sklearn.manifold import TSNE
    except ImportError as error:
        raise ImportError("a t-SNE map needs: pip install scikit-learn") from error
    perplexity = min(30, (len(points) - 1) / 3)
    return TSNE(perplexity=perplexity, random_state=0).fit_transform(points)


def umap(points: Floats) -> Floats:
    """Lay out points by UMAP (McInnes et al., 2018); needs umap-learn."""
    try:
        from umap import UMAP
    except ImportError as error:
        raise ImportError("a UMAP map needs: pip install umap-learn") from error
    return UMAP(random_state=0).fit_transform(points)


PROJECTIONS = {"pca": first_two_components, "tsne": tsne, "umap": umap}


def _scatter(
    points: Floats, names: Sequence[str] | None, framed: Floats
) -> tuple[Pixels, AnyArray]:
    """Draw points; return the image, uint8 BGR, and where the `framed` points are in it, int."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDTH / 100, HEIGHT / 100), dpi=100)
    axes = figure.add_axes((0.01, 0.01, 0.84 if names else 0.98, 0.98))
    axes.set(xticks=[], yticks=[])
    low = framed.min(axis=0)
    high = framed.max(axis=0)
    margin = 0.03 * (high - low) + 1e-6
    axes.set(xlim=(low[0] - margin[0], high[0] + margin[0]))
    axes.set(ylim=(low[1] - margin[1], high[1] + margin[1]))
    colours = np.empty((len(points), 3))
    handles = []
    texts = []
    for name, colour, chosen in _groups(names, len(points)):
        colours[chosen] = colour
        handles.append(axes.scatter([], [], 40, color=[colour]))
        texts.append(_legend_text(name))
    # In random order, because the group drawn last would hide the others.
    order = np.random.default_rng(0).permutation(len(points))
    size = float(np.clip(150_000 / len(points), 2.5, 40))
    across, up = points[order].T
    axes.scatter(across, up, size, color=colours[order], linewidths=0, alpha=0.7)
    if names:
        untitled = [""] * len(texts)
        legend = axes.legend(
            handles, untitled, loc="upper left", bbox_to_anchor=(1.01, 1), frameon=False
        )
        # Set afterwards, because a legend leaves out texts that begin with "_".
        for label, text in zip(legend.get_texts(), texts, strict=True):
            label.set_text(text)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    pixels = axes.transData.transform(framed)
    pixels[:, 1] = HEIGHT - pixels[:, 1]  # matplotlib counts from below
    image: AnyArray = cv2.cvtColor(np.asarray(canvas.buffer_rgba()), cv2.COLOR_RGBA2BGR)
    return image, np.round(pixels).astype(int)


def _legend_text(name: str | None) -> str:
    """Return the name of a group as short text without control characters or formulas."""
    text = printable(name or "")
    if len(text) > LONGEST_NAME:
        text = f"{text[: LONGEST_NAME // 2]}...{text[3 - LONGEST_NAME // 2 :]}"
    return text.replace("$", r"\$")


def _groups(names: Sequence[str] | None, count: int) -> Iterator[tuple[str | None, Any, Rows]]:
    """Yield the name, colour and places of each group; the smallest of many become one."""
    from matplotlib import color_sequences

    if names is None:
        yield None, color_sequences["tab10"][0], np.arange(count)
        return
    values, inverse, counts = np.unique(names, return_inverse=True, return_counts=True)
    colours = color_sequences["tab10" if len(values) <= 10 else "tab20"]
    kept = np.sort(np.argsort(-counts, kind="stable")[: COLOURS - (len(values) > COLOURS)])
    for colour, group in zip(colours, kept, strict=False):
        yield str(values[group]), colour, np.flatnonzero(inverse == group)
    if len(values) > COLOURS:
        others = np.flatnonzero(~np.isin(inverse, kept))
        yield f"{len(values) - len(kept)} others", (0.8, 0.8, 0.8), others
