"""Sessions: searching on from results, by method, by mouse and keys, and by lines of commands."""

import io
import json
import os
import subprocess
from pathlib import Path

import cv2
import numpy as np
import pytest
from picture_files import fill

import index_images
import search
from pyimagesearch.browse import opener
from pyimagesearch.browse.actions import ACTIONS, command_help, window_help
from pyimagesearch.browse.commands import Commands
from pyimagesearch.browse.feedback import feedback_code, feedback_text
from pyimagesearch.browse.session import Session
from pyimagesearch.browse.sheet import PANEL, Sheet
from pyimagesearch.browse.window import Browser
from pyimagesearch.datasets.catalog import open_dataset
from pyimagesearch.indexes.stores import open_store
from pyimagesearch.metric import get_metric
from pyimagesearch.queries.crops import Crop
from pyimagesearch.queries.ranking import Wanted, search_queries
from pyimagesearch.queries.sources import QueryOptions, QueryReader
from pyimagesearch.show.card import Mark, tile
from pyimagesearch.show.keys import key_name
from pyimagesearch.show.montage import Grid
from pyimagesearch.show.reporter import Reporter
from pyimagesearch.show.results import LineForm
from pyimagesearch.show.sizes import TILE_GAP
from pyimagesearch.show.windows import prepare_windows, room_on
from tests.scripts import MODEL, ROOT, error_of, run

TEXT = LineForm("text", lambda lines: True)


def start(path, *ids, k=None, max_distance=None, expand=None, **reporting):
    """Return a Session over an index file that begins with indexed pictures."""
    index = open_store(path).open()
    pictures = index.pictures()
    queries = QueryReader(index, pictures, QueryOptions(ids=ids)).queries()
    reporter = Reporter(pictures, max_distance=max_distance, **reporting)
    if k is None and max_distance is None:
        k = reporter.usual_results
    wanted = Wanted(k, max_distance, expand)
    return Session(search_queries(queries, index, wanted), index, reporter, wanted)


@pytest.fixture
def session(small_index):
    return start(small_index, "7", "8")


@pytest.fixture(scope="module")
def folder_index(tmp_path_factory):
    """The index of forty digits as files, in a sub-folder for each digit."""
    root = tmp_path_factory.mktemp("folder")
    digits = open_dataset("mnist", "test")
    for row in range(40):
        path = root / "pictures" / f"digit {digits.labels[row]}" / f"{row}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), digits.picture(row))
    flags = "-m", MODEL, "-i", root / "index.h5", "--dataset", root / "pictures", "--classes"
    assert run(index_images, *flags) == 0
    return root / "index.h5"


def state(session):
    step = session.step
    return step.base.id, step.query.view, step.liked, step.disliked, step.answer.hits.ids


# --- sessions


def test_a_chosen_picture_is_searched_for_by_its_code_without_reading_or_encoding(
    small_index, session, monkeypatch
):
    id = session.id_of(3)
    expected = start(small_index, id)
    monkeypatch.setattr(session.reporter.pictures, "picture", lambda *arguments: 1 / 0)
    monkeypatch.setattr(session.index.encoder, "encode", None)
    session.choose(id)
    assert session.step.base.id == id
    assert session.step.base.label == expected.step.base.label
    found, wanted = session.page.hits, expected.page.hits
    assert found.ids == wanted.ids
    assert id not in found.ids
    np.testing.assert_allclose(found.distances, wanted.distances, atol=1e-3)


def test_the_way_back_leads_to_the_first_query(session):
    before = state(session)
    session.choose(session.id_of(1))
    session.like(session.id_of(2))
    session.rotate()
    for _ in range(3):
        assert state(session) != before
        session.back()
    assert state(session) == before
    with pytest.raises(ValueError, match="first query"):
        session.back()


def test_other_given_queries_follow_and_end(session):
    assert session.has_more
    session.another()
    assert session.step.base.id == "8"
    assert not session.has_more
    with pytest.raises(ValueError, match="no more queries"):
        session.another()
    session.back()
    assert session.step.base.id == "7"


