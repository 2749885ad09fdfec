"""Starts a session in a window or in a terminal."""

from pyimagesearch.browse.session import Session

FOLDER = "output"  # for saved sheets, unless another is given


def browse_results(found, searched, form, write, folder=None, method=None, by_commands=False):
    """Have the user search on from results, until they quit.

    `found` yields pairs of a Query and its Results; `searched` are the other arguments of Session.
    In a window the mouse and keys search on, see `window.KEYS`, or with `by_commands` lines of
    standard input, see `commands.HELP`. Each set of results is also reported in a `form` of
    `Reporter.lines` by `write(lines)`, which returns whether they are still read. What is saved
    goes to `folder`; maps are drawn by `method`, in a window from the start if it is given.
    """
    session, folder = Session(found, *searched), FOLDER if folder is None else folder

    def report(query, results):
        return write(session.reporter.lines(query, results, form))

    if by_commands:
        from pyimagesearch.browse.commands import Commands, run_commands

        run_commands(Commands(session, folder, method or "pca"), report, write)
        return
    from pyimagesearch.browse.window import browse

    session.report = report
    report(session.step.query, session.step.results)
    browse(session, folder, method)
