"""How to update an index, and what an update returns."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pyimagesearch.datasets.dataset import Dataset
from pyimagesearch.encoders.encoder import Encoder
from pyimagesearch.encoders.encoding import Encoded

if TYPE_CHECKING:
    from pyimagesearch.indexes.contract import Index

RECALL = 0.98  # recall@10 that engines are tuned to by default

Encode = Callable[..., Iterable[Encoded]]
"""Encodes rows of a dataset by an encoder, as `encoders.encoding.encode_rows` does."""


@dataclass(frozen=True)
class Shard:
    """Part `number`, from 0, of `count` parts of a dataset."""

    number: int
    count: int

    def __str__(self) -> str:
        return f"{self.number or self.count}/{self.count}"


@dataclass(frozen=True)
class UpdateSettings:
    """How to bring an index up to date.

    `metric` and `engine` are names, None for the index's own; `recall` is the recall@10 that an
    engine is tuned to, None for RECALL; with `checksum` files are compared by content; `rebuild`
    ignores the codes so far; `prune` allows that most of them are removed; with `limited` the
    dataset is a part of the images; `shard` is the part of the dataset that is indexed, None for
    all of it.
    """

    metric: str | None = None
    engine: str | None = None
    recall: float | None = None
    checksum: bool = False
    rebuild: bool = False
    prune: bool = False
    limited: bool = False
    shard: Shard | None = None


@dataclass(frozen=True)
class Update:
    """What an index is to be brought up to date with.

    `index` is the index so far, or None; `encode` encodes the images by the `encoder`.
    """

    dataset: Dataset
    encoder: Encoder
    encode: Encode
    index: "Index | None" = None
    settings: UpdateSettings = field(default_factory=UpdateSettings)

    @property
    def metric(self) -> str:
        """The metric that is named, or else that of the index so far."""
        so_far = "euclidean" if self.index is None else self.index.metric
        return self.settings.metric or so_far


@dataclass(frozen=True)
class UpdateResult:
    """An index after an update: its number of codes, and texts for the user, or None.

    `changed` says whether anything of it was written, `summary` counts the changes,
    `engine_report` gives the recall and speed of an engine that was built.
    """

    count: int
    changed: bool = True
    summary: str | None = None
    engine_report: str | None = None
