import hashlib
import math
import os
import threading

import cv2
import numpy as np
import pytest
from picture_files import ENCODED, fill, write
from PIL import Image

from pyimagesearch.datasets import folder as folders
from pyimagesearch.datasets.catalog import open_dataset, open_source
from pyimagesearch.datasets.folder import PREFETCHED_BATCHES, FolderDataset
from pyimagesearch.pictures.decoding import decode_for
from pyimagesearch.pictures.input_spec import InputSpec

SPEC = InputSpec(8, 12, 3)


def shades(root, count):
    """`count` pictures in two sub-folders, each of its own grey."""
    for i in range(count):
        (root / "ab"[i % 2]).mkdir(exist_ok=True)
        Image.new("L", (12, 8), i).save(root / "ab"[i % 2] / f"{i:03}.png")
    return FolderDataset(root)


def grey_of(dataset, row):
    return int(dataset.ids[row][2:5])


def test_a_label_is_the_first_sub_folder(tmp_path):
    fill(tmp_path, "dog/1.png", "cat/2.png", "cat/old/3.png", "stray.png")
    dataset = FolderDataset(tmp_path)
    assert dataset.label_names == ["cat", "dog"]
    assert dict(zip(dataset.ids, dataset.labels.tolist(), strict=True)) == {
        "cat/2.png": 0,
        "cat/old/3.png": 0,
        "dog/1.png": 1,
        "stray.png": -1,
    }
    assert dataset.labels.dtype == np.int64


def test_a_flat_folder_has_no_labels(tmp_path):
    fill(tmp_path, "a.png", "b.png")
    assert FolderDataset(tmp_path).labels is None


def test_rows_are_read_in_the_order_asked_for(tmp_path):
    dataset = shades(tmp_path, 20)
    rows = np.array([3, 17, 0, 3])
    images = dataset.read(rows, SPEC)
    assert (images.shape, images.dtype) == ((4, 8, 12, 3), np.float32)
    greys = [grey_of(dataset, row) / 255 for row in rows]
    assert abs(images - np.reshape(greys, (4, 1, 1, 1))).max() < 1e-6
    assert dataset.picture(dataset.ids[5]).shape == (8, 12, 3)


def bad_folder(root):
    fill(root, "good.png", "last.png")
    fill(root, "cut.jpg", data=ENCODED["jpg"][:-50])
    fill(root, "empty.jpg", data=b"")
    fill(root, "text.jpg", data=b"Dear diary")
    fill(root, "vanished.png")
    os.mkfifo(root / "pipe.png")
    dataset = FolderDataset(root)
    (root / "vanished.png").unlink()
    return dataset


REASONS = {
    "cut.jpg": "cannot be decoded as JPEG: image file is truncated (",
    "empty.jpg": "empty: 0 bytes",
    "pipe.png": "a device or pipe, not a picture file",
    "text.jpg": "not a picture: its content is of no known format (jpg, png, webp, ...)",
    "vanished.png": "No such file or directory",
}


def test_bad_files_are_reported_once_and_keep_their_rows(tmp_path, capfd):
    dataset = bad_folder(tmp_path)
    rows, images, rejects, _ = dataset.read_good(range(7), SPEC)
    assert [dataset.ids[row] for row in rows] == ["good.png", "last.png"]
    assert images.shape == (2, *SPEC.shape)
    assert [path for path, _ in rejects] == sorted(REASONS)
    assert all(reason.startswith(REASONS[path]) for path, reason in rejects)
    assert dataset.unreadable == dict(rejects)

    rows_again, images_again, rejects_again, _ = dataset.read_good(range(7), SPEC)
    assert np.array_equal(rows, rows_again)
    assert np.array_equal(images, images_again)
    assert rejects_again == []
    assert len(dataset) == 7
    assert "".join(capfd.readouterr()) == ""


def test_read_never_leaves_a_row_out_in_silence(tmp_path):
    dataset = bad_folder(tmp_path)
    for _ in range(2):
        with pytest.raises(ValueError, match=r"^empty.jpg: empty: 0 bytes$"):
            dataset.read([2, 1], SPEC)
    with pytest.raises(FileNotFoundError, match=r"^vanished.png: No such file"):
        dataset.picture("vanished.png")