def test_feedback_is_rocchios_weighted_mean():
    code, alike = np.array([2, 0], np.float32), np.array([[0, 4], [0, 8]], np.float32)
    unlike = np.array([[10, 0]], np.float32)
    moved = feedback_code(code, alike, unlike, get_metric("euclidean"))
    np.testing.assert_allclose(moved, [(2 - 1.5) / 1.6, 0.75 * 6 / 1.6], rtol=1e-6)
    none = np.zeros((0, 2), np.float32)
    moved = feedback_code(code, none, unlike, get_metric("euclidean"))
    np.testing.assert_allclose(moved, [(2 - 1.5) / 0.85, 0], rtol=1e-6)
    # For cosine only directions count: lengths of 1, 1, 1 and 1.
    moved = feedback_code(code, alike, unlike, get_metric("cosine"))
    np.testing.assert_allclose(moved, [0.85 / 1.6, 0.75 / 1.6], rtol=1e-6)
    assert feedback_text(2, 1) == "2 liked (weight 0.375 each), 1 disliked (weight -0.15)"
    assert feedback_text(0, 0) == ""


def test_marks_move_the_query_and_a_second_mark_takes_the_first_away(session):
    before = state(session)
    liked, disliked = session.id_of(200), session.id_of(1)
    session.like(liked)
    assert session.answer.hits.ids.index(liked) < 199
    assert session.step.query.view == "1 liked (weight 0.75)"
    session.dislike(disliked)
    assert (session.mark_of(liked), session.mark_of(disliked)) == (Mark.LIKED, Mark.DISLIKED)
    session.dislike(liked)
    assert session.step.query.view == "2 disliked (weight -0.075 each)"
    session.dislike(liked)
    session.dislike(disliked)
    assert state(session) == before
    session.like(liked)
    session.choose(liked)
    assert session.mark_of(liked) is None


def test_pages_go_on_beyond_the_first_results(session):
    [more] = search_queries([session.step.query], session.index, Wanted(400))
    session.page_size = 100
    rows = session.page.hits.ids
    for _ in range(3):
        session.next_page()
        rows += session.page.hits.ids
    assert rows == more.hits.ids
    assert session.tooltip(400).startswith(f"400: {rows[-1]}, distance ")
    session.previous_page()
    assert session.first == 200
    session.page_size = 1000
    session._step = session.step.__class__(session.step.base, more)
    session.next_page()
    assert len(session.page.hits.ids) == 999  # 2,000 without the query itself
    with pytest.raises(ValueError, match="no more results"):
        session.next_page()


def test_every_search_of_a_session_is_expanded_where_the_first_was(small_index):
    session = start(small_index, "7", k=5, expand=3)
    other = session.id_of(2)
    session.choose(other)
    assert state(session) == state(start(small_index, other, k=5, expand=3))
    assert state(session) != state(start(small_index, other, k=5))


def test_a_page_says_which_of_the_results_it_has(session):
    session.page_size = 100
    summary = session.reporter.summary
    assert summary(session.page).startswith("results 1 to 100 of 225, distance ")
    session.next_page()
    assert summary(session.page).startswith("results 101 to 200 of 225, distance ")
    session.page_size = 225
    session.previous_page()
    assert summary(session.page).startswith("225 results, distance ")


def test_results_end_at_a_distance(small_index):
    limit = float(start(small_index, "7").answer.hits.distances[9]) + 1e-3
    session = start(small_index, "7", k=4, max_distance=limit)
    sizes = [len(session.page.hits.ids)]
    with pytest.raises(ValueError, match="no more results"):
        while True:
            session.next_page()
            sizes.append(len(session.page.hits.ids))
    assert sizes == [4, 4, 2]


def test_four_turns_and_two_flips_are_the_picture_itself(session):
    rows = session.page.hits.ids
    session.rotate()
    assert session.step.query.view == "turned right"
    assert session.page.hits.ids != rows
    for _ in range(3):
        session.rotate()
    session.flip()
    session.flip()
    assert session.step.query.view == ""
    assert session.page.hits.ids == rows


