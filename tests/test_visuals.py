import cv2
import numpy as np
import pytest
from matplotlib.figure import Figure

from pyimagesearch.show import image_file, lettering, plots, windows
from pyimagesearch.show import montage as visuals
from pyimagesearch.show.card import (
    RED,
    Card,
    Mark,
    card_side,
    draw_card,
    legend_of,
    tile,
    to_bgr,
)
from pyimagesearch.show.output import Output
from pyimagesearch.show.scaling import shrunk


def digit(value=255):
    return np.full((28, 28, 1), value, np.uint8)


def test_a_wrong_result_has_a_red_border_and_a_right_one_has_none():
    wrong = draw_card(Card(digit(), wrong=True), 56, captioned=False)
    assert wrong[0, 0].tolist() == [0, 0, 255]
    right = draw_card(Card(digit()), 56, captioned=False)
    assert right[0, 0].tolist() == [255, 255, 255]


def test_a_card_of_every_kind_has_its_border_sign_and_lines():
    corners = {}
    for mark in Mark:
        image = draw_card(Card(digit(0), ("a.png", "0.123"), wrong=True, mark=mark), 112)
        assert image.shape == (112 + 36, 112, 3)
        assert image[112:].any()
        assert image[0, 0].tolist() == list(RED)  # a mark lies inside the border of a wrong one
        corners[mark] = image[5, 60].tolist()
    white, green, magenta = [255, 255, 255], [0, 210, 0], [255, 0, 255]
    assert corners == {Mark.QUERY: white, Mark.LIKED: green, Mark.DISLIKED: magenta}


def test_a_legend_names_the_borders_that_there_are():
    plain = Card(digit())
    assert legend_of([plain]) == []
    cards = [plain, Card(digit(), wrong=True), Card(digit(), mark=Mark.QUERY)]
    assert [text for _, text in legend_of(cards)] == ["query", "of another class than the query"]
    assert legend_of(cards)[1][0] == RED


def test_the_side_of_cards_is_that_of_the_first_that_can_be_read():
    large = Card(np.zeros((400, 300, 3), np.uint8))
    assert card_side([Card(None), Card(digit()), large], captioned=False) == 56
    assert card_side([Card(digit())], captioned=True) == 96
    assert card_side([Card(None)], captioned=False) == card_side([large], captioned=True) == 160


def test_a_picture_is_shrunk_with_its_proportions_and_channels():
    assert shrunk(np.zeros((400, 200, 1), np.uint8), 100).shape == (100, 50, 1)
    assert shrunk(np.zeros((90, 200, 3), np.uint8), 100).shape == (45, 100, 3)
    assert shrunk(digit(), 100).shape == (28, 28, 1)


def test_a_tile_keeps_proportions_and_colours():
    wide = np.zeros((10, 40, 3), np.uint8)
    wide[..., 0] = 200  # RGB red
    square = tile(wide, 80)
    assert square.shape == (80, 80, 3)
    assert square[40, 40].tolist() == [0, 0, 200]
    assert not square[:29].any()
    assert not square[-29:].any()


def test_floats_are_shown_as_bytes():
    assert to_bgr(np.full((2, 2, 1), 0.5))[0, 0].tolist() == [128, 128, 128]


def test_a_montage_is_filled_row_by_row():
    tiles = [tile(digit(value), 28) for value in (10, 20, 30)]
    sheet = visuals.montage(tiles, columns=2)
    assert sheet.shape == (58, 58, 3)  # there are 2 pixels between two tiles
    assert not sheet[28:30].any()
    assert [sheet[14, 14, 0], sheet[14, 44, 0], sheet[44, 14, 0], sheet[44, 44, 0]] == [
        10,
        20,
        30,
        0,
    ]


def test_a_results_sheet_marks_every_wrong_result_and_has_room_for_its_summary():
    cards = [Card(digit(), wrong=wrong) for wrong in (False, True, False, False)]
    query = Card(digit(), mark=Mark.QUERY)
    texts = ["query 7", "a summary"]
    sheet = visuals.results_sheet([query], cards, texts, side=56, captioned=False)
    assert sheet[:112, :112][[0, -1], [0, -1]].min() == 255  # the query above, in a white border
    assert sheet[:44, 124:].any()  # beside it its name
    below = sheet[120:]
    corners = [below[y, x].tolist() for y in (0, 58) for x in (0, 58)]
    assert [corner == [0, 0, 255] for corner in corners] == [False, True, False, False]


def test_without_labels_nothing_is_marked():
    cards = [Card(digit())]
    sheet = visuals.results_sheet(cards, cards, ["summary"], side=56, captioned=False)
    assert not (sheet == [0, 0, 255]).all(axis=2).any()


def test_a_query_without_results_is_shown_all_the_same():
    sheet = visuals.results_sheet([Card(digit())], [], ["no match"], side=56, captioned=False)
    assert sheet[:112, :112].any()
    assert sheet[:22, 124:].any()


def test_a_picture_that_is_gone_is_crossed_out():
    assert tile(None, 56)[28, 28].any()


def test_a_long_caption_is_shortened_to_its_tile():
    name = "holidays/2024/" + "x" * 200 + ".jpg"
    sheet = lettering.labelled(tile(digit(), 96), [name, "0.123"])
    assert sheet.shape == (96 + 36, 96, 3)
    assert sheet[96:, 40:].any()  # there is text up to the middle and beyond
    assert not sheet[96:, -2:].any()


