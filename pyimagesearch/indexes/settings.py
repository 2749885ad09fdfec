"""How to update an index, and what an update returns."""

from dataclasses import dataclass


@dataclass(frozen=True)
class UpdateSettings:
    """How to bring an index up to date.

    `metric` and `engine` are names, None for the index's own; `recall` is the recall@10 that an
    engine is tuned to; with `checksum` files are compared by content; `rebuild` ignores the codes
    so far; `prune` allows that most of them are removed; with `limited` the dataset is a part of
    the images; `shard` is None or (number, count).
    """

    metric: str | None = None
    engine: str | None = None
    recall: float = 0.98
    checksum: bool = False
    rebuild: bool = False
    prune: bool = False
    limited: bool = False
    shard: tuple | None = None


@dataclass(frozen=True)
class UpdateResult:
    """An index after an update: its number of codes, and texts for the user, or None.

    `summary` counts the changes, `engine_report` gives the recall and speed of its engine.
    """

    count: int
    summary: str | None = None
    engine_report: str | None = None