def test_a_part_is_encoded_anew_and_keeps_the_marks(session):
    session.like(session.id_of(1))
    session.crop(Crop(0, 0, 14, 28))
    picture = open_dataset("mnist", "train").picture(7)[:, :14]
    [code] = session.index.encoder.encode(session.index.encoder.spec.prepare(picture)[np.newaxis])
    np.testing.assert_allclose(session.step.base.code, code, atol=1e-5)
    assert session.step.query.view == "crop 0,0,14,28, 1 liked (weight 0.75)"
    np.testing.assert_array_equal(session.step.query.picture(), picture)


def test_an_action_that_fails_changes_nothing(session):
    before = state(session)
    for action in (
        lambda: session.crop(Crop(20, 20, 20, 20)),
        lambda: session.id_of(0),
        lambda: session.id_of(226),
        lambda: session.open(session.id_of(1)),
        session.previous_page,
    ):
        with pytest.raises(ValueError, match=r"\w"):
            action()
        assert state(session) == before


def test_a_combined_query_has_no_picture_to_crop(small_index):
    index = open_store(small_index).open()
    pictures = index.pictures()
    reader = QueryReader(index, pictures, QueryOptions(ids=["1", "2:2"], combine=True))
    answers = search_queries(reader.queries(), index, Wanted(225))
    session = Session(answers, index, Reporter(pictures), Wanted(225))
    with pytest.raises(ValueError, match="no picture of its own"):
        session.rotate()
    session.like(session.id_of(1))
    assert Sheet(session).draw()[8:120, 8:120].any()  # its parts are drawn


def test_of_a_vanished_file_the_code_is_still_there(folder_index, caplog):
    session = start(folder_index, "digit 7/0.png")
    path = session.reporter.pictures.path(session.id_of(1))
    os.rename(path, f"{path}.gone")
    try:
        with pytest.raises(FileNotFoundError, match="no longer on disk"):
            session.open(session.id_of(1))
        session.choose(session.id_of(1))
        before = state(session)
        with pytest.raises(OSError, match="No such file"):
            session.rotate()
        assert state(session) == before
        assert Sheet(session).draw().any()  # with a crossed-out query
        assert "No such file" in caplog.text
    finally:
        os.rename(f"{path}.gone", path)


def test_what_is_no_file_is_not_opened_and_called_what_it_is(tmp_path):
    loop = tmp_path / "loop.png"
    loop.symlink_to(loop)
    with pytest.raises(OSError, match=r"loop\.png: Too many levels of symbolic links"):
        opener.open_picture_file(str(loop))
    (tmp_path / "dir.png").mkdir()
    with pytest.raises(ValueError, match=r"dir\.png is no file any more"):
        opener.open_picture_file(str(tmp_path / "dir.png"))


def test_a_line_that_never_ends_is_no_command(small_index, monkeypatch, capsys):
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(bytes(1 << 20))))
    message = error_of(capsys, search, "-i", small_index, "--query-id", 3, "--interactive")
    assert message == "standard input has a line of more than 4,096 bytes, no command"


def test_saved_sheets_are_never_replaced(folder_index, tmp_path):
    session = start(folder_index, "digit 7/0.png", k=5)
    sheet = Sheet(session)
    first, second = (session.save(tmp_path / "new", sheet.base()) for _ in range(2))
    assert [os.path.basename(name) for name in (*first, *second)] == [
        *("saved_0.png", "saved_0.txt"),
        *("saved_1.png", "saved_1.txt"),
    ]
    paths = Path(first[1]).read_text().splitlines()
    assert paths == [session.reporter.pictures.path(row) for row in session.page.hits.ids]
    np.testing.assert_array_equal(cv2.imread(first[0]), sheet.base())


