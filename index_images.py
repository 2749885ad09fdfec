"""Encode images with a trained model into an index that search.py can search.

usage: python index_images.py --model output/autoencoder.h5 --index output/index.pickle
       python index_images.py --model photos.keras --index photos.h5 --dataset my/photos
       python index_images.py --model efficientnet_b0 --index photos.h5 --dataset my/photos
       python index_images.py --index photos.h5 --engine HNSW32
"""

import argparse
import os
import sys
import time
from pathlib import Path

from pyimagesearch.cli import HelpFormatter, command, fraction, info, positive_int, warn
from pyimagesearch.datasets import SPLITS, open_dataset
from pyimagesearch.encoders import Encoder
from pyimagesearch.engine_files import engine_name, engine_path, save_engine
from pyimagesearch.files import require_writable, sha256_of
from pyimagesearch.images import FITS
from pyimagesearch.indexes import METRICS, Index, load_index, save_index
from pyimagesearch.pretrained import NETWORKS, pretrained_encoder, pretrained_fingerprint


def parse_args(argv):
    parser = argparse.ArgumentParser(
        description="Encode images with a trained model into an index. The index of a folder is "
        "brought up to date when there is one already; without --model any index is, as it was "
        "made.",
        formatter_class=HelpFormatter,
    )
    add = parser.add_argument
    names = ", ".join(NETWORKS)
    add("-m", "--model", help=f"trained model, .keras or .h5, or {names} (default: the index's)")
    add("-i", "--index", required=True, help="index to write: .h5 for HDF5, else a pickle")
    kinds = "mnist, fashion_mnist, cifar10, .npz file or folder"
    add("--dataset", help=f"{kinds} (default: mnist; without --model the index's)")
    add("--split", choices=SPLITS, help="which part to index (default: train); folders have none")
    add("--limit", type=positive_int, help="index the first N images only, for a quick look")
    add("--metric", choices=METRICS, help="distance a search ranks by (default: euclidean)")
    add = parser.add_argument_group("search engine").add_argument
    add(
        "--engine",
        metavar="NAME",
        help="exact; auto, by size; clusters or clusters:K, K-means; hash:BITS, binary codes; or "
        "any FAISS factory string, such as HNSW32 or IVF256,PQ8 (default: the index's, else exact)",
    )
    add(
        "--recall",
        type=fraction,
        default=0.98,
        help="part of the true 10 nearest that the engine is tuned to find",
    )
    add = parser.add_argument_group("folders").add_argument
    add("--rebuild", action="store_true", help="start anew, whatever the index holds")
    add("--checksum", action="store_true", help="compare files by content, not size and time")
    add("--rejects", metavar="FILE", help="list the files that cannot be read, with the reasons")
    add = parser.add_argument_group("pretrained networks").add_argument
    add("--weights", metavar="FILE", help="weights of the network (default: ImageNet's)")
    size = {"nargs": 2, "type": positive_int, "metavar": ("H", "W")}
    add("--image-size", **size, help="size of its images (default: the one it was trained with)")
    add("--fit", choices=FITS, help="how other proportions get there (default: letterbox)")
    return parser.parse_args(argv)


@command
def main(argv=None):
    args = parse_args(argv)
    require_writable(args.index, *[args.rejects] * bool(args.rejects))
    index = index_so_far(args)
    location = choose_images(args, index)
    info(f"looking at {location['name']}...")
    dataset = open_dataset(**location)
    encoder = load_encoder(args, index)
    metric = args.metric or (index.metric if index else "euclidean")
    engine = choose_engine(args, index, encoder.dim)

    info(f"encoding {location['name']}...")
    if os.path.isdir(location["name"]):
        if index and not args.rebuild:
            require_same_folder(index, dataset, args.index)
        index_folder(dataset, None if args.rebuild else index, encoder, metric, args)
    else:
        index_array(dataset, encoder, metric, args.index)
    update_engine(args, engine, dataset)


def index_so_far(args):
    """Return the index that is to be brought up to date; None where a new one takes its place."""
    if args.model and (args.rebuild or not os.path.exists(args.index)):
        return None
    if not os.path.exists(args.index):
        raise ValueError(f"no index at {args.index} yet: name the model to make it with --model")
    try:
        index = load_index(args.index)
    except ValueError as error:
        raise ValueError(f"{error}, with --model and --rebuild") from error
    if not args.model and not index.encoder:
        raise ValueError(f"{args.index} carries no model: name the one that made it with --model")
    return None if args.model and not index.of_folder else index


def choose_images(args, index):
    """Return the location of the images to index: without --model, those that were indexed."""
    start = {"name": "mnist", "split": "train", "limit": None}
    if not args.model and index.dataset:
        start = index.dataset
    given = {"name": args.dataset, "split": args.split, "limit": args.limit}
    return {**start, **{name: value for name, value in given.items() if value is not None}}


