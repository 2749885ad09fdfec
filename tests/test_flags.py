"""Flags: what a wrong one is answered with, the two helps, and the version."""

import re
import shlex
import tomllib

import numpy as np
import pytest

import index_images
import search
import train_autoencoder
from pyimagesearch import __version__
from pyimagesearch.arguments.values import fraction, fraction_or_test, whole_number
from pyimagesearch.cli import INSTALLED, as_started
from pyimagesearch.suggestions import did_you_mean
from tests.scripts import MODEL, ROOT, error_of, run

SCRIPTS = [train_autoencoder, index_images, search]


def usage_error(capsys, script, *arguments):
    """Run a script that must refuse its flags; return its one line."""
    capsys.readouterr()
    with pytest.raises(SystemExit) as exit_status:
        run(script, *arguments)
    assert exit_status.value.code == 2
    output = capsys.readouterr()
    assert output.out == ""
    [line] = output.err.splitlines()
    name = re.match(r"(\w+\.py): error: ", line)[1]
    assert line.endswith(f" (see {name} --help)")
    return line.removeprefix(f"{name}: error: ").removesuffix(f" (see {name} --help)")


def help_of(capsys, script, flag):
    with pytest.raises(SystemExit) as exit_status:
        run(script, flag)
    assert exit_status.value.code == 0
    return capsys.readouterr().out


@pytest.mark.parametrize(
    ("flags", "line"),
    [
        ("-k lots", "-k/--max-results: expected a whole number of at least 1, received lots"),
        ("-k 2.5", "-k/--max-results: expected a whole number of at least 1, received 2.5"),
        ("-k 0", "-k/--max-results: expected a whole number of at least 1, received 0"),
        ("--max-distance -1", "--max-distance: expected a number of at least 0, received -1"),
        ("--max-distance nan", "--max-distance: expected a number of at least 0, received nan"),
        (
            "--max-distance close",
            "--max-distance: expected a number of at least 0, near-duplicate or similar, "
            "received close",
        ),
        ("--seed x", "--seed: expected a whole number from 0 to 4294967295, received x"),
        ("--seed -1", "--seed: expected a whole number from 0 to 4294967295, received -1"),
        ("--tile 8193", "--tile: expected a whole number from 1 to 8192, received 8193"),
        (
            "--query -rf.png",
            "-q/--query: expected at least one argument; if -rf.png is its value, write "
            "--query=-rf.png",
        ),
        ("--max-reslts 3", "--max-reslts is not a flag; did you mean --max-results?"),
        ("--max-reslts=3", "--max-reslts is not a flag; did you mean --max-results?"),
        ("--zzz", "--zzz is not a flag"),
        ("-query a.png", "-query is not a flag: did you mean --query?"),
        ("holiday.jpg", "'holiday.jpg' follows no flag: did you mean --query holiday.jpg?"),
        ("red -2", "'red' follows no flag: did you mean --query red, or --text \"red -2\"?"),
        (
            "a red flower",
            "'a' follows no flag: did you mean --query a, or --text \"a red flower\"?",
        ),
        ("--top 5", "--top is not a flag"),
        (
            "--metric cosin",
            "--metric: expected one of euclidean, cosine, received cosin; did you mean cosine?",
        ),
        ("--crop -1,0,2,2", "--crop: expected a crop of numbers of at least 0, received -1,0,2,2"),
    ],
)
def test_a_wrong_flag_is_one_line_that_says_what_to_do(capsys, flags, line):
    assert usage_error(capsys, search, "--index", "none.h5", *flags.split()) == line


def test_a_misspelt_flag_is_named_before_the_one_it_should_have_been(capsys):
    line = usage_error(capsys, search, "--indx", "none.h5")
    assert line == "--indx is not a flag; did you mean --index?"


@pytest.mark.parametrize("script", [index_images, train_autoencoder])
def test_a_folder_without_a_flag_is_taken_for_the_dataset(capsys, script):
    flags = ("--model", "m.h5", "photos")
    flags += ("--index", "i.h5") if script is index_images else ()
    line = usage_error(capsys, script, *flags)
    assert line == "'photos' follows no flag: did you mean --dataset photos?"


