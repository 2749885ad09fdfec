"""Reporting the results of queries, one after another, as text and to views."""

import contextlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from pyimagesearch.queries.query import Answer
from pyimagesearch.show.reporter import Reporter

Show = Callable[[Answer, int], None]  # shows an answer, with the number of its query
View = contextlib.AbstractContextManager[Show]  # somewhere answers are shown, one after another


@dataclass(frozen=True)
class LineForm:
    """How results are written: `name` is "text", "json" or "paths".

    `write(lines)` writes them and returns whether they are still read.
    """

    name: str
    write: Callable[[Iterable[Any]], bool]


def report_results(
    answers: Iterable[Answer],
    reporter: Reporter,
    form: LineForm,
    views: Sequence[View] = (),
) -> None:
    """Write lines about answers, and show the answers in views.

    Ends early where there are no views and nobody reads the lines.
    """
    with contextlib.ExitStack() as stack:
        shows = [stack.enter_context(view) for view in views]
        for number, answer in enumerate(answers):
            still_read = form.write(reporter.lines(answer, form.name))
            if not shows and not still_read:
                break
            for show in shows:
                show(answer, number)
