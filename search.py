"""Find the images most similar to a query in an index made by index_images.py.

usage: python search.py --index output/index.pickle --query picture.png
"""

import sys
from argparse import Namespace
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import TYPE_CHECKING

from pyimagesearch import startup

if startup.is_command(__name__):
    startup.begin()

from pyimagesearch import cli
from pyimagesearch.arguments.search_flags import SAMPLE, parse_args
from pyimagesearch.cli import info
from pyimagesearch.datasets.dataset import Dataset
from pyimagesearch.files import require_writable
from pyimagesearch.indexes.contract import Index
from pyimagesearch.indexes.local_index import LocalIndex
from pyimagesearch.indexes.stores import open_store
from pyimagesearch.queries.query import Answer
from pyimagesearch.queries.ranking import Wanted, check_encoder, open_pictures, search_queries
from pyimagesearch.queries.sources import QueryOptions, QueryReader
from pyimagesearch.show.reporter import Reporter
from pyimagesearch.show.results import LineForm, View, report_results
from pyimagesearch.show.sizes import GROUP_ROWS, LISTED_RESULTS
from pyimagesearch.terminal import to_json, write_lines

if TYPE_CHECKING:
    from pyimagesearch.browse.session import Session
    from pyimagesearch.show.output import Output
    from pyimagesearch.show.projection import Projection


@cli.command
def main(argv: Sequence[str] | None = None) -> None:
    """Search an index, evaluate it, or list its duplicates."""
    args = parse_args(argv)
    cli.require_distinct(index=args.index, model=args.model, output=args.output, html=args.html)
    if args.html:
        from pyimagesearch.replacing import PAGE, require_kind

        require_writable(args.html)
        require_kind(args.html, PAGE, "--html")
    store = open_store(args.index)
    info(f"loading {store}...")
    index = store.open()
    if args.output:
        from pyimagesearch.show.output import require_folder

        require_folder(args.output)
    if args.duplicates:
        list_duplicates(index, args)
        return
    check_encoder(index, args.model)
    if args.evaluate:
        evaluate(index, args)
    else:
        search(index, args)


def search(index: Index, args: Namespace) -> None:
    """Search for all queries, and report the results or have the user search on from them."""
    pictures = open_searched_pictures(index, args)
    engine = index.open_engine(args.metric, args.probe)
    if engine.name != "exact":
        info(f"searching by {engine.name}, probe {engine.probe}")
    reader = QueryReader(index, pictures, query_options(args))
    max_distance = largest_distance(args, index.load)
    reporter = Reporter(
        pictures,
        side=args.tile,
        strip=args.strip,
        max_distance=max_distance,
        listed=args.max_results or LISTED_RESULTS,
    )
    k = args.max_results
    if k is None and max_distance is None:
        k = reporter.usual_results
    wanted = Wanted(k, max_distance, args.expand)
    answers: Iterable[Answer] = search_queries(reader.queries(), index, wanted, reader.unreadable)
    if args.interactive or opens_windows(args):
        from pyimagesearch.browse.session import Session

        search_on(Session(answers, index, reporter, wanted), args)
    else:
        projection = None
        if args.map:
            from pyimagesearch.show.projection import project_index

            answers = list(answers)
            projection = project_index(answers, index.load(), method=args.map)
        report_results(answers, reporter, line_form(args), views_of(args, reporter, projection))
    if reader.unreadable:
        count = len(args.query or args.query_id or reader.unreadable)
        raise ValueError(
            f"{len(reader.unreadable)} of {count} queries could not be read: see the warnings"
        )


def open_searched_pictures(index: Index, args: Namespace) -> Dataset:
    """Return the indexed images, needed where they are shown, named or drawn at random."""
    draws = bool(args.draws_sheets or args.html or args.preview)
    at_random = not (args.query or args.query_id or args.text)
    needed = draws or args.paths or at_random
    pictures = open_pictures(index, args.dataset, files_needed=bool(needed), paths=args.paths)
    if draws:
        pictures.prefetch()
    return pictures


def largest_distance(args: Namespace, load: Callable[[], LocalIndex]) -> float | None:
    """Return the distance that `--max-distance` means; one in words is measured in the index."""
    named = args.max_distance
    if not isinstance(named, str):
        return named
    from pyimagesearch.engines.named_distances import NAMED_DISTANCES

    loaded = load()
    metric = args.metric or loaded.metric
    distance = NAMED_DISTANCES[named](loaded.codes, metric)
    info(f"{named} means within {metric} distance {distance:.4g}")
    return distance


