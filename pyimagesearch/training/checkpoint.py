"""Checkpoints: the complete state of a training after an epoch, so that it can be resumed."""

import hashlib
import json
import zipfile
from dataclasses import dataclass, field
from numbers import Real
from pathlib import Path
from typing import Any

import numpy as np

from pyimagesearch.arrays import AnyArray, History
from pyimagesearch.datasets.dataset import Dataset
from pyimagesearch.files import atomic_write, printable, reason_of, require_regular
from pyimagesearch.training.plan import objective_name

MAX_STATE = 4 << 20  # characters of JSON: settings, and a history of thousands of epochs
MAX_SHOWN = 100  # characters of a setting in a message
STATE_TYPES: dict[str, type] = {
    "settings": dict,
    "phase": int,
    "epoch": int,
    "history": list,
    "best": Real,
    "counts": dict,
}


def images_digest(dataset: Dataset) -> str:
    """Return a hash, in hexadecimal digits, of the ids of a dataset and of the file of an array."""
    text = "\0".join([str(dataset.source.get("digest")), *dataset.ids])
    return hashlib.blake2b(text.encode(errors="surrogateescape"), digest_size=8).hexdigest()


@dataclass
class Checkpoint:
    """The state of a training after an epoch; `path` is its file, .npz.

    `settings` are the flags of the training and, as "images", the `images_digest` of its dataset;
    `phase` is the number of the phase from 0, `epoch` the number of its finished epochs, `history`
    a list of {"phase", "epoch", "loss", ...}, an entry for each epoch of all phases, and `best` the
    lowest validation loss of the phase. `arrays` maps names to lists of arrays: "weights" of the
    model and "best" of its best epoch, the variables of the "optimizer", and the "targets" of the
    phase.
    """

    path: str
    settings: dict[str, Any]
    phase: int = 0
    epoch: int = 0
    history: History = field(default_factory=list)
    best: float = float("inf")
    arrays: dict[str, list[AnyArray]] = field(default_factory=dict)

    def save(self) -> None:
        """Write the file; on an error the previous file stays as it was."""
        plain = {
            "settings": self.settings,
            "phase": self.phase,
            "epoch": self.epoch,
            "history": self.history,
            "best": self.best,
            "counts": {name: len(arrays) for name, arrays in self.arrays.items()},
        }
        numbered: dict[str, Any] = {
            f"{name}_{i}": array
            for name, arrays in self.arrays.items()
            for i, array in enumerate(arrays)
        }
        numbered["state"] = np.array(json.dumps(plain))
        # As np.savez, but that of NumPy 2.0 leaves the archive open on a full disk: Python then
        # says that it cannot close it, with a traceback.
        with atomic_write(self.path) as temporary, zipfile.ZipFile(temporary, "w") as archive:
            for name, array in numbered.items():
                with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                    np.lib.format.write_array(member, np.asanyarray(array), allow_pickle=False)

    def start_next_phase(self, weights: Any) -> None:
        """Write the state before the first epoch of the next phase; `weights` are the model's."""
        self.phase = self.phase + 1
        self.epoch = 0
        self.best = float("inf")
        self.arrays = {"weights": weights}
        self.save()

    def resumed(self) -> "Checkpoint":
        """Return the checkpoint in the file, or this one when there is no file.

        Raises ValueError when the file is not a checkpoint, or one of other settings.
        """
        if not Path(self.path).exists():
            return self
        try:
            found = self._read()
        except Exception as error:  # zip, JSON and NumPy each raise their own
            raise ValueError(
                f"cannot resume from {self.path} ({_shortened(reason_of(error))}): delete it to "
                "start again"
            ) from error
        known = found.settings.setdefault("images", self.settings.get("images"))
        if known != self.settings.get("images"):
            raise ValueError(
                f"cannot resume from {self.path}: the training images are others than when it was "
                "started; start again without --resume"
            )
        for name in sorted({*self.settings, *found.settings}, key=_followed_by_others):
            before = found.settings.get(name)
            now = self.settings.get(name)
            if before != now:
                remedy = f" ({_remedy(name, before)})" if name in self.settings else ""
                raise ValueError(
                    f"cannot resume from {self.path}: it was started with {_shortened(name)} "
                    f"{_shortened(before)}, received {now}{remedy}; give the same flags, or start "
                    "again without --resume"
                )
        return found

    def _read(self) -> "Checkpoint":
        """Return the checkpoint in the file; raises whatever its readers do."""
        _require_modest(self.path)
        with np.load(self.path, allow_pickle=False) as file:
            plain = _checked_state(file["state"])
            arrays = {
                name: [file[f"{name}_{i}"] for i in range(count)]
                for name, count in plain.pop("counts").items()
            }
        found = Checkpoint(self.path, arrays=arrays, **plain)
        if "objective" in found.settings:
            found.settings["objective"] = objective_name(found.settings["objective"])
        return found

    def require_unused(self) -> None:
        """Raise ValueError if the file holds epochs of another training, which would be lost."""
        if not Path(self.path).exists():
            return
        try:
            _require_modest(self.path)
            with np.load(self.path, allow_pickle=False) as file:
                epochs = _checked_state(file["state"])["history"]
        except Exception:  # zip, JSON and NumPy each raise their own
            epochs = True
        if epochs:
            raise ValueError(
                f"{self.path} is the checkpoint of an interrupted training: continue it with "
                "--resume, or delete the file to start again"
            )

    def remove(self) -> None:
        """Delete the file, once the training has ended."""
        Path(self.path).unlink(missing_ok=True)


