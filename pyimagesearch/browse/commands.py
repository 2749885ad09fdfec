"""A session in a terminal: lines of commands are read, a line is written for each result set."""

import logging
import sys
from collections.abc import Callable, Iterable

from pyimagesearch.browse.session import Session
from pyimagesearch.queries.crops import parse_crop
from pyimagesearch.queries.query import Answer
from pyimagesearch.show.image_file import write_image
from pyimagesearch.show.sheets import draw_sheets

logger = logging.getLogger(__name__)

DIGITS = 18  # of the number of a result; Python refuses to read thousands of them
HELP = (
    "N, choose N: search for result N",
    "like N, dislike N: mark it and search again; again to unmark",
    "crop X,Y,W,H: search for a part of the query, in pixels or fractions",
    "rotate, flip: turn the query clockwise by 90 degrees, flip it left to right",
    "back: to the step before",
    "next, previous: more results, those before",
    "another: next of the queries that were given",
    "list: the names of the results",
    "open N: open its file",
    "save: write the montage and the paths",
    "map: write a map of the index",
    "help, quit",
)


class Commands:
    """Runs the commands of lines of text on a Session.

    Sheets and maps are written to `folder`, maps by `method`. Results are written in the form
    called `form`, see LineForm: in others than "text", every line that is written is of that form.
    """

    def __init__(
        self, session: Session, folder: str, *, method: str = "pca", form: str = "text"
    ) -> None:
        self.session = session
        self._form = form
        self._folder = folder
        self._method = method
        self._alone = {
            "rotate": session.rotate,
            "flip": session.flip,
            "back": session.back,
            "next": session.next_page,
            "previous": session.previous_page,
            "another": session.another,
        }
        self._of_result = {
            "choose": session.choose,
            "like": session.like,
            "dislike": session.dislike,
            "unlike": session.dislike,  # its name of old
            "open": session.open,
        }
        self._silent: dict[str, Callable[[], list[str] | None]] = {
            "save": self._save,
            "map": self._map,
            "help": self._help,
            "list": self._list,
        }

    def run(self, text: str) -> list[str] | None:
        """Run a command; return lines to write, or None where the results are to be reported.

        Raises ValueError, OSError or ImportError for a command that is wrong or fails.
        """
        text = text.strip()
        name, _, rest = text.partition(" ")
        rest = rest.strip()
        if name.isdecimal():
            name = "choose"
            rest = text
        if name in self._silent and not rest:
            return self._silent[name]()
        if name in self._alone and not rest:
            self._alone[name]()
        elif name in self._of_result:
            number = _number(name, rest)
            self._of_result[name](self.session.id_of(number))
            if name == "open":
                return []
        elif name == "crop":
            self.session.crop(parse_crop(rest))
        else:
            raise ValueError(f"unknown command {text}: help lists the commands")
        return None

    def _help(self) -> list[str]:
        if self._form == "text":
            return list(HELP)
        for line in HELP:
            logger.info(line)
        return []

    def _list(self) -> list[str] | None:
        if self._form != "text":
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
        write_image(path, self.session.map(self._method))
        logger.info(f"wrote {path}")
        return []


def _number(command: str, text: str) -> int:
    if not text.isdecimal():
        received = text or "nothing"
        raise ValueError(f"{command}: expected the number of one result, received {received}")
    if len(text) > DIGITS:
        raise ValueError(f"{command}: expected a number of up to {DIGITS} digits")
    return int(text)


def run_commands(
    commands: Commands, report: Callable[[Answer], bool], write: Callable[[Iterable[str]], bool]
) -> None:
    """Report the first results, and run the lines of standard input until its end or `quit`.

    `report(answer)` writes results and `write(lines)` other lines; both return whether they
    are still read.
    """
    session = commands.session
    still_read = report(session.page)
    while still_read and (text := _next_line()) and text.strip() not in ("quit", "q"):
        if not text.strip():
            continue
        try:
            lines = commands.run(text)
        except (ValueError, OSError, ImportError) as error:
            logger.warning(" ".join(str(error).split()))
            continue
        still_read = report(session.page) if lines is None else write(lines)


def _next_line() -> str:
    """Return the next line of standard input, empty at its end; with a prompt on a terminal."""
    if sys.stdin is None:
        return ""
    if sys.stdin.isatty():
        sys.stderr.write("> ")
        sys.stderr.flush()
    return sys.stdin.buffer.readline().decode(errors="replace")