def test_a_misspelt_objective_is_answered_with_the_nearest(capsys):
    line = usage_error(capsys, train_autoencoder, "--model", "m.h5", "--objective", "neighbors")
    assert line.endswith("received neighbors; did you mean neighbours?")


def test_a_variable_that_is_not_set_is_no_value(capsys):
    for flag, text in [("--text", " "), ("--output", ""), ("--query", "")]:
        line = usage_error(capsys, search, "--index", "none.h5", flag, text)
        assert line == f"an empty text follows {flag}: expected a value"
        assert usage_error(capsys, search, "--index", "none.h5", f"{flag}={text}") == line


def test_a_flag_may_still_be_shortened():
    assert search.parse_args(["--ind", "i", "--max-r", "3"]).max_results == 3


def test_a_weight_below_0_is_part_of_a_name():
    names = ["2:a.png", "-1:b.png", " c.png"]
    assert search.parse_args(["-i", "i", "--query", *names, "--combine"]).query == names


def test_a_file_may_be_called_like_a_negative_number():
    for names in (["-1.png"], ["-.5:a.png", "-2"]):
        assert search.parse_args(["-i", "i", "--query", *names]).query == names


def test_after_two_dashes_nothing_is_taken_for_a_misspelt_flag(capsys):
    line = usage_error(capsys, search, "--index", "none.h5", "--", "--max-reslts")
    assert "--max-results" not in line


@pytest.mark.parametrize("script", SCRIPTS)
def test_the_short_help_has_about_ten_flags_and_three_examples(capsys, script):
    text = help_of(capsys, script, "--help")
    flags = set(re.findall(r"^  (?:-\w.*, )?(--[a-z-]+)", text, re.MULTILINE))
    assert 9 <= len(flags - {"--help", "--help-all"}) <= 12
    examples = text.partition("examples:\n")[2].splitlines()
    assert len(examples) == 3
    assert all(line.startswith("  python ") for line in examples)
    assert max(map(len, text.splitlines())) <= 100


@pytest.mark.parametrize("script", SCRIPTS)
def test_the_short_help_is_a_part_of_the_whole(capsys, script):
    short, whole = (help_of(capsys, script, flag) for flag in ("--help", "--help-all"))
    few, all_flags = (set(re.findall(r"--[a-z-]+", text)) for text in (short, whole))
    assert few < all_flags
    assert len(all_flags) > len(few) + 4


@pytest.mark.parametrize("script", SCRIPTS)
def test_an_example_of_the_help_is_accepted(capsys, script):
    text = help_of(capsys, script, "--help")
    for line in text.partition("examples:\n")[2].splitlines():
        script.parse_args(shlex.split(line.partition("  (")[0] if "(" in line else line)[2:])


@pytest.mark.parametrize("script", SCRIPTS)
def test_the_version_is_that_of_the_package(capsys, script):
    assert help_of(capsys, script, "--version") == f"image-search {__version__}\n"


def test_an_installed_command_names_itself(capsys, monkeypatch):
    monkeypatch.setattr("sys.argv", ["/usr/local/bin/image-search-find"])
    with pytest.raises(SystemExit):
        search.parse_args(["--index"])
    assert "image-search-find: error:" in capsys.readouterr().err
    assert run(search, "--index", "none.h5") == 1
    error = capsys.readouterr().err
    assert "image-search-find: error: no such index" in error
    assert "make it with image-search-index" in error
    text = help_of(capsys, search, "--help-all")
    assert "  image-search-find --index photos.h5 --query holiday.jpg\n" in text
    assert "index made by image-search-index" in text


def test_the_names_of_installed_commands_are_those_of_the_package(monkeypatch):
    with open(ROOT / "pyproject.toml", "rb") as file:
        commands = tomllib.load(file)["project"]["scripts"]
    modules = {command: module for module, command in INSTALLED.items()}
    for command, entry in commands.items():
        assert entry == f"pyimagesearch.scripts.{modules[command].removesuffix('.py')}:main"
    monkeypatch.setattr("sys.argv", ["image-search-find.exe"])
    text = "run python index_images.py --model my/search.py, or search.py"
    assert as_started(text) == "run image-search-index --model my/search.py, or image-search-find"


