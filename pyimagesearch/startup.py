"""While a script is still being imported: Ctrl-C, and packages or libraries that are missing."""

import signal
import sys
from pathlib import Path
from types import TracebackType

ENVIRONMENT = Path(__file__).parent.parent / ".venv"  # as README and Makefile call it
INSTALL = (
    'pip install -r requirements.txt, or "image-search[train]" for training and models of Keras; '
    "see docs/troubleshooting.md"
)


def is_command(name: str) -> bool:
    """Whether the script of this module name is run, itself or as installed, and not imported."""
    return name == "__main__" or name.startswith("pyimagesearch.scripts.")


def begin() -> None:
    """Have Ctrl-C end the process at once, and an ImportError be one line, until `main` runs."""
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    sys.excepthook = _write_import_error


def explain(error: ImportError) -> str:
    """Return what is missing, and how it is installed where Python says only its name."""
    if isinstance(error, ModuleNotFoundError) and error.name:
        package = error.name.partition(".")[0]
        activate = ""
        if sys.prefix == sys.base_prefix and ENVIRONMENT.is_dir():  # made, but not active
            activate = f"activate the environment {ENVIRONMENT.name}, or "
        return f"the package {package} is not installed: {activate}{INSTALL}"
    if "cannot open shared object file" in str(error):
        return f"{error}: a library of the system is missing; see docs/troubleshooting.md"
    return str(error)


def _write_import_error(
    kind: type[BaseException], error: BaseException, trace: TracebackType | None
) -> None:
    if not isinstance(error, ImportError):
        sys.__excepthook__(kind, error, trace)
        return
    sys.stderr.write(f"{Path(sys.argv[0]).name}: error: {explain(error)}\n")