def query_options(args: Namespace) -> QueryOptions:
    """Return what to search for."""
    look = None
    if args.crop or args.any_orientation:
        from pyimagesearch.queries.crops import Look

        look = Look(args.crop, args.any_orientation)
    return QueryOptions(
        paths=args.query or (),
        ids=args.query_id or (),
        texts=args.text or (),
        sample=args.sample or SAMPLE,
        seed=args.seed,
        invert=args.invert,
        combine=args.combine,
        look=look,
    )


def opens_windows(args: Namespace) -> bool:
    """Return whether pictures are shown in windows rather than written to files."""
    if args.output or not args.draws_sheets:
        return False
    from pyimagesearch.show.windows import has_display

    return has_display()


def search_on(session: "Session", args: Namespace) -> None:
    """Have the user search on from the results, by commands or in a window."""
    from pyimagesearch.show.output import FOLDER

    form = line_form(args)
    folder = args.output or FOLDER
    if args.interactive:
        from pyimagesearch.browse.commands import Commands, run_commands

        run_commands(Commands(session, form, folder, method=args.map or "pca"))
        return
    from pyimagesearch.browse.window import browse

    session.report_to(lambda answer: form.write(session.reporter.lines(answer, form.name)))
    browse(session, folder, args.map)


def line_form(args: Namespace) -> LineForm:
    """Return how results are written."""
    name = "text"
    if args.json:
        name = "json"
    elif args.paths:
        name = "paths"
    return LineForm(name, partial(write_lines, end=b"\0" if args.null else b"\n"))


def views_of(args: Namespace, reporter: Reporter, projection: "Projection | None") -> list[View]:
    """Return where results are shown: in a page, in the terminal, in files."""
    views: list[View] = []
    if args.html:
        from pyimagesearch.show.page import html_page

        views.append(html_page(args.html, reporter))
    if args.preview:
        from pyimagesearch.show.preview import preview

        views.append(preview(reporter))
    if args.draws_sheets:
        from pyimagesearch.show.sheets import sheet_files

        output = output_of(args, "Query", "Results", "Map")
        views.append(sheet_files(output, reporter, projection))
    return views


def output_of(args: Namespace, *titles: str) -> "Output":
    """Return the folder for sheets of these titles."""
    from pyimagesearch.show.output import FOLDER, Output

    if not args.output:
        info(f"no display: writing pictures to {FOLDER}/")
    return Output(args.output or FOLDER, titles)


def evaluate(index: Index, args: Namespace) -> None:
    """Measure retrieval and print a table, or JSON."""
    from pyimagesearch.datasets.catalog import open_dataset
    from pyimagesearch.evaluation.evaluate import QUERIES, Moved, evaluate_index
    from pyimagesearch.evaluation.score_table import score_table
    from pyimagesearch.queries.expansion import expand_queries

    index.open_engine(args.metric, args.probe)
    open_pictures(index, args.dataset)
    loaded = index.load()
    engine = index.engine_of(loaded)
    gallery = loaded.dataset(args.dataset)
    queries = gallery.test_images()
    if args.queries:
        if gallery.labels is None:
            raise ValueError("--queries are compared by their labels, and the index has none")
        queries = open_dataset(args.queries)
    if args.all and gallery.labels is None:
        raise ValueError("--all is for an index with labels: others are measured by 200 pictures")
    name = f"{engine.name}, by {engine.metric.name} distance"
    info(f"searching {len(loaded.ids):,} images by {name}...")
    assert index.encoder is not None  # check_encoder has seen to it
    moved = None
    if args.expand:
        moved = Moved(f"--expand {args.expand}", partial(expand_queries, count=args.expand))
    scores = evaluate_index(
        loaded.codes,
        index.encoder,
        gallery,
        engine,
        queries=queries,
        most=None if args.all else QUERIES,
        moved=moved,
    )
    write_lines([to_json(scores)] if args.json else score_table(scores).splitlines())


def list_duplicates(index: Index, args: Namespace) -> None:
    """Print groups of near-identical images, the one to keep of each first, and draw them."""
    from pyimagesearch.show.duplicate_groups import (
        duplicates_sheet,
        judge_groups,
        show_groups,
        write_groups,
    )

    loaded = index.load()
    pictures = open_pictures(index, args.dataset, paths=args.paths)
    groups = judge_groups(
        loaded,
        pictures,
        metric=args.metric,
        max_distance=largest_distance(args, lambda: loaded),
        prefer=args.prefer,
    )
    write_groups(groups, pictures, line_form(args))
    if opens_windows(args):
        show_groups(groups, pictures)
    elif args.draws_sheets:
        output = output_of(args, "Duplicates")
        if groups:
            first = range(len(groups))[:GROUP_ROWS]
            sheet = duplicates_sheet(groups, pictures, first, total=len(groups))
            output.write({"Duplicates": sheet})
        output.remove_stale()


if __name__ == "__main__":
    sys.exit(main())
