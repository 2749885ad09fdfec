"""Results in an HTML page, and as pictures inside a terminal."""

import base64
import html
import os
import pty
import subprocess
import sys
import termios
from html.parser import HTMLParser

import cv2
import numpy as np
import pytest

import index_images
import search
from pyimagesearch.datasets.catalog import open_dataset
from pyimagesearch.indexes.contract import Hits
from pyimagesearch.indexes.index_file import load_index
from pyimagesearch.queries.query import Answer, Part, Query
from pyimagesearch.show.output import Output
from pyimagesearch.show.page import HEAD
from pyimagesearch.show.preview import preview_rows
from pyimagesearch.show.reporter import Reporter, shared_query
from pyimagesearch.show.sheets import sheet_files
from tests.scripts import MODEL, ROOT, error_of, run

HOSTILE = '<script>alert("1")&amp;<!--.png'


class Page(HTMLParser):
    """What a browser would find in a page: tags with their attributes, and text."""

    def __init__(self, path):
        super().__init__()
        self.tags, self.text = [], ""
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.text += data

    def named(self, name):
        return [attributes for tag, attributes in self.tags if tag == name]


@pytest.fixture
def folder(tmp_path):
    root, digits = tmp_path / "pictures", open_dataset("mnist", "test")
    for row in range(6):
        path = root / f"digit {digits.labels[row]}" / (HOSTILE if row == 3 else f"{row}.png")
        path.parent.mkdir(parents=True, exist_ok=True)
        picture = digits.picture(row)
        cv2.imwrite(str(path), cv2.resize(picture, (400, 200)) if row == 5 else picture)
    assert (
        run(index_images, "-m", MODEL, "-i", tmp_path / "i.pickle", "--dataset", root, "--classes")
        == 0
    )
    return tmp_path


def test_a_page_holds_all_pictures_and_runs_nothing(folder, capsys):
    page = folder / "page.html"
    ids = load_index(folder / "i.pickle").ids
    arguments = ["-i", folder / "i.pickle", "--query-id", ids[0], ids[1], "--html", page]
    assert run(search, *arguments) == 0
    assert f"[INFO] wrote {page}" in capsys.readouterr().err
    found = Page(page)
    known = "html meta title style h1 p section header div h2 ol li figure img figcaption span"
    known += " label input"
    assert {tag for tag, _ in found.tags} == set(known.split(" "))  # no script, no link
    assert len(found.named("img")) == 2 + 2 * 5
    for image in found.named("img"):
        kind, _, data = image["src"].partition(";base64,")
        assert kind in ("data:image/png", "data:image/jpeg")
        picture = cv2.imdecode(np.frombuffer(base64.b64decode(data), np.uint8), cv2.IMREAD_COLOR)
        assert max(picture.shape) in (28, 400)
    assert sum("onerror" in attributes for _, attributes in found.tags) == 0
    assert any(HOSTILE in image["alt"] for image in found.named("img"))
    assert HOSTILE in found.text
    assert f"<span>{html.escape(HOSTILE[-10:])}</span>" in page.read_text()  # is never cut off
    assert "default-src 'none'" in found.named("meta")[2]["content"]
    # The digits are 7, 2, 1, 0, 4 and 1: the second query, a 1, finds the other one.
    assert sum(item.get("class") == "wrong" for item in found.named("li")) == 9


def test_sub_folders_are_classes_only_where_that_was_said(folder, capsys):
    index, page = folder / "i.pickle", folder / "page.html"
    search_one = "-i", index, "--query-id", "digit 7/0.png", "--html", page
    counts = []
    for flags in ([], ["--no-classes"], [], ["--classes"]):  # an update without a flag changes none
        assert run(index_images, "-i", index, *flags) == 0
        capsys.readouterr()
        assert run(search, *search_one) == 0
        found = Page(page)
        wrong = sum(item.get("class") == "wrong" for item in found.named("li"))
        line = capsys.readouterr().out.splitlines()[0]
        assert ("precision@5" in line) == ("(digit 7)" in line) == (wrong > 0)
        assert ("of another class" in found.text) == (wrong > 0)
        counts.append(wrong)
    assert counts == [5, 0, 0, 5]


def test_an_array_has_classes_without_a_flag(tmp_path, capsys):
    flags = "-m", MODEL, "-i", tmp_path / "i.pickle", "--limit", 9
    assert "--classes is for folders" in error_of(capsys, index_images, *flags, "--classes")


def test_a_page_is_replaced_only_by_a_complete_one(folder, capsys):
    page = folder / "page.html"
    page.write_text(HEAD)
    (folder / "text.png").write_text("no picture")
    arguments = ["-i", folder / "i.pickle", "--query", folder / "text.png", "--html", page]
    assert "not a picture" in error_of(capsys, search, *arguments)
    assert page.read_text() == HEAD
    assert sorted(os.listdir(folder)) == ["i.pickle", "page.html", "pictures", "text.png"]


def test_a_lost_picture_has_a_note_in_its_place(folder):
    index = load_index(folder / "i.pickle")
    (folder / "pictures" / index.ids[2]).unlink()
    arguments = ["-i", folder / "i.pickle", "--query-id", index.ids[0]]
    assert run(search, *arguments, "--html", folder / "page.html") == 0
    assert "cannot be read" in Page(folder / "page.html").text