def test_batches_bring_every_good_row_once_and_in_order(tmp_path):
    dataset = shades(tmp_path, 25)
    (tmp_path / dataset.ids[7]).write_bytes(b"")
    batches = list(dataset.batches(SPEC, 4))
    assert len(batches) == 7
    rows = np.concatenate([batch.rows for batch in batches])
    assert rows.tolist() == [row for row in range(25) if row != 7]
    greys = np.concatenate([batch.images[:, 0, 0, 0] for batch in batches]) * 255
    assert np.allclose(greys, [grey_of(dataset, row) for row in rows])
    assert [reject for batch in batches for reject in batch.unreadable] == [
        (dataset.ids[7], "empty: 0 bytes")
    ]


def test_batches_of_chosen_rows_keep_their_order(tmp_path):
    dataset = shades(tmp_path, 10)
    batches = list(dataset.batches(SPEC, 3, rows=np.array([9, 0, 4, 2])))
    assert [batch.rows.tolist() for batch in batches] == [[9, 0, 4], [2]]


def test_a_batch_of_bad_files_is_empty_but_has_its_shape(tmp_path):
    fill(tmp_path, "a.jpg", "b.jpg", data=b"text")
    (batch,) = FolderDataset(tmp_path).batches(SPEC, 8)
    assert (batch.rows.shape, batch.images.shape) == ((0,), (0, *SPEC.shape))
    assert (len(batch.unreadable), batch.digests.shape) == (2, (0, 2))


def test_decoding_runs_ahead_by_a_few_batches_only(tmp_path, monkeypatch):
    dataset = shades(tmp_path, 40)
    read, lock, count = FolderDataset._read, threading.Lock(), [0]

    def counting(*args):
        with lock:
            count[0] += 1
        return read(*args)

    monkeypatch.setattr(FolderDataset, "_read", counting)
    stream = dataset.batches(SPEC, 4)
    assert count[0] == 0
    for done in range(1, 5):
        next(stream)
        assert 4 * done <= count[0] <= 4 * (done + PREFETCHED_BATCHES)
    stream.close()
    assert count[0] <= 4 * (4 + PREFETCHED_BATCHES)


def test_a_split_is_deterministic_and_loses_nothing(tmp_path):
    dataset = shades(tmp_path, 200)
    training, validation = dataset.split(0.2, seed=3)
    assert sorted([*training.ids, *validation.ids]) == dataset.ids
    assert 20 <= len(validation) <= 60  # 40 are expected, with a standard deviation of 5.7
    assert dataset.split(0.2, seed=3)[1].ids == validation.ids
    assert dataset.split(0.2, seed=4)[1].ids != validation.ids
    assert set(validation.ids) < set(dataset.split(0.4, seed=3)[1].ids)


def test_the_parts_know_their_labels_sizes_and_pictures(tmp_path):
    dataset = shades(tmp_path, 30)
    for part in dataset.split(0.3):
        rows = [dataset.ids.index(path) for path in part.ids]
        assert part.label_names == dataset.label_names
        assert np.array_equal(part.labels, dataset.labels[rows])
        assert np.array_equal(part.file_stats, dataset.file_stats[rows])
        assert np.array_equal(part.read([0], SPEC), dataset.read(rows[:1], SPEC))


def test_added_files_do_not_move_others_to_the_other_part(tmp_path):
    before = shades(tmp_path, 100).split()[1]
    after = shades(tmp_path, 150).split()[1]
    assert set(before.ids) == {path for path in after.ids if int(path[2:5]) < 100}


@pytest.mark.parametrize("validation", [0.001, 0.999])
def test_both_parts_of_a_small_folder_have_pictures(validation, tmp_path):
    assert all(len(part) for part in shades(tmp_path, 2).split(validation))


@pytest.mark.parametrize("validation", [0, 1, -1, float("nan")])
def test_a_part_that_is_none_or_all_is_refused(validation, tmp_path):
    with pytest.raises(ValueError, match="between 0 and 1"):
        shades(tmp_path, 2).split(validation)


def test_a_dataset_opens_again_from_its_location_and_ids_without_a_scan(tmp_path, monkeypatch):
    dataset = shades(tmp_path, 10)
    monkeypatch.setattr(folders, "find_pictures", None)
    again = FolderDataset(dataset.source["name"], paths=dataset.ids)
    assert np.array_equal(again.read([4, 2], SPEC), dataset.read([4, 2], SPEC))
    assert np.array_equal(again.labels, dataset.labels)
    assert again.path(again.ids[4]) == str(tmp_path / dataset.ids[4])


