"""Reporting the results of queries, one after another, as text and to views."""

import contextlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from pyimagesearch.queries.query import Answer
from pyimagesearch.show.reporter import Reporter

if TYPE_CHECKING:
    from pyimagesearch.show.output import Output
    from pyimagesearch.show.projection import Projection


@dataclass(frozen=True)
class LineForm:
    """How results are written: `name` is "text", "json" or "paths".

    `write(lines)` writes them and returns whether they are still read.
    """

    name: str
    write: Callable[[Iterable[Any]], bool]


class ResultView(Protocol):
    """Shows answers, one after another, between entering and leaving it as a context."""

    def __enter__(self) -> Any:
        """Begin."""

    def __exit__(self, *error: Any) -> Any:
        """End."""

    def show(self, answer: Answer, number: int) -> bool:
        """Show an answer; return False when the user wants to see no more."""


def report_results(
    answers: Iterable[Answer],
    reporter: Reporter,
    form: LineForm,
    views: Sequence[ResultView] = (),
) -> None:
    """Write lines about answers, and show the answers in views.

    Ends early when the user wants to see no more in a view, or where there are no views and nobody
    reads the lines.
    """
    with contextlib.ExitStack() as stack:
        for view in views:
            stack.enter_context(view)
        for number, answer in enumerate(answers):
            still_read = form.write(reporter.lines(answer, form.name))
            if not views and not still_read:
                break
            shown = [view.show(answer, number) for view in views]  # in all of them
            if not all(shown):
                break


class SheetView(contextlib.AbstractContextManager["SheetView"]):
    """Shows sheets of queries and results in an Output: windows, or files of a folder."""

    def __init__(
        self, output: "Output", reporter: Reporter, projection: "Projection | None" = None
    ) -> None:
        """`projection` is the Projection of the queries, for a map of each, or None."""
        self.output = output
        self.reporter = reporter
        self.projection = projection

    def show(self, answer: Answer, number: int) -> bool:
        """Show the sheets of a query; return False when the user wants to stop."""
        from pyimagesearch.show.sheets import draw_sheets  # loads OpenCV

        sheets = draw_sheets(self.reporter, answer)
        if self.projection:
            sheets["Map"] = self.projection.sheet(number, self.reporter.title(answer.query))
        return self.output.show(sheets, number)

    def __exit__(self, kind: Any, *_: Any) -> None:
        if kind is None:
            self.output.remove_stale()
