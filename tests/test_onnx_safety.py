"""Strangers' networks: no file of others is read, they end, and nothing of theirs is printed."""

import os
import re
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

from pyimagesearch.encoders import allowance
from pyimagesearch.encoders.encoder import Encoder
from pyimagesearch.encoders.export import open_encoder
from pyimagesearch.encoders.interruptible import Limits, run_interruptibly
from pyimagesearch.encoders.onnx_facts import network_facts
from pyimagesearch.encoders.wire import fields
from pyimagesearch.pictures.input_spec import InputSpec
from tests import hostile_networks as hostile
from tests.onnx_exports import SIGLIP, write_json
from tests.scripts import ROOT

IMAGES = np.random.default_rng(1).random((2, hostile.SIDE, hostile.SIDE, 3), np.float32)


def in_index(onnx):
    """An encoder as a stranger's index may hold it."""
    data = onnx if isinstance(onnx, bytes) else onnx.SerializeToString()
    return Encoder(data, InputSpec(hostile.SIDE, hostile.SIDE, 3), 4, "stranger.onnx", "0" * 64)


@pytest.mark.parametrize("extra", [0, 1, 2])
@pytest.mark.parametrize("make", hostile.REFERENCES)
def test_a_reference_to_a_file_is_found_however_it_is_written(make, extra):
    data = hostile.rewritten(make("secret").SerializeToString(), lambda: extra)
    facts = network_facts(data)
    assert facts.refers
    assert facts.locations == {"secret"}
    with pytest.raises(ValueError, match=r"stranger\.onnx refers to other files"):
        in_index(data).encode(IMAGES)


def test_a_place_of_weights_is_read_as_its_lowest_32_bits_are():
    model = hostile.in_initializer()
    del model.graph.initializer[0].external_data[:]
    data = hostile.wrapped_location(model)
    assert network_facts(data).refers


def test_a_network_written_in_more_bytes_than_it_needs_gives_the_same_codes():
    data = hostile.good().SerializeToString()
    longer = hostile.rewritten(data, lambda: 2)
    assert len(longer) > len(data) + 50
    np.testing.assert_array_equal(in_index(longer).encode(IMAGES), in_index(data).encode(IMAGES))


def test_bytes_that_are_two_formats_at_once_are_run_as_the_one_that_was_checked():
    expected = in_index(hostile.good()).encode(IMAGES)
    np.testing.assert_array_equal(in_index(hostile.polyglot()).encode(IMAGES), expected)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"\x0b", "kind 3"),
        (b"\x0c", "kind 4"),
        (b"\x07", "number 0"),
        (b"\x08", "within a number"),
        (b"\x08" + b"\xff" * 11, "within a number"),
        (b"\x0a\x05abc", "within a field"),
        (b"\x0d\x00\x00", "within a field"),
        (b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", "number"),
    ],
)
def test_bytes_that_are_no_message_are_refused(data, reason):
    with pytest.raises(ValueError, match=reason):
        list(fields(memoryview(data)))


def test_fields_are_read_in_their_order():
    data = b"\x88\x00\x96\x01" + b"\x12\x02hi" + b"\x1d\x01\x02\x03\x04" + b"\x21" + bytes(8)
    found = list(fields(memoryview(data)))
    assert [(one.number, one.integer, bytes(one.content)) for one in found] == [
        (1, 150, b""),
        (2, 0, b"hi"),
        (3, 0, b"\x01\x02\x03\x04"),
        (4, 0, bytes(8)),
    ]


@pytest.mark.parametrize(
    ("model", "reason"),
    [
        (hostile.loop(None), "without a fixed number"),
        (hostile.loop(2**63 - 1), "more than 10,000 iterations"),
        (hostile.nested_loops(200, 1), "more than 10,000 iterations"),
        (hostile.computed_trips(10**9), "without a fixed number"),
        (hostile.doubling_functions(40), "more than 30,000 operations"),
    ],
    ids=["no limit", "2 ** 63", "nested", "computed", "functions"],
)
def test_a_network_that_may_never_end_is_refused(model, reason):
    with pytest.raises(ValueError, match=f"stranger.onnx may never end: it has.*{reason}"):
        in_index(model).encode(IMAGES)


def test_a_short_loop_is_run():
    added = in_index(hostile.loop(5)).encode(IMAGES) - in_index(hostile.good()).encode(IMAGES)
    np.testing.assert_allclose(added, 5, atol=1e-4)


