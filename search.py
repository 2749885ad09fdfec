"""Find the images most similar to a query in an index made by index_images.py.

usage: python search.py --index output/index.pickle --query picture.png
"""

import argparse
import re
import signal
import sys

if __name__ == "__main__" and signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # no traceback for Ctrl-C during the imports

from pyimagesearch.cli import (
    HelpFormatter,
    command,
    info,
    non_negative_float,
    positive_int,
    refuse_unused,
    require_distinct,
)
from pyimagesearch.metric import METRICS
from pyimagesearch.queries.search import open_gallery, query_encoder, search_queries
from pyimagesearch.queries.sources import choose_queries
from pyimagesearch.stores import open_store
from pyimagesearch.terminal import to_json, write_lines

MAX_RESULTS, SAMPLE = 225, 10  # as many results as the tutorial shows

# Flags that would have no effect: what a flag needs one of, and what it excludes.
QUERY_FLAGS = ("query", "query_id", "sample", "seed", "invert", "combine", "max_results")
DRAWING_FLAGS = ("strip", "tile", "map")
NEEDS = {
    "invert": ("query",),
    "combine": ("query", "query_id"),
    "null": ("paths",),
    "prefer": ("duplicates",),
    "queries": ("evaluate",),
}
EXCLUDES = {
    "evaluate": ("duplicates", *QUERY_FLAGS, "max_distance", "paths", "output", *DRAWING_FLAGS),
    "duplicates": ("model", *QUERY_FLAGS, "probe", *DRAWING_FLAGS),
    "query": ("seed",),
    "query_id": ("seed",),
}


def parse_args(argv):
    parser = argparse.ArgumentParser(
        description="Find the images most similar to a query, by the distance of their codes.",
        formatter_class=HelpFormatter,
    )
    add = parser.add_argument_group("what to search").add_argument
    add(
        "-i",
        "--index",
        required=True,
        help="index made by index_images.py, a file or a collection in Milvus",
    )
    add("-m", "--model", help="model of the index: checked, or needed by an index without encoder")
    add("--dataset", help="current location of the indexed images, if they were moved")
    group = parser.add_argument_group("what to search for")
    add = group.add_mutually_exclusive_group().add_argument
    text = "image files, folders of them, or - for an image from standard input"
    add("-q", "--query", nargs="+", metavar="FILE", help=text)
    add("--query-id", nargs="+", metavar="ID", help="indexed pictures, by their ids")
    text = f"number of random test images (default: {SAMPLE})"
    add("-s", "--sample", type=positive_int, metavar="N", help=text)
    group.add_argument("--seed", type=int, help="same seed, same random test images")
    group.add_argument("--invert", action="store_true", help="swap dark and light in query files")
    group.add_argument(
        "--combine",
        action="store_true",
        help="combine all into one query, the mean of their codes; 2:a.png -1:b.png gives weights",
    )

    add = parser.add_argument_group("how to search").add_argument
    add(
        "-k",
        "--max-results",
        type=positive_int,
        help=f"results for each query (default: {MAX_RESULTS})",
    )
    add(
        "--max-distance",
        type=non_negative_float,
        metavar="D",
        help="results within this distance only; without -k, all of them",
    )
    add("--metric", choices=METRICS, help="distance to rank by (default: the index's)")
    add(
        "--probe",
        type=positive_int,
        metavar="N",
        help="search width of an approximate engine: clusters, efSearch or candidates",
    )
    add(
        "--evaluate",
        action="store_true",
        help="measure retrieval instead, by the test images, or else by each indexed image",
    )
    add(
        "--queries",
        metavar="DATASET",
        help="with --evaluate: images to search for, such as a folder with the same sub-folders",
    )
    add(
        "--duplicates",
        action="store_true",
        help="list groups of near-identical indexed images instead, and the one to keep of each: "
        "the largest, of several the oldest; --max-distance is the largest distance",
    )
    text = "keep the duplicates in this folder rather than others"
    add("--prefer", metavar="FOLDER", help=text)

    group = parser.add_argument_group("what to show")
    add = group.add_mutually_exclusive_group().add_argument
    add("--json", action="store_true", help="print results as JSON, one line for each query")
    text = "print the paths of the results, one a line; of duplicates, those to remove"
    add("--paths", action="store_true", help=text)
    text = "end each path with a NUL character, for xargs -0"
    group.add_argument("-0", "--null", action="store_true", help=text)
    group.add_argument(
        "--output", metavar="DIR", help="write pictures there instead of opening windows"
    )
    group.add_argument("--strip", action="store_true", help="show query and results in one row")
    group.add_argument("--tile", type=positive_int, metavar="PIXELS", help="side of the tiles")
    group.add_argument(
        "--map",
        nargs="?",
        const="pca",
        choices=("pca", "tsne", "umap"),
        help="also draw the whole index in two dimensions, queries and results marked "
        "(default method: pca)",
    )
    argv = sys.argv[1:] if argv is None else argv
    # argparse takes a weight such as -1:b.png for a flag, unless it begins with a space.
    argv = [f" {text}" if re.match(r"-[\d.]+:", text) else text for text in argv]
    args = parser.parse_args(argv)
    refuse_unused(parser, args, NEEDS, EXCLUDES)
    if not draws_pictures(args):
        for flag in ("json", "paths"):
            refuse_unused(parser, args, {}, {flag: DRAWING_FLAGS}, " unless --output is given")
    return args


