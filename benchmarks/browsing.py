"""Clicks in the window: from the event of the mouse to the redrawn sheet, without a display.

usage: python -m benchmarks.browsing --index output/index.pickle
"""

import argparse
import statistics
import time

import cv2
import numpy as np

from pyimagesearch.browse.session import Session
from pyimagesearch.browse.sheet import PANEL
from pyimagesearch.browse.window import Browser
from pyimagesearch.indexes.stores import open_store
from pyimagesearch.queries.ranking import Wanted, search_queries
from pyimagesearch.queries.sources import QueryOptions, QueryReader
from pyimagesearch.show.reporter import Reporter


def open_browser(path):
    """Return the Browser of an index file or collection, at one random query."""
    index = open_store(path).open()
    pictures = index.pictures()
    queries = QueryReader(index, pictures, QueryOptions(sample=1, seed=0)).queries()
    wanted = Wanted(225)
    answers = search_queries(queries, index, wanted)
    return Browser(Session(answers, index, Reporter(pictures), wanted), "output")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--index", required=True)
    parser.add_argument("--clicks", type=int, default=100)
    args = parser.parse_args()
    browser, random = open_browser(args.index), np.random.default_rng(0)
    times = {"hover": [], "click": [], "mark": [], "turn": []}
    browser.sheet.draw()
    for _ in range(args.clicks):
        place = int(random.integers(len(browser.session.page.hits)))
        left, top = browser.sheet.grid.corner(place)
        at = left + PANEL + 5, top + 5
        actions = {
            "hover": lambda at=at: browser.on_mouse(cv2.EVENT_MOUSEMOVE, *at, 0),
            "click": lambda at=at: [
                browser.on_mouse(event, *at, 0)
                for event in (cv2.EVENT_LBUTTONDOWN, cv2.EVENT_LBUTTONUP)
            ],
            "mark": lambda at=at: browser.on_mouse(cv2.EVENT_RBUTTONDOWN, *at, 0),
            "turn": lambda: browser.on_key(ord("r")),
        }
        for name, action in actions.items():
            started = time.perf_counter()
            action()
            browser.sheet.draw()
            times[name].append(1000 * (time.perf_counter() - started))
    print(f"{len(browser.session.index):,} images, {browser.session.page_size} on a sheet")
    for name, values in times.items():
        print(
            f"{name:<6} median {statistics.median(values):5.1f} ms, longest {max(values):5.1f} ms"
        )


if __name__ == "__main__":
    main()
