"""The documentation is complete: flags, links, benchmarks, modules, and examples that run."""

import contextlib
import io
import re
import shlex
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

import index_images
import search
import train_autoencoder
from pyimagesearch.encoders.encoder import Encoder
from pyimagesearch.indexes.journal import open_journal
from pyimagesearch.pictures.input_spec import InputSpec
from pyimagesearch.training.checkpoint import Checkpoint
from tests.scripts import ROOT, run, untraced

PACKAGE = ROOT / "pyimagesearch"
SCRIPTS = {
    Path(script.__file__).name: script for script in (train_autoencoder, index_images, search)
}
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
OTHER_PAGES = [ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md"]
README_WORDS = 1200
MILVUS_HEADING = "Milvus collection"  # of the example that needs Milvus
SHARED_FLAGS = {"--help", "--help-all", "--version"}


def page(name):
    return (ROOT / "docs" / name).read_text()


def blocks(text, language):
    """Return the code blocks of a page in a language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)


def without_code(text):
    return re.sub(r"^```.*?^```$", "", text, flags=re.DOTALL | re.MULTILINE)


def headings(text):
    """Return the anchors that GitHub makes of the headings of a page."""
    anchors = []
    for heading in re.findall(r"^#+ (.*)$", without_code(text), re.MULTILINE):
        anchor = re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
        anchors.append(f"{anchor}-{anchors.count(anchor)}" if anchor in anchors else anchor)
    return anchors


def section(text, heading):
    """Return what a page says under a heading, without the heading."""
    level = heading.split(" ")[0]
    [_, rest] = text.split(f"\n{heading}\n")
    return re.split(rf"^#{{1,{len(level)}}} ", rest, maxsplit=1, flags=re.MULTILINE)[0]


def test_the_readme_is_read_in_one_go():
    assert len((ROOT / "README.md").read_text().split()) <= README_WORDS


@pytest.mark.parametrize("name", SCRIPTS)
def test_every_flag_is_documented_once_and_no_other(name, capsys):
    with pytest.raises(SystemExit):
        SCRIPTS[name].main(["--help-all"])
    flags = set(re.findall(r"--[a-z][a-z-]*", capsys.readouterr().out)) - SHARED_FLAGS
    rows = section(page("cli.md"), f"## `{name}`")
    documented = re.findall(r"^\| `(?:-\w, )?(--[a-z][a-z-]*)` \|", rows, re.MULTILINE)
    assert sorted(documented) == sorted(flags)


@pytest.mark.parametrize("path", [*PAGES, *OTHER_PAGES], ids=lambda path: path.name)
def test_every_relative_link_leads_to_a_file_and_a_heading(path):
    links = re.findall(r"\]\(([^)\s]+)\)", without_code(path.read_text()))
    broken = []
    for link in links:
        name, _, anchor = link.partition("#")
        target = path.parent / name if name else path
        if link.startswith("https://"):
            continue
        if not target.exists() or (anchor and anchor not in headings(target.read_text())):
            broken.append(link)
    assert broken == []


def test_every_page_is_linked_from_the_readme():
    readme = (ROOT / "README.md").read_text()
    assert [path.name for path in PAGES[1:] if f"(docs/{path.name})" not in readme] == []


def test_every_benchmark_is_named():
    scripts = [path.name for path in (ROOT / "benchmarks").glob("*.py")]
    assert [
        name for name in scripts if f"(../benchmarks/{name})" not in page("benchmarks.md")
    ] == []


def drawn_modules():
    """Return the modules in the drawing of architecture.md, as paths relative to the package."""
    [drawing] = blocks(section(page("architecture.md"), "## Layers"), "text")
    modules = set()
    for place, names in re.findall(r"^(package|[\w/]+/) +(.*)$", drawing, re.MULTILINE):
        folder = "" if place == "package" else place
        modules |= {f"{folder}{name}.py" for name in names.split()}
    return modules


def modules():
    paths = (path for path in PACKAGE.rglob("*.py") if path.name != "__init__.py")
    return {path.relative_to(PACKAGE).as_posix() for path in paths}


def test_the_drawing_of_the_layers_has_every_module():
    assert sorted(modules() - drawn_modules()) == []


def test_the_drawing_of_the_layers_has_no_other_module():
    assert sorted(drawn_modules() - modules()) == []


def test_what_a_change_is_said_to_touch_exists():
    places = re.findall(r"`([\w/]+\.py)`: `(\w+)`", page("architecture.md"))
    assert len(places) > 10
    missing = []
    for name, term in places:
        path = next((p for p in (PACKAGE / name, ROOT / name) if p.exists()), None)
        if path is None or not re.search(rf"\b{term}\b", path.read_text()):
            missing.append((name, term))
    assert missing == []


def examples():
    """Return (heading, code, what it prints) of the examples of files.md."""
    return [
        (part.partition("\n")[0], *example)
        for part in re.split(r"^## ", page("files.md"), flags=re.MULTILINE)[1:]
        for example in zip(blocks(part, "python"), blocks(part, "text"), strict=True)
    ]


@pytest.fixture(scope="module")
def example_files(tmp_path_factory):
    """A folder with the files that the examples of files.md read, made by its commands."""
    folder = tmp_path_factory.mktemp("examples")
    (folder / "output").symlink_to(ROOT / "output")
    with untraced(), pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(Checkpoint, "remove", lambda self: None)  # as if killed before the end
        for command in "".join(blocks(page("files.md"), "sh")).splitlines():
            _, script, *arguments = shlex.split(command)
            if "photos.db" not in arguments or find_spec("milvus_lite"):
                assert run(SCRIPTS[script], *arguments) == 0
        encoder = Encoder(b"", InputSpec(28, 28, 1), 16, "photos.keras", "0" * 64)
        with contextlib.suppress(KeyboardInterrupt), open_journal("photos.h5", encoder) as journal:
            journal.add("beach/007.jpg", 4096, 0, bytes(16), np.zeros(16, np.float32))
            raise KeyboardInterrupt
    return folder


def marked(example):
    """Return an example with the marks of what it needs."""
    marks = [pytest.mark.milvus] if example[0] == MILVUS_HEADING else []
    return pytest.param(*example, marks=marks)


@pytest.mark.parametrize(("heading", "code", "printed"), list(map(marked, examples())))
def test_an_example_prints_what_the_page_says(heading, code, printed, example_files, monkeypatch):
    if heading == MILVUS_HEADING:
        pytest.importorskip("milvus_lite")
    monkeypatch.chdir(example_files)
    output = io.StringIO()
    with contextlib.redirect_stdout(output):
        exec(compile(code, heading, "exec"), {})
    assert output.getvalue() == printed