def test_a_network_that_takes_too_long_is_ended(monkeypatch):
    monkeypatch.setattr(allowance, "SECONDS", 0.2)
    monkeypatch.setattr(allowance, "LEAST_SECONDS", 0)
    monkeypatch.setattr(allowance, "SECONDS_PER_IMAGE", 0)
    with pytest.raises(
        ValueError, match=r"stranger\.onnx took more than 0\.\d+ s for a batch of 2"
    ):
        in_index(hostile.scan(200_000_000)).encode(IMAGES)


def test_networks_share_one_allowance_of_time_until_they_have_given_codes(monkeypatch):
    clock = iter([0, 25, 25, 29, 29, 30, 30, 80, 80, 81])
    given = []
    monkeypatch.setattr(allowance.time, "monotonic", lambda: next(clock))
    monkeypatch.setattr(
        allowance, "run_interruptibly", lambda call, cancel, limits: given.append(limits.seconds)
    )
    networks = allowance.Allowance()
    for use in (
        allowance.Use("opened"),  # in 25 of 30 s
        allowance.Use("tried", count=1),  # in 4 of 5 + 3 s
        allowance.Use("opened again", size=100_000_000),  # in 1 of 4 + 6 s
        allowance.Use("proven", count=20),  # in 50 of 9 + 60 s
        allowance.Use("used", count=2),  # in any of 30 + 6 s
    ):
        networks.run(lambda: None, lambda: None, use)
    assert given == pytest.approx([30, 8, 10, 69, 36])


def test_a_call_that_takes_too_much_memory_is_ended():
    ended = threading.Event()
    looks = iter([False, False, True])
    limits = Limits("a call", 60, lambda: next(looks))
    with pytest.raises(MemoryError, match="takes more memory than it should"):
        run_interruptibly(lambda: ended.wait(60), ended.set, limits)
    assert ended.is_set()


@pytest.mark.skipif(not os.path.exists(allowance.STATM), reason="memory is measured on Linux")
@pytest.mark.parametrize("kind", ["NonZero", "folded"])
def test_memory_that_onnx_runtime_does_not_count_is_limited_too(kind, tmp_path):
    """No call within an operator can be ended, so that the process is."""
    path = tmp_path / "net.onnx"
    path.write_bytes(
        hostile.uncounted(kind, 100 if kind == "folded" else 200_000_000).SerializeToString()
    )
    code = (
        "import os, re, sys; from tests import hostile_networks as hostile\n"
        "from pyimagesearch.encoders import allowance, interruptible\n"
        "def end():\n"
        "    status = open('/proc/self/status').read()\n"
        "    print(re.search(r'VmHWM:\\s+(\\d+) kB', status)[1], flush=True)\n"
        "    os._exit(1)\n"
        "interruptible._exit_at_once = end\n"
        "allowance.WORKING_BYTES = 1 << 28\n"
        "print(hostile.open_and_encode(hostile.Path(sys.argv[1]), in_index=True))\n"
        "end()"
    )
    command = [sys.executable, "-c", code, path]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    said, peak = (result.stderr + result.stdout).splitlines()
    assert re.match("the encoder of stranger (takes|cannot be run: it needs) more memory", said)
    assert int(peak) < 1 << 20  # kB


def test_ctrl_c_ends_a_call_that_would_go_on():
    ended = threading.Event()
    threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT)).start()
    with pytest.raises(KeyboardInterrupt):
        run_interruptibly(lambda: ended.wait(60), ended.set, Limits("a call", 60))
    assert ended.is_set()


