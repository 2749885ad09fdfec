"""Find the images most similar to a query in an index made by index_images.py.

usage: python search.py --index output/index.pickle --query picture.png
"""

import signal
import sys
from functools import partial

if __name__ == "__main__" and signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # no traceback for Ctrl-C during the imports

from pyimagesearch import cli
from pyimagesearch.arguments.search_flags import MAX_RESULTS, SAMPLE, parse_args
from pyimagesearch.cli import info
from pyimagesearch.indexes.stores import open_store
from pyimagesearch.queries.crops import Look
from pyimagesearch.queries.ranking import open_gallery, query_encoder, search_queries
from pyimagesearch.queries.sources import choose_queries
from pyimagesearch.terminal import to_json, write_lines


def browses(args):
    """Return whether the user searches on from the results, by commands or in a window."""
    if args.interactive or args.output or not args.draws_sheets:
        return args.interactive
    from pyimagesearch.show.windows import has_display

    return has_display()


def views_of(args, reporter, projection):
    """Return where results are shown: in windows or files, in a page, in the terminal."""
    views = []
    if args.html:
        from pyimagesearch.show.page import HtmlPage

        views.append(HtmlPage(args.html, reporter))
    if args.preview:
        from pyimagesearch.show.preview import Preview

        views.append(Preview(reporter))
    if output := output_of(args, "Query", "Results", "Map"):
        from pyimagesearch.show.results import SheetView

        views.append(SheetView(output, reporter, projection))
    return views


def output_of(args, *titles):
    """Return where sheets of these titles go, or None if none are drawn."""
    if not args.draws_sheets:
        return None
    from pyimagesearch.show.output import Output

    return Output(args.output, titles)


def form_of(args):
    """Return the form of results, "text", "json" or "paths", and the function that writes them."""
    form = "json" if args.json else "paths" if args.paths else "text"
    return form, partial(write_lines, end=b"\0" if args.null else b"\n")


@cli.command
def main(argv=None):
    args = parse_args(argv)
    cli.require_distinct(index=args.index, model=args.model, output=args.output, html=args.html)
    info(f"loading {args.index}...")
    index = open_store(args.index).open()
    if args.duplicates:
        return list_duplicates(index.load(), args)
    encoder = query_encoder(index, args.model)
    if args.evaluate:
        return evaluate(index, encoder, args)

    draws, named = args.draws_sheets or args.html or args.preview, args.query or args.text
    gallery = open_gallery(index, args.dataset, draws or args.paths or not named, args.paths)
    if draws:
        gallery.prefetch()
    engine = index.engine(args.metric, args.probe)
    if engine.name != "exact":
        info(f"searching by {engine.name}, probe {engine.probe}")
    sources = args.query, args.query_id, args.sample or SAMPLE, args.seed, args.invert, args.combine
    look = Look(args.crop, args.any_orientation)
    queries, unreadable = choose_queries(gallery, encoder, *sources, args.text, look)
    k = args.max_results or (MAX_RESULTS if args.max_distance is None else None)
    found = search_queries(queries, index, encoder, engine, k, args.max_distance)

    # Imported while the images are loaded in the background: a search should start at once.
    from pyimagesearch.show.reporter import Reporter
    from pyimagesearch.show.results import report_results

    reporter, projection = Reporter(gallery, args.tile, args.strip, args.max_distance), None
    if browses(args):
        from pyimagesearch.browse.start import browse_results

        searched = index, encoder, engine, reporter, args.max_results, args.max_distance
        browse_results(found, searched, *form_of(args), args.output, args.map, args.interactive)
    else:
        if args.map:
            from pyimagesearch.show.projection import project_index

            found, loaded = list(found), index.load()
            projection = project_index(found, loaded, engine, reporter.label, args.map)
        report_results(found, reporter, *form_of(args), views_of(args, reporter, projection))
    if unreadable:
        count = len(args.query or args.query_id)
        raise ValueError(
            f"{len(unreadable)} of {count} queries could not be read: see the warnings"
        )


def evaluate(index, encoder, args):
    """Measure retrieval and print a table, or JSON."""
    from pyimagesearch.datasets.catalog import open_dataset
    from pyimagesearch.evaluation.evaluate import evaluate_index, score_table

    loaded, engine = index.load(), index.engine(args.metric, args.probe)
    gallery = open_gallery(loaded, args.dataset)
    queries = open_dataset(args.queries) if args.queries else gallery.test_images()
    name = f"{engine.name}, by {engine.metric.name} distance"
    info(f"searching {len(loaded):,} images by {name}...")
    scores = evaluate_index(loaded.codes, encoder, gallery, engine, queries, loaded.rows)
    write_lines([to_json(scores)] if args.json else score_table(scores).splitlines())


def list_duplicates(index, args):
    """Print groups of near-identical images, the one to keep of each first, and draw them."""
    from pyimagesearch.show.duplicate_groups import judge_groups, report_groups

    gallery = open_gallery(index, args.dataset, names_needed=args.paths)
    groups = judge_groups(index, gallery, args.metric, args.max_distance, args.prefer)
    report_groups(groups, gallery, *form_of(args), output_of(args, "Duplicates"))


if __name__ == "__main__":
    sys.exit(main())
