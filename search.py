"""Find the images most like a query in an index made by index_images.py.

usage: python search.py --index output/index.pickle --query picture.png
"""

import argparse
import json
import re
import sys

from pyimagesearch.cli import (
    HelpFormatter,
    command,
    info,
    non_negative_float,
    positive_int,
    require_distinct,
    write_lines,
)
from pyimagesearch.display.windows import has_display, show_windows
from pyimagesearch.metric import METRICS
from pyimagesearch.queries import choose_queries, query_encoder, search_queries
from pyimagesearch.stores import open_store

MAX_RESULTS = 225  # as many as the tutorial shows


def parse_args(argv):
    parser = argparse.ArgumentParser(
        description="Find the images most like a query, by the distance of their codes.",
        formatter_class=HelpFormatter,
    )
    add = parser.add_argument_group("what to search").add_argument
    add("-i", "--index", required=True, help="index made by index_images.py, or where in Milvus")
    add("-m", "--model", help="the index's model: checked, or needed by an index without encoder")
    add("--dataset", help="where the indexed images are now, if they are not where they were")
    group = parser.add_argument_group("what to search for")
    add = group.add_mutually_exclusive_group().add_argument
    add("-q", "--query", nargs="+", metavar="FILE", help="image files, or folders of them")
    add("--query-id", nargs="+", metavar="ID", help="indexed pictures, by their ids")
    add("-s", "--sample", type=positive_int, default=10, help="random test images")
    group.add_argument("--seed", type=int, help="same seed, same random test images")
    group.add_argument("--invert", action="store_true", help="swap dark and light in query files")
    group.add_argument(
        "--combine",
        action="store_true",
        help="make one query of all, the mean of their codes; 2:a.png -1:b.png gives weights",
    )

    add = parser.add_argument_group("how to search").add_argument
    add("-k", "--max-results", type=positive_int, help=f"results a query (default: {MAX_RESULTS})")
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
        help="how widely an approximate engine looks: clusters, efSearch or candidates",
    )
    add("--evaluate", action="store_true", help="measure retrieval with all test images instead")
    add(
        "--duplicates",
        action="store_true",
        help="list groups of near-identical indexed images instead; --max-distance says how near",
    )

    group = parser.add_argument_group("what to show")
    add = group.add_mutually_exclusive_group().add_argument
    add("--json", action="store_true", help="print results as JSON, a query a line")
    add("--paths", action="store_true", help="print the paths of the results, one a line")
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
    # A weight such as -1:b.png would be taken for a flag; what begins with a space is not.
    argv = [f" {text}" if re.match(r"-[\d.]+:", text) else text for text in argv]
    return parser.parse_args(argv)


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

    gallery = index.gallery(args.dataset)
    if args.paths and not gallery.shows_names:
        raise ValueError("--paths needs the index of a folder: other images have no paths")
    shows_pictures = args.output or not (args.json or args.paths)
    output = choose_output(args) if shows_pictures else None
    if shows_pictures:
        gallery.prefetch()
    engine = index.engine(args.metric, args.probe)
    if engine.name != "exact":
        info(f"searching by {engine.name}, probe {engine.probe}")
    sources = args.query, args.query_id, args.sample, args.seed, args.invert, args.combine
    queries = choose_queries(gallery, encoder, *sources)
    k = args.max_results or (MAX_RESULTS if args.max_distance is None else None)
    found = search_queries(queries, index, encoder, engine, k, args.max_distance)

    # Imported while the images are loaded in the background: a search should start at once.
    from pyimagesearch.display.report import Reporter

    reporter, projection = Reporter(gallery, args.tile, args.strip, args.max_distance), None
    if args.map:
        from pyimagesearch.display.projection import project_index

        found, loaded = list(found), index.load()
        info(f"drawing a map of {len(loaded):,} codes...")
        projection = project_index(found, loaded, engine, reporter.label, args.map)
    for number, (query, results) in enumerate(found):
        write_lines(result_lines(reporter, query, results, args))
        if shows_pictures:
            sheets = reporter.sheets(query, results)
            if projection:
                sheets["Map"] = projection.sheet(number, reporter.title(query))
            if not show(sheets, output, number):
                break


def choose_output(args):
    """Return the folder to write pictures to, or None to open windows."""
    if args.output or has_display():
        return args.output
    info("no display: writing pictures to output/")
    return "output"


def show(sheets, output, number=None):
    """Write pictures to a folder, or open windows; return False when the user wants to stop."""
    if output is None:
        return show_windows(sheets)
    from pyimagesearch.display.montage import write_image

    for title, sheet in sheets.items():
        suffix = "" if number is None else f"_{number}"
        path = f"{output}/{title.lower()}{suffix}.png"
        write_image(path, sheet)
        info(f"wrote {path}")
    return True


def result_lines(reporter, query, results, args):
    """Return what is printed for a query: its results as paths, as JSON, or as a summary."""
    if args.paths:
        return reporter.paths(query, results)
    return [reporter.json(query, results) if args.json else reporter.line(query, results)]


def report_evaluation(index, encoder, args):
    """Measure retrieval with all test images and print a table, or JSON."""
    from pyimagesearch.evaluation.evaluate import evaluate_index, score_table

    loaded, engine = index.load(), index.engine(args.metric, args.probe)
    gallery = loaded.gallery(args.dataset)
    images = gallery.test_images()
    name = f"{engine.name}, by {engine.metric.name} distance"
    info(f"searching {len(loaded):,} images for {len(images):,} test images by {name}...")
    scores = evaluate_index(loaded.codes, encoder, gallery, images, engine, loaded.rows)
    write_lines([json.dumps(scores) if args.json else score_table(scores)])


def report_duplicates(index, args):
    """Print groups of near-identical images, one a line, as JSON, and draw the largest."""
    from pyimagesearch.search.duplicates import default_distance, find_duplicates, group_json

    metric, distance = args.metric or index.metric, args.max_distance
    if distance is None:
        distance = default_distance(index.codes, metric)
    groups = find_duplicates(index.codes, metric, distance)
    info(f"{len(groups):,} groups of images within {metric} distance {distance:.4g}")
    write_lines(group_json(number, group, index.ids) for number, group in enumerate(groups))
    if groups and (args.output or not args.json):
        from pyimagesearch.display.report import duplicates_sheet

        sheet = duplicates_sheet(groups, index.gallery(args.dataset))
        show({"Duplicates": sheet}, choose_output(args))


if __name__ == "__main__":
    sys.exit(main())
