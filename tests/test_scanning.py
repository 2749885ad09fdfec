import os
import pickle
import struct
import sys
import unicodedata
import zlib

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from picture_files import ENCODED, fill

from pyimagesearch.datasets import scanning
from pyimagesearch.datasets.catalog import open_source
from pyimagesearch.datasets.folder import FolderDataset
from pyimagesearch.files import printable
from pyimagesearch.pictures.decoding import read_picture
from pyimagesearch.pictures.input_spec import InputSpec
from pyimagesearch.show.plots import plot_training


def test_pictures_are_found_at_any_depth_and_sorted_by_path(tmp_path):
    paths = [
        "a/z.png",
        "a.jpg",
        "a-b/x.png",
        "b/c/d/e.png",
        "B.png",
        "a/b.png",
        "a0.png",
        "é/ü.png",
    ]
    fill(tmp_path, *paths)
    assert FolderDataset(tmp_path).ids == sorted(paths)


def test_content_or_suffix_makes_a_candidate_and_hidden_names_never_do(tmp_path):
    fill(tmp_path, "no_suffix", "wrong.txt", "UPPER.JPG", ".hidden.png", ".git/a.png", "._a.png")
    fill(tmp_path, "notes.txt", "labels.json", "empty", data=b"")
    fill(tmp_path, "text.jpg", "BMW.md", "BMW.bmp", data=b"BMW is a make of cars\n")
    assert FolderDataset(tmp_path).ids == [
        "BMW.bmp",
        "UPPER.JPG",
        "no_suffix",
        "text.jpg",
        "wrong.txt",
    ]


def test_links_are_followed_and_each_folder_is_visited_once(tmp_path):
    fill(tmp_path, "pictures/real/a.png", "outside/o.png")
    root = tmp_path / "pictures"
    (root / "real" / "loop").symlink_to(root)
    (root / "again").symlink_to(root / "real")
    (root / "other").symlink_to(tmp_path / "outside")
    (root / "single.png").symlink_to(tmp_path / "outside" / "o.png")
    (root / "self.d").symlink_to(root / "self.d")
    assert FolderDataset(root).ids == ["other/o.png", "real/a.png", "single.png"]


def test_a_link_beside_a_folder_never_takes_over_its_ids_and_labels(tmp_path):
    fill(tmp_path, "pictures/m/deep/a.png", "pictures/.hidden/h.png", "outside/x/o.png")
    root = tmp_path / "pictures"
    for name in ("a", "z", "m/deep/b"):
        (root / name).symlink_to(root / "m")
    (root / "l").symlink_to(root / "m" / "deep")
    for name in ("s", "r"):
        (root / name).symlink_to(tmp_path / "outside")
    (root / "h").symlink_to(root / ".hidden")
    dataset = FolderDataset(root)
    assert dataset.ids == ["h/h.png", "m/deep/a.png", "r/x/o.png"]
    assert dataset.label_names == ["h", "m", "r"]
    for both in (["a", "m"], ["m", "z"], ["m", "z/deep"]):
        assert FolderDataset(root, folders=both).ids == ["m/deep/a.png"]
    assert FolderDataset(root, folders=["a"]).ids == ["a/deep/a.png"]
    assert FolderDataset(root, exclude=["m"]).ids == ["a/deep/a.png", "h/h.png", "r/x/o.png"]


def test_a_very_deep_folder_is_searched(tmp_path):
    levels = ["d/" * depth for depth in range(1, sys.getrecursionlimit() + 50)]
    for level in levels:
        (tmp_path / level).mkdir()
    fill(tmp_path, levels[-1] + "a.png")
    try:
        assert FolderDataset(tmp_path).ids == [levels[-1] + "a.png"]
    finally:  # pytest could not remove it, because shutil.rmtree calls itself for each level
        (tmp_path / levels[-1] / "a.png").unlink()
        for level in reversed(levels):
            (tmp_path / level).rmdir()


