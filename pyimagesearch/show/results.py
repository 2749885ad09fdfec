"""Reporting the results of queries, one after another, as text and to views."""

import contextlib


def report_results(found, reporter, form, write, views=()):
    """Write lines about pairs of a Query and its Results, and show the pairs in views.

    `form` is that of `Reporter.lines`; `write(lines)` returns whether the lines are still read.
    A view is a context manager whose `show(query, results, number)` returns False when the user
    wants to see no more. Ends early when one does, or where there are no views and nobody reads.
    """
    with contextlib.ExitStack() as stack:
        for view in views:
            stack.enter_context(view)
        for number, (query, results) in enumerate(found):
            still_read = write(reporter.lines(query, results, form))
            if not views and not still_read:
                break
            shown = [view.show(query, results, number) for view in views]  # in all of them
            if not all(shown):
                break


class SheetView(contextlib.AbstractContextManager):
    """Shows sheets of queries and results in an Output: windows, or files of a folder."""

    def __init__(self, output, reporter, projection=None):
        """`projection` is the Projection of the queries, for a map of each, or None."""
        self.output, self.reporter, self.projection = output, reporter, projection

    def show(self, query, results, number):
        """Show the sheets of a query; return False when the user wants to stop."""
        from pyimagesearch.show.sheets import draw_sheets  # loads OpenCV

        sheets = draw_sheets(self.reporter, query, results)
        if self.projection:
            sheets["Map"] = self.projection.sheet(number, self.reporter.title(query))
        return self.output.show(sheets, number)

    def __exit__(self, kind, *_):
        if kind is None:
            self.output.remove_stale()
