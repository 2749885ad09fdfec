"""Two processes of one process id change the same index at once, as in two containers.

usage: python tests/two_writers.py FOLDER ROUNDS

In FOLDER are `old`, the files before, and `new`, those after one run of each command of COMMANDS.
Prints the number of each outcome as JSON, and what must not happen.
"""

import json
import os
import shutil
import sys
import time
from pathlib import Path

from kills import slow_down

import index_images
from pyimagesearch.engines import engine_file, factory  # noqa: F401
from pyimagesearch.indexes import hdf5, journal, local_writer  # noqa: F401
from pyimagesearch.indexes.index_file import load_index

# By the name of the index that a round changes: what two processes do to it.
COMMANDS = {
    "folder.pickle": [],
    "folder.h5": [],
    "array.pickle": ["-m", "encoder.onnx", "--limit", "300"],
    "array.h5": ["-m", "encoder.onnx", "--limit", "300"],
    "merged.h5": ["--merge", "1.h5", "2.h5"],
    "engine.h5": ["--engine", "IVF4,Flat"],
}
REFUSED = "another process is indexing into"


def start(name: str, work: Path, number: int) -> int:
    """Change an index in a fork that has the process id 7; return its true one."""
    pid = os.fork()
    if pid:
        return pid
    status = 1
    try:
        os.chdir(work)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        os.dup2(os.open(f"errors-{number}", os.O_WRONLY | os.O_CREAT), 2)
        os.getpid = lambda: 7
        slow_down()
        status = index_images.main(["-i", name, *COMMANDS[name]])
    finally:
        os._exit(status)


def run_round(name: str, root: Path, delay: float) -> tuple[list[str], list[str]]:
    """Let two processes change an index; return what each did, and what must not happen."""
    work = root / "work"
    shutil.copytree(root / "old", work)
    before = set(os.listdir(work))
    first = start(name, work, 0)
    time.sleep(delay)
    second = start(name, work, 1)
    outcomes = []
    bad = []
    for number, pid in enumerate((first, second)):
        _, status = os.waitpid(pid, 0)
        errors = (work / f"errors-{number}").read_text()
        (work / f"errors-{number}").unlink()
        lines = [line for line in errors.splitlines() if "error: " in line]
        refused = status and len(lines) == 1 and REFUSED in lines[0]
        outcomes.append("refused" if refused else f"status {status}")
        if status and not refused:
            bad.append(f"{name}: {errors}")
    if "status 0" not in outcomes:
        bad.append(f"{name}: neither wrote it")
    if not same_index(work / name, root / "new" / name):
        bad.append(f"{name}: it is not what one process alone makes")
    left = set(os.listdir(work)) - before - {name, f"{name}.engine"}
    if left:
        bad.append(f"{name}: {sorted(left)} are left")
    shutil.rmtree(work)
    return outcomes, bad


def same_index(path: Path, other: Path) -> bool:
    """Whether two index files have the same codes, and engines of the same name."""
    a = load_index(path, verify=True)
    b = load_index(other, verify=True)
    same = list(a.ids) == list(b.ids) and a.codes.tobytes() == b.codes.tobytes()
    return same and a.engine.name == b.engine.name


def main(root: Path, rounds: int) -> dict[str, object]:
    """Run the rounds, for each of COMMANDS in turn."""
    counts: dict[str, int] = {}
    bad = []
    for number in range(rounds):
        name = list(COMMANDS)[number % len(COMMANDS)]
        outcomes, faults = run_round(name, root, delay=0.1 * (number // len(COMMANDS)))
        for outcome in outcomes:
            counts[outcome] = counts.get(outcome, 0) + 1
        bad += faults
    return {"outcomes": counts, "bad": bad}


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1]), int(sys.argv[2]))))
