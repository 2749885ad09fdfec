"""Encode images with a trained model into an index that search.py can search.

usage: python index_images.py --model output/autoencoder.h5 --index output/index.pickle
       python index_images.py --model photos.keras --index photos.h5 --dataset my/photos
       python index_images.py --model efficientnet_b0 --index photos.h5 --dataset my/photos
       python index_images.py --index photos.h5 --engine HNSW32
       python index_images.py --model photos.keras --index http://localhost:19530/photos
"""

import argparse
import signal
import sys
from contextlib import contextmanager

if __name__ == "__main__" and signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # no traceback for Ctrl-C during the imports

from pyimagesearch import cli
from pyimagesearch.cli import info, positive_int
from pyimagesearch.datasets.array import SPLITS
from pyimagesearch.datasets.catalog import open_dataset
from pyimagesearch.datasets.transforms import RESIZE_MODES
from pyimagesearch.files import printable, require_writable
from pyimagesearch.index.index_file import require_model
from pyimagesearch.indexing import choose_encode, choose_encoder, choose_source, index_so_far
from pyimagesearch.metric import METRICS
from pyimagesearch.models.pretrained import NETWORKS
from pyimagesearch.stores import open_store
from pyimagesearch.terminal import write_lines
from pyimagesearch.updating.settings import UpdateSettings
from pyimagesearch.updating.shards import parse_shard


def parse_args(argv):
    text = "Encode images with a trained model into an index. An index that exists is updated with "
    text += "its own images; the index of other images is not replaced without --rebuild."
    parser = argparse.ArgumentParser(description=text, formatter_class=cli.HelpFormatter)
    add = parser.add_argument
    text = "trained model, .keras, .h5 or .onnx, a folder as transformers or optimum export it, or "
    text += f"{', '.join(NETWORKS)} (default: the index's)"
    add("-m", "--model", help=text)
    text = "index to write: .h5 for HDF5, http://HOST:PORT/NAME or FILE.db for Milvus, else pickle"
    add("-i", "--index", required=True, help=text)
    text = "mnist, fashion_mnist, cifar10, .npz file or folder; or several folders (default: the "
    text += "index's, else mnist)"
    add("--dataset", nargs="+", metavar="NAME", help=text)
    add("--split", choices=SPLITS, help="split to index (default: the index's, else train)")
    add("--limit", type=positive_int, help="index the first N images only; removes none")
    text = "distance that a search ranks by (default: the index's, else euclidean)"
    add("--metric", choices=METRICS, help=text)

    add = parser.add_argument_group("search engine").add_argument
    text = "exact; auto, by size; clusters or clusters:K, K-means; hash:BITS, binary codes; or any "
    text += "FAISS factory string, such as HNSW32 or IVF256,PQ8 (default: the index's, else exact)"
    add("--engine", metavar="NAME", help=text)
    text = "part of the true 10 nearest that the engine is tuned to find"
    add("--recall", type=cli.fraction, default=0.98, help=text)

    add = parser.add_argument_group("folders").add_argument
    add("--rebuild", action="store_true", help="replace the index instead of updating it")
    add("--prune", action="store_true", help="update even if most of the indexed files are gone")
    cli.add_folder_flags(add)
    add("--checksum", action="store_true", help="compare files by content, not size and time")
    text = "list the files that cannot be read in FILE, with the reasons"
    add("--rejects", metavar="FILE", help=text)

    add = parser.add_argument_group("many machines").add_argument
    add("--shard", metavar="I/N", help="index part I of N only: others are for other processes")
    add("--merge", nargs="+", metavar="FILE", help="join index files, such as shards, to --index")
    add("--ray", nargs="?", const="", metavar="ADDRESS", help="encode on a Ray cluster")

    add = parser.add_argument_group("pretrained networks").add_argument
    add("--weights", metavar="FILE", help="weights of the network (default: ImageNet's)")
    size = {"nargs": 2, "type": positive_int, "metavar": ("H", "W")}
    add("--image-size", **size, help="size of its images (default: that it was trained with)")
    add("--fit", choices=RESIZE_MODES, help="how other proportions get there (default: letterbox)")
    return parser.parse_args(argv)


@cli.command
def main(argv=None):
    args = parse_args(argv)
    require_files(args)
    store = open_store(args.index)
    store.require_writable()
    names = ("metric", "engine", "recall", "checksum", "rebuild", "prune")
    settings = UpdateSettings(
        **{name: getattr(args, name) for name in names},
        limited=args.limit is not None,
        shard=args.shard and parse_shard(args.shard),
    )
    if args.merge:
        info(f"joining {len(args.merge)} indexes...")
        return report(store, store.merge(args.merge, settings))

    index = index_so_far(store, args.model, args.dataset, args.rebuild)
    names = ("split", "limit", "exclude", "truncated")
    given = {name: getattr(args, name) for name in names}
    source = choose_source(index, args.model, names=args.dataset, **given)
    info(f"looking at {source['name']}...")
    dataset = open_dataset(**source)
    # All images of an array are encoded again for an index file, so the model may be another one.
    replace = args.rebuild or (index and not index.has_files and not store.keeps_arrays)
    pretrained = args.weights, args.image_size, args.fit
    encoder = choose_encoder(index, args.model, *pretrained, replace=replace)
    info(f"encoding {source['name']}...")
    with listing_unreadable(dataset, args.rejects):
        result = store.update(dataset, index, encoder, settings, choose_encode(args.ray))
    report(store, result)


def require_files(args):
    """Check the files that are named, before anything is read or written."""
    model = None if args.model in NETWORKS else args.model
    cli.require_distinct(
        index=[args.index, f"{args.index}.engine", f"{args.index}.progress"],
        model=model,
        dataset=args.dataset,
        rejects=args.rejects,
        weights=args.weights,
        merge=args.merge,
    )
    if args.rejects:
        require_writable(args.rejects)
    if model:
        require_model(model)


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
    info(f"wrote {store}: {result.count:,} codes")
    write_lines(filter(None, [result.summary, result.engine_report]))


if __name__ == "__main__":
    sys.exit(main())
