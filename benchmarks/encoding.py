"""Encoding 60,000 digits: Keras' `predict` as the tutorial calls it, and our Encoder.

usage: python -m benchmarks.encoding
"""

import statistics
import time

import numpy as np

from benchmarks.codes import encode_all
from pyimagesearch.backend import keras
from pyimagesearch.datasets.array import ArrayDataset
from pyimagesearch.datasets.catalog import open_dataset
from pyimagesearch.encoders.export import encoder_from_keras
from pyimagesearch.encoders.keras_files import load_model

MODEL = "output/autoencoder.h5"


def rate(encode, count):
    """Return the images encoded a second by one call of `encode` for `count` images."""
    started = time.perf_counter()
    encode()
    return count / (time.perf_counter() - started)


def main():
    dataset = ArrayDataset("mnist")
    images = dataset.images.astype("float32") / 255
    model, _ = load_model(MODEL)
    network = keras.Model(model.input, model.get_layer("encoded").output)
    encoder = encoder_from_keras(MODEL)
    encode_all(encoder, open_dataset("mnist", "test"))
    network.predict(images[:1000], verbose=0)
    pairs = []
    for _ in range(3):
        keras_rate = rate(lambda: network.predict(images, verbose=0), len(images))
        pairs.append((keras_rate, rate(lambda: encode_all(encoder, dataset), len(images))))
    difference = np.abs(network.predict(images, verbose=0) - encode_all(encoder, dataset)).max()
    print(f"encoding 60,000 digits; codes agree to {difference:.1e}")
    print(f"Keras predict, batch 32   {statistics.median(a for a, _ in pairs):8,.0f} images/s")
    print(f"Encoder, ONNX Runtime     {statistics.median(b for _, b in pairs):8,.0f} images/s")
    print(f"ratio                     {statistics.median(b / a for a, b in pairs):8.2f}")


if __name__ == "__main__":
    main()