def test_sizes_and_times_are_kept_for_each_file(tmp_path):
    fill(tmp_path, "a.png", "b.png")
    (tmp_path / "c.png").symlink_to("nowhere")
    os.utime(tmp_path / "b.png", ns=(5, 123_456_789_000_000_001))
    dataset = FolderDataset(tmp_path)
    size = len(ENCODED["png"])
    assert dataset.file_stats["size"].tolist() == [size, size, -1]
    assert dataset.file_stats["mtime_ns"][1:].tolist() == [123_456_789_000_000_001, -1]


def test_a_missing_or_empty_folder_is_refused(tmp_path):
    with pytest.raises(NotADirectoryError, match=r"no such folder: .*/gone"):
        FolderDataset(tmp_path / "gone")
    with pytest.raises(ValueError, match=r"no pictures in .* or below it$"):
        FolderDataset(tmp_path)
    fill(tmp_path, "a.png")
    with pytest.raises(ValueError, match=r"below it, apart from what --exclude names$"):
        FolderDataset(tmp_path, exclude=["*.png"])


def test_a_folder_that_cannot_be_listed_is_rejected_and_the_others_are_read(tmp_path, monkeypatch):
    fill(tmp_path, "closed/a.png", "open/b.png")
    scandir = os.scandir

    def deny(path):
        if path.endswith("closed/"):
            raise PermissionError(13, "Permission denied", path)
        return scandir(path)

    monkeypatch.setattr(scanning.os, "scandir", deny)  # root may list everything
    dataset = FolderDataset(tmp_path)
    assert dataset.ids == ["open/b.png"]
    assert dataset.unreadable == {"closed/": "Permission denied"}


@pytest.mark.skipif(sys.platform == "darwin", reason="its file names are always UTF-8")
def test_a_name_that_is_not_utf8_is_read_and_can_be_printed(tmp_path, capfd):
    name = os.fsdecode(b"caf\xe9\n.png")
    fill(tmp_path, name)
    dataset = FolderDataset(tmp_path)
    assert dataset.ids == [name]
    assert len(dataset.read([0], InputSpec(8, 8, 1))) == 1
    print(printable(name))
    assert capfd.readouterr().out == "caf\\xe9\\n.png\n"
    assert printable("ünï/日本.png") == "ünï/日本.png"
    assert pickle.loads(pickle.dumps(dataset.ids, protocol=4)) == [name]


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(name=st.binary(min_size=1, max_size=40))
def test_any_name_prints_on_one_line(name):
    text = printable(os.fsdecode(name.replace(b"\0", b"")))
    assert len(text.splitlines()) <= 1
    assert text.encode("utf-8").decode("utf-8") == text


def test_folders_of_disk_stations_and_systems_are_left_out(tmp_path):
    fill(tmp_path, "a/@eaDir/a.jpg/SYNOPHOTO_THUMB_M.jpg", "#recycle/a.png", "$RECYCLE.BIN/a.png")
    fill(tmp_path, ".thumbnails/a.png", ".@__thumb/a.png", "lost+found/a.png", "__MACOSX/a.png")
    fill(tmp_path, "a/a.jpg", "recycle/a.png")
    assert FolderDataset(tmp_path).ids == ["a/a.jpg", "recycle/a.png"]
    assert FolderDataset(tmp_path / "a" / "@eaDir").ids == ["a.jpg/SYNOPHOTO_THUMB_M.jpg"]


@pytest.mark.parametrize(
    ("patterns", "left"),
    [
        ([], ["a.png", "raw/b.CR2", "raw/c.png", "scans/old/d.png", "scans/old.png"]),
        (["*.cr2"], ["a.png", "raw/c.png", "scans/old/d.png", "scans/old.png"]),
        (["old", "A.*"], ["raw/b.CR2", "raw/c.png", "scans/old.png"]),
        (["scans/old*"], ["a.png", "raw/b.CR2", "raw/c.png"]),
        (["scans/old/", "raw/[bx].*"], ["a.png", "raw/c.png", "scans/old.png"]),
    ],
)
def test_excluded_names_and_paths_are_left_out(patterns, left, tmp_path):
    fill(tmp_path, "a.png", "raw/b.CR2", "raw/c.png", "scans/old/d.png", "scans/old.png")
    dataset = FolderDataset(tmp_path, exclude=patterns)
    assert dataset.ids == sorted(left)
    assert dataset.source.get("exclude", []) == patterns
    assert dataset.subset([0]).source == dataset.source