def test_numbers_are_read_as_python_reads_them():
    assert whole_number(" -3") == -3
    assert fraction("5e-1") == 0.5
    assert fraction_or_test("test") == "test"


def test_nothing_is_suggested_for_what_is_like_nothing():
    assert did_you_mean("Cosine", ["euclidean", "cosine"]) == "; did you mean cosine?"
    assert did_you_mean("zebra", ["euclidean", "cosine"]) == ""
    assert did_you_mean("x", []) == ""


@pytest.mark.parametrize("flag", ["-k", "--seed", "--sample", "--expand", "--probe"])
@pytest.mark.parametrize("number", [f"1{'0' * 400}", f"-1{'0' * 400}", str(2**63)])
def test_whole_numbers_that_no_library_holds_are_refused_in_one_line(flag, number, capsys):
    line = usage_error(capsys, search, "--index", "i", f"{flag}={number}")
    assert "expected a whole number" in line


@pytest.mark.parametrize(
    "flags",
    ["--model m.h5", "--dataset a", "--limit 3", "--prune", "--shard 1/2", "--rejects r.txt"],
)
def test_joining_index_files_reads_no_pictures(flags, tmp_path, capsys):
    joined = ["-i", tmp_path / "all.h5", "--merge", tmp_path / "a.h5", *flags.split()]
    flag = flags.split()[0]
    message = usage_error(capsys, index_images, *joined)
    assert message == f"{flag} has no effect with --merge"


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ("--no-classes --merge a.h5", "--classes has no effect with --merge"),
        ("--prune --rebuild", "--prune has no effect with --rebuild"),
        ("--weights w.h5", "--weights has no effect without --model"),
        ("--image-size 9 9", "--image-size has no effect without --model"),
        ("--fit crop", "--fit has no effect without --model"),
    ],
)
def test_a_flag_without_effect_on_an_index_is_refused(flags, message, capsys):
    assert usage_error(capsys, index_images, "-i", "i.h5", *flags.split()) == message


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ("--prune", "--prune, --checksum and --rejects are for folders of pictures, not mnist"),
        ("--checksum", "are for folders of pictures, not mnist"),
        ("--rejects r.txt", "are for folders of pictures, not mnist"),
        ("--recall 0.9", "--recall has no effect on the engine exact"),
        ("--recall 0.9 --engine clusters:3", "--recall has no effect on the engine clusters:3"),
    ],
)
def test_a_flag_without_effect_on_an_array_is_refused(
    flags, message, small_index, capsys, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    before = small_index.read_bytes()
    assert message in error_of(capsys, index_images, "-i", small_index, *flags.split())
    assert small_index.read_bytes() == before
    assert not list(tmp_path.iterdir())


def test_a_folder_has_no_split(tmp_path, capsys):
    flags = ["-i", tmp_path / "i.h5", "-m", MODEL, "--dataset", tmp_path, "--split", "test"]
    message = error_of(capsys, index_images, *flags)
    assert message == f"--split is for arrays: the folder {tmp_path} has no splits"


def test_a_distance_beyond_float32_is_the_largest_of_it():
    args = search.parse_args(["-i", "i", "--max-distance", "1e300"])
    assert 1e38 < args.max_distance < np.finfo(np.float32).max


def test_two_dashes_are_no_value_and_hide_none(capsys):
    flags = "--index", "none.h5", "--query"
    expected = "-q/--query: expected at least one argument"
    line = usage_error(capsys, search, *flags, "--", "-rf.png")
    assert line == f"{expected}; if -rf.png is its value, write --query=-rf.png"
    assert usage_error(capsys, search, *flags, "a.png", "--", "-rf.png") == "-rf.png is not a flag"
    assert search.parse_args(["--index", "i", "--query=--"]).query == ["--"]