def test_a_page_and_sheets_name_no_folders_of_query_files(folder, capsys):
    page = folder / "page.html"
    (folder / "private").mkdir()
    queries = [folder / "private" / f"{name}.png" for name in "ab"]
    for query in queries:
        cv2.imwrite(str(query), open_dataset("mnist", "test").picture(9))
    arguments = ["-i", folder / "i.pickle", "--query", *queries, "--html", page]
    for flags in ([], ["--combine"]):
        assert run(search, *arguments, *flags) == 0
        text = page.read_text()
        assert "a.png" in text
        assert "b.png" in text
        assert "private" not in text
        assert str(folder) not in text
    found = Page(page)
    assert len(found.named("label")) == len(found.named("input")) == len(found.named("img"))
    assert "Search results" in found.text
    assert "of another class" not in found.text  # the queries have none
    query = Query(str(queries[0]), code=np.zeros(2, np.float32))
    assert shared_query(query).id == "a.png"
    assert shared_query(Query("b/a.png", own=("b/a.png",))).id == "b/a.png"
    parts = (Part(2, Query("x/a.png")), Part(1, Query("b.png")))
    assert shared_query(Query("2:x/a.png b.png", parts=parts)).id == "2:a.png b.png"


def test_a_map_names_no_folders_of_query_files(tmp_path):
    titles = []

    class Map:
        def sheet(self, number, title):
            titles.append(title)
            return np.zeros((8, 8, 3), np.uint8)

    gallery = open_dataset("mnist", "test", 2)
    query = Query("private/a.png", picture=lambda size: gallery.picture(0))
    hits = Hits(list(gallery.ids), np.zeros(2, np.float32), gallery.labels)
    with sheet_files(Output(str(tmp_path), ["Map"]), Reporter(gallery), Map()) as show:
        show(Answer(query, hits), 0)
    assert titles == ["query a.png"]


def test_a_preview_has_the_query_and_as_many_results_as_asked_for():
    gallery = open_dataset("mnist", "test", 30)
    query = Query("q", picture=lambda size: gallery.picture(0), label=int(gallery.labels[0]))
    hits = Hits(list(gallery.ids), np.zeros(30, np.float32), gallery.labels)
    rows = list(preview_rows(Reporter(gallery, listed=7), Answer(query, hits), columns=4))
    assert [image.shape for image, _ in rows] == [(160, 640, 3)] * 2
    white, red = [255, 255, 255], [0, 0, 255]
    corners = [image[0, 160 * column].tolist() for image, _ in rows for column in range(4)]
    # The query, then rows 0 to 6, of which row 0 has its label.
    assert corners == [white, [0, 0, 0], *[red] * 6]
    names, states = rows[0][1]
    assert names.split() == ["q", "0", "1", "2"]
    assert states.split()[:3] == ["query", "0.000", f"({gallery.labels[0]})"]
    assert names.index("0") == 16
    many = list(preview_rows(Reporter(gallery, listed=30), Answer(query, hits), columns=4))
    assert len(many) == 8
    few = list(preview_rows(Reporter(gallery), Answer(query, hits[:1]), columns=4))
    assert [image.shape for image, _ in few] == [(160, 320, 3)]
    long = Query("holidays/2019/" + "x" * 20 + ".png", picture=query.picture)
    [(_, lines), *_] = preview_rows(Reporter(gallery), Answer(long, hits[:1]), columns=4)
    assert lines[0].split()[0] == "...xxxxxxxx.png"


def test_a_preview_is_drawn_in_a_terminal(folder, python):
    pytest.importorskip("textual_image")
    terminal, end = pty.openpty()
    termios.tcsetwinsize(end, (50, 80))
    command = python("search.py", "-i", folder / "i.pickle", "-s", 1, "--preview")
    environment = {**os.environ, "TERM": "xterm", "NO_COLOR": ""}
    searching = subprocess.Popen(
        command, cwd=ROOT, stdin=end, stdout=end, stderr=subprocess.PIPE, env=environment
    )
    os.close(end)
    shown = b""
    while True:
        try:
            part = os.read(terminal, 65536)
        except OSError:  # the program has ended
            break
        shown += part
    os.close(terminal)
    errors = searching.stderr.read().decode()
    assert searching.wait() == 0, errors
    assert "▀" in shown.decode() or "▄" in shown.decode()
    assert b"\x1b[38;2;" in shown  # in colours of 24 bits


@pytest.mark.parametrize(("name", "value"), [("NO_COLOR", "1"), ("TERM", "dumb")])
def test_a_terminal_without_colours_gets_no_preview(folder, capsys, monkeypatch, name, value):
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setenv(name, value)
    message = error_of(capsys, search, "-i", folder / "i.pickle", "-s", 1, "--preview")
    assert message.startswith("--preview draws with colours, which NO_COLOR or TERM=dumb turns off")


def test_a_preview_needs_a_terminal_and_its_package(folder, capsys, monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    arguments = ["-i", folder / "i.pickle", "-s", 1, "--preview"]
    assert "standard output is not one: use --output DIR" in error_of(capsys, search, *arguments)
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setattr(os, "get_terminal_size", lambda *_: os.terminal_size((80, 50)))
    monkeypatch.setitem(sys.modules, "textual_image.renderable", None)
    assert "python -m pip install textual-image" in error_of(capsys, search, *arguments)


def test_an_error_beside_a_page_is_not_one_of_the_page(small_index, tmp_path, capsys):
    page = tmp_path / "page.html"
    flags = ["-i", small_index, "--html", page]
    message = error_of(capsys, search, *flags, "--query", tmp_path / "none.png")
    assert message.startswith(f"{tmp_path}/none.png: No such file or directory")
    assert not page.exists()