@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_accents_written_in_another_form_are_the_same_label_and_pattern(form, tmp_path):
    name = unicodedata.normalize(form, "Café")
    fill(tmp_path, f"{name}/a.png", f"{name}/{name}.png", "b/c.png")
    dataset = FolderDataset(tmp_path, exclude=["CAFÉ.png"])
    assert dataset.ids == sorted([f"{name}/a.png", "b/c.png"])
    assert dataset.label_names == ["Café", "b"]
    assert sorted(dataset.labels) == [0, 1]


@pytest.mark.parametrize("seconds", [13_569_465_600, -9_999_999_999])  # the years 2400 and 1653
def test_a_time_beyond_64_bits_is_kept_distinct(seconds, tmp_path):
    times = seconds * 10**9, seconds * 10**9 + 1
    for name, time in zip("ab", times, strict=True):
        fill(tmp_path, f"{name}.png")
        os.utime(tmp_path / f"{name}.png", ns=(0, time))
        if (tmp_path / f"{name}.png").stat().st_mtime_ns != time:
            pytest.skip("the file system cannot hold this time")
    stored = FolderDataset(tmp_path).file_stats["mtime_ns"].tolist()
    assert stored == [time % 2**64 - (2**64 if time % 2**64 >= 2**63 else 0) for time in times]


MARK = b"Software\0pyimagesearch"


@pytest.mark.parametrize("last", [False, True])
def test_pictures_that_this_program_wrote_are_left_out(last, tmp_path):
    png = ENCODED["png"]
    at = len(png) - 12 if last else 33
    chunk = (
        struct.pack(">I", len(MARK))
        + b"tEXt"
        + MARK
        + struct.pack(">I", zlib.crc32(b"tEXt" + MARK))
    )
    fill(
        tmp_path, "query_0.png", "out/results_12.png", "plot.png", data=png[:at] + chunk + png[at:]
    )
    fill(tmp_path, "my losses.png", data=png[:at] + chunk + png[at:])
    fill(tmp_path, "map.png", "out/query_1.png")  # photographs of these names
    dataset = FolderDataset(tmp_path)
    assert dataset.ids == ["map.png", "my losses.png", "out/query_1.png"]
    read = dataset.read_good(range(3), InputSpec(8, 8, 3))
    assert read.rows.tolist() == [0, 2]
    assert read.unreadable == [
        ("my losses.png", "a picture that this program wrote, which is not indexed")
    ]
    assert read_picture(tmp_path / "plot.png").shape == (32, 48, 3)  # as a query, it is a picture


def test_plots_are_marked_as_written_by_this_program(tmp_path):
    plot_training(tmp_path / "plot.png", [{"phase": "a", "epoch": 1, "loss": 1, "val_loss": 2}], {})
    plot_training(tmp_path / "plot.jpg", [{"phase": "a", "epoch": 1, "loss": 1, "val_loss": 2}], {})
    assert FolderDataset(tmp_path).ids == ["plot.jpg"]


def test_several_folders_are_one_dataset_with_the_labels_of_each(tmp_path):
    fill(
        tmp_path, "cam/cats/1.png", "cam-2/cats/1.png", "cam-2/dogs/2.png", "cam/3.png", "no/4.png"
    )
    dataset = FolderDataset(tmp_path, folders=["cam", "cam-2"])
    assert dataset.ids == ["cam-2/cats/1.png", "cam-2/dogs/2.png", "cam/3.png", "cam/cats/1.png"]
    assert dataset.label_names == ["cats", "dogs"]
    assert dataset.labels.tolist() == [0, 1, -1, 0]
    assert dataset.path(dataset.ids[0]) == str(tmp_path / "cam-2/cats/1.png")
    again = open_source(dataset.source, True).with_ids(dataset.ids)
    assert again.labels.tolist() == [0, 1, -1, 0]
    (tmp_path / "cam").rename(tmp_path / "unmounted")
    missing = FolderDataset(tmp_path, folders=["cam", "cam-2"])
    assert missing.ids == ["cam-2/cats/1.png", "cam-2/dogs/2.png"]
    assert missing.unreadable == {"cam/": "No such file or directory"}
