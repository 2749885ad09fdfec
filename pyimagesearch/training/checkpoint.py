"""Checkpoints: all that a training needs to go on after a kill as if nothing had happened."""

import json
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from pyimagesearch.files import atomic_write


@dataclass
class Checkpoint:
    """The state of a training after an epoch; `path` is its file, .npz.

    `settings` are the flags it was started with, `phase` the number of the phase, `epoch` how many
    of that phase's epochs are done, `history` a dict for each epoch of all phases, `best` the
    lowest validation loss of the phase. `arrays` has lists of arrays by name: the weights of the
    model, those of its best epoch, the optimizer's variables, and the targets of the phase.
    """

    path: str
    settings: dict
    phase: int = 0
    epoch: int = 0
    history: list = field(default_factory=list)
    best: float = float("inf")
    arrays: dict = field(default_factory=dict)

    def save(self):
        """Write the file whole, or leave the one before."""
        plain = {
            "settings": self.settings,
            "phase": self.phase,
            "epoch": self.epoch,
            "history": self.history,
            "best": self.best,
            "counts": {name: len(arrays) for name, arrays in self.arrays.items()},
        }
        numbered = {
            f"{name}_{i}": array
            for name, arrays in self.arrays.items()
            for i, array in enumerate(arrays)
        }
        with atomic_write(self.path) as temporary:
            np.savez(temporary, state=np.array(json.dumps(plain)), **numbered)

    def resumed(self):
        """Return what the file holds, or this one when there is no file.

        Raises ValueError when the file is none of ours, or of a training with other settings.
        """
        if not Path(self.path).exists():
            return self
        try:
            with np.load(self.path, allow_pickle=False) as file:
                plain = json.loads(str(file["state"]))
                arrays = {
                    name: [file[f"{name}_{i}"] for i in range(count)]
                    for name, count in plain.pop("counts").items()
                }
            found = Checkpoint(self.path, arrays=arrays, **plain)
        except Exception as error:  # zip, JSON and NumPy each raise their own
            raise ValueError(
                f"cannot resume from {self.path} ({error}): train anew without --resume"
            ) from error
        for name in sorted({*self.settings, *found.settings}):
            before, now = found.settings.get(name), self.settings.get(name)
            if before != now:
                raise ValueError(
                    f"{self.path} was begun with {name} {before}, received {now}: "
                    "give the same flags, or train anew without --resume"
                )
        return found

    def remove(self):
        """Delete the file, once the training is over."""
        Path(self.path).unlink(missing_ok=True)
