import re
from pathlib import Path

import pytest

import index_images
import search
import train_autoencoder

README = (Path(__file__).parent.parent / "README.md").read_text()


def flags_of(script, capsys):
    with pytest.raises(SystemExit):
        script.main(["--help"])
    return set(re.findall(r"--[a-z][a-z-]*", capsys.readouterr().out)) - {"--help"}


@pytest.mark.parametrize("script", [train_autoencoder, index_images, search])
def test_the_readme_names_every_flag(script, capsys):
    name = Path(script.__file__).name
    section = README.split(f"### `{name}`")[1].split("\n### ")[0].split("\n## ")[0]
    documented = set(re.findall(r"`(?:-\w, )?(--[a-z][a-z-]*)", section))
    assert documented == flags_of(script, capsys)


def test_every_file_that_the_readme_links_to_exists():
    links = re.findall(r"\]\(([^)#:]+)\)", README)
    assert links
    assert [link for link in links if not (Path(__file__).parent.parent / link).exists()] == []


def test_every_benchmark_is_named_in_the_readme():
    scripts = (Path(__file__).parent.parent / "benchmarks").glob("*.py")
    assert [path.name for path in scripts if path.name not in README] == []
