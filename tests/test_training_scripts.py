"""train_autoencoder.py as a user runs it: killed, resumed, with wrong flags, on two devices."""

import signal
import subprocess
import time
from pathlib import Path

import cv2
import h5py
import numpy as np
import pytest

import index_images
import train_autoencoder
from pyimagesearch.encoders.keras_files import load_model
from pyimagesearch.indexes.index_file import load_index

ROOT = Path(__file__).parent.parent


def flags(folder, *more, name="model.keras"):
    """The flags of a small training that writes to `folder`, as strings."""
    base = ["-m", folder / name, "-v", folder / "v.png", "-p", folder / "p.png", "--limit", 256]
    return [str(flag) for flag in (*base, *more)]


def error_of(capsys, *arguments):
    """Train with flags that must fail; return the one line of error."""
    assert train_autoencoder.main([*arguments]) == 1
    [line] = [line for line in capsys.readouterr().err.splitlines() if "[INFO]" not in line]
    return line.removeprefix("train_autoencoder.py: error: ")


@pytest.mark.slow
def test_killed_and_resumed_it_ends_with_the_model_of_an_uninterrupted_run(
    tmp_path, python, capsys
):
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    settings = ["--epochs", 4, "--filters", 4, "--seed", 5]
    assert train_autoencoder.main(flags(whole, *settings, "--log", whole / "log.csv")) == 0
    command = flags(killed, *settings, "--log", killed / "log.csv", "--resume")
    with subprocess.Popen(
        python("train_autoencoder.py", *command), cwd=ROOT, stderr=subprocess.PIPE, text=True
    ) as training:
        for line in training.stderr:
            if "epoch 2 of 4" in line:
                break
        time.sleep(0.02)  # into the next epoch, or into the writing after it
        training.kill()
    assert training.returncode == -signal.SIGKILL
    assert not (killed / "model.keras").exists()
    assert train_autoencoder.main(command) == 0
    models = [load_model(folder / "model.keras")[0] for folder in (whole, killed)]
    for a, b in zip(*(model.get_weights() for model in models), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-4)
    rows = [(folder / "log.csv").read_text().splitlines() for folder in (whole, killed)]
    assert len(rows[0]) == len(rows[1]) == 5
    assert sorted(path.name for path in killed.iterdir()) == ["log.csv", "model.keras", *PICTURES]


PICTURES = ["p.png", "v.png"]


def test_resuming_with_other_flags_is_refused(tmp_path, capsys):
    from pyimagesearch.training.checkpoint import Checkpoint

    Checkpoint(str(tmp_path / "model.keras.checkpoint.npz"), {"seed": 1}).save()
    message = error_of(capsys, *flags(tmp_path, "--seed", 2, "--resume"))
    assert "give the same flags, or start again without --resume" in message


def test_neighbours_in_the_fast_schedule_plots_all_phases_and_writes_the_encoder(tmp_path, capsys):
    more = ["--objective", "neighbours", "--schedule", "fast", "--epochs", 1, "--filters", 4]
    encoder = tmp_path / "encoder.onnx"
    arguments = flags(tmp_path, *more, "--encoder", encoder, "--latent-dim", 4)
    assert train_autoencoder.main(arguments) == 0
    for model in (encoder, tmp_path / "model.keras"):
        index = tmp_path / f"{model.name}.pickle"
        assert index_images.main(["-m", str(model), "-i", str(index), "--limit", "50"]) == 0
    output = capsys.readouterr().err
    assert all(f"{phase}: epoch 1 of 1" in output for phase in ("follow", "refine", "decode"))
    assert "training on 230 images, validating on 26" in output
    assert cv2.imread(str(tmp_path / "p.png")).shape[1] == 1280  # two panels
    codes, expected = (
        load_index(tmp_path / f"{name}.pickle").codes for name in ("encoder.onnx", "model.keras")
    )
    assert codes.shape == (50, 4)
    np.testing.assert_allclose(codes, expected, atol=1e-4)


