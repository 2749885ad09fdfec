"""Encode images with a trained model into an index that search.py can search.

usage: python index_images.py --model output/autoencoder.h5 --index output/index.pickle
       python index_images.py --model photos.keras --index photos.h5 --dataset my/photos
       python index_images.py --model efficientnet_b0 --index photos.h5 --dataset my/photos
       python index_images.py --index photos.h5 --engine HNSW32
       python index_images.py --model photos.keras --index http://localhost:19530/photos
"""

import argparse
import sys
from contextlib import contextmanager

from pyimagesearch.cli import (
    HelpFormatter,
    add_folder_flags,
    command,
    fraction,
    info,
    positive_int,
)
from pyimagesearch.datasets.array import SPLITS
from pyimagesearch.datasets.catalog import open_dataset
from pyimagesearch.datasets.transforms import RESIZE_MODES
from pyimagesearch.files import printable, require_writable
from pyimagesearch.index.shards import parse_shard
from pyimagesearch.index.store import UpdateSettings
from pyimagesearch.indexing import choose_encode, choose_encoder, choose_source, index_so_far
from pyimagesearch.metric import METRICS
from pyimagesearch.models.pretrained import NETWORKS
from pyimagesearch.stores import open_store


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
    text = "mnist, fashion_mnist, cifar10, .npz file or folder; or several folders"
    text += " (default: mnist; without --model the index's)"
    add("--dataset", nargs="+", metavar="NAME", help=text)
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
    add_folder_flags(add)
    add("--checksum", action="store_true", help="compare files by content, not size and time")
    add(
        "--rejects",
        metavar="FILE",
        help="list the files that cannot be read in FILE, with the reasons",
    )
    add = parser.add_argument_group("many machines").add_argument
    add("--shard", metavar="I/N", help="index part I of N only: others are for other processes")
    add("--merge", nargs="+", metavar="FILE", help="join index files, such as shards, to --index")
    add("--ray", nargs="?", const="", metavar="ADDRESS", help="encode on a Ray cluster")
    add = parser.add_argument_group("pretrained networks").add_argument
    add("--weights", metavar="FILE", help="weights of the network (default: ImageNet's)")
    size = {"nargs": 2, "type": positive_int, "metavar": ("H", "W")}
    add("--image-size", **size, help="size of its images (default: the one it was trained with)")
    add("--fit", choices=RESIZE_MODES, help="how other proportions get there (default: letterbox)")
    return parser.parse_args(argv)


@command
def main(argv=None):
    args = parse_args(argv)
    store = open_store(args.index)
    store.require_writable()
    require_writable(*filter(None, [args.rejects]))
    shard = args.shard and parse_shard(args.shard)
    settings = UpdateSettings(
        args.metric, args.engine, args.recall, args.checksum, args.rebuild, shard
    )
    if args.merge:
        info(f"joining {len(args.merge)} indexes...")
        return report(store, store.merge(args.merge, settings))

    index = index_so_far(store, args.model, args.rebuild)
    source = choose_source(
        index,
        args.model,
        names=args.dataset,
        split=args.split,
        limit=args.limit,
        exclude=args.exclude,
        truncated=args.truncated,
    )
    info(f"looking at {source['name']}...")
    dataset = open_dataset(**source)
    if args.model and index is None:
        info(f"loading {args.model}...")
    encoder = choose_encoder(index, args.model, args.weights, args.image_size, args.fit)
    info(f"encoding {source['name']}...")
    with listing_unreadable(dataset, args.rejects):
        result = store.update(dataset, index, encoder, settings, choose_encode(args.ray))
    report(store, result)


@contextmanager
def listing_unreadable(dataset, path):
    """At the end, or when interrupted, list the files that cannot be read in a file, if any."""
    try:
        yield
    finally:
        if path:
            with open(path, "w", encoding="utf-8") as file:
                for name, reason in dataset.unreadable.items():
                    file.write(f"{printable(name)}\t{reason}\n")


def report(store, result):
    """Print the changes and the engine's report to standard output, and where they were written."""
    for line in filter(None, [result.summary, result.engine_report]):
        print(line)
    info(f"wrote {store}: {result.count:,} codes")


if __name__ == "__main__":
    sys.exit(main())