def test_ctrl_c_while_the_thread_of_a_call_starts_ends_it_too(monkeypatch):
    ended = threading.Event()
    start = threading.Thread.start

    def interrupted(thread):
        start(thread)
        raise KeyboardInterrupt

    monkeypatch.setattr(threading.Thread, "start", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run_interruptibly(lambda: ended.wait(60), ended.set, Limits("a call", 60))
    assert ended.is_set()


def test_ctrl_c_ends_a_script_whose_network_does_not_end(tmp_path):
    path = tmp_path / "net.onnx"
    path.write_bytes(hostile.scan(200_000_000).SerializeToString())
    script = [sys.executable, "index_images.py", "--model", path, "--index", tmp_path / "i.h5"]
    with subprocess.Popen(
        [*script, "--dataset", "mnist", "--limit", "5"], stderr=subprocess.PIPE, text=True
    ) as process:
        for line in process.stderr:
            if "no preprocessor_config" in line:  # opened and run next
                break
        time.sleep(1)
        process.send_signal(signal.SIGINT)
        assert process.wait(30) in (130, -signal.SIGINT)
        assert "Traceback" not in process.stderr.read()


@pytest.mark.parametrize("operator", ["ConstantOfShape", "Expand", "Tile"])
def test_a_network_that_needs_undue_memory_is_refused(operator):
    with pytest.raises(ValueError, match=r"cannot be run: (it needs more|Non-zero.*would require)"):
        in_index(hostile.large(operator, (40_000, 40_000))).encode(IMAGES)


@pytest.mark.parametrize("kind", ["tensor", "constant", "cast"])
def test_a_network_that_makes_texts_is_refused(kind):
    """ONNX Runtime does not count their memory: one of 2 MB can be repeated a million times."""
    with pytest.raises(ValueError, match=r"stranger\.onnx computes with texts"):
        in_index(hostile.with_texts(kind)).encode(IMAGES)


@pytest.mark.parametrize(
    "model", [hostile.named(hostile.ESCAPE * 500), hostile.unknown_operator(hostile.ESCAPE)]
)
def test_names_of_a_network_are_printed_on_one_line_without_control_characters(model, capfd):
    with pytest.raises(ValueError, match="cannot be run") as error:
        in_index(model).encode(IMAGES)
    assert str(error.value).isprintable()
    assert len(str(error.value)) < 500
    assert capfd.readouterr() == ("", "")


def test_a_failing_node_is_not_reported_by_onnx_runtime_itself(tmp_path, capfd):
    model = hostile.named("\x1b[31mnode")
    for i, node in enumerate(model.graph.node):
        node.name = f"\x1b[31mnode {i}"
    path = tmp_path / "net.onnx"
    path.write_bytes(model.SerializeToString())
    size = {"height": hostile.SIDE, "width": hostile.SIDE}
    write_json(tmp_path / "preprocessor_config.json", {**SIGLIP, "size": size})
    with pytest.raises(ValueError, match=r"cannot be run.*\\x1b\[31mnode"):
        open_encoder(path)
    assert capfd.readouterr() == ("", "")


@pytest.mark.slow
def test_500_hostile_networks_are_used_or_refused_in_one_line(tmp_path):
    command = [sys.executable, "-m", "tests.hostile_networks", tmp_path / "networks", "500"]
    result = subprocess.run(command, capture_output=True, text=True, timeout=3600)
    failures = [line for line in result.stdout.splitlines() if "FAILED" in line]
    assert result.returncode == 0, failures
    assert not result.stdout.count("\x1b")


@pytest.mark.parametrize(
    "model",
    [
        hostile.sized(10**9, 8, 8),
        hostile.sized(2**62, 8, 8),
        hostile.sized(1, 10**9, 10**9),
        hostile.sized(1, 2**31, 8),
        hostile.sized(10**9, 8, 8, '{"height": 8, "width": 8, "channels": 3}'),
        hostile.sized(
            1, 10**9, 10**9, '{"height": 1000000000, "width": 1000000000, "channels": 3}'
        ),
        hostile.sized(1, 8, 8, "[" * 100_000),
        hostile.sized(1, 8, 8, '{"height": "' + "x" * 100_000 + '"}'),
    ],
)
def test_sizes_that_no_memory_holds_are_refused_in_one_line(tmp_path, model):
    path = tmp_path / "net.onnx"
    path.write_bytes(model.SerializeToString())
    with pytest.raises(ValueError, match=r"net\.onnx") as error:
        open_encoder(path)
    assert str(error.value).isprintable()
    assert len(str(error.value)) < 600


def test_a_network_in_an_index_takes_no_more_images_at_once_than_memory_holds():
    with pytest.raises(ValueError, match=r"stranger\.onnx takes 1,000,000,000 images at once"):
        in_index(hostile.sized(10**9, 8, 8)).encode(IMAGES)


def test_onnx_runtime_keeps_no_identifier_for_reports_of_its_use(tmp_path):
    code = "import pyimagesearch, onnxruntime"
    environment = {**os.environ, "TMPDIR": str(tmp_path), "PYTHONPATH": str(ROOT)}
    environment.pop("ORT_DISABLE_TELEMETRY", None)
    subprocess.run([sys.executable, "-c", code], env=environment, check=True)
    assert os.listdir(tmp_path) == []
