"""Reports of duplicates: which picture of a group to keep, and which could be removed."""

import logging
import os
from dataclasses import dataclass
from functools import partial

import numpy as np

from pyimagesearch.engines.duplicates import default_distance, distances_from, find_duplicates
from pyimagesearch.files import path_bytes
from pyimagesearch.pictures.decoding import open_picture, read_picture
from pyimagesearch.show.montage import groups_sheet
from pyimagesearch.show.reporter import Reporter
from pyimagesearch.terminal import to_json

logger = logging.getLogger(__name__)

RULE = "the picture with the most pixels; of several, the oldest file"
OUTDATED = ("missing", "changed")  # states in which the index does not know a file
SHOWN = 10  # pictures of a group that are drawn


@dataclass
class Member:
    """A picture of a group of near-identical ones.

    `distance` is that from the kept picture; `width` and `height` are in pixels, `bytes` is the
    size of the file; these are None where there is no file. `status` is "keep", "remove", or why
    the picture is not to be removed: "distant", further from the kept one than the largest
    distance, as the ends of a chain are; "same file", a link to or from the kept one; "changed"
    since it was indexed; "missing".
    """

    row: int
    id: str
    distance: float = 0.0
    status: str = "remove"
    width: int | None = None
    height: int | None = None
    bytes: int | None = None
    modified: int = 0
    file: tuple | None = None

    @property
    def size(self):
        """The size as text, empty where it is not known."""
        if self.bytes is None:
            return ""
        kilobytes = f"{self.bytes / 1000:,.1f} kB"
        return f"{self.width} x {self.height}, {kilobytes}" if self.width else kilobytes

    def record(self):
        """Return a dict of plain values, for JSON."""
        names = ("id", "status", "distance", "width", "height", "bytes")
        return {name: getattr(self, name) for name in names}


def judge_groups(index, gallery, metric=None, max_distance=None, prefer=None):
    """Return the groups of near-identical images of an Index, as lists of Members.

    `gallery` is the dataset of the images, `metric` the name of a metric, by default the index's,
    `max_distance` by default `default_distance`. `prefer` is a folder; see `preferred_prefix`.
    """
    metric = metric or index.metric
    prefix = None if prefer is None else preferred_prefix(gallery, prefer)
    if max_distance is None:
        max_distance = default_distance(index.codes, metric)
    groups = find_duplicates(index.codes, metric, max_distance)
    logger.info(f"{len(groups):,} groups of images within {metric} distance {max_distance:.4g}")
    groups = [judge_group(group, index, gallery, metric, max_distance, prefix) for group in groups]
    if groups:
        logger.info(
            f"to keep of each group: {RULE if prefer is None else f'one in {prefer}; {RULE}'}"
        )
    if changed := sum(m.status in OUTDATED for members in groups for m in members):
        logger.warning(
            f"{changed:,} of these pictures are missing or were changed since they were indexed, "
            "and are not judged: update the index with index_images.py"
        )
    return groups


def judge_group(group, index, gallery, metric, max_distance, prefer=None):
    """Return the Members of a Group of the rows of an Index, the one to keep first.

    The one to keep is in the folder `prefer` if there are such; of these it has the most pixels,
    and of several such its file is the oldest. `prefer` is as `preferred_prefix` returns it, or
    None; `metric` and `max_distance` are those that the group was found with. Where all files are
    missing or changed, none is kept or removed.
    """
    members = [_member(row, index, gallery) for row in group.rows.tolist()]

    def rank(member):
        preferred = prefer is not None and member.id.startswith(prefer)
        pixels = (member.width or 0) * (member.height or 0)
        return member.status in OUTDATED, not preferred, -pixels, member.modified

    members.sort(key=rank)  # stable: of equal ones the first is kept
    kept = members[0]
    distances = distances_from(index.codes, metric, kept.row, [member.row for member in members])
    for member, distance in zip(members, distances.tolist(), strict=True):
        member.distance = distance
        if member.status in OUTDATED:
            continue
        if member is kept:
            member.status = "keep"
        elif member.file is not None and member.file == kept.file:
            member.status = "same file"
        elif distance > max_distance:
            member.status = "distant"
    return members


