"""Encode images with a trained model into an index that search.py can search.

usage: python index_images.py --model output/autoencoder.h5 --index output/index.pickle
       python index_images.py --model photos.keras --index photos.h5 --dataset my/photos
       python index_images.py --model efficientnet_b0 --index photos.h5 --dataset my/photos
       python index_images.py --index photos.h5 --engine HNSW32
       python index_images.py --model photos.keras --index http://localhost:19530/photos
"""

import signal
import sys
from contextlib import contextmanager
from pathlib import Path

if __name__ == "__main__" and signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # no traceback for Ctrl-C during the imports

from pyimagesearch import cli
from pyimagesearch.arguments.index_flags import parse_args
from pyimagesearch.cli import info
from pyimagesearch.datasets.catalog import open_dataset
from pyimagesearch.encoders.pretrained import NETWORKS
from pyimagesearch.files import printable, require_writable
from pyimagesearch.indexes.choices import choose_encode, choose_encoder, choose_source, index_so_far
from pyimagesearch.indexes.file_store import FileStore
from pyimagesearch.indexes.index_file import require_model
from pyimagesearch.indexes.settings import UpdateSettings
from pyimagesearch.indexes.shards import parse_shard
from pyimagesearch.indexes.stores import open_store
from pyimagesearch.terminal import write_lines


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
    draw_clusters(store)
    write_lines(filter(None, [result.summary, result.engine_report]))


def draw_clusters(store):
    """Draw the clusters of an index file that is searched by them, beside it."""
    if not isinstance(store, FileStore):
        return
    index = store.open()
    if index.engine.name.startswith("clusters"):
        from pyimagesearch.show.clusters import draw_clusters

        for path in draw_clusters(index, Path(store.path).parent):
            info(f"wrote {path}")


if __name__ == "__main__":
    sys.exit(main())
