"""A network beside its codes adapted to the pictures, without labels and with them.

Prints P@1, P@10 and mAP of the network alone, of its first principal components, of adapted codes,
and with --views of the default training of train_autoencoder.py and of the network with patches
beside it, for the same pictures and queries.
Relevant is the first sub-folder. Without QUERIES, a fifth of the pictures is held out in turn, by
the seed. The features are kept in FOLDER. Times are processor time of the fit, without the
features.

The network is by default the one that `python -m benchmarks.pretrained_codes x y --only-convert`
writes.

usage: python -m benchmarks.adapted_codes DATASET [QUERIES] [--network output/efficientnet_lite0]
           [--folder output] [--dims 64 128] [--seeds 1 2 3] [--views]
"""

import argparse
import tempfile
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from benchmarks.codes import encode_all
from benchmarks.photos import table_row, train
from pyimagesearch.datasets.catalog import open_dataset
from pyimagesearch.datasets.dataset import Dataset
from pyimagesearch.decomposition.adapted_map import adapted_map, components_of
from pyimagesearch.decomposition.pca import principal_components
from pyimagesearch.encoders.encoder import Encoder
from pyimagesearch.encoders.feature_file import FeatureFile, origin_of
from pyimagesearch.encoders.kept_codes import encode_kept
from pyimagesearch.encoders.miniatures import with_miniatures
from pyimagesearch.encoders.model_source import ModelFlags, find_model
from pyimagesearch.evaluation.evaluate import labels_in
from pyimagesearch.evaluation.metrics import evaluate
from pyimagesearch.metric import normalise
from pyimagesearch.training.adaptation import Adaptation, adapt
from pyimagesearch.training.contrast_head import train_contrast_head

SCORES = "P@1", "P@10", "mAP"


@dataclass
class Task:
    """Pictures to learn from and to search, and queries: datasets, and the features of both.

    `folder` has the features that `encoder`, a network, gives for them.
    """

    encoder: Encoder
    folder: Path
    gallery: Dataset
    queries: Dataset
    features: np.ndarray
    query_features: np.ndarray

    def scores(self, codes, query_codes):
        labels = labels_in(self.gallery, self.queries)
        return evaluate(normalise(query_codes), labels, normalise(codes), self.gallery.labels)

    def components(self):
        return components_of(lambda: iter([self.features]))


def open_task(args, encoder, seed):
    """Return the Task of a seed."""
    pictures = open_dataset(args.dataset)
    if args.queries:
        gallery, queries = pictures, open_dataset(args.queries)
    else:
        gallery, queries = pictures.split(0.2, seed)
    features, query_features = (
        features_of(part, encoder, args.folder) for part in (gallery, queries)
    )
    if args.views:
        for part in (gallery, queries):
            features_of(part, with_miniatures(encoder), args.folder)
    return Task(encoder, args.folder, gallery, queries, features, query_features)


def features_of(dataset, encoder, folder):
    file = FeatureFile(folder, origin_of(encoder))
    features = file.features(dataset, np.arange(len(dataset)), encoder)
    if len(features) < len(dataset):
        raise SystemExit("some pictures cannot be read: leave them out with --exclude")
    return np.concatenate(list(features.blocks()))


def network(task):
    return task.scores(task.features, task.query_features)


def principal(task, dim):
    found = principal_components(task.features, dim)
    return task.scores(found.project(task.features), found.project(task.query_features))


def adapted(task, dim):
    return with_head(task, [adapted_map(task.components(), dim)])


def labelled(task, dim, seed):
    head = train_contrast_head(task.components(), task.gallery.labels, dim, seed)
    return with_head(task, head)


def with_head(task, head):
    return task.scores(*(head_codes(head, part) for part in (task.features, task.query_features)))


def head_codes(head, features):
    """Return what a head makes of features (n, d), as the graph of `with_head` does."""
    first, *others = head
    codes = first.apply(features)
    for layer in others:
        codes = layer.apply(np.maximum(codes, 0))
    return codes


def views(task, dim, seed):
    """Return the scores of the default training, in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        pictures = Path(folder) / "pictures"
        for name in task.gallery.ids:
            path = pictures / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.symlink_to(task.gallery.path(name))
        encoder, _ = train(Path(folder), pictures, "views", dim, seed)
    codes = (encode_all(encoder, part) for part in (task.gallery, task.queries))
    return task.scores(*codes)


def beside_patches(task, dim, seed, *, supcon=False):
    """Return the scores of the network with patches beside it, as train_autoencoder.py makes it."""
    settings = Adaptation(supcon=supcon, patches=True, dim=dim, seed=seed)
    encoder = adapt(task.encoder, task.gallery, task.folder, settings)
    codes = []
    for part in (task.gallery, task.queries):
        encoded = encode_kept(part, np.arange(len(part)), encoder, folder=task.folder)
        codes.append(np.concatenate([batch.codes for batch in encoded]))
    return task.scores(*codes)


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
        for task, seed in list(zip(tasks, args.seeds, strict=True))[:count]:
            started = time.process_time()
            scores.append(measure(task, seed))
            seconds.append(time.process_time() - started)
        print(table_row(name, scores, seconds if timed else None), flush=True)

    alone = f"the network, {first.features.shape[1]:,}-d"
    show(alone, lambda task, seed: network(task), once, timed=False)
    show("its PCA, 64-d", lambda task, seed: principal(task, 64), once, timed=False)
    if args.views:
        show("views, 64-d", lambda task, seed: views(task, 64, seed))
    for dim in args.dims:
        show(f"adapted, {dim}-d", lambda task, seed, dim=dim: adapted(task, dim), once)
    for dim in args.dims:
        show(f"adapted with labels, {dim}-d", lambda task, seed, dim=dim: labelled(task, dim, seed))
    if not args.views:
        return
    for supcon, name in ((False, "both"), (True, "both with labels")):
        for dim in args.dims:
            measure = partial(beside_patches, dim=dim, supcon=supcon)
            show(f"{name}, {dim}-d", lambda task, seed, m=measure: m(task, seed=seed))


if __name__ == "__main__":
    main()