def _member(row, index, gallery):
    """Return a Member with what its file says, before one is chosen."""
    path, id = gallery.path(row), index.ids[row]
    if path is None:
        return Member(row, id)
    try:
        status = os.stat(path_bytes(path))
        width, height = _picture_size(path)
    except (ValueError, OSError):  # gone, or no picture any more
        return Member(row, id, status="missing")
    same = (status.st_size, status.st_mtime_ns) == tuple(index.file_stats[row].item()[:2])
    return Member(
        *(row, id, 0.0, "remove" if same else "changed"),
        *(width, height, status.st_size, status.st_mtime_ns, (status.st_dev, status.st_ino)),
    )


def _picture_size(path):
    """Return the width and height of a picture file, from its header where Pillow can read it."""
    from PIL import Image

    with open_picture(path) as file:
        try:
            return Image.open(file).size
        except Exception:  # damaged, or of a format that only `read_picture` knows
            height, width, _ = read_picture(path).shape
            return width, height


def preferred_prefix(gallery, folder):
    """Return what the ids of the pictures in a folder begin with.

    `folder` is a path, or relative to the folder of the dataset. Raises ValueError when it is not
    inside that.
    """
    if not gallery.shows_names:
        raise ValueError("--prefer needs the index of a folder: other images are not files")
    root = os.path.realpath(gallery.folder)
    for path in (folder, os.path.join(root, folder)):
        inside = os.path.relpath(os.path.realpath(path), root)
        if os.path.isdir(path) and inside.partition(os.sep)[0] != os.pardir:
            return "" if inside == os.curdir else inside.replace(os.sep, "/") + "/"
    raise ValueError(f"--prefer: no such folder inside {gallery.folder}: {folder}")


def report_groups(groups, gallery, form, write, output=None):
    """Write lines about groups, lists of Members, and draw a sheet of them for an Output.

    `form` is "text", "json", or "paths" of the files that could be removed; `write(lines)` writes
    the lines of all groups.
    """
    lines_of = {"text": group_lines, "json": json_lines, "paths": partial(removable_paths, gallery)}
    write(line for pair in enumerate(groups) for line in lines_of[form](*pair))
    if output and groups:
        output.show({"Duplicates": duplicates_sheet(groups, gallery)})
    if output:
        output.remove_stale()


def group_lines(number, members):
    """Return a group as lines of text."""
    lines = [_title(number, members)]
    for member in members:
        parts = [member.size] if member.size else []
        if member.status not in ("keep", *OUTDATED):
            parts.append(f"distance {member.distance:.4g}")
        lines.append(f"  {member.status:<9}  {member.id}  {', '.join(parts)}".rstrip())
    return lines


def _title(number, members):
    count = sum(member.status == "remove" for member in members)
    return f"group {number}: {len(members):,} pictures, {count:,} to remove"


def json_lines(number, members):
    """Return a group as a line of JSON."""
    return [to_json({"group": number, "members": [member.record() for member in members]})]


def removable_paths(gallery, number, members):
    """Return the paths of the pictures of a group that could be removed, as bytes."""
    return [path_bytes(gallery.path(m.row)) for m in members if m.status == "remove"]


def duplicates_sheet(groups, gallery):
    """Draw groups, lists of Members, as uint8 BGR; see `groups_sheet`."""
    drawn, titles = [], []
    for number, members in enumerate(groups):
        captions = [
            [member.id, f"{member.status} {member.size}", f"distance {member.distance:.4g}"]
            for member in members[:SHOWN]
        ]
        drawn.append((np.array([member.row for member in members]), captions))
        titles.append(_title(number, members))
    return groups_sheet(drawn, titles, Reporter(gallery).picture, columns=SHOWN)
