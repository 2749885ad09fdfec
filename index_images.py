"""Encode images with a trained model into an index that search.py can search.

usage: python index_images.py --model output/autoencoder.h5 --index output/index.pickle
       python index_images.py --model photos.keras --index photos.h5 --dataset my/photos
       python index_images.py --model efficientnet_b0 --index photos.h5 --dataset my/photos
       python index_images.py --index photos.h5 --engine HNSW32
       python index_images.py --model photos.keras --index http://localhost:19530/photos
"""

import sys
from argparse import Namespace
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from pyimagesearch import startup

if startup.is_command(__name__):
    startup.begin()

from pyimagesearch import cli
from pyimagesearch.arguments.index_flags import parse_args
from pyimagesearch.cli import info, warn
from pyimagesearch.datasets.catalog import SourceFlags, open_dataset
from pyimagesearch.datasets.dataset import Dataset
from pyimagesearch.encoders.model_source import ModelFlags, model_path
from pyimagesearch.files import (
    ENGINE_SUFFIX,
    JOURNAL_SUFFIX,
    atomic_write,
    printable,
    require_writable,
)
from pyimagesearch.indexes.choices import (
    choose_encode,
    choose_encoder,
    choose_source,
    index_so_far,
)
from pyimagesearch.indexes.contract import Store
from pyimagesearch.indexes.file_store import FileStore
from pyimagesearch.indexes.index_file import require_model
from pyimagesearch.indexes.settings import Update, UpdateResult, UpdateSettings
from pyimagesearch.indexes.shards import parse_shard
from pyimagesearch.indexes.stores import open_store
from pyimagesearch.replacing import REJECTS, REJECTS_MARK, require_kind
from pyimagesearch.terminal import write_lines


@cli.command
def main(argv: Sequence[str] | None = None) -> None:
    """Make an index, bring it up to date, or join index files to one."""
    args = parse_args(argv)
    require_files(args)
    store = open_store(args.index)
    if args.recall and not isinstance(store, FileStore):
        raise ValueError("--recall is for index files: engines of collections are not tuned to it")
    store.require_writable()
    with store.exclusive():
        if args.merge:
            info(f"joining {len(args.merge)} indexes...")
            result = store.merge(args.merge, update_settings(args))
        else:
            result = update_index(store, args)
        report(store, result)


def update_index(store: Store, args: Namespace) -> UpdateResult:
    """Make an index, or bring it up to date."""
    named = args.dataset is not None
    index = index_so_far(store, args.model, dataset_named=named, rebuild=args.rebuild)
    model = ModelFlags(args.model, args.weights, args.image_size, args.fit)
    unfinished = store.unfinished_source() if index is None and not named else None
    source = choose_source(index, source_flags(args), model, unfinished=unfinished)
    info(f"looking at {source['name']}...")
    dataset = open_dataset(**source)
    if dataset.file_stats is None and (args.prune or args.checksum or args.rejects):
        raise ValueError(
            f"--prune, --checksum and --rejects are for folders of pictures, not {source['name']}"
        )
    # The index file of an array may get another model: all images are encoded again then.
    is_array = index is not None and not index.has_files and not store.keeps_arrays
    encoder = choose_encoder(index, model, rebuild=args.rebuild, replace=is_array)
    info(f"encoding {source['name']}...")
    encode = choose_encode(args.ray, args.model)
    update = Update(dataset, encoder, encode, index, update_settings(args))
    with listing_unreadable(dataset, args.rejects):
        return store.update(update)


def update_settings(args: Namespace) -> UpdateSettings:
    """Return how to bring the index up to date."""
    return UpdateSettings(
        metric=args.metric,
        engine=args.engine,
        recall=args.recall,
        checksum=args.checksum,
        rebuild=args.rebuild,
        prune=args.prune,
        limited=args.limit is not None,
        shard=parse_shard(args.shard) if args.shard else None,
    )


def source_flags(args: Namespace) -> SourceFlags:
    """Return the images that were named."""
    return SourceFlags(
        names=args.dataset,
        split=args.split,
        limit=args.limit,
        exclude=args.exclude,
        truncated=args.truncated,
        classes=args.classes,
    )


def require_files(args: Namespace) -> None:
    """Check the files that are named, before anything is read or written."""
    model = args.model and model_path(args.model)
    cli.require_distinct(
        index=[args.index, f"{args.index}{ENGINE_SUFFIX}", f"{args.index}{JOURNAL_SUFFIX}"],
        model=model,
        dataset=args.dataset,
        rejects=args.rejects,
        weights=args.weights,
        merge=args.merge,
    )
    if args.rejects:
        require_writable(args.rejects)
        require_kind(args.rejects, REJECTS, "--rejects")
    if model:
        require_model(model)


@contextmanager
def listing_unreadable(dataset: Dataset, path: str | None) -> Iterator[None]:
    """At the end, or when interrupted, list the files that cannot be read in a file, if any.

    Where a run fails before it has found any, the list of an earlier one stays.
    """
    finished = False
    try:
        yield
        finished = True
    finally:
        if path and (finished or dataset.unreadable):
            lines = [f"{printable(name)}\t{why}\n" for name, why in dataset.unreadable.items()]
            with atomic_write(path) as temporary:
                temporary.write_text("".join([f"{REJECTS_MARK}\n", *lines]), encoding="utf-8")


def report(store: Store, result: UpdateResult) -> None:
    """Print the changes and the engine's report to standard output, and where they were written."""
    if result.changed or result.engine_report:
        info(f"wrote {store}: {result.count:,} codes")
        draw_clusters(store)
    else:
        info(f"{store} is up to date, nothing was written: {result.count:,} codes")
    write_lines([text for text in (result.summary, result.engine_report) if text])


def draw_clusters(store: Store) -> None:
    """Draw the clusters of an index file that is searched by them, beside it."""
    if not isinstance(store, FileStore):
        return
    index = store.open()
    if index.engine.name.startswith("clusters"):
        from pyimagesearch.show.clusters import draw_clusters

        try:
            for path in draw_clusters(index, Path(store.path).parent):
                info(f"wrote {path}")
        except ValueError as error:  # a file of the user's has the name
            warn(f"the clusters are not drawn: {error}")


if __name__ == "__main__":
    sys.exit(main())
