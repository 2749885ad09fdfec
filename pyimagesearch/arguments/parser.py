"""What the three parsers share: errors in one line, help in two steps, suggestions."""

import argparse
import itertools
import os
import re
import sys
import textwrap
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NoReturn

from pyimagesearch import __version__
from pyimagesearch.cli import as_started
from pyimagesearch.suggestions import did_you_mean

VALUE_MARK = "\0"  # before a value: no argument of a process holds this character
HELP_WIDTH = 78  # columns, as argparse takes where it does not know those of a terminal

FlagTable = Mapping[str, Sequence[str]]  # flags, by the flag that needs or excludes them


class HelpFormatter(argparse.ArgumentDefaultsHelpFormatter, argparse.RawDescriptionHelpFormatter):
    """Shows the default of every flag that has one, and examples as they are."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        if action.default in (None, False, argparse.SUPPRESS):
            return action.help
        return super()._get_help_string(action)


class ShortHelp(argparse.Action):
    """The action of --help: the flags that a newcomer needs, and examples."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,
        option_string: str | None = None,
    ) -> None:
        """Print the help and end the process."""
        assert isinstance(parser, FlagParser)
        parser.hide_other_flags()
        parser.print_help()
        parser.exit()


class FlagParser(argparse.ArgumentParser):
    """A parser of flags whose errors are one line that says what to do.

    `basics` are the flags that --help shows; --help-all shows all. `examples` are commands, one a
    line. `stray` is the flag that a word without a flag was probably meant for.
    """

    def __init__(
        self, script: str, description: str, *, basics: Sequence[str], examples: str, stray: str
    ) -> None:
        super().__init__(
            prog=as_started(script),
            description=textwrap.fill(description, HELP_WIDTH),
            epilog=f"examples:\n{examples}",
            formatter_class=HelpFormatter,
            add_help=False,
            exit_on_error=False,  # so that `parse_known_args` can reword errors
        )
        self.basics = frozenset(basics)
        self.stray = stray
        about = self.add_argument_group("about").add_argument
        nothing: dict[str, Any] = {"nargs": 0, "default": argparse.SUPPRESS}
        about("-h", "--help", action=ShortHelp, help="show the most useful flags", **nothing)
        about("--help-all", action="help", help="show all flags")
        version = f"image-search {__version__}"
        about("--version", action="version", version=version, help="show the version")

    def hide_other_flags(self) -> None:
        """Leave the flags out of the help that are not among `basics`."""
        shown = self.basics | {"--help", "--help-all"}
        for action in self._actions:
            if not shown.intersection(action.option_strings):
                action.help = argparse.SUPPRESS

    def parse_args(  # type: ignore[override]  # argparse may fill any other namespace
        self, args: Sequence[str] | None = None, namespace: argparse.Namespace | None = None
    ) -> argparse.Namespace:
        """Return the flags; end the process with a usage error if a word belongs to none."""
        args = list(sys.argv[1:] if args is None else args)
        self._refuse_at_once(args)
        parsed, left = self.parse_known_args(list(map(self._value_or_flag, args)), namespace)
        left = [word.removeprefix(VALUE_MARK) for word in left if word != "--"]
        if left:
            self._refuse_left(left)
        return parsed

    def parse_known_args(  # type: ignore[override]  # argparse may fill any other namespace
        self, args: Sequence[str] | None = None, namespace: argparse.Namespace | None = None
    ) -> tuple[argparse.Namespace, list[str]]:
        """Return the flags and what belongs to none, as argparse does, with errors in our words."""
        try:
            return super().parse_known_args(args, namespace)
        except argparse.ArgumentError as error:
            name = f"{error.argument_name}: " if error.argument_name else ""
            self.error(name + error.message + self._how_to_write(args or ()))

    def _how_to_write(self, args: Sequence[str]) -> str:
        """Return a hint where a value begins like a flag, such as a file called -rf.png."""
        flags = self._flags()
        for before, text in itertools.pairwise(word for word in args if word != "--"):
            if before in flags and text.startswith("-") and text not in flags:
                return f"; if {text} is its value, write {before}={text}"
        return ""

    def error(self, message: str) -> NoReturn:
        """End the process with status 2 and one line."""
        text = " ".join(message.split())
        self.exit(2, f"{self.prog}: error: {text} (see {self.prog} --help)\n")

    def _print_message(self, message: str, file: Any = None) -> None:
        super()._print_message(as_started(message), file)

    def refuse_unused(
        self,
        args: argparse.Namespace,
        *,
        needs: FlagTable | None = None,
        excludes: FlagTable | None = None,
        remedy: str = "",
    ) -> None:
        """End with a usage error where a flag that was given would have no effect.

        Flags are named as in `args`. `needs` maps a flag to those of which it needs one, `excludes`
        to those that have no effect beside it; flags are given unless they have their default.
        """

        def given(flag: str) -> bool:
            return bool(getattr(args, flag) != self.get_default(flag))

        def name(flag: str) -> str:
            return f"--{flag.replace('_', '-')}"

        for flag, others in (needs or {}).items():
            if given(flag) and not any(map(given, others)):
                self.error(f"{name(flag)} has no effect without {' or '.join(map(name, others))}")
        for flag, others in (excludes or {}).items():
            if given(flag) and (unused := [name(other) for other in others if given(other)]):
                verb = "has" if len(unused) == 1 else "have"
                self.error(f"{' and '.join(unused)} {verb} no effect with {name(flag)}{remedy}")

    def _flags(self) -> list[str]:
        return [name for action in self._actions for name in action.option_strings]

    def _value_or_flag(self, text: str) -> str:
        """Return `text`, marked as a value if it begins like a negative number, or is --flag=--.

        argparse takes texts such as -1:b.png for a flag, and -1 too in a parser that has the flag
        -0, and drops a value that is --. `_get_value` removes the mark,
        and `parse_args` that of words without a flag.
        """
        if text.startswith("--") and text.endswith("=--"):
            return f"{text.removesuffix('--')}{VALUE_MARK}--"
        is_number = re.match(r"-\.?\d", text) and text not in self._flags()
        return f"{VALUE_MARK}{text}" if is_number else text

    def _get_value(self, action: argparse.Action, arg_string: str) -> Any:
        value: Any = super()._get_value(action, arg_string.removeprefix(VALUE_MARK))
        return value

    def _refuse_at_once(self, args: Sequence[str]) -> None:
        """End with a usage error for an empty text, as an unset variable of a shell gives, and for
        a misspelt flag, with the one that was probably meant.

        Looked for before argparse does: it would say first that another flag is missing, and would
        read -index as -i ndex.
        """
        flags = self._flags()
        for before, text in itertools.pairwise(["", *args]):
            if text == "--":
                return
            if not text.strip():
                self.error(f"an empty text follows {before}: expected a value")
            name, equals, value = text.partition("=")
            if name in flags and equals and not value.strip():
                self.error(f"an empty text follows {name}: expected a value")
            if name.startswith("-") and f"-{name}" in flags:
                self.error(f"{name} is not a flag: did you mean -{name}?")
            if name.startswith("--") and not any(flag.startswith(name) for flag in flags):
                names = [flag.removeprefix("--") for flag in flags if flag.startswith("--")]
                meant = did_you_mean(name.removeprefix("--"), names, "--")
                self.error(f"{name} is not a flag{meant}")

    def _refuse_left(self, left: Sequence[str]) -> NoReturn:
        word = left[0]
        if word.startswith("-"):
            self.error(f"{word} is not a flag")
        meant = f"{self.stray} {word}"
        if "--text" in self._flags() and not os.path.splitext(word)[1]:
            words = " ".join(left)
            meant += f', or --text "{words}"'
        self.error(f"{word!r} follows no flag: did you mean {meant}?")

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if action.choices is None or value in action.choices:
            return
        names = [str(choice) for choice in action.choices]
        text = f"expected one of {', '.join(names)}, received {value}"
        raise argparse.ArgumentError(action, text + did_you_mean(str(value), names))


def add_folder_flags(add: Callable[..., Any]) -> None:
    """Add the flags that say how folders of pictures are read, by the `add_argument` of a group."""
    text = "leave out files and folders of these names, or paths, such as *.CR2 or scans/old"
    add("--exclude", nargs="*", metavar="PATTERN", help=text)
    text = "read JPEGs that are cut short as far as they go"
    add("--truncated", action="store_true", default=None, help=text)
