"""Parts, turns and flips of query pictures."""

import json

import cv2
import numpy as np
import pytest

import search
from pyimagesearch.datasets.catalog import open_dataset
from pyimagesearch.indexes.stores import open_store
from pyimagesearch.pictures.input_spec import InputSpec
from pyimagesearch.queries.crops import (
    ORIENTATIONS,
    Crop,
    Look,
    View,
    flipped,
    orientation_text,
    oriented,
    parse_crop,
    turned,
    view_of,
)
from pyimagesearch.queries.query import Query
from pyimagesearch.queries.ranking import Wanted, search_queries
from tests.scripts import error_of, run

PICTURE = np.arange(24, dtype=np.uint8).reshape(4, 6, 1)


def found(capsys, *flags):
    capsys.readouterr()
    assert run(search, *flags, "--json") == 0
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


@pytest.mark.parametrize(
    ("text", "crop"),
    [
        ("10,20,100,80", Crop(10, 20, 100, 80)),
        ("0,0,1,1", Crop(0, 0, 1, 1)),
        ("0.5,0,0.5,1", Crop(0.5, 0, 0.5, 1, fractions=True)),
    ],
)
def test_a_crop_is_in_pixels_or_with_a_decimal_point_in_fractions(text, crop):
    assert parse_crop(text) == crop
    assert str(crop) == text


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("a,b,c,d", "expected a crop X,Y,W,H"),
        ("1,2,3", "expected a crop X,Y,W,H"),
        ("1,2,3,4,5", "expected a crop X,Y,W,H"),
        ("1e9,0,1,1", "expected a crop X,Y,W,H"),
        ("nan,0.1,1,1", "of numbers of at least 0"),
        ("0.5,0,inf,1", "of numbers of at least 0"),
        ("-1,0,5,5", "of numbers of at least 0"),
        ("0,0,0,5", "not empty"),
        ("0.5,0,0.6,1", "inside the picture"),
        ("10.5,0,20,20", "inside the picture"),
    ],
)
def test_a_crop_that_can_be_of_no_picture_is_refused(text, reason):
    with pytest.raises(ValueError, match=reason):
        parse_crop(text)


def test_a_crop_takes_the_pixels_it_names():
    np.testing.assert_array_equal(Crop(1, 2, 3, 2).of(PICTURE), PICTURE[2:4, 1:4])
    np.testing.assert_array_equal(parse_crop("0.5,0,0.5,0.5").of(PICTURE), PICTURE[:2, 3:])
    assert parse_crop("0.999,0.999,0.001,0.001").of(PICTURE).ravel() == [23]


def test_a_crop_outside_of_a_picture_names_picture_and_size():
    view = View(lambda size: PICTURE, "a.png").cropped(Crop(4, 0, 3, 2))
    with pytest.raises(ValueError, match=r"a.png: the crop 4,0,3,2 .* of 6 x 4 pixels"):
        view()


def test_the_eight_orientations_differ_and_compose():
    pictures = [oriented(PICTURE, number) for number in ORIENTATIONS]
    assert len({(picture.shape, picture.tobytes()) for picture in pictures}) == 8
    for number, picture in zip(ORIENTATIONS, pictures, strict=True):
        clockwise = np.rot90(picture, -1)
        np.testing.assert_array_equal(clockwise, oriented(PICTURE, turned(number)))
        np.testing.assert_array_equal(picture[:, ::-1], oriented(PICTURE, flipped(number)))
    assert [orientation_text(number) for number in (0, 1, 4, 6)] == [
        "",
        "turned right",
        "mirrored",
        "mirrored, upside down",
    ]


def test_a_view_is_read_at_reduced_scale_unless_a_part_of_it_is_wanted():
    sizes = []
    view = View(lambda size: sizes.append(size) or PICTURE, "a.png")
    assert view.oriented(turned)((8, 8)).shape == (6, 4, 1)
    part = view.oriented(turned).cropped(Crop(0, 1, 4, 2)).oriented(flipped)
    expected = np.rot90(PICTURE, -1)[1:3, ::-1]
    np.testing.assert_array_equal(part((8, 8)), expected)
    assert sizes == [(8, 8), None]
    assert str(part) == "turned right, crop 0,1,4,2, mirrored"
    assert str(view.oriented(turned).oriented(turned)) == "upside down"
    assert str(view.oriented(flipped).oriented(flipped)) == ""


def digits(index, *rows):
    """Return indexed digits as queries without a row of their own, turned clockwise."""
    images = open_dataset("mnist", "train")
    spec = index.encoder.spec
    for row in rows:
        picture = oriented(images.picture(row), 1)
        yield Look(any_orientation=True)(Query(str(row), picture=lambda size, p=picture: p), spec)


def test_any_orientation_finds_the_nearest_over_all_turns_in_one_batch(small_index):
    index, calls = open_store(small_index).open(), []
    encode = index.encoder.encode
    index.encoder.encode = lambda images: calls.append(len(images)) or encode(images)
    for answer in search_queries(digits(index, 5, 6), index, Wanted(50)):
        query, hits = answer.query, answer.hits
        row = int(query.id)
        assert hits.ids[0] == str(row)
        assert hits.distances[0] == pytest.approx(0, abs=1e-3)
        # The picture is shown in the orientation in which it was found.
        assert query.view == "turned left"
        picture = open_dataset("mnist", "train").picture(row)
        np.testing.assert_array_equal(query.picture(None), picture)
        inputs = [oriented(picture, n).astype(np.float32) / 255 for n in ORIENTATIONS]
        nearest = np.full(len(index), np.inf)
        found = index.engine.search(encode(np.stack(inputs)), 2000)
        for distances, rows in zip(*found, strict=True):
            nearest[rows] = np.minimum(nearest[rows], distances)
        np.testing.assert_allclose(hits.distances, np.sort(nearest)[:50], atol=1e-3)
        assert len(set(hits.ids)) == 50
    assert calls == [16]