def require_same_folder(index, dataset, path):
    """Raise ValueError where a sync would drop all pictures for those of another place."""
    if dataset.location["name"] != index.dataset["name"] and not set(index.ids) & set(dataset.ids):
        raise ValueError(
            f"{path} is the index of {index.dataset['name']}, and {dataset.location['name']} has "
            "none of its pictures: name another index, or replace this one with --rebuild"
        )


def load_encoder(args, index):
    """Return the encoder of the index so far, if it is that of the model, or else a new one."""
    model = args.model
    if model is None:
        return index.encoder
    if model in NETWORKS:
        settings = model, args.weights, args.image_size, args.fit or FITS[0]
        make, fingerprint = pretrained_encoder, pretrained_fingerprint
    elif args.weights or args.image_size or args.fit:
        raise ValueError(
            f"--weights, --image-size and --fit are for {', '.join(NETWORKS)}: {model} is a model "
            "file, which brings its own"
        )
    else:
        settings, make, fingerprint = (model,), Encoder.from_file, sha256_of
    if index is None:
        info(f"loading {model}...")
        return make(*settings)
    if fingerprint(*settings) != index.encoder.model_sha256:
        made = f"another model, {index.encoder.model}, than {model}"
        if model in NETWORKS and model == index.encoder.model:
            spec = index.encoder.spec
            made = f"other weights or images of {model} ({spec.height} x {spec.width}, {spec.fit})"
        raise ValueError(
            f"the index was made with {made}: "
            "codes of two models cannot be compared; encode everything again with --rebuild"
        )
    return index.encoder  # as ONNX, so that nothing waits for TensorFlow


def index_array(dataset, encoder, metric, path):
    """Encode an array of images into a new index."""
    from tqdm import tqdm

    count = len(dataset)
    started = time.perf_counter()
    with tqdm(total=count, unit="image", leave=False, disable=None) as bar:
        codes = encoder.encode_dataset(dataset, progress=bar.update)
    rate = count / (time.perf_counter() - started)
    labels, location = dataset.labels, dataset.location
    save_index(Index(codes, dataset.ids, labels, None, location, metric, encoder), path)
    info(f"wrote {path}: {count:,} codes of {encoder.dim} numbers, {rate:,.0f} images/s")


def index_folder(dataset, index, encoder, metric, args):
    """Bring the index of a folder up to date, or make it."""
    from pyimagesearch.scanning import printable
    from pyimagesearch.syncing import sync

    try:
        print(sync(dataset, index, encoder, args.index, metric, args.checksum))
    finally:
        if args.rejects:
            with open(args.rejects, "w", encoding="utf-8") as file:
                for path, reason in dataset.rejects.items():
                    file.write(f"{printable(path)}\t{reason}\n")
    info(f"wrote {args.index}")


def choose_engine(args, index, dim):
    """Return the name of the engine to build: by default that of the index so far."""
    if args.engine:
        from pyimagesearch.building import require_engine

        require_engine(args.engine, dim)
        return args.engine
    path = engine_path(args.index)
    return engine_name(path) if index and os.path.exists(path) else "exact"


def update_engine(args, name, dataset):
    """Store an engine for the index just written; exact search needs none.

    An engine of other codes than the index's would be refused by a search, so one that was there
    is always built again or removed.
    """
    path = engine_path(args.index)
    if name != "exact":
        from pyimagesearch.building import build_engine

        index = load_index(args.index)
        info(f"building the engine {name}...")
        engine = build_engine(index.features, name, index.metric, args.recall)
        name = engine.name
        if engine.reason:
            info(f"auto chose {name}: {engine.reason}")
        if name != "exact":
            save_engine(engine, path, index.codes_sha256)
            print(engine.report)
            report_engine(engine, index, dataset, args)
    if name == "exact" and os.path.exists(path):
        os.unlink(path)
        info(f"removed {path}: the search is exact")


def report_engine(engine, index, dataset, args):
    """Say where an engine falls short, and draw the clusters of one that has them."""
    if engine.name.startswith("clusters"):
        from pyimagesearch.clustering import draw_clusters
        from pyimagesearch.folders import FolderDataset

        # A folder's dataset also has the files that proved bad, the index has not.
        gallery = dataset
        if index.of_folder:
            gallery = FolderDataset(dataset.folder, index.ids)
        for path in draw_clusters(engine, gallery, Path(args.index).parent):
            info(f"wrote {path}")
    elif not engine.report.reached:
        warn(
            f"{engine.name} finds {engine.report.recall_10:.3f} of the true 10 nearest at its "
            f"widest, not {args.recall}: choose another engine where that matters"
        )


if __name__ == "__main__":
    sys.exit(main())
