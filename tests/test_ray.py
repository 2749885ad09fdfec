"""Encoding on a Ray cluster of two nodes, here, of which one is killed."""

import subprocess
import threading
import time
from importlib.util import find_spec

import numpy as np
import pytest
from scripts import MODEL, ROOT, codes_of, error_of, run

import index_images
from pyimagesearch.datasets.catalog import open_dataset
from pyimagesearch.datasets.folder import FolderDataset
from pyimagesearch.encoders import ray_encoding as ray_encoding
from pyimagesearch.encoders.export import open_encoder
from pyimagesearch.indexes.index_file import load_index
from tests import onnx_exports as exports
from tests.picture_files import ENCODED, fill

pytestmark = pytest.mark.ray

ray_needed = pytest.mark.skipif(not find_spec("ray"), reason="needs Ray: make test-scale")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("pictures")
    fill(root, *(f"{'ab'[i % 2]}/{i:04}.png" for i in range(3000)), data=ENCODED["png"])
    (root / "text.png").write_text("hello")
    return root


@pytest.fixture(scope="module")
def cluster():
    import ray
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    yield cluster
    ray.shutdown()
    cluster.shutdown()


def test_without_ray_one_line_says_what_to_install(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(ray_encoding.importlib.util, "find_spec", lambda name: None)
    error = error_of(capsys, index_images, "-m", MODEL, "-i", tmp_path / "i.h5", "--ray")
    assert "pip install -r requirements-scale.txt" in error


@ray_needed
def test_a_cluster_that_is_not_there_is_one_line(tmp_path, capsys):
    flags = ["-m", MODEL, "--limit", 9, "-i", tmp_path / "i.h5", "--ray", "127.0.0.1:9"]
    assert "cannot reach a Ray cluster at 127.0.0.1:9" in error_of(capsys, index_images, *flags)


@ray_needed
@pytest.mark.skipif(not find_spec("milvus_lite"), reason="needs Milvus Lite: make test-scale")
def test_a_cluster_starts_beside_milvus_lite(tmp_path, python):
    fill(tmp_path / "pictures", *(f"a/{i}.png" for i in range(5)))
    flags = ["-m", MODEL, "--dataset", tmp_path / "pictures", "-i", tmp_path / "digits.db", "--ray"]
    command = python("index_images.py", *flags)
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert "added 5, changed 0, removed 0, kept 0" in done.stdout, done.stderr


@ray_needed
def test_no_picture_is_lost_with_a_node(cluster, folder):
    node = cluster.add_node(num_cpus=1)
    cluster.wait_for_nodes()
    ray_encoding.connect(cluster.address)
    dataset, encoder = FolderDataset(folder), open_encoder(MODEL)
    killer = threading.Thread(
        target=cluster.remove_node, args=(node,), kwargs={"allow_graceful": False}
    )
    codes, seen = np.full((len(dataset), encoder.dim), np.nan, np.float32), []
    for rows, part, digests in ray_encoding.encode_on_cluster(
        dataset, np.arange(len(dataset)), encoder
    ):
        if not seen:
            killer.start()
        codes[rows] = part
        seen += rows.tolist()
        assert digests.shape == (len(rows), 2)
        time.sleep(0.01)
    killer.join()
    good = [row for row, id in enumerate(dataset.ids) if id != "text.png"]
    assert sorted(seen) == good
    assert list(dataset.unreadable) == ["text.png"]
    expected = encoder.encode(dataset.read(good[:50], encoder.spec))
    np.testing.assert_allclose(codes[good[:50]], expected, atol=1e-4)


@ray_needed
@pytest.mark.parametrize("joined", [False, True], ids=["one network", "with one of miniatures"])
def test_an_index_made_on_ray_is_the_one_made_here(cluster, tmp_path, joined):
    model = exports.save_joined(tmp_path / "joined.onnx") if joined else MODEL
    small = tmp_path / "pictures"
    fill(small, *(f"a/{i}.png" for i in range(20)))
    flags = ["-m", model, "--dataset", small]
    assert run(index_images, *flags, "-i", tmp_path / "here.h5") == 0
    assert run(index_images, *flags, "-i", tmp_path / "ray.h5", "--ray", cluster.address) == 0
    here, there = load_index(tmp_path / "here.h5"), load_index(tmp_path / "ray.h5")
    assert list(here.ids) == list(there.ids)
    assert (here.file_stats == there.file_stats).all()
    np.testing.assert_allclose(there.codes, here.codes, atol=1e-4)


@ray_needed
def test_an_array_is_encoded_on_ray(cluster):
    ray_encoding.connect(cluster.address)
    dataset, encoder = open_dataset("mnist", "test", 100), open_encoder(MODEL)
    codes = np.full((100, encoder.dim), np.nan, np.float32)
    for rows, part, _ in ray_encoding.encode_on_cluster(dataset, np.arange(100), encoder):
        codes[rows] = part
    np.testing.assert_allclose(codes, codes_of(encoder, dataset), atol=1e-4)