def test_a_file_is_opened_without_a_shell_and_only_if_it_is_a_picture(tmp_path, monkeypatch):
    calls = []
    monkeypatch.setattr(opener.sys, "platform", "linux")
    monkeypatch.setattr(opener.shutil, "which", lambda name: f"/usr/bin/{name}")
    monkeypatch.setattr(opener.subprocess, "Popen", lambda *a, **k: calls.append((a, k)))
    names = ["-a $(touch x);.PNG", "a.desktop"]
    for name in names:
        (tmp_path / name).write_bytes(b"")
    monkeypatch.chdir(tmp_path)
    opener.open_picture_file(names[0])
    [([command], options)] = calls
    assert command == ["xdg-open", str(tmp_path / names[0])]
    assert "shell" not in options
    with pytest.raises(ValueError, match="suffix is not that of a picture"):
        opener.open_picture_file(names[1])
    monkeypatch.setattr(opener.shutil, "which", lambda name: None)
    with pytest.raises(FileNotFoundError, match="xdg-open is not installed"):
        opener.open_picture_file(names[0])
    assert len(calls) == 1


# --- sheets


def test_a_grid_finds_the_tiles_that_it_draws():
    grid = Grid(columns=3, width=5, height=4)
    tiles = [np.full((4, 5, 3), 10 * (n + 1), np.uint8) for n in range(5)]
    sheet = grid.draw(tiles, 2)
    assert sheet.shape == (8, 15, 3)
    for y in range(8):
        for x in range(15):
            value = sheet[y, x, 0]
            assert grid.place_at(x, y) == (value // 10 - 1 if value else 5)
    assert [grid.place_at(*at) for at in ((-1, 0), (15, 0), (0, -1))] == [None] * 3


@pytest.mark.parametrize("folder", [False, True])
def test_the_tile_under_a_pixel_is_the_one_that_is_drawn_there(small_index, folder_index, folder):
    session = start(folder_index, "digit 7/0.png") if folder else start(small_index, "7")
    sheet = Sheet(session)
    drawn = sheet.draw()
    count = len(session.page.hits.ids)
    assert count == (24 if folder else 225)
    for place, row in enumerate(session.page.hits.ids):
        left, top = sheet.grid.corner(place)
        for x, y in ((0, 0), (sheet.grid.width - 1, sheet.grid.height - 1)):
            assert sheet.place_at(PANEL + left + x, top + y) == place
        inside = (
            slice(top + 5, top + sheet.side - 5),
            slice(PANEL + left + 5, PANEL + left + sheet.side - 5),
        )
        expected = tile(session.reporter.picture(row), sheet.side)[5:-5, 5:-5]
        np.testing.assert_array_equal(drawn[inside], expected)
    left, top = sheet.grid.corner(count)
    assert sheet.place_at(PANEL + left, top) is None
    assert sheet.place_at(PANEL - 1, 5) is None


def test_a_sheet_keeps_its_size_for_fewer_results(folder_index):
    session = start(folder_index, "digit 7/0.png", k=12)
    sheet = Sheet(session)
    assert session.page_size == 12
    shape = sheet.draw().shape
    while len(session.page.hits.ids) == 12:
        session.next_page()
    assert sheet.draw().shape == shape
    session = start(folder_index, "digit 7/0.png", max_distance=0.0)
    assert len(session.page.hits.ids) == 0
    assert Sheet(session).draw().any()


# --- mouse and keys


@pytest.fixture
def browser(session, tmp_path):
    return Browser(session, tmp_path)


def at(browser, place):
    left, top = browser.sheet.grid.corner(place)
    return PANEL + left + 9, top + 9


def click(browser, place, button="L", flags=0):
    for event in ("DOWN", "UP"):
        code = getattr(cv2, f"EVENT_{button}BUTTON{event}")
        browser.on_mouse(code, *at(browser, place), flags)


def press(browser, *names):
    codes = {"Left": 65361, "Right": 65363, "Down": 65364, "Enter": 13, "Back": 8}
    codes |= {"Page Up": 65365, "Page Down": 65366, "Space": 32, "Esc": 27}
    for name in names:
        browser.on_key(codes.get(name) or ord(name))


def test_a_click_searches_for_the_picture_under_it(browser):
    row = browser.session.id_of(17)
    click(browser, 16)
    assert browser.session.step.base.own == (row,)
    press(browser, "Back")
    assert browser.session.id_of(17) == row


def test_other_clicks_mark(browser):
    rows = [browser.session.id_of(n) for n in (5, 20)]
    click(browser, 4, flags=cv2.EVENT_FLAG_CTRLKEY)
    assert browser.session.step.liked == (rows[0],)
    other = browser.session.id_of(20)
    click(browser, 19, "R")
    third = browser.session.id_of(30)
    click(browser, 29, flags=cv2.EVENT_FLAG_SHIFTKEY)
    assert browser.session.step.liked == (rows[0], third)
    assert browser.session.step.disliked == (other,)


def test_a_drag_over_the_query_crops_it(browser):
    browser.sheet.draw()
    browser.on_mouse(cv2.EVENT_LBUTTONDOWN, 8 + 56, 8 + 112, 1)
    browser.on_mouse(cv2.EVENT_MOUSEMOVE, 400, 400, 1)
    assert browser.sheet.draw()[120, 100:200].any(axis=1).all()  # the edge of the rectangle
    browser.on_mouse(cv2.EVENT_LBUTTONUP, 400, 400, 1)  # ends outside of the picture
    assert browser.session.step.query.view == "crop 0.25,0.5,0.75,0.5"
    assert browser.session.step.query.picture().shape == (14, 21, 1)
    browser.sheet.draw()
    browser.on_mouse(cv2.EVENT_LBUTTONDOWN, 100, 100, 1)
    browser.on_mouse(cv2.EVENT_LBUTTONUP, 101, 101, 1)  # a click
    assert browser.session.step.query.view == "crop 0.25,0.5,0.75,0.5"


def test_moving_over_a_tile_shows_its_name_distance_and_label(browser):
    browser.on_mouse(cv2.EVENT_MOUSEMOVE, *at(browser, 2), 0)
    hits = browser.session.page.hits
    expected = f"3: {hits.ids[2]}, distance {hits.distances[2]:.3f}, label "
    assert browser.sheet.status.startswith(expected)
    browser.on_mouse(cv2.EVENT_MOUSEMOVE, 10, 700, 0)
    assert browser.sheet.status == ""


def test_the_keyboard_alone_is_enough(browser, tmp_path):
    session = browser.session
    press(browser, "Right", "Right", "Down", "l", "j", "h", "k", "Left")
    assert browser.sheet.selected == 15
    row = session.id_of(16)
    press(browser, "a")
    assert session.step.liked == (row,)
    row = session.id_of(31)
    press(browser, "Down", "u")  # a mark keeps the selection
    assert session.step.disliked == (row,)
    press(browser, "Enter")
    assert browser.sheet.selected is None
    assert len(session.step.base.own) == 1
    press(browser, "r", "f")
    assert session.step.query.view == "mirrored, turned left"
    press(browser, "n", "Page Down", "p", "Page Up", "Page Down")
    assert session.step.page == 1
    press(browser, "s")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["saved_0.png", "saved_0.txt"]
    press(browser, "Space")
    assert session.step.base.id == "8"
    press(browser, "?")
    assert browser.sheet.overlay == window_help()
    press(browser, "?", "q")
    assert browser.sheet.overlay is None
    assert browser.ended


def test_errors_are_a_line_in_the_window(browser):
    for keys, reason in (
        (["Back"], "this is the first query"),
        (["o"], "select a picture first"),
        (["Enter"], "select a picture first"),
        (["Page Up"], "these are the first results"),
        (["Down", "o"], "not a file"),
        (["Space", "Space"], "there are no more queries"),
    ):
        press(browser, *keys)
        assert reason in browser.sheet.status
    assert not browser.ended


def test_a_map_is_drawn_after_it_was_announced(browser):
    press(browser, "m")
    assert browser.map_wanted
    assert browser.sheet.status == "drawing a map by pca..."
    view = browser.draw_map()
    assert not browser.map_wanted
    assert view.changed
    plain = view.draw()
    assert not view.changed
    x, y = view._projection._points[0].tolist()
    view.on_mouse(cv2.EVENT_MOUSEMOVE, x, y, 0)
    assert view.changed
    shown = view.draw()
    assert shown.shape == plain.shape
    assert 10_000 < (shown != plain).any(axis=2).sum() < 30_000  # the picture and its name
    view.on_mouse(cv2.EVENT_MOUSEMOVE, 1090, 840, 0)  # where no point is
    np.testing.assert_array_equal(view.draw(), plain)


@pytest.mark.parametrize("screen", [(1024, 700), (1366, 768), (1920, 1080), (3840, 2160)])
@pytest.mark.parametrize("folder", [False, True])
def test_a_sheet_fits_the_screen_with_its_lines(small_index, folder_index, folder, screen):
    session = start(folder_index, "digit 7/0.png") if folder else start(small_index, "7")
    room = room_on(screen)
    sheet = Sheet(session, room=room)
    height, width, _ = sheet.draw().shape
    assert width * room.scale <= screen[0] - 16
    assert height * room.scale <= screen[1] - 80
    assert session.page_size == 24 if folder else session.page_size >= 100
    assert room.scale == (2 if screen[1] > 2000 else 1)
    if folder:
        assert sheet.side >= 96


def test_qt_does_not_enlarge_what_was_fitted_to_the_screen(monkeypatch):
    monkeypatch.setenv("QT_QPA_PLATFORM", "xcb")
    monkeypatch.setenv("QT_QPA_FONTDIR", "")
    monkeypatch.setenv("QT_SCALE_FACTOR", "2")
    monkeypatch.setenv("QT_SCREEN_SCALE_FACTORS", "2")
    prepare_windows()
    assert [name for name in os.environ if "SCALE" in name and name.startswith("QT_")] == []


def test_the_tile_under_the_mouse_is_framed(browser):
    plain = browser.sheet.draw()
    browser.on_mouse(cv2.EVENT_MOUSEMOVE, *at(browser, 20), 0)
    changed = np.argwhere((browser.sheet.draw() != plain).any(axis=2))
    left, top = browser.sheet.grid.corner(20)
    inside = changed[changed[:, 0] < plain.shape[0] - 66] - (top, left + PANEL)  # not the status
    assert len(inside)
    assert inside.min() >= -TILE_GAP
    assert inside.max() < browser.sheet.side + TILE_GAP


def test_the_query_stays_whole_with_its_crop_drawn_over_it(browser):
    session = browser.session
    browser.sheet.draw()
    box = browser.sheet._box
    for _ in range(2):  # the second part is one of the whole picture too
        browser.on_mouse(cv2.EVENT_LBUTTONDOWN, box[0], box[1] + box[3] // 2, 1)
        browser.on_mouse(cv2.EVENT_LBUTTONUP, box[0] + box[2] // 2, box[1] + box[3], 1)
        assert session.step.query.view == "crop 0,0.5,0.5,0.5"
        browser.sheet.draw()
        assert browser.sheet._box == box
    press(browser, "r")
    picture, crop = browser.sheet._whole_query()
    assert picture.shape == (28, 28, 1)
    assert (crop.left, crop.top, crop.width, crop.height) == (0, 0, 0.5, 0.5)


def test_the_title_of_the_window_names_the_query(browser):
    assert browser.title == "Results - query 7 (3)"


@pytest.mark.parametrize(
    ("code", "name"),
    [
        *((ord("a"), "a"), (ord("A"), "a"), (ord("?"), "?"), (32, "space"), (0xFFBE, None)),
        *((8, "backspace"), (127, "backspace"), (0xFF08, "backspace"), (10, "enter")),
        *((65361, "left"), (0x10FF51, "left"), (0x250000, "left"), (63234, "left")),
        *((65365, "page up"), (0x210000, "page up"), (63276, "page up"), (0xFF9B, "page down")),
    ],
)
def test_keys_have_one_name_in_all_toolkits(code, name):
    assert key_name(code) == name


# --- commands


def interactive(python, path, commands, *flags):
    command = python("search.py", "-i", path, "--interactive", *flags)
    environment = {key: value for key, value in os.environ.items() if key != "DISPLAY"}
    done = subprocess.run(
        command, cwd=ROOT, input=commands, capture_output=True, text=True, env=environment
    )
    errors = [line for line in done.stderr.splitlines() if "[INFO]" not in line]
    return done.returncode, done.stdout.splitlines(), errors


def test_commands_in_a_pipe_search_on(small_index, python, tmp_path):
    commands = "3\nback\nchoose 3\nlike 2\nnext\nprevious\nrotate\ncrop 0,0,14,28\n"
    commands += "another\nsave\n\nquit\n7\n"
    flags = "--query-id", 7, 8, "-k", 4, "--json", "--output", tmp_path
    status, lines, errors = interactive(python, small_index, commands, *flags)
    assert (status, errors) == (0, [])
    records = [json.loads(line) for line in lines]
    first, third = records[0]["query"], records[0]["results"][2]["id"]
    queries = [record["query"] for record in records]
    assert queries == [first, third, first, *[third] * 6, "8"]
    assert records[4]["view"] == "1 liked (weight 0.75)"
    assert records[5]["results"][0]["distance"] >= records[4]["results"][-1]["distance"]
    assert records[6] == records[4]
    assert records[8]["view"] == "turned right, crop 0,0,14,28, 1 liked (weight 0.75)"
    ids = [result["id"] for result in records[-1]["results"]]
    assert (tmp_path / "saved_0.txt").read_text().split() == ids
    assert (tmp_path / "saved_0.png").exists()


def test_errors_in_commands_are_lines_and_end_nothing(small_index, python):
    commands = (
        "nonsense\n0\n999\nchoose x\nlike\ncrop 1,2\ncrop 20,20,20,20\nback\nopen 1\nback 2\n"
    )
    commands += "\udcff\x00\n2"
    commands = commands.encode("utf-8", "surrogateescape").decode("latin-1")
    status, lines, errors = interactive(python, small_index, commands, "--query-id", 7)
    assert status == 0
    assert sum(line.startswith("query ") for line in lines) == 2
    assert len(errors) == 11
    assert all(line.startswith("[WARNING] ") for line in errors)


def test_bad_commands_are_one_line_each_that_names_the_command(small_index, python):
    huge = b"1" + b"0" * 400
    commands = {
        b"2 5": "choose: expected the number of one result, received 2 5",
        b"like 2 5": "like: expected the number of one result, received 2 5",
        b"open": "open: expected the number of one result, received nothing",
        huge: "choose: expected a number of up to",
        b"\xff\xfe": "unknown command ",
        b"like \xff": "like: expected the number of one result",
        b"crop 0,0,1," + huge: "expected a crop X,Y,W,H",
        b"crop 0,0,1": "expected a crop X,Y,W,H",
    }
    command = python("search.py", "-i", small_index, "--interactive", "--query-id", 7)
    done = subprocess.run(command, cwd=ROOT, input=b"\n".join(commands), capture_output=True)
    lines = done.stderr.decode().splitlines()
    warnings = [line for line in lines if not line.startswith("[INFO] ")]
    assert done.returncode == 0
    assert done.stdout.count(b"query ") == 1
    for line, wanted in zip(warnings, commands.values(), strict=True):
        assert line.startswith("[WARNING] " + wanted)


def test_disliking_has_its_name_and_the_one_of_old(session, tmp_path):
    commands = Commands(session, TEXT, str(tmp_path))
    disliked = session.id_of(2)
    commands.run("dislike 2")
    assert session.step.disliked == (disliked,)
    number = session.answer.hits.ids.index(disliked) + 1
    commands.run(f"unlike {number}")
    assert session.step.disliked == ()


def test_lists_are_json_where_results_are(small_index, python):
    flags = "--query-id", 7, "-k", 3, "--json"
    status, lines, errors = interactive(python, small_index, "list\nhelp\n", *flags)
    assert (status, errors) == (0, [])
    records = [json.loads(line) for line in lines]
    assert len(records) == 2
    assert records[0] == records[1]


def test_lists_are_paths_where_results_are(folder_index, python):
    command = python("search.py", "-i", folder_index, "--query-id", "digit 7/0.png", "-k", 2)
    done = subprocess.run(
        [*command, "--paths", "-0", "--interactive"],
        cwd=ROOT,
        input=b"list\nhelp\n",
        capture_output=True,
    )
    paths = done.stdout.split(b"\0")
    assert (done.returncode, len(paths), paths[-1]) == (0, 5, b"")
    assert all(map(os.path.isfile, paths[:-1]))
    assert b"crop X,Y,W,H" in done.stderr


def test_a_session_ends_where_nobody_reads(small_index, python):
    command = python("search.py", "-i", small_index, "--interactive", "--query-id", 7)
    with subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as searching:
        searching.stdout.readline()
        searching.stdout.close()
        searching.stdin.write(b"1\n" * 3)
        searching.stdin.close()
        assert b"Traceback" not in searching.stderr.read()
    assert searching.returncode == 0


def test_results_can_be_listed_with_their_numbers(folder_index, python):
    status, lines, _ = interactive(
        python, folder_index, "list\nhelp\nnext", "--query-id", "digit 7/0.png", "-k", 2
    )
    assert status == 0
    assert [line.split(":")[0] for line in lines[3:5]] == ["1", "2"]
    assert ".png, distance " in lines[3]
    assert ", label digit " in lines[3]
    assert lines[-3].startswith("query digit 7/0.png (digit 7): results 3 to 4, distance ")
    assert [line.split()[0] for line in (*lines[1:3], *lines[-2:])] == ["1", "2", "3", "4"]
    assert any(line.startswith("crop X,Y,W,H") for line in lines)


@pytest.mark.parametrize("action", ACTIONS, ids=lambda action: action.method)
def test_every_action_is_in_the_help_and_in_the_documentation(action):
    section = (ROOT / "docs" / "cli.md").read_text().partition("### Browsing")[2]
    rows = [line for line in section.splitlines() if line.startswith("| ")]
    if action.command:
        assert any(line.startswith(f"{action.usage}: ") for line in command_help())
        [row] = [row for row in rows if f"`{action.usage.split(', ')[-1]}`" in row]
        assert all(f"`{key.title() if len(key) > 1 else key}`" in row for key in action.keys)
        assert action.mouse in row
    if action.gestures:
        assert f"{action.gestures}:  {action.help}" in window_help()


@pytest.mark.parametrize("text", ["2 5", "like 1 2", "rotate 3", "choose", "like x", "nonsense"])
def test_a_command_with_other_words_is_refused(session, tmp_path, text):
    before = state(session)
    with pytest.raises(ValueError, match=r"received|unknown command"):
        Commands(session, TEXT, tmp_path).run(text)
    assert state(session) == before


def test_a_misspelt_command_is_answered_with_the_nearest(session, tmp_path):
    with pytest.raises(ValueError, match=r"^unknown command LIKE 3; did you mean like\?$"):
        Commands(session, TEXT, tmp_path).run("LIKE 3")


def test_pictures_are_kept_no_larger_than_they_are_shown(tmp_path, random):
    picture = random.integers(0, 256, (500, 1000, 3), dtype=np.uint8)
    fill(tmp_path / "large", "a.png", data=cv2.imencode(".png", picture)[1])
    index = tmp_path / "large.h5"
    assert run(index_images, "-m", MODEL, "-i", index, "--dataset", tmp_path / "large") == 0
    session = start(index, "a.png")
    reporter = session.reporter
    assert reporter.picture("a.png").shape == (80, 160, 3)
    assert reporter.picture("a.png", 640).shape == (320, 640, 3)
    assert reporter.query_picture(session.answer.query, (320, 320)).shape == (160, 320, 3)
