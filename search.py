"""Find the images most like a query in an index made by index_images.py.

usage: python search.py --index output/index.pickle --query picture.png
"""

import argparse
import json
import os
import re
import sys

from pyimagesearch.cli import HelpFormatter, command, info, non_negative_float, positive_int
from pyimagesearch.display.windows import has_display, show_windows
from pyimagesearch.files import sha256_of
from pyimagesearch.metric import METRICS
from pyimagesearch.queries import combine, file_queries, id_queries, sample_queries, search_queries
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
    info(f"loading {args.index}...")
    index = open_store(args.index).open()
    encoder = choose_encoder(index, args.model)
    # For these all codes are needed; the engine that is measured is the index's own all the same.
    loaded = index.load() if args.evaluate or args.duplicates or args.map else index
    gallery = (loaded if args.evaluate or args.duplicates else index).gallery(args.dataset)
    output, for_pipe = args.output, args.json or args.paths or args.evaluate
    if not output and not for_pipe and not has_display():
        output = "output"
        info(f"no display: writing pictures to {output}/")
    if output or not for_pipe:
        gallery.prefetch()
    # What else is needed is loaded while the images are: a search should start at once.
    from pyimagesearch.display.montage import write_image
    from pyimagesearch.display.report import Reporter

    if args.duplicates:
        return report_duplicates(loaded, gallery, args.metric or index.metric, output, args)
    engine = index.engine(args.metric, args.probe)
    if engine.name != "exact":
        info(f"searching by {engine.name}, probe {engine.probe}")
    if args.evaluate:
        return print_evaluation(loaded, encoder, gallery, engine, args.json)
    if args.paths and not index.has_files:
        raise ValueError("--paths needs the index of a folder: other images have no paths")

    k = args.max_results or (MAX_RESULTS if args.max_distance is None else None)
    queries = choose_queries(args, gallery, encoder)
    found = search_queries(queries, index, encoder, engine, k, args.max_distance)
    reporter = Reporter(gallery, args.tile, args.strip, args.max_distance)
    if args.map:
        from pyimagesearch.display.projection import draw_map

        info(f"drawing a map of {len(index):,} codes...")
        found = list(found)
        chart = draw_map(found, loaded, engine, reporter.label, args.map)
    for number, (query, results) in enumerate(found):
        print_results(query, results, reporter, args)
        if for_pipe and not output:
            continue
        sheets = reporter.sheets(query, results)
        if args.map:
            sheets["Map"] = chart.sheet(number, reporter.title(query))
        if output:
            for title, sheet in sheets.items():
                write_image(f"{output}/{title.lower()}_{number}.png", sheet)
                info(f"wrote {output}/{title.lower()}_{number}.png")
        elif not show_windows(sheets):
            break


def print_results(query, results, reporter, args):
    """Print the results of a query as the flags say, at once, so that they can be piped."""
    if args.paths:
        for row in results.rows:
            sys.stdout.buffer.write(os.fsencode(reporter.gallery.path(row)) + b"\n")
        sys.stdout.flush()
    else:
        show = reporter.json if args.json else reporter.line
        print(show(query, results), flush=True)


def choose_encoder(index, model):
    """Return the index's own encoder, checked against `model` if given, or else the model's."""
    if index.encoder is None:
        if model is None:
            raise ValueError(
                "this index carries no encoder: name the model that made it with --model"
            )
        from pyimagesearch.models.export import open_encoder

        encoder, dim = open_encoder(model), index.codes.shape[1]
        if encoder.dim != dim:
            raise ValueError(
                f"{model} gives codes of {encoder.dim} numbers, those of the index have {dim}: "
                "name the model that made it"
            )
        return encoder
    expected = index.encoder.model_sha256
    if model is not None and (received := sha256_of(model)) != expected:
        raise ValueError(
            f"the index was made with {index.encoder.model} (SHA-256 {expected}), not with "
            f"{model} (SHA-256 {received}): leave --model out, or index again with it"
        )
    return index.encoder


def choose_queries(args, gallery, encoder):
    """Return the queries that the flags ask for, read as they are needed."""
    names, spec = args.query or args.query_id, encoder.spec

    def read(names):
        if args.query:
            return file_queries(names, spec, args.invert)
        return id_queries(names, gallery, spec)

    if args.combine and not names:
        raise ValueError("--combine needs what to combine: name it with --query or --query-id")
    if args.combine:
        return [combine([name.lstrip(" ") for name in names], read, encoder)]
    return read(names) if names else sample_queries(gallery, args.sample, spec, args.seed)


def print_evaluation(index, encoder, gallery, engine, as_json):
    """Measure retrieval with all test images and print a table, or JSON."""
    from pyimagesearch.evaluation.evaluate import evaluate_index, score_table

    test_images = gallery.test_images()
    info(
        f"searching {len(index):,} images for {len(test_images):,} test images "
        f"by {engine.metric} distance..."
    )
    scores = evaluate_index(index.codes, encoder, gallery, test_images, engine, index.rows)
    print(json.dumps(scores) if as_json else score_table(scores))


def report_duplicates(index, gallery, metric, output, args):
    """Print groups of near-identical images, one a line, as JSON, and draw the largest."""
    from pyimagesearch.display.montage import groups_sheet, write_image
    from pyimagesearch.display.report import Reporter
    from pyimagesearch.search.duplicates import default_distance, find_duplicates, group_json

    distance = args.max_distance
    if distance is None:
        distance = default_distance(index.codes, metric)
    groups = find_duplicates(index.codes, metric, distance)
    info(f"{len(groups):,} groups of images within {metric} distance {distance:.4g}")
    for number, group in enumerate(groups):
        print(group_json(number, group, index.ids))
    if not groups or (args.json and not output):
        return
    reporter = Reporter(gallery)
    titles = [f"group {number}: {len(g.rows):,} pictures" for number, g in enumerate(groups)]
    sheet = groups_sheet(groups, titles, index.ids, reporter.picture)
    if output:
        write_image(f"{output}/duplicates.png", sheet)
        info(f"wrote {output}/duplicates.png")
    else:
        show_windows({"Duplicates": sheet})


if __name__ == "__main__":
    sys.exit(main())
