"""Rebuilds of a collection that are killed: at no moment is the old collection lost."""

import random
import signal
import subprocess
import time
from importlib.util import find_spec

import pytest
from scripts import MODEL, ROOT
from test_milvus import make_folder

KILLS = 20

pytestmark = [
    pytest.mark.milvus,
    pytest.mark.slow,
    pytest.mark.skipif(
        not (find_spec("pymilvus") and find_spec("milvus_lite")),
        reason="needs pymilvus and milvus-lite, of requirements-scale.txt",
    ),
]

SLOWLY = """
import sys, time
import index_images
from pyimagesearch.indexes.milvus.client import MilvusConnection
call = MilvusConnection.call
def slow(self, method, *arguments, **options):
    print(method, flush=True)
    time.sleep(0.05)
    return call(self, method, *arguments, **options)
MilvusConnection.call = slow
sys.exit(index_images.main(sys.argv[1:]))
"""


def test_a_rebuild_killed_at_any_moment_leaves_forty_pictures(tmp_path, python):
    folder = make_folder(tmp_path)
    collection = f"{tmp_path}/milvus.db/digits"
    # In processes of their own: one that has a file of Milvus Lite open keeps others out.
    arguments = ["-m", MODEL, "-i", collection, "--dataset", folder]
    assert calls_of(python, arguments) > 10
    arguments.append("--rebuild")
    calls = calls_of(python, arguments)
    assert calls > 10
    chosen = random.Random(0)
    for _ in range(KILLS):
        kill_after(python, arguments, chosen.randrange(1, calls))
        assert shape_of(python, collection) == ["40", "16"]
    assert calls_of(python, arguments) > 10
    assert shape_of(python, collection) == ["40", "16"]


def shape_of(python, collection):
    """Return the number of codes and their dimensions, as text, that a collection holds."""
    code = (
        "from pyimagesearch.indexes.stores import open_store\n"
        f"loaded = open_store({collection!r}).open().load()\n"
        "print(*loaded.codes.shape)"
    )
    command = python("-c", code)
    found = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return found.stdout.split()


def start(python, arguments, stderr=subprocess.DEVNULL):
    return subprocess.Popen(
        python("-c", SLOWLY, *arguments),
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=stderr,
        text=True,
    )


def calls_of(python, arguments):
    """Return the number of calls of a rebuild that is not killed."""
    process = start(python, arguments, stderr=subprocess.STDOUT)
    lines = process.stdout.readlines()
    assert process.wait() == 0, lines
    return len([line for line in lines if "[" not in line])


def kill_after(python, arguments, count):
    """Kill a rebuild after a number of calls of the client, and somewhat later."""
    process = start(python, arguments)
    for _ in range(count):
        if not process.stdout.readline():
            break
    time.sleep(random.Random(count).random() * 0.1)
    process.send_signal(signal.SIGKILL)
    process.wait()
