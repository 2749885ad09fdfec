"""Two shards of a folder on two cores against one process on one core.

One process uses all the cores it has, so each is held to one: as on hosts of one core each.

usage: python -m benchmarks.shards [--count 30000]
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time

from benchmarks.folders import MODEL, make_photos
from pyimagesearch.indexes.index_file import load_index

ROUNDS = 2


def start(folder, path, core, *flags):
    """Start index_images.py on one core."""
    command = [sys.executable, "index_images.py", "-m", MODEL, "-i", path, "--dataset", folder]
    return subprocess.Popen(
        [*command, *flags],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        preexec_fn=lambda: os.sched_setaffinity(0, {core}),
    )


def seconds(processes):
    """Start and await processes; return the time that all took."""
    started = time.perf_counter()
    running = [start(*process) for process in processes]
    statuses = [process.wait() for process in running]
    if any(statuses):
        raise RuntimeError("index_images.py failed")
    return time.perf_counter() - started


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=30_000, help="JPEGs of 640x480")
    count = parser.parse_args().count
    first, second = sorted(os.sched_getaffinity(0))[:2]
    with tempfile.TemporaryDirectory() as root:
        photos = f"{root}/photos"
        os.mkdir(photos)
        make_photos(photos, count, 640, 480)
        one, two = [], []
        for number in range(ROUNDS):  # in turns, because a machine's speed drifts
            one.append(seconds([(photos, f"{root}/{number}.h5", first)]))
            parts = [f"{root}/{number}-{part}.h5" for part in (1, 2)]
            cores = zip(parts, (first, second), ("1/2", "2/2"), strict=True)
            two.append(
                seconds([(photos, path, core, "--shard", part) for path, core, part in cores])
            )
        started = time.perf_counter()
        merge = [sys.executable, "index_images.py", "--merge", *parts, "-i", f"{root}/all.h5"]
        subprocess.run(merge, check=True, stderr=subprocess.DEVNULL)
        merging = time.perf_counter() - started
        assert len(load_index(f"{root}/all.h5")) == count
    print(
        f"{count:,} JPEGs of 640x480, best of {ROUNDS}, starting up and loading the model included"
    )
    print(f"one process on one core      {min(one):7.1f} s  {count / min(one):7,.0f} images/s")
    print(f"two shards, a core each      {min(two):7.1f} s  {count / min(two):7,.0f} images/s")
    print(f"ratio                        {min(one) / min(two):7.2f}")
    print(f"joining the two files        {merging:7.1f} s")


if __name__ == "__main__":
    main()
