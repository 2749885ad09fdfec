"""The package as it is installed, used from a folder without its sources."""

import json
import shutil
import site
import subprocess
import sys
import venv

import pytest

from tests.scripts import KERAS_MODEL, ROOT, digit_file


@pytest.fixture(scope="module")
def installed_python(tmp_path_factory):
    """The Python of a new environment with the wheel, and with the dependencies of this one."""
    folder = tmp_path_factory.mktemp("wheel")
    sources = folder / "sources"
    tracked = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True)
    for name in tracked.stdout.decode().split("\0")[:-1]:
        if (ROOT / name).is_file() and not name.startswith(("tests/", "output/")):
            (sources / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, sources / name)
    pip = [sys.executable, "-m", "pip", "--quiet"]
    options = ["--no-deps", "--no-build-isolation"]  # nothing is downloaded
    subprocess.run([*pip, "wheel", *options, "-w", folder, sources], check=True)
    environment = folder / "environment"
    venv.create(environment, with_pip=False)
    [packages] = environment.glob("lib/python*/site-packages")
    (packages / "dependencies.pth").write_text("\n".join(site.getsitepackages()))
    [wheel] = folder.glob("*.whl")
    python = environment / "bin" / "python"
    install = [*pip, "--python", python, "install", "--no-deps", wheel]
    subprocess.run(install, check=True)
    return python


@pytest.mark.slow
def test_an_installed_wheel_trains_indexes_and_searches_from_another_folder(
    installed_python, tmp_path
):
    def run(command, *arguments):
        command = [installed_python.parent / command, *map(str, arguments)]
        result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert result.returncode == 0, result.stderr
        return result.stdout

    where = "import pyimagesearch; print(*pyimagesearch.__path__)"
    command = [installed_python, "-c", where]
    found = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert str(installed_python.parent.parent) in found.stdout

    [packages] = installed_python.parent.parent.glob("lib/python*/site-packages")
    modules = {path.stem for path in packages.glob("*.py")} | {
        path.name for path in packages.iterdir() if (path / "__init__.py").is_file()
    }
    assert modules == {"pyimagesearch"}  # no module called search, which others could have

    (tmp_path / "digits").mkdir()
    for row in range(3):
        digit_file(tmp_path / "digits", row)
    run("image-search-index", "-m", KERAS_MODEL, "-i", "index.pickle", "--dataset", "digits")
    output = run(
        "image-search-find", "-i", "index.pickle", "--query", "digits/digit_1.png", "--json"
    )
    assert json.loads(output)["results"][0]["id"] == "digit_1.png"
    run(
        "image-search-find", "-i", "index.pickle", "--query-id", "digit_1.png", "--output", "sheets"
    )
    assert (tmp_path / "sheets" / "results_0.png").is_file()
    run("image-search-train", "-m", "model.keras", "--limit", 64, "--epochs", 1, "--filters", 4)
    assert (tmp_path / "model.keras").is_file()
