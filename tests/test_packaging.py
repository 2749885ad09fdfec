"""What is installed: the lists of pyproject.toml, the requirements files, and the commands."""

import re
import tomllib
from importlib import import_module

import pytest

from pyimagesearch import __version__
from tests.scripts import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
METADATA = PROJECT["project"]
EXTRAS = METADATA["optional-dependencies"]


def requirements(name):
    """Return the lines of a requirements file without comments."""
    lines = (line.partition("#")[0].strip() for line in (ROOT / name).read_text().splitlines())
    return [line for line in lines if line]


def bounds(lines):
    """Return the versions by package, such as {"numpy": "2.0"}."""
    return dict(re.fullmatch(r"([\w\[\]-]+)[>=]=([\d.]+)", line).groups() for line in lines)


def test_every_package_is_installed():
    folders = {path.parent for path in (ROOT / "pyimagesearch").rglob("*.py")}
    names = {".".join(folder.relative_to(ROOT).parts) for folder in folders}
    assert set(PROJECT["tool"]["setuptools"]["packages"]) == names | {"pyimagesearch.scripts"}


def test_requirements_are_what_searching_and_training_need():
    assert sorted(requirements("requirements.txt")) == sorted(
        METADATA["dependencies"] + EXTRAS["train"]
    )


def test_requirements_for_many_machines_are_an_extra():
    assert sorted(requirements("requirements-scale.txt")) == sorted(EXTRAS["scale"])


@pytest.mark.parametrize("extra", ["text", "formats", "preview"])
def test_what_a_user_may_add_is_tested(extra):
    tested = bounds(requirements("tests/requirements.txt"))
    assert bounds(EXTRAS[extra]).items() <= tested.items()


def test_the_minimum_versions_are_the_lower_bounds():
    lower = bounds(requirements("requirements.txt"))
    minimum = bounds(requirements("constraints-minimum.txt"))
    assert lower.keys() == minimum.keys()
    for name, bound in lower.items():
        parts = bound.split(".")
        assert minimum[name].split(".")[: len(parts)] == parts, name


def test_a_command_is_the_main_of_a_script():
    for name, place in METADATA["scripts"].items():
        module, _, function = place.partition(":")
        package, _, script = module.rpartition(".")
        assert name.startswith("image-search-")
        assert package == "pyimagesearch.scripts"
        assert (ROOT / f"{script}.py").is_file()
        assert callable(getattr(import_module(script), function))


def test_the_newest_change_is_of_this_version():
    versions = re.findall(r"^## (.*)$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert versions[0] == __version__


def test_a_target_of_make_that_is_named_exists():
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    files = [ROOT / "CONTRIBUTING.md", ROOT / "README.md", ROOT / ".ci" / "run"]
    files += (ROOT / ".github" / "workflows").glob("*.yml")
    named = set()
    for path in files:
        for words in re.findall(r"^(?:- run: | *)make ([a-z -]+)", path.read_text(), re.MULTILINE):
            named |= set(words.partition("  ")[0].split())
    assert {"demo", "test", "test-minimum"} <= named
    assert named <= targets
