"""A session in a terminal: lines of commands are read, results are written as lines."""

import logging
import sys
from collections.abc import Callable

from pyimagesearch.browse.actions import ACTIONS, FORMER, Action, command_help
from pyimagesearch.browse.session import Session
from pyimagesearch.queries.crops import parse_crop
from pyimagesearch.show.image_file import write_image
from pyimagesearch.show.results import LineForm
from pyimagesearch.show.sheets import draw_sheets
from pyimagesearch.suggestions import did_you_mean

logger = logging.getLogger(__name__)

MAX_LINE = 4096  # bytes of a command
DIGITS = 18  # of the number of a result; Python refuses to read thousands of them


class Commands:
    """Runs the commands of lines of text on a Session.

    Sheets and maps are written to `folder`, maps by `method`. Every line that is written is of the
    `form`.
    """

    def __init__(
        self, session: Session, form: LineForm, folder: str, *, method: str = "pca"
    ) -> None:
        self.session = session
        self.form = form
        self._folder = folder
        self._method = method
        self._actions = {action.command: action for action in ACTIONS if action.command}

    def report(self) -> bool:
        """Write the current page of results; return whether lines are still read."""
        return self.form.write(self.session.reporter.lines(self.session.page, self.form.name))

    def run(self, text: str) -> list[str] | None:
        """Run a command; return lines to write, or None where the results are to be reported.

        Raises ValueError, OSError or ImportError for a command that is wrong or fails.
        """
        name, _, rest = text.strip().partition(" ")
        rest = rest.strip()
        if name.isdecimal():
            rest = text.strip()
            name = "choose"
        action = self._actions.get(FORMER.get(name, name))
        if action is None:
            meant = did_you_mean(name, self._actions) or ": help lists the commands"
            raise ValueError(f"unknown command {text.strip()}{meant}")
        if action.of_result:
            return self._method_of(action)(self.session.id_of(_number(name, rest)))
        if action.method == "crop":
            return self._method_of(action)(parse_crop(rest))
        if rest:
            raise ValueError(f"expected {action.command} alone, received {text.strip()}")
        return self._method_of(action)()

    def _method_of(self, action: Action) -> Callable[..., list[str] | None]:
        """Return the method of these commands, or else that of the session, for an action."""
        own = getattr(self, f"_{action.method}", None)
        return own or getattr(self.session, action.method)

    def _open(self, id: str) -> list[str]:
        self.session.open(id)
        return []

    def _help(self) -> list[str]:
        if self.form.name == "text":
            return command_help()
        for line in command_help():
            logger.info(line)
        return []

    def _list(self) -> list[str] | None:
        if self.form.name != "text":
            return None  # a report names all results
        first = self.session.first + 1
        return [self.session.tooltip(first + n) for n in range(len(self.session.page.hits))]

    def _save(self) -> list[str]:
        session = self.session
        sheets = draw_sheets(session.reporter, session.page)
        logger.info("wrote " + " and ".join(session.save(self._folder, sheets["Results"])))
        return []

    def _map(self) -> list[str]:
        path = f"{self._folder}/map.png"
        write_image(path, self.session.map(self._method).sheet(0, self.session.shared_title))
        logger.info(f"wrote {path}")
        return []


def _number(command: str, text: str) -> int:
    if not text.isdecimal():
        received = text or "nothing"
        raise ValueError(f"{command}: expected the number of one result, received {received}")
    if len(text) > DIGITS:
        raise ValueError(f"{command}: expected a number of up to {DIGITS} digits")
    return int(text)


def run_commands(commands: Commands) -> None:
    """Report the first results, and run the lines of standard input until its end or `quit`."""
    still_read = commands.report()
    while still_read and (text := _next_line()) and not _quits(text):
        if not text.strip():
            continue
        try:
            lines = commands.run(text)
        except (ValueError, OSError, ImportError) as error:
            logger.warning(" ".join(str(error).split()))
            continue
        still_read = commands.report() if lines is None else commands.form.write(lines)


def _quits(text: str) -> bool:
    name = text.strip()
    return FORMER.get(name, name) == "quit"


def _next_line() -> str:
    """Return the next line of standard input, empty at its end; with a prompt on a terminal.

    Raises ValueError for one that is longer than any command, as of a file that is no text.
    """
    if sys.stdin is None:
        return ""
    if sys.stdin.isatty():
        sys.stderr.write("> ")
        sys.stderr.flush()
    line = sys.stdin.buffer.readline(MAX_LINE + 1)
    if len(line) > MAX_LINE:
        raise ValueError(f"standard input has a line of more than {MAX_LINE:,} bytes, no command")
    return line.decode(errors="replace")
