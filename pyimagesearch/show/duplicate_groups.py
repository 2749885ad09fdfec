"""Reports of duplicates: which picture of a group to keep, and which could be removed."""

import logging
import math
import os
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np

from pyimagesearch.arrays import Pixels
from pyimagesearch.datasets.dataset import Dataset
from pyimagesearch.datasets.digests import content_digest
from pyimagesearch.engines.duplicates import (
    Group,
    default_distance,
    distances_from,
    find_duplicates,
)
from pyimagesearch.files import path_bytes
from pyimagesearch.indexes.local_index import LocalIndex
from pyimagesearch.pictures.decoding import decode, open_picture
from pyimagesearch.show.card import Card
from pyimagesearch.show.montage import Group as DrawnGroup
from pyimagesearch.show.montage import group_height, groups_sheet
from pyimagesearch.show.reporter import Reporter
from pyimagesearch.show.results import LineForm
from pyimagesearch.show.sizes import GROUP_PICTURES, QUERY_SIDE
from pyimagesearch.show.windows import room_on, screen_size, show_pages
from pyimagesearch.terminal import progress, to_json

logger = logging.getLogger(__name__)

RULE = "the picture with the most pixels; of several, the oldest file"
MEMBER_LINES = 3  # of text under a picture
OUTDATED = ("missing", "changed")  # states in which the index does not know a file


@dataclass
class Member:
    """A picture of a group of near-identical ones.

    `distance` is that from the kept picture; `width` and `height` are in pixels, `bytes` is the
    size of the file; these are None where there is no file. `status` is "keep", "remove", or why
    the picture is not to be removed: "distant", further from the kept one than the largest
    distance, as the ends of a chain are; "same file", a link to or from the kept one; "changed"
    since it was indexed; "missing".
    """

    id: str
    distance: float = 0.0
    status: str = "remove"
    width: int | None = None
    height: int | None = None
    bytes: int | None = None
    modified: int = 0
    file: tuple[int, int] | None = None

    @property
    def size(self) -> str:
        """The size as text, empty where it is not known."""
        if self.bytes is None:
            return ""
        kilobytes = f"{self.bytes / 1000:,.1f} kB"
        if self.width:
            return f"{self.width} x {self.height}, {kilobytes}"
        return kilobytes

    def record(self) -> dict[str, Any]:
        """Return a dict of plain values, for JSON."""
        names = ("id", "status", "distance", "width", "height", "bytes")
        return {name: getattr(self, name) for name in names}


def judge_groups(
    index: LocalIndex,
    pictures: Dataset,
    *,
    metric: str | None = None,
    max_distance: float | None = None,
    prefer: str | None = None,
) -> list[list[Member]]:
    """Return the groups of near-identical images of an index, as lists of Members.

    `pictures` are the images, `metric` is the name of a metric, by default the index's,
    `max_distance` by default `default_distance`. `prefer` is a folder; see `preferred_prefix`.
    """
    metric = metric or index.metric
    prefix = None if prefer is None else preferred_prefix(pictures, prefer)
    if max_distance is None:
        max_distance = default_distance(index.codes, metric)
    found = find_duplicates(index.codes, metric, max_distance)
    logger.info(f"groups of images within {metric} distance {max_distance:.4g}: {len(found):,}")
    judge = GroupJudge(index, pictures, metric, max_distance, prefix)
    groups = []
    with progress(sum(len(group.rows) for group in found), "pictures", "reading") as done:
        for group in found:
            groups.append(judge.members(group))
            done(len(group.rows))
    if groups:
        preferred = "" if prefer is None else f"one in {prefer}; "
        logger.info(f"to keep of each group: {preferred}{RULE}")
    if changed := sum(m.status in OUTDATED for members in groups for m in members):
        logger.warning(
            f"{changed:,} of these pictures are missing or were changed since they were indexed, "
            "and are not judged: update the index with index_images.py --checksum"
        )
    return groups


@dataclass
class GroupJudge:
    """Says which picture of a group to keep, and which could be removed.

    `metric` and `max_distance` are those that the groups were found with; `prefer` is as
    `preferred_prefix` returns it, or None.
    """

    index: LocalIndex
    pictures: Dataset
    metric: str
    max_distance: float
    prefer: str | None = None

    def members(self, group: Group) -> list[Member]:
        """Return the Members of a Group of the rows of the index, the one to keep first.

        The one to keep is in the preferred folder if there are such; of these it has the most
        pixels, and of several such its file is the oldest. Where all files are missing or changed,
        none is kept or removed.
        """
        found = [(self._member(row), row) for row in group.rows.tolist()]
        found.sort(key=lambda pair: self._rank(pair[0]))  # stable: of equal ones the first is kept
        members = [member for member, _ in found]
        rows = np.array([row for _, row in found])
        kept = members[0]
        distances = distances_from(self.index.codes, self.metric, rows[0], rows)
        for member, distance in zip(members, distances.tolist(), strict=True):
            member.distance = distance
            if member.status in OUTDATED:
                continue
            if member is kept:
                member.status = "keep"
            elif member.file is not None and member.file == kept.file:
                member.status = "same file"
            elif distance > self.max_distance:
                member.status = "distant"
        return members

    def _rank(self, member: Member) -> tuple[bool, bool, int, int]:
        preferred = self.prefer is not None and member.id.startswith(self.prefer)
        pixels = (member.width or 0) * (member.height or 0)
        return member.status in OUTDATED, not preferred, -pixels, member.modified

    def _member(self, row: int) -> Member:
        """Return a Member with what its file says, before one is chosen.

        Its content is compared with what was indexed: a size and a time can be kept by a change,
        and what is listed as a duplicate may be deleted.
        """
        id = self.index.ids[row]
        path = self.pictures.path(id)
        if path is None or self.index.file_stats is None:
            return Member(id)
        try:
            with open_picture(path) as file:
                status = os.fstat(file.fileno())
                known = self.index.file_stats[row]
                same = (status.st_size, status.st_mtime_ns) == (known["size"], known["mtime_ns"])
                same = same and np.array_equal(content_digest(file), known["digest"])
                file.seek(0)
                width, height = _picture_size(file)
        except (ValueError, OSError):  # gone, or no picture any more
            return Member(id, status="missing")
        return Member(
            id,
            status="remove" if same else "changed",
            width=width,
            height=height,
            bytes=status.st_size,
            modified=status.st_mtime_ns,
            file=(status.st_dev, status.st_ino),
        )


