"""CPU time to train the tutorial's network, by its published recipe and by the fast schedule.

Both train on the 60,000 MNIST digits and validate on the 10,000 test digits. The time is that of
all threads, validation included: for the whole published recipe, and for the fast schedule until an
epoch ends with a validation MSE of TARGET or less.

usage: python -m benchmarks.training [--epochs TUTORIAL FAST] [--one-epoch]
"""

import argparse
import time

from pyimagesearch.backend import keras
from pyimagesearch.convautoencoder import ConvAutoencoder
from pyimagesearch.datasets.catalog import open_dataset
from pyimagesearch.datasets.dataset import Splits
from pyimagesearch.pictures.input_spec import InputSpec
from pyimagesearch.training.checkpoint import Checkpoint
from pyimagesearch.training.plan import SCHEDULES, make_plan
from pyimagesearch.training.trainer import train

TARGET = 0.0068  # validation MSE of the published recipe after its 20 epochs
SPEC = InputSpec(28, 28, 1)


class Clock(Checkpoint):
    """Records the CPU time at the end of each epoch instead of writing a file."""

    def save(self):
        """Record the time and print the validation MSE."""
        if len(self.history) > len(self.settings["seconds"]):
            self.settings["seconds"].append(time.process_time())
            mse, spent = self.history[-1]["val_loss"], time.process_time() - self.settings["start"]
            print(f"  epoch {len(self.history)}: MSE {mse:.5f}, {spent:,.0f} s", flush=True)


def measure(schedule, epochs, splits, seed=42):
    """Train once; return the validation MSE and the CPU time in s at the end of each epoch."""
    keras.utils.set_random_seed(seed)
    model = ConvAutoencoder.build(28, 28, 1)
    plan = make_plan(schedule=schedule, epochs=epochs, seed=seed)
    clock = Clock("", {"start": time.process_time(), "seconds": []})
    print(f"{schedule}, {epochs} epochs of batches of {plan.batch_size}:", flush=True)
    training, validation = splits
    train(model, Splits(training, validation, SPEC), plan, clock)
    seconds = [second - clock.settings["start"] for second in clock.settings["seconds"]]
    return [epoch["val_loss"] for epoch in clock.history], seconds


def first_reaching(losses, seconds):
    """Return the seconds until the loss was TARGET or less, or None."""
    reached = (second for loss, second in zip(losses, seconds, strict=True) if loss <= TARGET)
    return next(reached, None)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    defaults = [SCHEDULES[name].epochs for name in ("tutorial", "fast")]
    parser.add_argument("--epochs", type=int, nargs=2, default=defaults)
    parser.add_argument(
        "--one-epoch", action="store_true", help="estimate the recipe as 20 times one epoch"
    )
    args = parser.parse_args()
    splits = open_dataset("mnist", "train"), open_dataset("mnist", "test")
    losses, seconds = measure("fast", args.epochs[1], splits)
    fast = first_reaching(losses, seconds)
    if args.one_epoch:
        # The first epoch includes the compilation, so the second is measured.
        _, (first, second) = measure("tutorial", 2, splits)
        recipe, reached = args.epochs[0] * (second - first), None
    else:
        losses, seconds = measure("tutorial", args.epochs[0], splits)
        recipe, reached = seconds[-1], first_reaching(losses, seconds)
    print(f"published recipe, {args.epochs[0]} epochs: {recipe:,.0f} s")
    if reached:
        print(f"published recipe, to an MSE of {TARGET}: {reached:,.0f} s")
    if fast:
        print(f"fast, to an MSE of {TARGET}: {fast:,.0f} s, ratio {recipe / fast:.1f}")


if __name__ == "__main__":
    main()
