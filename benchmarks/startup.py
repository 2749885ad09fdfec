"""One whole search process, start to written montages for one query: the published script and ours.

usage: python -m benchmarks.startup [--runs 5]
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
import time

MODEL = "output/autoencoder.h5"


def seconds(*command):
    """Return how long a process takes, in seconds of wall time."""
    started = time.perf_counter()
    subprocess.run([sys.executable, *command], check=True, capture_output=True)
    return time.perf_counter() - started


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=5, help="runs of each, in turn")
    runs = parser.parse_args().runs
    with tempfile.TemporaryDirectory() as folder:
        index = f"{folder}/index.pickle"
        seconds("index_images.py", "--model", MODEL, "--index", index)
        ours = ["search.py", "--index", index, "--sample", "1", "--output", folder]
        published = ["-m", "benchmarks.published", MODEL, index, folder]
        pairs = [(seconds(*published), seconds(*ours)) for _ in range(runs + 1)][1:]
    print("one process, one query over 60,000 images, start to written montages")
    print(f"published  {statistics.median(a for a, _ in pairs):6.2f} s")
    print(f"ours       {statistics.median(b for _, b in pairs):6.2f} s")
    print(f"ratio      {statistics.median(a / b for a, b in pairs):6.1f}")


if __name__ == "__main__":
    main()
