"""Encode images with a trained model into an index that search.py can search.

usage: python index_images.py --model output/autoencoder.h5 --index output/index.pickle
       python index_images.py --model photos.keras --index photos.h5 --dataset my/photos
       python index_images.py --model efficientnet_b0 --index photos.h5 --dataset my/photos
       python index_images.py --index photos.h5 --engine HNSW32
       python index_images.py --model photos.keras --index http://localhost:19530/photos
"""

import argparse
import os
import sys
import time
from contextlib import contextmanager

import numpy as np

from pyimagesearch.cli import HelpFormatter, command, fraction, info, positive_int
from pyimagesearch.datasets.array import SPLITS
from pyimagesearch.datasets.catalog import open_dataset
from pyimagesearch.datasets.transforms import FITS
from pyimagesearch.files import require_writable, sha256_of
from pyimagesearch.index.index import Index, index_exists, load_index, save_index
from pyimagesearch.index.shards import merge_files, parse_shard, require_same_shard, take_shard
from pyimagesearch.indexing import engine_so_far, update_engine
from pyimagesearch.metric import METRICS
from pyimagesearch.milvus.client import is_milvus
from pyimagesearch.models.encode import encode_rows
from pyimagesearch.models.export import open_encoder
from pyimagesearch.models.pretrained import NETWORKS, pretrained_encoder, pretrained_fingerprint


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
    index = "index to write: .h5 for HDF5, http://HOST:PORT/NAME or FILE.db for Milvus, else pickle"
    add("-i", "--index", required=True, help=index)
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
    add = parser.add_argument_group("many machines").add_argument
    add("--shard", metavar="I/N", help="index part I of N only: others are for other processes")
    add("--merge", nargs="+", metavar="FILE", help="join index files, such as shards, to --index")
    add("--ray", nargs="?", const="", metavar="ADDRESS", help="encode on a Ray cluster")
    add = parser.add_argument_group("pretrained networks").add_argument
    add("--weights", metavar="FILE", help="weights of the network (default: ImageNet's)")
    size = {"nargs": 2, "type": positive_int, "metavar": ("H", "W")}
    add("--image-size", **size, help="size of its images (default: the one it was trained with)")
    add("--fit", choices=FITS, help="how other proportions get there (default: letterbox)")
    return parser.parse_args(argv)


@command
def main(argv=None):
    args = parse_args(argv)
    shard = args.shard and parse_shard(args.shard)
    files = [args.index] * (not is_milvus(args.index)) + [args.rejects] * bool(args.rejects)
    require_writable(*files)
    if args.merge:
        return merge(args)
    index = index_so_far(args)
    location = choose_images(args, index)
    info(f"looking at {location['name']}...")
    dataset = open_dataset(**location)
    total = len(dataset)
    if shard:
        dataset = take_shard(dataset, shard)
    encoder = load_encoder(args, index)
    metric = args.metric or (index.metric if index else "euclidean")
    encode = choose_encode(args)

    info(f"encoding {location['name']}...")
    if is_milvus(args.index):
        return index_collection(dataset, total, index, encoder, metric, encode, args)
    engine = choose_engine(args, index, encoder.dim)
    if os.path.isdir(location["name"]):
        if index and not args.rebuild:
            require_same_folder(index, dataset, args.index)
            if shard:
                require_same_shard(index, shard, args.index)
        index_folder(dataset, None if args.rebuild else index, encoder, metric, encode, args)
    else:
        index_array(dataset, encoder, metric, encode, args.index)
    update_engine(args.index, engine, args.recall)


def index_so_far(args):
    """Return the index that is to be brought up to date; None where a new one takes its place."""
    if args.model and args.rebuild:
        return None
    if not index_exists(args.index):
        if args.model:
            return None
        raise ValueError(f"no index at {args.index} yet: name the model to make it with --model")
    try:
        index = load_index(args.index)
    except ValueError as error:
        raise ValueError(f"{error}, with --model and --rebuild") from error
    if not args.model and not index.encoder:
        raise ValueError(f"{args.index} carries no model: name the one that made it with --model")
    keep = index.of_folder or is_milvus(args.index)
    return None if args.model and not keep else index


def choose_images(args, index):
    """Return the location of the images to index: without --model, those that were indexed."""
    start = {"name": "mnist", "split": "train", "limit": None}
    if not args.model and index.source:
        start = index.source
    given = {"name": args.dataset, "split": args.split, "limit": args.limit}
    return {**start, **{name: value for name, value in given.items() if value is not None}}


