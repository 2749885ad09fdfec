"""What the scripts do where standard output or error is closed, full, not UTF-8, or a terminal."""

import json
import os
import pty
import re
import signal
import subprocess
import sys
import unicodedata

import cv2
import numpy as np
import pytest

import index_images
import search
from tests.scripts import MODEL, ROOT, run

FULL = "/dev/full"
needs_full_disk = pytest.mark.skipif(not os.path.exists(FULL), reason="there is no /dev/full")
ODD = "\x1b[31mred\u202e"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Pictures with names that are not ASCII, not UTF-8, or control a terminal."""
    root, random = tmp_path_factory.mktemp("odd"), np.random.default_rng(0)
    for name in ("a/café.png", "a/b.png", "b/\udce9.png", f"{ODD}/x\x07.png", "b/e\u0301.png"):
        (root / name).parent.mkdir(exist_ok=True)
        small = random.integers(0, 256, (4, 4), np.uint8)
        picture = cv2.resize(small, (28, 28), interpolation=cv2.INTER_CUBIC)
        (root / name).write_bytes(cv2.imencode(".png", picture)[1].tobytes())
    (root / "copy.png").write_bytes((root / "a" / "b.png").read_bytes())
    return root


@pytest.fixture(scope="module")
def index(folder, tmp_path_factory):
    path = tmp_path_factory.mktemp("index") / "odd.h5"
    assert run(index_images, "-m", MODEL, "-i", path, "--dataset", folder) == 0
    return path


def shell(command, **environment):
    """Run a command line of the shell, in which $S and $I are two scripts; return the process."""
    variables = {
        **os.environ,
        "S": f"{sys.executable} {ROOT / 'search.py'}",
        "I": f"{sys.executable} {ROOT / 'index_images.py'}",
        **environment,
    }
    variables.pop("PYTHONIOENCODING", None) if "PYTHONIOENCODING" not in environment else None
    return subprocess.run(["bash", "-c", command], env=variables, capture_output=True)


def errors(process):
    """Return the lines of standard error that are no status lines."""
    return [line for line in process.stderr.decode().splitlines() if "[INFO]" not in line]


@needs_full_disk
@pytest.mark.parametrize(
    "flags", ["--sample 1 --json", "--sample 1 --paths", "--duplicates --json", "--evaluate"]
)
def test_results_that_a_full_disk_does_not_take_are_an_error(index, flags):
    process = shell(f"$S --index {index} {flags} > {FULL}")
    assert process.returncode == 1
    message = "search.py: error: cannot write to standard output: No space left on device"
    assert errors(process) == [message]


@needs_full_disk
def test_help_that_a_full_disk_does_not_take_is_an_error():
    process = shell(f"$S --help > {FULL}")
    assert (process.returncode, len(errors(process))) == (1, 1)


@needs_full_disk
def test_an_engine_is_built_before_its_report_fails_to_be_written(index):
    process = shell(f"$I --index {index} --engine SQ8 > {FULL}")
    assert (process.returncode, len(errors(process))) == (1, 1)
    engine = index.with_name("odd.h5.engine")
    engine.unlink()
    process = shell(f"$I --index {index} --engine SQ8 2> {FULL}")
    assert process.returncode == 0
    assert b"SQ8, euclidean" in process.stdout
    engine.unlink()


def test_a_closed_standard_output_is_an_error(index):
    process = shell(f"$S --index {index} --sample 1 --json >&-")
    assert process.returncode == 1
    assert errors(process) == ["search.py: error: cannot write to standard output: it is closed"]


def test_status_lines_never_get_among_the_results(index):
    process = shell(f"$S --index {index} --sample 1 --json 2>&-")
    assert process.returncode == 0
    assert json.loads(process.stdout)["results"]


def test_work_goes_on_when_nobody_reads_the_status_lines(index):
    process = shell(f"$I --index {index} --engine SQ8 2>&1 | true; exit ${{PIPESTATUS[0]}}")
    assert process.returncode == 0
    index.with_name("odd.h5.engine").unlink()


def test_a_reader_that_stops_ends_the_search_but_not_the_drawing(index, tmp_path):
    command = f"$S --index {index} --sample 3 --json {{}} | true; exit ${{{{PIPESTATUS[0]}}}}"
    process = shell(command.format(""))
    assert (process.returncode, errors(process)) == (0, [])
    process = shell(command.format(f"--output {tmp_path}"))
    assert (process.returncode, errors(process)) == (0, [])
    assert len(list(tmp_path.glob("results_*.png"))) == 3


def test_json_is_utf8_unless_standard_output_is_not(index):
    command = f"$S --index {index} --query-id a/café.png --json -k 4"
    utf8 = shell(command, PYTHONIOENCODING="utf-8").stdout
    assert "a/café.png" in utf8.decode()
    ascii_only = shell(command, PYTHONIOENCODING="ascii").stdout
    assert ascii_only.isascii()
    assert json.loads(utf8) == json.loads(ascii_only)


def test_names_of_any_bytes_are_found_and_drawn_in_a_locale_without_them(folder, index, tmp_path):
    environment = {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}
    process = shell(f"$S --index {index} --query-id a/café.png --paths", **environment)
    assert process.returncode == 0
    found = set(process.stdout.splitlines())
    assert len(found) == 5
    assert os.fsencode(folder) + b"/b/\xe9.png" in found
    command = f"$S --index {index} --query-id a/b.png --output {tmp_path}"
    process = shell(command, **environment)
    assert (process.returncode, errors(process)) == (0, [])


@pytest.mark.parametrize("flags", ["", "--json", "--duplicates", "--duplicates --json"])
def test_names_from_an_index_never_control_a_terminal(index, tmp_path, flags):
    sample = "" if "--duplicates" in flags else "--sample 9"
    output = "" if "--json" in flags else f"--output {tmp_path}"
    process = shell(f"$S --index {index} --max-distance 1e9 {sample} {flags} {output}")
    assert process.returncode == 0
    text = (process.stdout + process.stderr).decode()
    assert "red" in text
    assert {unicodedata.category(c) for c in text.replace("\n", "")} & {"Cc", "Cf", "Cs"} == set()


def test_paths_are_escaped_on_a_terminal_only(index):
    parent, child = pty.openpty()
    command = [sys.executable, "search.py", "-i", str(index), "--query-id", "a/b.png", "--paths"]
    subprocess.run(command, cwd=ROOT, stdout=child, stderr=subprocess.DEVNULL, check=True)
    os.close(child)
    shown = os.read(parent, 1 << 16)
    assert rb"\x1b[31mred" in shown
    assert b"\x1b" not in shown
    assert f"{ODD}/x\x07.png".encode() in shell(f"$S -i {index} --query-id a/b.png --paths").stdout


@pytest.mark.parametrize(
    "typed",
    ["a/cafe\u0301.png", r"a/caf\u00e9.png", r"b/\xe9.png", r"b/\udce9.png", "b/\xe9.png"],
)
def test_an_id_is_found_as_it_is_printed_and_in_either_unicode_form(index, capsys, typed):
    assert run(search, "-i", index, "--query-id", typed, "--json", "-k", 1) == 0
    assert json.loads(capsys.readouterr().out)["query"] in (
        *("a/café.png", "b/\udce9.png", "b/e\u0301.png"),
    )


def at_import_of_numpy(what, script, name="__main__"):
    """Run a script until it imports NumPy, where it runs a line of Python."""
    code = (
        "import os, runpy, signal, sys\n"
        "class Finder:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name == 'numpy':\n"
        f"            {what}\n"
        "sys.meta_path.insert(0, Finder())\n"
        f"runpy.run_path({script!r}, run_name={name!r})\n"
    )
    return subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)


@pytest.mark.parametrize(
    ("script", "name"),
    [
        ("search.py", "__main__"),
        ("search.py", "pyimagesearch.scripts.search"),  # as it is installed
        ("index_images.py", "__main__"),
        ("train_autoencoder.py", "__main__"),
    ],
)
def test_ctrl_c_during_the_imports_leaves_no_traceback(script, name):
    process = at_import_of_numpy("os.kill(os.getpid(), signal.SIGINT)", script, name)
    assert (process.returncode, process.stderr) == (-signal.SIGINT, "")


def test_what_numpy_reads_at_its_import_is_set_before(monkeypatch):
    monkeypatch.delenv("OPENBLAS_THREAD_TIMEOUT")
    process = at_import_of_numpy("sys.exit(os.environ['OPENBLAS_THREAD_TIMEOUT'])", "search.py")
    assert process.stderr == "20\n"


def test_ctrl_c_ends_a_call_of_faiss_that_would_take_minutes(tmp_path):
    code = (
        "import sys, numpy as np\n"
        "from pyimagesearch.cli import command\n"
        "from pyimagesearch.engines.factory import build_engine\n"
        "@command\n"
        "def main(argv=None):\n"
        "    codes = np.random.default_rng(0).standard_normal((100_000, 64)).astype(np.float32)\n"
        "    print('building', flush=True)\n"
        "    build_engine(codes, 'LSQ8x8')\n"
        "sys.exit(main())\n"
    )
    command = [sys.executable, "-c", code]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) as process:
        process.stdout.readline()
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(1)
        process.send_signal(signal.SIGINT)
        try:
            assert process.wait(20) == -signal.SIGINT
        finally:
            process.kill()


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ("--json --map", "--map has no effect with --json unless --output is given"),
        ("--paths --tile 9", "--tile has no effect with --paths unless --output is given"),
        ("--query-id 1 --invert", "--invert has no effect without --query"),
        ("--query a.png --seed 1", "--seed has no effect with --query"),
        ("--evaluate -k 3 --max-distance 0", "--max-results and --max-distance have no effect"),
        ("--duplicates -k 3", "--max-results has no effect with --duplicates"),
        ("--evaluate --output x", "--output has no effect with --evaluate"),
        ("--evaluate --duplicates", "--duplicates has no effect with --evaluate"),
        ("--json -0", "--null has no effect without --paths"),
        ("--prefer x", "--prefer has no effect without --duplicates"),
    ],
)
def test_a_flag_without_effect_is_refused(capsys, flags, message):
    with pytest.raises(SystemExit) as exit_status:
        run(search, "--index", "none.h5", *flags.split())
    assert exit_status.value.code == 2
    assert re.search(re.escape(message), capsys.readouterr().err)