def _followed_by_others(name: str) -> tuple[bool, str]:
    """Return a key to sort settings by: the dataset, by which others are chosen, is the first."""
    return name != "dataset", name


def _remedy(name: str, value: Any) -> str:
    """Return how the flag of a setting is made what it was: give --epochs 3."""
    flag = f"--{name.replace('_', '-')}"
    if value in (None, False):
        return f"leave {flag} out"
    if value is True:
        return f"give {flag}"
    values = value if isinstance(value, list) else [value]
    text = " ".join(map(str, values))
    if len(text) > MAX_SHOWN or not text.isprintable():
        return f"give {flag} as before"
    return f"give {flag} {text}"


def _require_modest(path: str) -> None:
    """Raise ValueError for an archive that would take more memory than its file has bytes."""
    require_regular(path)
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
    if any(member.compress_type != zipfile.ZIP_STORED for member in members):
        raise ValueError("its arrays are compressed, which those of a checkpoint are not")
    if sum(member.file_size for member in members) > Path(path).stat().st_size:
        raise ValueError("its arrays are larger than the file")


def _checked_state(state: Any) -> dict[str, Any]:
    """Return what a checkpoint holds beside its arrays; raise ValueError if it is something else.

    `state` is an array of one text, as JSON.
    """
    if state.shape != () or state.dtype.kind != "U" or state.nbytes > 4 * MAX_STATE:
        raise ValueError(f"it has no state as text of up to {MAX_STATE:,} characters")
    plain = json.loads(str(state))
    if not isinstance(plain, dict) or plain.keys() != STATE_TYPES.keys():
        raise ValueError(f"expected its state to hold {', '.join(STATE_TYPES)}")
    for name, kind in STATE_TYPES.items():
        if not isinstance(plain[name], kind):
            raise ValueError(f"expected the {name} of its state as {kind.__name__}")
    if not all(isinstance(entry, dict) for entry in plain["history"]):
        raise ValueError("expected its history as a list of epochs")
    if min(plain["phase"], plain["epoch"]) < 0:
        raise ValueError("expected a phase and an epoch of at least 0")
    return plain


def _shortened(value: Any) -> str:
    """Return a value of a file as text for a message."""
    return printable(str(value)[:MAX_SHOWN])
