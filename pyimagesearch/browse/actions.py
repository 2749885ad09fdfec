"""The actions of browsing: one table for window, commands, help and documentation."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Action:
    """Something that a user can do while browsing.

    `method` is that of the Session, or of the window or the commands where these do more. It is
    called with the id of a result where it is `of_result`. `keys` are names of `keys.key_name`,
    `mouse` says in words what the mouse does for it, `command` is its name in the terminal; empty
    where there is none. `help` says what it does.
    """

    method: str
    help: str
    keys: tuple[str, ...] = ()
    mouse: str = ""
    command: str = ""
    of_result: bool = False

    @property
    def gestures(self) -> str:
        """The mouse and the keys in words, as the window shows them; empty where there are none."""
        return ", ".join([*([self.mouse] if self.mouse else []), *map(_shown, self.keys)])

    @property
    def usage(self) -> str:
        """How the command is written, empty where there is none."""
        if self.command == "choose":
            return "N, choose N"
        if self.command == "crop":
            return "crop X,Y,W,H"
        return f"{self.command} N" if self.of_result and self.command else self.command


ACTIONS = (
    Action("choose", "search for this picture", ("enter",), "click", "choose", of_result=True),
    Action(
        "like", "like it; again to unmark", ("a",), "Ctrl or Shift click", "like", of_result=True
    ),
    Action(
        "dislike", "dislike it; again to unmark", ("u",), "right click", "dislike", of_result=True
    ),
    Action("crop", "search for this part of the query", (), "drag over the query", "crop"),
    Action("rotate", "turn the query to the right", ("r",), command="rotate"),
    Action("flip", "mirror the query, left to right", ("f",), command="flip"),
    Action("back", "return to the step before", ("backspace",), command="back"),
    Action("next_page", "more results", ("page down", "n"), command="next"),
    Action("previous_page", "the results before these", ("page up", "p"), command="previous"),
    Action("another", "next of the queries that were given", ("space",), command="another"),
    Action("list", "the names of the results", command="list"),
    Action("open", "open its file", ("o",), command="open", of_result=True),
    Action("save", "save this sheet and the paths of its pictures", ("s",), command="save"),
    Action("map", "draw a map of the index", ("m",), command="map"),
    Action("help", "show or hide this help", ("?",), command="help"),
    Action("quit", "quit", ("q", "escape"), command="quit"),
)
MOVES = "arrows or h j k l"  # select a picture, which Enter and other keys are about
FORMER = {"unlike": "dislike", "q": "quit"}  # names of commands that are still accepted


def _shown(key: str) -> str:
    return key.title() if len(key) > 1 else key


def window_help() -> list[str]:
    """Return the lines that a window shows about its mouse and keys."""
    lines = [f"{action.gestures}:  {action.help}" for action in ACTIONS if action.gestures]
    return [f"{MOVES}:  select a picture", *lines]


def command_help() -> list[str]:
    """Return the lines that `help` writes in a terminal."""
    return [f"{action.usage}: {action.help}" for action in ACTIONS if action.command]
