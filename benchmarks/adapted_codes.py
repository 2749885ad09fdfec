"""A network beside its codes adapted to the pictures, without labels and with them.

Prints P@1, P@10 and mAP of the network alone, of its first principal components, of adapted codes,
and with --views of the default training of train_autoencoder.py and of the network with patches
beside it, for the same pictures and queries. Relevant is the first sub-folder. Without QUERIES, a
fifth of the pictures is held out in turn, by the seed. The features are kept in FOLDER. Times are
processor time of the fit, without the features; patches are fitted once, for the first row of both.

The network is by default the one that `python -m benchmarks.pretrained_codes x y --only-convert`
writes.

usage: python -m benchmarks.adapted_codes DATASET [QUERIES] [--network output/efficientnet_lite0]
           [--folder output] [--dims 64 128] [--seeds 1 2 3] [--views]
"""

import argparse
import tempfile
import time
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path

import numpy as np

from benchmarks.codes import encode_all
from benchmarks.photos import table_row, train
from pyimagesearch.datasets.catalog import open_dataset
from pyimagesearch.datasets.dataset import Dataset
from pyimagesearch.decomposition.adapted_map import adapted_map, components_of
from pyimagesearch.decomposition.pca import principal_components
from pyimagesearch.encoders.adapted_head import with_head
from pyimagesearch.encoders.encoder import Encoder
from pyimagesearch.encoders.feature_file import FeatureFile, origin_of
from pyimagesearch.encoders.kept_codes import open_head
from pyimagesearch.encoders.miniatures import with_miniatures
from pyimagesearch.encoders.model_source import ModelFlags, find_model
from pyimagesearch.evaluation.evaluate import labels_in
from pyimagesearch.evaluation.metrics import evaluate
from pyimagesearch.metric import normalise
from pyimagesearch.training.adaptation import fit_beside
from pyimagesearch.training.contrast_head import train_contrast_head

SCORES = "P@1", "P@10", "mAP"


@dataclass
class Task:
    """Pictures to learn from and to search, and queries: datasets, and the features of both.

    Miniatures may follow the features of the `network`, as those of `with_miniatures` do.
    """

    network: Encoder
    gallery: Dataset
    queries: Dataset
    features: list[np.ndarray]
    seed: int

    def scores(self, codes, query_codes):
        labels = labels_in(self.gallery, self.queries)
        return evaluate(normalise(query_codes), labels, normalise(codes), self.gallery.labels)

    def own(self):
        """Return the features of the network alone."""
        return [features[:, : self.network.dim] for features in self.features]

    @cached_property
    def components(self):
        return components_of(lambda: iter(self.own()[:1]))

    @cached_property
    def beside(self):
        """The network of miniatures and its codes of the gallery."""
        return fit_beside(lambda: iter(self.features[:1]), self.network, self.seed)


def open_task(args, network, seed):
    """Return the Task of a seed."""
    pictures = open_dataset(args.dataset)
    if args.queries:
        gallery, queries = pictures, open_dataset(args.queries)
    else:
        gallery, queries = pictures.split(0.2, seed)
    encoder = with_miniatures(network) if args.views else network
    features = [features_of(part, encoder, args.folder) for part in (gallery, queries)]
    return Task(network, gallery, queries, features, seed)


def features_of(dataset, encoder, folder):
    file = FeatureFile(folder, origin_of(encoder))
    features = file.features(dataset, np.arange(len(dataset)), encoder)
    if len(features) < len(dataset):
        raise SystemExit("some pictures cannot be read: leave them out with --exclude")
    return np.concatenate(list(features.blocks()))


def network(task):
    return task.scores(*task.own())


def principal(task, dim):
    features, query_features = task.own()
    found = principal_components(features, dim)
    return task.scores(found.project(features), found.project(query_features))


def views(task, dim):
    """Return the scores of the default training, in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        pictures = Path(folder) / "pictures"
        for name in task.gallery.ids:
            path = pictures / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.symlink_to(task.gallery.path(name))
        encoder, _ = train(Path(folder), pictures, "views", dim, task.seed)
    codes = (encode_all(encoder, part) for part in (task.gallery, task.queries))
    return task.scores(*codes)


def adapted(task, dim, *, labels=False, both=False):
    """Return the scores of an adapted network, as train_autoencoder.py makes it."""
    components = task.components
    if both:
        network, codes = task.beside
        components = components.beside(codes)
    if labels:
        head = train_contrast_head(components, task.gallery.labels, dim, task.seed)
    else:
        head = [adapted_map(components, dim)]
    if both:
        encoder = with_head(with_miniatures(task.network), head, network)
        return scores_of(task, encoder, task.features)
    return scores_of(task, with_head(task.network, head), task.own())


def scores_of(task, encoder, features):
    """Return the scores of the head of an encoder, run on features as it is for an index."""
    head = open_head(encoder)
    return task.scores(*map(head.codes, features))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("dataset")
    parser.add_argument("queries", nargs="?")
    parser.add_argument("--network", default="output/efficientnet_lite0")
    parser.add_argument("--folder", type=Path, default=Path("output"))
    parser.add_argument("--dims", type=int, nargs="+", default=[64, 128])
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--views", action="store_true")
    args = parser.parse_args()
    encoder = find_model(ModelFlags(args.network)).open()
    tasks = [open_task(args, encoder, seed) for seed in args.seeds]
    first = tasks[0]
    sizes = f"{len(first.gallery):,} images, {len(first.queries):,} queries"
    print(f"| {Path(args.dataset).name}, {sizes} | {' | '.join(SCORES)} | fit |")
    print("|---" * (len(SCORES) + 2) + "|", flush=True)

    # Given queries, nothing but labels and views depends on the seed.
    once = 1 if args.queries else None

    def show(name, measure, count=None, timed=True):
        scores, seconds = [], []
        for task in tasks[:count]:
            started = time.process_time()
            scores.append(measure(task))
            seconds.append(time.process_time() - started)
        print(table_row(name, scores, seconds if timed else None), flush=True)

    show(f"the network, {encoder.dim:,}-d", network, once, timed=False)
    show("its PCA, 64-d", partial(principal, dim=64), once, timed=False)
    for dim in args.dims:
        show(f"adapted, {dim}-d", partial(adapted, dim=dim), once)
    for dim in args.dims:
        show(f"adapted with labels, {dim}-d", partial(adapted, dim=dim, labels=True))
    if not args.views:
        return
    show("views, 64-d", partial(views, dim=64), timed=False)
    for dim in args.dims:
        show(f"both, {dim}-d", partial(adapted, dim=dim, both=True))
    for dim in args.dims:
        show(f"both with labels, {dim}-d", partial(adapted, dim=dim, labels=True, both=True))


if __name__ == "__main__":
    main()
