"""A session in a terminal: lines of commands are read, a line is written for each result set."""

import logging
import sys
from collections.abc import Callable, Iterable

from pyimagesearch.browse.actions import ACTIONS, FORMER, command_help
from pyimagesearch.browse.session import Session
from pyimagesearch.queries.crops import parse_crop
from pyimagesearch.queries.query import Answer
from pyimagesearch.show.image_file import write_image
from pyimagesearch.show.sheets import draw_sheets

logger = logging.getLogger(__name__)

MAX_DIGITS = 9  # of the number of a result


class Commands:
    """Runs the commands of lines of text on a Session.

    Sheets and maps are written to `folder`, maps by `method`.
    """

    def __init__(self, session: Session, folder: str, method: str = "pca") -> None:
        self.session = session
        self._folder = folder
        self._method = method
        self._actions = {action.command: action for action in ACTIONS if action.command}

    def run(self, text: str) -> list[str] | None:
        """Run a command; return lines to write, or None where the results are to be reported.

        Raises ValueError, OSError or ImportError for a command that is wrong or fails.
        """
        name, *words = text.split()
        if name.isdecimal():
            words.insert(0, name)
            name = "choose"
        action = self._actions.get(FORMER.get(name, name))
        if action is None:
            raise ValueError(f"unknown command {text.strip()}: help lists the commands")
        own = getattr(self, f"_{action.method}", None)
        method = own or getattr(self.session, action.method)
        if action.of_result:
            lines = method(self.session.id_of(_number(words, text)))
        elif action.method == "crop":
            lines = method(parse_crop(" ".join(words)))
        elif words:
            raise ValueError(f"expected {action.command} alone, received {text.strip()}")
        else:
            lines = method()
        return lines

    def _open(self, id: str) -> list[str]:
        self.session.open(id)
        return []

    def _help(self) -> list[str]:
        return command_help()

    def _list(self) -> list[str]:
        first = self.session.first + 1
        return [self.session.tooltip(first + n) for n in range(len(self.session.page.hits))]

    def _save(self) -> list[str]:
        session = self.session
        sheets = draw_sheets(session.reporter, session.page)
        logger.info("wrote " + " and ".join(session.save(self._folder, sheets["Results"])))
        return []

    def _map(self) -> list[str]:
        path = f"{self._folder}/map.png"
        write_image(path, self.session.map(self._method))
        logger.info(f"wrote {path}")
        return []


def _number(words: list[str], text: str) -> int:
    """Return the one number of a result that a command names."""
    if len(words) != 1 or not words[0].isdecimal() or len(words[0]) > MAX_DIGITS:
        raise ValueError(f"expected the number of one result, received {text.strip()}")
    return int(words[0])


def run_commands(
    commands: Commands, report: Callable[[Answer], bool], write: Callable[[Iterable[str]], bool]
) -> None:
    """Report the first results, and run the lines of standard input until its end or `quit`.

    `report(answer)` writes results and `write(lines)` other lines; both return whether they
    are still read.
    """
    session = commands.session
    still_read = report(session.page)
    while (
        still_read and (text := _next_line()) and FORMER.get(text.strip(), text.strip()) != "quit"
    ):
        if not text.strip():
            continue
        try:
            lines = commands.run(text)
        except (ValueError, OSError, ImportError) as error:
            logger.warning(" ".join(str(error).split()))
            continue
        still_read = report(session.page) if lines is None else write(lines)


def _quits(text: str) -> bool:
    name = text.strip()
    return FORMER.get(name, name) == "quit"


def _next_line() -> str:
    """Return the next line of standard input, empty at its end; with a prompt on a terminal."""
    if sys.stdin is None:
        return ""
    if sys.stdin.isatty():
        sys.stderr.write("> ")
        sys.stderr.flush()
    return sys.stdin.buffer.readline().decode(errors="replace")
