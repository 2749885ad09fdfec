"""The flags of search.py."""

import argparse
from collections.abc import Sequence

from pyimagesearch.arguments.parser import FlagParser
from pyimagesearch.arguments.values import (
    checked,
    distance,
    path_ending_in,
    positive_int,
    seed,
    size,
)
from pyimagesearch.metric import METRICS
from pyimagesearch.queries.crops import parse_crop

SAMPLE = 10  # random queries, as many as the tutorial shows

# Flags that would have no effect: what a flag needs one of, and what it excludes.
QUERY_FLAGS = (
    *("query", "query_id", "text", "sample", "seed", "invert", "combine", "max_results"),
    *("crop", "any_orientation", "interactive"),
)
DRAWING_FLAGS = ("strip", "tile", "map")
LOOKS = (*DRAWING_FLAGS, "html", "preview")
NEEDS = {
    "invert": ("query",),
    "combine": ("query", "query_id", "text"),
    "null": ("paths",),
    "prefer": ("duplicates",),
    "queries": ("evaluate",),
    "all": ("evaluate",),
}
EXCLUDES = {
    "evaluate": ("duplicates", *QUERY_FLAGS, "max_distance", "paths", "output", *LOOKS),
    "duplicates": ("model", *QUERY_FLAGS, "expand", "probe", *LOOKS),
    "query": ("seed",),
    "query_id": ("seed",),
    "combine": ("any_orientation",),
    "interactive": ("html", "preview"),
    "text": ("seed", "sample"),
}

