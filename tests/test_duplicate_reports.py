"""Which of a group of near-identical pictures is kept, and which may be removed."""

import json
import os

import numpy as np
import pytest
from PIL import Image

from pyimagesearch.datasets.digests import content_digest
from pyimagesearch.datasets.folder import FolderDataset
from pyimagesearch.indexes.local_index import LocalIndex
from pyimagesearch.show import duplicate_groups as duplicates


def add(root, name, side=8, age=0):
    """Write a picture of `side` pixels that is `age` hours old."""
    (root / name).parent.mkdir(exist_ok=True)
    Image.new("L", (side, side)).save(root / name)
    os.utime(root / name, (1e9 - 3600 * age,) * 2)


def judge(root, codes=None, prefer=None, max_distance=1, change=None):
    """Return the only group of the pictures below `root`; `change()` runs after the indexing."""
    gallery = FolderDataset(root)
    codes = np.zeros((len(gallery), 2)) if codes is None else np.array(codes)
    stats = gallery.file_stats
    for row, id in enumerate(gallery.ids):
        with open(root / id, "rb") as file:
            stats["digest"][row] = content_digest(file)
    index = LocalIndex(
        codes.astype(np.float32), gallery.ids, source=gallery.source, file_stats=stats
    )
    if change:
        change()
    pictures = index.pictures()
    [members] = duplicates.judge_groups(
        index, pictures, metric="euclidean", max_distance=max_distance, prefer=prefer
    )
    return members, pictures


def statuses(members):
    return {member.id: member.status for member in members}


def test_the_largest_picture_is_kept_and_of_several_the_oldest(tmp_path):
    for name, side, age in (("a.png", 8, 9), ("b.png", 16, 1), ("c.png", 16, 2), ("d.png", 9, 3)):
        add(tmp_path, name, side, age)
    members, gallery = judge(tmp_path)
    assert members[0].id == "c.png"
    assert [member.status for member in members] == ["keep", "remove", "remove", "remove"]
    paths = duplicates.removable_paths(gallery, members)
    assert set(paths) == {os.fsencode(tmp_path / name) for name in ("a.png", "b.png", "d.png")}
    assert (members[0].width, members[0].height) == (16, 16)
    assert members[0].bytes == (tmp_path / "c.png").stat().st_size


def test_a_preferred_folder_comes_before_size_and_age(tmp_path):
    add(tmp_path, "copies/a.png", 64, 9)
    add(tmp_path, "originals/a.png")
    add(tmp_path, "originals more/a.png", 32)
    for prefer in ("originals", str(tmp_path / "originals")):
        members, _ = judge(tmp_path, prefer=prefer)
        assert members[0].id == "originals/a.png"
    with pytest.raises(ValueError, match=r"--prefer: no such folder inside .*: /tmp"):
        judge(tmp_path, prefer="/tmp")
    with pytest.raises(ValueError, match="no such folder inside"):
        judge(tmp_path, prefer="none")


def test_the_end_of_a_chain_is_not_removed(tmp_path):
    for name, age in (("a.png", 3), ("b.png", 2), ("c.png", 1)):
        add(tmp_path, name, age=age)
    members, _ = judge(tmp_path, codes=[[0, 0], [1, 0], [2, 0]])
    assert statuses(members) == {"a.png": "keep", "b.png": "remove", "c.png": "distant"}
    assert [member.distance for member in members] == [0, 1, 2]


def test_a_link_and_its_target_are_not_removed_for_each_other(tmp_path):
    add(tmp_path, "b.png")
    (tmp_path / "a.png").symlink_to("b.png")
    (tmp_path / "c.png").hardlink_to(tmp_path / "b.png")
    members, gallery = judge(tmp_path)
    same = {"a.png": "keep", "b.png": "same file", "c.png": "same file"}
    assert statuses(members) == same
    assert duplicates.removable_paths(gallery, members) == []


def test_files_that_the_index_does_not_know_any_more_are_not_judged(tmp_path):
    for name in ("a.png", "b.png", "c.png", "d.png"):
        add(tmp_path, name, side=32 if name < "c" else 8)

    def change():
        (tmp_path / "a.png").unlink()
        add(tmp_path, "b.png", side=64, age=5)

    members, _ = judge(tmp_path, change=change)
    expected = {"a.png": "missing", "b.png": "changed", "c.png": "keep", "d.png": "remove"}
    assert statuses(members) == expected


def test_a_picture_of_other_content_is_not_listed_though_size_and_time_are_kept(tmp_path, caplog):
    for name in ("a.png", "b.png", "c.png"):
        add(tmp_path, name)

    def change():
        for name in ("a.png", "b.png"):
            path = tmp_path / name
            before = path.stat()
            content = bytearray(path.read_bytes())
            content[-20] ^= 255
            path.write_bytes(content)
            os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
            assert path.stat().st_size == before.st_size

    members, gallery = judge(tmp_path, change=change)
    assert statuses(members) == {"a.png": "changed", "b.png": "changed", "c.png": "keep"}
    assert duplicates.removable_paths(gallery, members) == []
    [line] = [record.message for record in caplog.records if record.levelname == "WARNING"]
    assert line.startswith("2 of these pictures are missing or were changed since they were")
    assert line.endswith("update the index with index_images.py --checksum")


def test_of_a_group_without_any_known_file_nothing_is_kept_or_removed(tmp_path):
    add(tmp_path, "a.png")
    add(tmp_path, "b.png")
    change = lambda: [add(tmp_path, name, age=9) for name in ("a.png", "b.png")]  # noqa: E731
    members, gallery = judge(tmp_path, change=change)
    assert {member.status for member in members} == {"changed"}
    assert duplicates.removable_paths(gallery, members) == []


def test_a_group_is_described_in_lines_and_for_json(tmp_path):
    add(tmp_path, "a.png", age=2)
    add(tmp_path, "b.png", side=4)
    members, gallery = judge(tmp_path, codes=[[0, 0], [0.5, 0]])
    first, kept, removed = duplicates.group_lines(3, members)
    assert first == "group 3: 2 pictures, 1 to remove"
    assert kept.startswith("  keep       a.png  8 x 8, ")
    assert removed.endswith("kB, distance 0.500")
    line = duplicates.json_line(3, members)
    record = json.loads(line)
    assert record["group"] == 3
    assert list(record["members"][1].values())[:5] == ["b.png", "remove", 0.5, 4, 4]
    assert duplicates.duplicates_sheet([members], gallery, range(1)).any()
