"""Starts a session in a window or in a terminal."""

from collections.abc import Iterable
from dataclasses import dataclass

from pyimagesearch.browse.session import Session
from pyimagesearch.indexes.contract import Index
from pyimagesearch.queries.query import Answer
from pyimagesearch.show.reporter import Reporter
from pyimagesearch.show.results import LineForm

FOLDER = "output"  # for saved sheets, unless another is given


@dataclass(frozen=True)
class BrowseOptions:
    """How the user searches on from results.

    `max_results` and `max_distance` are those of Session. What is saved goes to `folder`; maps are
    drawn by `map_method`, in a window from the start if it is given. With `by_commands` lines of
    standard input are read, else the mouse and keys of a window are used; see `actions.ACTIONS`.
    """

    max_results: int | None = None
    max_distance: float | None = None
    folder: str | None = None
    map_method: str | None = None
    by_commands: bool = False


def browse_results(
    answers: Iterable[Answer],
    index: Index,
    reporter: Reporter,
    options: BrowseOptions,
    *,
    form: LineForm,
) -> None:
    """Have the user search on from the answers of an index, until they quit.

    Each set of results is also written in a `form`.
    """
    session = Session(
        answers,
        index,
        reporter,
        max_results=options.max_results,
        max_distance=options.max_distance,
    )
    folder = options.folder or FOLDER

    def report(answer: Answer, before: int = 0) -> bool:
        return form.write(reporter.lines(answer, form.name, before))

    if options.by_commands:
        from pyimagesearch.browse.commands import Commands, run_commands

        commands = Commands(session, folder, method=options.map_method or "pca", form=form.name)
        run_commands(commands, report, form.write)
        return
    from pyimagesearch.browse.window import browse

    session.report = report
    report(session.answer)
    browse(session, folder, options.map_method)
