import cv2
import numpy as np
import pytest

from pyimagesearch.display import montage as visuals
from pyimagesearch.display import plots, windows
from pyimagesearch.search.duplicates import Group


def digit(value=255):
    return np.full((28, 28, 1), value, np.uint8)


def test_a_wrong_result_has_a_red_border_and_a_right_one_has_none():
    assert visuals.tile(digit(), 56, colour=visuals.RED)[0, 0].tolist() == [0, 0, 255]
    assert visuals.tile(digit(), 56)[0, 0].tolist() == [255, 255, 255]


def test_a_tile_keeps_proportions_and_colours():
    wide = np.zeros((10, 40, 3), np.uint8)
    wide[..., 0] = 200  # RGB red
    square = visuals.tile(wide, 80)
    assert square.shape == (80, 80, 3)
    assert square[40, 40].tolist() == [0, 0, 200]
    assert not square[:29].any()
    assert not square[-29:].any()


def test_floats_are_shown_as_bytes():
    assert visuals.to_bgr(np.full((2, 2, 1), 0.5))[0, 0].tolist() == [128, 128, 128]


def test_a_montage_is_filled_row_by_row():
    tiles = [visuals.tile(digit(value), 28) for value in (10, 20, 30)]
    sheet = visuals.montage(tiles, columns=2)
    assert sheet.shape == (56, 56, 3)
    assert [sheet[14, 14, 0], sheet[14, 42, 0], sheet[42, 14, 0], sheet[42, 42, 0]] == [
        10,
        20,
        30,
        0,
    ]


def test_a_results_sheet_marks_every_wrong_result_and_has_room_for_its_summary():
    hits = np.array([True, False, True, True])
    sheet = visuals.results_sheet([digit()] * 4, hits, 56, None, "a summary of some length")
    left = (sheet.shape[1] - 112) // 2  # a narrow montage is centred over a longer summary
    corners = [sheet[y, x + left].tolist() for y in (0, 56) for x in (0, 56)]
    assert [corner == [0, 0, 255] for corner in corners] == [False, True, False, False]
    assert sheet[112:].any()


def test_without_labels_nothing_is_marked():
    sheet = visuals.results_sheet([digit()], None, 56, None, "summary")
    assert not (sheet == [0, 0, 255]).all(axis=2).any()


def test_a_picture_that_is_gone_is_crossed_out():
    assert visuals.tile(None, 56)[28, 28].any()


def test_a_long_caption_is_shortened_to_its_tile():
    name = "holidays/2024/" + "x" * 200 + ".jpg"
    sheet = visuals.labelled(visuals.tile(digit(), 96), [name, "0.123"])
    assert sheet.shape == (96 + 36, 96, 3)
    assert sheet[96:, 40:].any()  # there is text up to the middle and beyond
    assert not sheet[96:, -2:].any()


def test_a_plot_has_a_second_panel_where_retrieval_was_measured(tmp_path):
    losses = {"phase": "reconstruct", "loss": 0.02, "val_loss": 0.01}
    rows = [{**losses, "epoch": epoch} for epoch in (1, 2)]
    plots.plot_training(tmp_path / "plain.png", rows, {})
    measured = [{**row, "P@10": 0.9} for row in [*rows, {**rows[0], "phase": "decode"}]]
    plots.plot_training(tmp_path / "measured.png", measured, {"raw pixels": 0.8})
    shapes = [cv2.imread(str(tmp_path / f"{name}.png")).shape for name in ("plain", "measured")]
    assert shapes == [(480, 640, 3), (480, 1280, 3)]


def test_a_reconstruction_sheet_pairs_originals_with_copies():
    originals, copies = np.zeros((3, 4, 4, 1)), np.ones((3, 4, 4, 1))
    sheet = visuals.reconstruction_sheet(originals, copies)
    assert sheet.shape == (12, 8, 3)
    assert (sheet[:, :4].max(), sheet[:, 4:].min()) == (0, 255)


@pytest.mark.parametrize("display", ["", "nonsense", ":4242", "no.such.host.invalid:0"])
def test_without_a_reachable_display_no_window_is_tried(monkeypatch, display):
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    monkeypatch.setenv("DISPLAY", display)
    assert not windows.has_display()


def test_a_long_id_loses_its_middle():
    assert visuals.shorten("a.png", 200) == "a.png"
    short = visuals.shorten("holidays/2019/a-very-long-name-of-a-picture.jpeg", 124)
    assert short.startswith("holi")
    assert short.endswith(".jpeg")
    assert "..." in short


def test_names_of_any_bytes_can_be_drawn():
    assert visuals.shorten("\udce9.png", 200) == "\\xe9.png"


def test_duplicates_are_a_row_a_group_and_what_is_left_out_is_counted():
    groups = [Group(np.arange(4), np.zeros(4)), Group(np.arange(4, 6), np.zeros(2))]
    ids = ["x" * 100] * 6
    sheet = visuals.groups_sheet(groups, ["one", "two"], ids, lambda row: digit(40 * row + 20))
    assert [sheet[70, x, 0] for x in (48, 144, 240, 336)] == [20, 60, 100, 140]
    half = sheet.shape[0] // 2
    assert [sheet[half + 70, x, 0] for x in (48, 144, 240)] == [180, 220, 0]
    fewer = visuals.groups_sheet(groups, ["one", "two"], ids, lambda row: digit(), 1, 3)
    assert fewer.shape[0] == half + 28
    with pytest.raises(ValueError, match="no groups to draw"):
        visuals.groups_sheet([], [], ids, digit)