@pytest.mark.parametrize("renamed", [False, True])
def test_a_picture_that_is_replaced_while_it_is_read_never_has_the_digest_of_another(
    renamed, tmp_path, monkeypatch
):
    # Of two sizes, as both may be written within one tick of the clock of the file system.
    old, new = (
        cv2.imencode(".png", np.full((side, side), grey, np.uint8))[1].tobytes()
        for side, grey in ((9, 9), (99, 99))
    )
    path = write(tmp_path / "a.png", old)
    dataset = FolderDataset(tmp_path)

    def replace_and_decode(*args):
        if renamed:
            write(tmp_path / "new", new).rename(path)
        else:
            write(path, new)
        return decode_for(*args)

    monkeypatch.setattr(folders, "decode_for", replace_and_decode)
    [batch] = dataset.batches(SPEC)
    if renamed:
        assert batch.digests[0].tobytes() == hashlib.blake2b(old, digest_size=16).digest()
        assert batch.images.max() * 255 == pytest.approx(9)
    else:
        assert len(batch.images) == 0
        assert batch.unreadable == [("a.png", "it was written to while it was read: index again")]


def test_a_known_file_that_became_a_pipe_is_unreadable_and_does_not_block(tmp_path):
    fill(tmp_path, "a.png", "b.png")
    dataset = FolderDataset(tmp_path)
    (tmp_path / "a.png").unlink()
    os.mkfifo(tmp_path / "a.png")
    for known in (dataset, FolderDataset(tmp_path), dataset.with_ids(dataset.ids)):
        [batch] = known.batches(SPEC)
        assert batch.unreadable == [("a.png", "a device or pipe, not a picture file")]
        with pytest.raises(OSError, match=r"^a.png: a device or pipe, not a picture file$"):
            known.picture(known.ids[0])


def test_a_dataset_opened_from_its_source_reads_as_the_first_did(tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    data = cv2.imencode(".jpg", noise)[1].tobytes()
    fill(tmp_path, "cut.jpg", data=data[: len(data) // 2])
    dataset = FolderDataset(tmp_path, truncated=True)
    image = dataset.read([0], SPEC)
    for again in (open_dataset(**dataset.source), open_source(dataset.source, True)):
        part = again.with_ids(dataset.ids)
        assert np.array_equal(part.read([0], SPEC), image)
        assert np.array_equal(part.subset([0]).picture("cut.jpg"), dataset.picture("cut.jpg"))
    assert dataset.split()[0].source == dataset.source
    with pytest.raises(ValueError, match="truncated"):
        FolderDataset(tmp_path).read([0], SPEC)


def test_decoded_images_are_kept_and_equal_to_those_that_are_read(tmp_path, monkeypatch):
    dataset = shades(tmp_path, 12)
    plain = [(b.rows, b.images, b.digests) for b in dataset.batches(SPEC, 5)]
    dataset.keep_decoded(max_bytes=10 * math.prod(SPEC.shape))
    part = dataset.subset(np.arange(12))
    assert part.read(range(12), SPEC).shape == (12, *SPEC.shape)  # kept without their hashes
    read, count = FolderDataset._read, [0]

    def counting(*args):
        count[0] += 1
        return read(*args)

    monkeypatch.setattr(FolderDataset, "_read", counting)
    for expected in (12, 2, 2):  # for the hashes; then the two that there is no room for
        count[0] = 0
        for batch, (rows, images, digests) in zip(part.batches(SPEC, 5), plain, strict=True):
            np.testing.assert_array_equal(batch.rows, rows)
            np.testing.assert_array_equal(batch.images, images)
            np.testing.assert_array_equal(batch.digests, digests)
        assert count[0] == expected
    np.testing.assert_array_equal(part.read([3], SPEC)[0], dataset.read([3], SPEC)[0])


def test_an_unreadable_file_is_left_out_beside_kept_ones(tmp_path):
    dataset = shades(tmp_path, 4)
    dataset.keep_decoded()
    dataset.read([0, 2], SPEC)
    with open(dataset.path(dataset.ids[1]), "wb") as file:
        file.write(b"text")
    rows, images, unreadable, _ = dataset.read_good([0, 1, 2, 3], SPEC)
    assert rows.tolist() == [0, 2, 3]
    assert [path for path, _ in unreadable] == [dataset.ids[1]]
    np.testing.assert_array_equal(images, dataset.read([0, 2, 3], SPEC))
