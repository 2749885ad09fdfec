import os
import pickle
import sys

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from picture_files import ENCODED, fill

from pyimagesearch.datasets import scanning
from pyimagesearch.datasets.folder import FolderDataset
from pyimagesearch.datasets.transforms import InputSpec
from pyimagesearch.files import printable


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
    assert FolderDataset(root).ids == ["again/a.png", "other/o.png", "single.png"]


def test_a_very_deep_folder_is_searched(tmp_path):
    levels = ["d/" * depth for depth in range(1, 1500)]
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