def test_a_plot_has_a_second_panel_where_retrieval_was_measured(tmp_path):
    losses = {"phase": "reconstruct", "loss": 0.02, "val_loss": 0.01}
    rows = [{**losses, "epoch": epoch} for epoch in (1, 2)]
    plots.plot_training(tmp_path / "plain.png", rows, {})
    measured = [{**row, "P@10": 0.9} for row in [*rows, {**rows[0], "phase": "decode"}]]
    plots.plot_training(tmp_path / "measured.png", measured, {"raw pixels": 0.8})
    rising = [{**row, "P@10": 0.5 + 0.1 * i} for i, row in enumerate(measured)]
    plots.plot_training(tmp_path / "rising.png", rising, {"raw pixels": 0.8})
    names = ("plain", "measured", "rising")
    shapes = [cv2.imread(str(tmp_path / f"{name}.png")).shape for name in names]
    assert shapes == [(480, 640, 3), (480, 1280, 3), (480, 1280, 3)]


def test_p10_is_a_curve_over_epochs_or_a_bar_where_they_do_not_change_it():
    for values, bars, lines in (([0.9, 0.9], 3, 0), ([0.8, 0.9], 0, 3)):
        axes = Figure().subplots()
        history = [{"P@10": value} for value in values]
        plots._plot_precision(axes, history, {"raw pixels": 0.3, "HOG": 0.7})
        assert (len(axes.patches), len(axes.lines)) == (bars, lines)


def test_a_reconstruction_sheet_pairs_originals_with_copies():
    originals, copies = np.zeros((3, 4, 4, 1)), np.ones((3, 4, 4, 1))
    sheet = visuals.reconstruction_sheet(originals, copies)
    assert sheet.shape == (2 * (28 + 112), 3 * 112 + 2 * 2, 3)
    assert sheet[:28].any()  # "originals"
    assert sheet[28:140].max() == 0
    assert sheet[168:, 112 * 3 :].max() == 255


@pytest.mark.parametrize("display", ["", "nonsense", ":4242", "no.such.host.invalid:0"])
def test_without_a_reachable_display_no_window_is_tried(monkeypatch, display):
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    monkeypatch.setenv("DISPLAY", display)
    assert not windows.has_display()


def test_a_long_id_loses_its_middle():
    assert lettering.shorten("a.png", 200) == "a.png"
    short = lettering.shorten("holidays/2019/a-very-long-name-of-a-picture.jpeg", 124)
    assert short.startswith("holi")
    assert short.endswith(".jpeg")
    assert "..." in short


def test_names_of_any_bytes_can_be_drawn():
    assert lettering.shorten("\udce9.png", 200) == "\\xe9.png"


def test_groups_are_a_row_each_and_what_is_left_out_is_counted():
    cards = [Card(digit(40 * n + 20), ("x" * 100, "0")) for n in range(6)]
    groups = [visuals.Group("one", cards[:4], 4), visuals.Group("two", cards[4:], 2)]
    sheet = visuals.groups_sheet(groups, 2)
    assert [sheet[70, x, 0] for x in (48, 146, 244, 342)] == [20, 60, 100, 140]
    half = sheet.shape[0] // 2
    assert [sheet[half + 70, x, 0] for x in (48, 146, 244)] == [180, 220, 0]
    fewer = visuals.groups_sheet([visuals.Group("one", cards[:3], 4)], 2)
    assert fewer.shape[0] == half + 28
    assert fewer[96:148, 3 * 98 :].any()  # "and 1 more"
    with pytest.raises(ValueError, match="no groups to draw"):
        visuals.groups_sheet([], 0)


@pytest.mark.parametrize("name", ["\udce9.png", "caf\xe9.png", "a\x1b[31m\u202e.png"])
def test_a_picture_of_any_name_is_written_and_read_again(tmp_path, name):
    sheet = tile(digit(), 28)
    image_file.write_image(tmp_path / "\udce9" / name, sheet)
    data = np.frombuffer((tmp_path / "\udce9" / name).read_bytes(), np.uint8)
    np.testing.assert_array_equal(cv2.imdecode(data, cv2.IMREAD_COLOR), sheet)


def test_a_picture_that_cannot_be_encoded_is_an_error(tmp_path):
    with pytest.raises(OSError, match=r"cannot write .*wide.jpg: OpenCV cannot encode 70,000 x 1"):
        image_file.write_image(tmp_path / "wide.jpg", np.zeros((1, 70_000, 3), np.uint8))
    assert list(tmp_path.iterdir()) == []


def test_pictures_of_an_earlier_run_are_deleted_and_other_files_kept(tmp_path):
    for number in range(3):
        Output(tmp_path, ("Results",)).write({"Results": tile(digit(), 28)}, number)
    (tmp_path / "results_9.png").write_bytes(b"of someone else")
    cv2.imwrite(str(tmp_path / "results_8.png"), tile(digit(), 28))
    (tmp_path / "results_7.png").mkdir()
    output = Output(tmp_path, ("Query", "Results"))
    output.write({"Query": tile(digit(), 28)}, 0)
    output.write({"Results": tile(digit(), 28)}, 1)
    output.remove_stale()
    names = ["query_0.png", "results_1.png", "results_7.png", "results_8.png", "results_9.png"]
    assert sorted(path.name for path in tmp_path.iterdir()) == names