@pytest.mark.usefixtures("eager")
def test_the_encoder_of_pooling_is_saved_as_published(tmp_path):
    more = ["--architecture", "pooling", "--epochs", 1, "--encoder", tmp_path / "encoder.h5"]
    assert train_autoencoder.main(flags(tmp_path, *more)) == 0
    encoder, _ = load_model(tmp_path / "encoder.h5")
    assert encoder.layers[-1].name == "encoder"
    assert encoder.output_shape == (None, 4, 4, 8)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--architecture", "pooling", "--latent-dim", 8], "pooling has no --latent-dim"),
        (["--architecture", "deep"], "deep is for sides of 32 to 256"),
        (
            ["--dataset", ".", "--validation", "test"],
            "has no test images",
        ),
        (["--objective", "neighbours", "--limit", 60], "at least 100 images to train on"),
    ],
)
def test_flags_that_contradict_each_other_are_one_line(tmp_path, capsys, more, message):
    assert message in error_of(capsys, *flags(tmp_path, *more))
    assert not (tmp_path / "model.keras").exists()


def test_supcon_without_labels_is_one_line(tmp_path, capsys):
    images = np.zeros((20, 28, 28), np.uint8)
    np.savez(tmp_path / "d.npz", x_train=images, x_test=images)
    more = ["--dataset", tmp_path / "d.npz", "--objective", "supcon"]
    assert "needs labels of 2 classes" in error_of(capsys, *flags(tmp_path, *more))


def test_triplet_is_accepted_as_the_former_name_of_supcon(tmp_path, capsys):
    assert train_autoencoder.parse_args(flags(tmp_path, "--objective", "triplet")).objective == (
        "supcon"
    )
    with pytest.raises(SystemExit):
        train_autoencoder.main(["--help"])
    assert "{views,reconstruction,denoising,neighbours,supcon}" in capsys.readouterr().out


def test_images_that_cannot_be_used_are_refused_before_tensorflow_is_imported(tmp_path, python):
    code = (
        "import sys, train_autoencoder\n"
        "assert train_autoencoder.main(sys.argv[1:]) == 1\n"
        "heavy = {'tensorflow', 'keras'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    more = ["--dataset", ".", "--validation", "test"]
    done = subprocess.run(
        python("-c", code, *flags(tmp_path, *more)), cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "has no test images" in done.stderr


@pytest.mark.parametrize(
    "more", [["--validation", "1.5"], ["--log", "log.txt"], ["--encoder", "e.npz"]]
)
def test_a_wrong_flag_is_refused_by_argparse(tmp_path, more):
    with pytest.raises(SystemExit) as exit_status:
        train_autoencoder.main(flags(tmp_path, *more))
    assert exit_status.value.code == 2


def test_mixed_precision_ends_in_a_model_of_float32(tmp_path):
    more = ["--mixed-precision", "--epochs", 1, "--filters", 4]
    assert train_autoencoder.main(flags(tmp_path, *more, name="model.h5")) == 0
    with h5py.File(tmp_path / "model.h5") as file:
        assert "bfloat16" not in str(file.attrs["model_config"])
    from pyimagesearch.backend import keras

    assert keras.mixed_precision.dtype_policy().name == "float32"


@pytest.mark.slow
def test_two_devices_share_the_training(tmp_path, python):
    code = (
        "import sys, pyimagesearch\n"
        "from pyimagesearch.backend import keras\n"
        "import tensorflow as tf, train_autoencoder\n"
        "[cpu] = tf.config.list_physical_devices('CPU')\n"
        "two = [tf.config.LogicalDeviceConfiguration()] * 2\n"
        "tf.config.set_logical_device_configuration(cpu, two)\n"
        "status = train_autoencoder.main(sys.argv[1:])\n"
        "assert len(tf.config.list_logical_devices('CPU')) == 2\n"
        "sys.exit(status)\n"
    )
    more = ["--strategy", "mirrored", "--epochs", 2, "--filters", 4, "--schedule", "fast"]
    command = python("-c", code, *flags(tmp_path, *more, "--log", tmp_path / "log.csv"))
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    losses = np.loadtxt(tmp_path / "log.csv", delimiter=",", skiprows=1, usecols=(2, 3))
    assert losses.shape == (2, 2)
    assert losses[1, 0] < losses[0, 0]
    assert load_model(tmp_path / "model.keras")[0].output_shape == (None, 28, 28, 1)


def test_resume_does_not_train_a_finished_model_again(tmp_path, capsys):
    model = tmp_path / "model.keras"
    finished = (ROOT / "tests" / "data" / "before" / "model.keras").read_bytes()
    model.write_bytes(finished)
    message = error_of(capsys, *flags(tmp_path, "--resume"))
    assert "nothing to resume" in message
    assert model.read_bytes() == finished