def _picture_size(file: BinaryIO) -> tuple[int, int]:
    """Return the width and height of a picture file, from its header where Pillow can read it."""
    from PIL import Image

    try:
        return Image.open(file).size
    except Exception:  # damaged, or of a format that only `decode` knows
        file.seek(0)
        height, width, _ = decode(file).shape
        return width, height


def preferred_prefix(pictures: Dataset, folder: str) -> str:
    """Return what the ids of the pictures in a folder begin with.

    `folder` is a path, or relative to the folder of the index. Raises ValueError when it is not
    inside that.
    """
    if pictures.folder is None:
        raise ValueError("--prefer needs the index of a folder: other images are not files")
    root = os.path.realpath(pictures.folder)
    for path in (folder, os.path.join(root, folder)):
        inside = os.path.relpath(os.path.realpath(path), root)
        if os.path.isdir(path) and inside.partition(os.sep)[0] != os.pardir:
            if inside == os.curdir:
                return ""
            return inside.replace(os.sep, "/") + "/"
    raise ValueError(f"--prefer: no such folder inside {pictures.folder}: {folder}")


def write_groups(groups: list[list[Member]], pictures: Dataset, form: LineForm) -> None:
    """Write lines about groups, lists of Members; "paths" are those that could be removed."""
    lines: list[str | bytes] = []
    for number, members in enumerate(groups):
        if form.name == "text":
            lines += group_lines(number, members)
        elif form.name == "json":
            lines.append(json_line(number, members))
        else:
            lines += removable_paths(pictures, members)
    form.write(lines)


def group_lines(number: int, members: list[Member]) -> list[str]:
    """Return a group as lines of text."""
    lines = [_title(number, members)]
    for member in members:
        parts = [member.size] if member.size else []
        if member.status not in ("keep", *OUTDATED):
            parts.append(f"distance {member.distance:.3f}")
        lines.append(f"  {member.status:<9}  {member.id}  {', '.join(parts)}".rstrip())
    return lines


def _title(number: int, members: list[Member]) -> str:
    count = sum(member.status == "remove" for member in members)
    return f"group {number}: {len(members):,} pictures, {count:,} to remove"


def json_line(number: int, members: list[Member]) -> str:
    """Return a group as a line of JSON."""
    return to_json({"group": number, "members": [member.record() for member in members]})


def removable_paths(pictures: Dataset, members: list[Member]) -> list[bytes]:
    """Return the paths of the pictures of a group that could be removed, as bytes."""
    return [path_bytes(pictures.path(m.id) or m.id) for m in members if m.status == "remove"]


def show_groups(groups: list[list[Member]], pictures: Dataset) -> None:
    """Show groups, lists of Members, in a window, as many at a time as fit the screen."""
    room = room_on(screen_size())
    rows = max(1, room.height // group_height(MEMBER_LINES, QUERY_SIDE))
    columns = max(1, min(GROUP_PICTURES, room.width // QUERY_SIDE - 1))  # one for the others

    def draw(page: int) -> Pixels:
        numbers = range(len(groups))[page * rows : (page + 1) * rows]
        return duplicates_sheet(groups, pictures, numbers, columns=columns, side=QUERY_SIDE)

    show_pages("Duplicates", math.ceil(len(groups) / rows), draw)


def duplicates_sheet(
    groups: list[list[Member]],
    pictures: Dataset,
    numbers: range,
    *,
    total: int | None = None,
    columns: int = GROUP_PICTURES,
    side: int | None = None,
) -> Pixels:
    """Draw the groups, lists of Members, of some numbers, as uint8 BGR; see `groups_sheet`.

    `total` is the number of all groups, of which the others are counted.
    """
    reporter = Reporter(pictures)
    drawn = []
    for number in numbers:
        members = groups[number]
        cards = [_card(member, reporter) for member in members[:columns]]
        drawn.append(DrawnGroup(_title(number, members), cards, len(members)))
    return groups_sheet(drawn, total or len(drawn), side=side)


def _card(member: Member, reporter: Reporter) -> Card:
    state = member.status
    if state != "keep":
        state += f", distance {member.distance:.3f}"
    return Card(reporter.picture(member.id), (member.id, member.size, state))