@command
def main(argv=None):
    args = parse_args(argv)
    require_distinct(index=args.index, model=args.model, output=args.output)
    info(f"loading {args.index}...")
    index = open_store(args.index).open()
    if args.duplicates:
        return report_duplicates(index.load(), args)
    encoder = query_encoder(index, args.model)
    if args.evaluate:
        return report_evaluation(index, encoder, args)

    gallery = indexed_images(index, args)
    if draws_pictures(args):
        gallery.prefetch()
    engine = index.engine(args.metric, args.probe)
    if engine.name != "exact":
        info(f"searching by {engine.name}, probe {engine.probe}")
    sources = args.query, args.query_id, args.sample or SAMPLE, args.seed, args.invert, args.combine
    queries, unreadable = choose_queries(gallery, encoder, *sources)
    k = args.max_results or (MAX_RESULTS if args.max_distance is None else None)
    found = search_queries(queries, index, encoder, engine, k, args.max_distance)
    report_results(found, index, engine, gallery, args)
    if unreadable:
        count = len(args.query or args.query_id)
        raise ValueError(
            f"{len(unreadable)} of {count} queries could not be read: see the warnings"
        )


def draws_pictures(args):
    return bool(args.output or not (args.json or args.paths))


def indexed_images(index, args):
    """Return the dataset of the indexed images; of files where they are needed."""
    gallery = open_gallery(
        index, args.dataset, draws_pictures(args) or args.paths or not args.query
    )
    if args.paths and not gallery.shows_names:
        raise ValueError("--paths needs the index of a folder: other images are not files")
    return gallery


def report_results(found, index, engine, gallery, args):
    """Print the results of each query, and show pictures of them."""
    # Imported while the images are loaded in the background: a search should start at once.
    from pyimagesearch.display.output import Output
    from pyimagesearch.display.report import Reporter

    reporter, projection = Reporter(gallery, args.tile, args.strip, args.max_distance), None
    output = Output(args.output, ("Query", "Results", "Map")) if draws_pictures(args) else None
    if args.map:
        from pyimagesearch.display.projection import project_index

        found, loaded = list(found), index.load()
        info(f"drawing a map of {len(loaded):,} codes...")
        projection = project_index(found, loaded, engine, reporter.label, args.map)
    for number, (query, results) in enumerate(found):
        if args.paths:
            lines = reporter.paths(query, results)
        elif args.json:
            lines = [to_json(reporter.record(query, results))]
        else:
            lines = [reporter.line(query, results)]
        still_read = write_lines(lines, b"\0" if args.null else b"\n")
        if output:
            sheets = reporter.sheets(query, results)
            if projection:
                sheets["Map"] = projection.sheet(number, reporter.title(query))
            if not output.show(sheets, number):
                break
        elif not still_read:
            break
    if output:
        output.remove_stale()


def report_evaluation(index, encoder, args):
    """Measure retrieval and print a table, or JSON."""
    from pyimagesearch.datasets.catalog import open_dataset
    from pyimagesearch.evaluation.evaluate import evaluate_index, score_table

    loaded, engine = index.load(), index.engine(args.metric, args.probe)
    gallery = indexed_images(loaded, args)
    queries = open_dataset(args.queries) if args.queries else gallery.test_images()
    name = f"{engine.name}, by {engine.metric.name} distance"
    info(f"searching {len(loaded):,} images by {name}...")
    scores = evaluate_index(loaded.codes, encoder, gallery, engine, queries, loaded.rows)
    write_lines([to_json(scores)] if args.json else score_table(scores).splitlines())


def report_duplicates(index, args):
    """Print groups of near-identical images, the one to keep of each first, and draw them."""
    from pyimagesearch.display import duplicates

    gallery = indexed_images(index, args)
    groups = duplicates.judge_groups(index, gallery, args.metric, args.max_distance, args.prefer)
    if args.paths:
        lines = (path for group in groups for path in duplicates.removable_paths(group, gallery))
    elif args.json:
        lines = (to_json(duplicates.group_record(*pair)) for pair in enumerate(groups))
    else:
        lines = (line for pair in enumerate(groups) for line in duplicates.group_lines(*pair))
    write_lines(lines, b"\0" if args.null else b"\n")
    if draws_pictures(args):
        from pyimagesearch.display.output import Output

        output = Output(args.output, ("Duplicates",))
        if groups:
            output.show({"Duplicates": duplicates.duplicates_sheet(groups, gallery)})
        output.remove_stale()


if __name__ == "__main__":
    sys.exit(main())