def require_same_folder(index, dataset, path):
    """Raise ValueError where a sync would drop all pictures for those of another place."""
    if dataset.source["name"] != index.source["name"] and not set(index.ids) & set(dataset.ids):
        raise ValueError(
            f"{path} is the index of {index.source['name']}, and {dataset.source['name']} has "
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
        settings, make, fingerprint = (model,), open_encoder, sha256_of
    if index is None:
        info(f"loading {model}...")
        return make(*settings)
    if fingerprint(*settings) != index.encoder.model_sha256:
        made = f"another model, {index.encoder.model}, than {model}"
        if model in NETWORKS and model == index.encoder.model:
            spec = index.encoder.spec
            made = f"other weights or images of {model} ({spec.height} x {spec.width})"
        raise ValueError(
            f"the index was made with {made}: "
            "codes of two models cannot be compared; encode everything again with --rebuild"
        )
    return index.encoder  # as ONNX, so that nothing waits for TensorFlow


def choose_encode(args):
    """Return the function that encodes rows: here, or on a Ray cluster."""
    if args.ray is None:
        return encode_rows
    from pyimagesearch.models import ray_encode as ray_encoding

    ray_encoding.connect(args.ray or None)
    return ray_encoding.encode_rows


def index_array(dataset, encoder, metric, encode, path):
    """Encode an array of images into a new index."""
    count = len(dataset)
    started = time.perf_counter()
    codes = np.empty((count, encoder.dim), np.float32)
    for rows, part, _ in encode(dataset, np.arange(count), encoder):
        codes[rows] = part
    rate = count / (time.perf_counter() - started)
    labels, location = dataset.labels, dataset.source
    save_index(Index(codes, dataset.ids, labels, None, location, metric, encoder), path)
    info(f"wrote {path}: {count:,} codes of {encoder.dim} numbers, {rate:,.0f} images/s")


def index_folder(dataset, index, encoder, metric, encode, args):
    """Bring the index of a folder up to date, or make it."""
    from pyimagesearch.index.sync import sync

    with listing_rejects(dataset, args.rejects):
        print(sync(dataset, index, encoder, args.index, metric, args.checksum, encode))
    info(f"wrote {args.index}")


def index_collection(dataset, total, index, encoder, metric, encode, args):
    """Bring a collection in Milvus up to date, or make it; `total` counts what all shards have."""
    from pyimagesearch.milvus.sync import prepare_collection, sync_folder, write_array

    if args.rebuild and args.shard:
        raise ValueError("--rebuild would drop what other shards write: name a new collection")
    index = prepare_collection(
        args.index, index, encoder, metric, dataset, args.engine, args.rebuild
    )
    if os.path.isdir(dataset.source["name"]):
        require_same_folder(index, dataset, args.index)
        shard = args.shard and parse_shard(args.shard)
        with listing_rejects(dataset, args.rejects):
            print(sync_folder(dataset, index, args.checksum, shard, encode))
    else:
        write_array(dataset, index, total, encode)
    info(f"wrote {args.index}: {index.count():,} codes of {encoder.dim} numbers")


@contextmanager
def listing_rejects(dataset, path):
    """When done, or interrupted, list the files that cannot be read in the file `path`, if any."""
    from pyimagesearch.files import printable

    try:
        yield
    finally:
        if path:
            with open(path, "w", encoding="utf-8") as file:
                for name, reason in dataset.unreadable.items():
                    file.write(f"{printable(name)}\t{reason}\n")


def merge(args):
    """Join index files to one, or into a collection."""
    info(f"joining {len(args.merge)} indexes...")
    if is_milvus(args.index):
        from pyimagesearch.milvus.sync import merge_into_collection

        count = merge_into_collection(args.merge, args.index, args.engine, args.rebuild)
    else:
        count = merge_files(args.merge, args.index)
        update_engine(args.index, args.engine or "exact", args.recall)
    info(f"wrote {args.index}: {count:,} codes")


def choose_engine(args, index, dim):
    """Return the name of the engine to build: by default that of the index so far."""
    if args.engine is None:
        return engine_so_far(args.index) if index else "exact"
    from pyimagesearch.search.factory import require_engine

    require_engine(args.engine, dim)
    return args.engine


if __name__ == "__main__":
    sys.exit(main())