def test_any_orientation_within_a_distance_has_each_row_once(small_index):
    index = open_store(small_index).open()
    [nearest] = search_queries(digits(index, 5), index, Wanted(40))
    limit = float(nearest.hits.distances[-1])
    [near_enough] = search_queries(digits(index, 5), index, Wanted(within=limit))
    assert near_enough.hits.ids == nearest.hits.ids


def test_flags_crop_and_turn_files_and_indexed_pictures(small_index, tmp_path, capsys):
    picture = open_dataset("mnist", "train").picture(9)
    wide = np.zeros((28, 56, 1), np.uint8)
    wide[:, 28:] = picture
    path = tmp_path / "wide.png"
    cv2.imwrite(str(path), oriented(wide, 0))
    flags = "-i", small_index, "-k", 3
    [record] = found(capsys, *flags, "--query", path, "--crop", "28,0,28,28")
    assert record["view"] == "crop 28,0,28,28"
    assert (record["results"][0]["id"], record["results"][0]["distance"]) == ("9", 0)
    cv2.imwrite(str(path), oriented(wide, 5))
    flags_of_part = "--crop", "0.0,0,1,0.5", "--any-orientation"
    [record] = found(capsys, *flags, "--query", path, *flags_of_part)
    assert record["results"][0]["id"] == "9"
    whole, turned_too = (
        found(capsys, *flags, "--query-id", "9", *more)[0] for more in ((), ("--any-orientation",))
    )
    assert whole["results"][0]["distance"] >= turned_too["results"][0]["distance"]
    assert "9" not in [result["id"] for result in turned_too["results"]]
    [first, _] = found(capsys, *flags, "-s", 2, "--seed", 1, "--crop", "0,0,14,28")
    assert first["view"] == "crop 0,0,14,28"


def test_a_crop_outside_of_one_query_is_its_own_error(small_index, tmp_path, capsys):
    small, large = tmp_path / "small.png", tmp_path / "large.png"
    cv2.imwrite(str(small), np.zeros((10, 10), np.uint8))
    cv2.imwrite(str(large), np.zeros((40, 40), np.uint8))
    flags = "-i", small_index, "-k", 1, "--crop", "20,20,10,10", "--json", "--query"
    assert "small.png: the crop" in error_of(capsys, search, *flags, small)
    assert run(search, *flags, small, large) == 1
    output = capsys.readouterr()
    assert len(output.out.splitlines()) == 1
    assert "small.png: the crop 20,20,10,10 is not inside" in output.err


@pytest.mark.parametrize(
    ("flags", "reason"),
    [
        (("--crop", "1,2,3"), "expected a crop X,Y,W,H"),
        (("--query-id", "1", "2", "--combine", "--any-orientation"), "no effect with --combine"),
        (("--evaluate", "--crop", "1,2,3,4"), "no effect with --evaluate"),
        (("--query", "-", "--interactive"), "both read standard input"),
    ],
)
def test_flags_that_make_no_sense_are_usage_errors(small_index, capsys, flags, reason):
    with pytest.raises(SystemExit):
        run(search, "-i", small_index, *flags)
    assert reason in capsys.readouterr().err.splitlines()[-1]


def test_an_input_that_is_not_square_is_turned_before_it_is_fitted():
    spec = InputSpec(4, 8, 1, "stretch")
    query = Look(any_orientation=True)(Query("a", picture=lambda size: PICTURE), spec)
    assert query.orientations.shape == (8, 4, 8, 1)
    np.testing.assert_array_equal(query.orientations[1], spec.prepare(oriented(PICTURE, 1)))


def test_a_crop_applies_to_each_picture_of_a_combination(small_index, capsys):
    flags = "-i", small_index, "-k", 1, "--query-id", "3", "4", "--combine"
    whole, part = (found(capsys, *flags, *more)[0] for more in ((), ("--crop", "0,0,14,28")))
    assert whole["results"] != part["results"]


def test_words_have_no_picture_to_crop_or_turn():
    words = Query("a red flower", code=np.zeros(4), is_text=True)
    with pytest.raises(ValueError, match="no picture of its own"):
        view_of(words)


@pytest.mark.parametrize("orientation", range(8))
def test_the_part_of_a_turned_picture_is_found_in_the_whole_one(random, orientation):
    picture = random.integers(0, 256, (32, 64, 3), np.uint8)
    crop = Crop(16, 4, 24, 20)
    view = View(lambda size: picture, "a").cropped(crop).oriented(lambda last: orientation)
    whole, part = view.uncropped()
    assert whole().shape[:2] == (picture.shape[:2] if orientation % 2 == 0 else (64, 32))
    np.testing.assert_array_equal(part.of(whole()), view())
    assert View(lambda size: picture, "a").uncropped()[1] is None
