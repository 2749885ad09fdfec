"""Opening a picture file with the program that the operating system has for it."""

import os
import shutil
import stat
import subprocess
import sys

from pyimagesearch.files import printable
from pyimagesearch.pictures.formats import SUFFIXES


def open_picture_file(path: str) -> None:
    """Have the operating system open a picture file; return at once.

    No shell is involved. Because paths come from an index and Windows would run a program, only
    files with the suffix of a picture are opened. Raises OSError or ValueError with the reason.
    """
    shown = printable(path)
    try:
        mode = os.stat(path).st_mode
    except (FileNotFoundError, NotADirectoryError) as error:
        raise FileNotFoundError(f"{shown} is no longer on disk: update the index") from error
    except OSError as error:
        raise OSError(f"cannot open {shown}: {error.strerror}") from error
    if not stat.S_ISREG(mode):
        raise ValueError(f"{shown} is no file any more: update the index")
    if not path.lower().endswith(SUFFIXES):
        raise ValueError(f"{shown} is not opened: its suffix is not that of a picture")
    path = os.path.abspath(path)  # never begins with "-"
    if sys.platform == "win32":
        os.startfile(path)
        return
    program = "open" if sys.platform == "darwin" else "xdg-open"
    if shutil.which(program) is None:
        raise FileNotFoundError(f"cannot open {shown}: {program} is not installed")
    null = subprocess.DEVNULL
    subprocess.Popen([program, path], stdin=null, stdout=null, stderr=null, start_new_session=True)
