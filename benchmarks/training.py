"""CPU time until the tutorial's network is as good as its published recipe makes it, twice.

Both schedules train on the 60,000 MNIST digits and validate on the 10,000 test digits, as it does.
What counts is the processor time of all threads, validating included: of the whole recipe, and of
the fast schedule until an epoch ends with a validation MSE of TARGET or less.

usage: python -m benchmarks.training [--epochs TUTORIAL FAST] [--one-epoch]
"""

import argparse
import time

from pyimagesearch.backend import keras
from pyimagesearch.convautoencoder import ConvAutoencoder
from pyimagesearch.datasets.catalog import open_dataset
from pyimagesearch.datasets.transforms import InputSpec
from pyimagesearch.training.checkpoint import Checkpoint
from pyimagesearch.training.optimizers import SCHEDULES
from pyimagesearch.training.trainer import Plan, train

TARGET = 0.0068  # what the published recipe comes to after its 20 epochs
SPEC = InputSpec(28, 28, 1)


class Clock(Checkpoint):
    """Notes the processor time at the end of each epoch instead of writing a file."""

    def save(self):
        """Note the time, and what the epoch came to."""
        if len(self.history) > len(self.settings["seconds"]):
            self.settings["seconds"].append(time.process_time())
            mse, spent = self.history[-1]["val_loss"], time.process_time() - self.settings["start"]
            print(f"  epoch {len(self.history)}: MSE {mse:.5f}, {spent:,.0f} s", flush=True)


def measure(schedule, epochs, splits, seed=42):
    """Train once; return the validation MSE and the processor time in s at each epoch's end."""
    keras.utils.set_random_seed(seed)
    model = ConvAutoencoder.build(28, 28, 1)
    row = SCHEDULES[schedule]
    plan = Plan(schedule=schedule, batch_size=row.batch_size, seed=seed)
    plan.epochs, plan.learning_rate = epochs, row.learning_rate
    clock = Clock("", {"start": time.process_time(), "seconds": []})
    print(f"{schedule}, {epochs} epochs of batches of {row.batch_size}:", flush=True)
    train(model, *splits, SPEC, plan, clock)
    seconds = [second - clock.settings["start"] for second in clock.settings["seconds"]]
    return [epoch["val_loss"] for epoch in clock.history], seconds


def first_reaching(losses, seconds):
    """Return the seconds after which the target was reached, None if it never was."""
    reached = (second for loss, second in zip(losses, seconds, strict=True) if loss <= TARGET)
    return next(reached, None)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    defaults = [SCHEDULES[name].epochs for name in ("tutorial", "fast")]
    parser.add_argument("--epochs", type=int, nargs=2, default=defaults)
    parser.add_argument(
        "--one-epoch", action="store_true", help="take 20 times one epoch of the published recipe"
    )
    args = parser.parse_args()
    splits = open_dataset("mnist", "train"), open_dataset("mnist", "test")
    losses, seconds = measure("fast", args.epochs[1], splits)
    fast = first_reaching(losses, seconds)
    if args.one_epoch:
        # The first run of steps in a process compiles them: two epochs, of which the second counts.
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