BASICS = (
    *("--index", "--query", "--query-id", "--text", "--max-results", "--max-distance"),
    *("--output", "--html", "--paths", "--duplicates", "--evaluate"),
)
EXAMPLES = """\
  python search.py --index photos.h5 --query holiday.jpg
  python search.py --index photos.h5 --text "a red flower" --html results.html
  python search.py --index photos.h5 --query holiday.jpg --max-results 12 --paths"""


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Return the flags of search.py, and `draws_sheets`: whether windows or files are shown."""
    text = "Find the images most similar to a query, by the distance of their codes."
    parser = FlagParser("search.py", text, basics=BASICS, examples=EXAMPLES, stray="--query")
    _add_index_flags(parser)
    _add_query_flags(parser)
    _add_ranking_flags(parser)
    _add_other_actions(parser)
    _add_output_flags(parser)
    args = parser.parse_args(argv)
    args.draws_sheets = _draws_sheets(args)
    _refuse_unused(parser, args)
    return args


def _add_index_flags(parser: FlagParser) -> None:
    add = parser.add_argument_group("what to search").add_argument
    text = "index made by index_images.py, a file or a collection in Milvus"
    add("-i", "--index", required=True, help=text)
    add("-m", "--model", help="model of the index: checked, or needed by an index without encoder")
    add("--dataset", help="current location of the indexed images, if they were moved")


def _add_query_flags(parser: FlagParser) -> None:
    group = parser.add_argument_group("what to search for")
    add = group.add_mutually_exclusive_group().add_argument
    text = "image files, folders of them, URLs, or - for an image from standard input"
    add("-q", "--query", nargs="+", metavar="FILE", help=text)
    add("--query-id", nargs="+", metavar="ID", help="indexed pictures, by their ids")
    text = f"number of random test images (default: {SAMPLE})"
    add("-s", "--sample", type=positive_int, metavar="N", help=text)
    add = group.add_argument
    text = "words, for an index made by a network that knows words too, such as CLIP"
    add("--text", nargs="+", metavar="WORDS", help=text)
    add("--seed", type=seed, metavar="N", help="same seed, same random test images")
    add("--invert", action="store_true", help="swap dark and light in query files")
    text = "combine all, images and texts, into one query, the mean of their codes; 2:a.png "
    text += "-1:b.png gives weights"
    add("--combine", action="store_true", help=text)
    text = "search for this part of each query, in pixels or, with a decimal point, in fractions"
    add("--crop", type=checked(parse_crop), metavar="X,Y,W,H", help=text)
    text = "search for each query in all 8 turns and flips"
    add("--any-orientation", action="store_true", help=text)


def _add_ranking_flags(parser: FlagParser) -> None:
    add = parser.add_argument_group("how to search").add_argument
    text = "results for each query (default: 24 of a folder, else 225, of which 10 are listed)"
    add("-k", "--max-results", type=positive_int, metavar="N", help=text)
    text = "results within this distance only; a number, or near-duplicate or similar, which are "
    text += "measured in the index; without -k, all of them"
    add("--max-distance", type=distance, metavar="D", help=text)
    add("--metric", choices=METRICS, help="distance to rank by (default: the index's)")
    text = "search again by each query moved towards its K nearest; see docs/cli.md"
    add("--expand", type=positive_int, metavar="K", help=text)
    text = "search width of an approximate engine: clusters, efSearch or candidates"
    add("--probe", type=positive_int, metavar="N", help=text)


def _add_other_actions(parser: FlagParser) -> None:
    add = parser.add_argument_group("what to do instead").add_argument
    text = "measure retrieval by 2,000 of the test images, or else of the indexed images"
    add("--evaluate", action="store_true", help=text)
    text = "with --evaluate: images to search for, such as a folder with the same sub-folders"
    add("--queries", metavar="DATASET", help=text)
    text = "with --evaluate: search for all of them, not for 2,000 drawn at random"
    add("--all", action="store_true", help=text)
    text = "list groups of near-identical indexed images, and the one to keep of each: the "
    text += "largest, of several the oldest; --max-distance is the largest distance"
    add("--duplicates", action="store_true", help=text)
    text = "keep the duplicates in this folder rather than others"
    add("--prefer", metavar="FOLDER", help=text)
    text = "search on from the results by commands on standard input; help lists them"
    add("--interactive", action="store_true", help=text)


def _add_output_flags(parser: FlagParser) -> None:
    group = parser.add_argument_group("what to show")
    add = group.add_mutually_exclusive_group().add_argument
    add("--json", action="store_true", help="print results as JSON, one line for each query")
    text = "print the paths of the results, one a line; of duplicates, those to remove"
    add("--paths", action="store_true", help=text)
    add = group.add_argument
    add("-0", "--null", action="store_true", help="end each path with NUL, for xargs -0")
    add("--output", metavar="DIR", help="write pictures there instead of opening windows")
    text = "write one page of queries and results, with pictures inside, instead of opening windows"
    add("--html", metavar="FILE", type=path_ending_in(".html", ".htm"), help=text)
    add("--preview", action="store_true", help="show the first results inside the terminal")
    add("--strip", action="store_true", help="show query and results in one row")
    add("--tile", type=size, metavar="PIXELS", help="side of the tiles")
    text = "also draw the whole index in two dimensions, queries and results marked (default "
    text += "method: pca)"
    add("--map", nargs="?", const="pca", choices=("pca", "tsne", "umap"), help=text)


def _draws_sheets(args: argparse.Namespace) -> bool:
    others = args.json or args.paths or args.html or args.preview
    return not args.interactive and bool(args.output or not others)


def _refuse_unused(parser: FlagParser, args: argparse.Namespace) -> None:
    """End with a usage error where a flag that was given would have no effect."""
    parser.refuse_unused(args, needs=NEEDS, excludes=EXCLUDES)
    if args.text and not (args.query or args.query_id):
        parser.refuse_unused(args, excludes={"text": ("crop", "any_orientation", "invert")})
    if args.interactive and "-" in (args.query or ()):
        parser.error("--query - and --interactive both read standard input")
    if args.draws_sheets or args.interactive:
        return
    for flag in ("json", "paths", "html", "preview"):
        excluded = {flag: DRAWING_FLAGS}
        parser.refuse_unused(args, excludes=excluded, remedy=" unless --output is given")
