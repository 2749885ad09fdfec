"""The published tutorial's search, changed as little as today's Keras allows, for comparison.

The changes: models are loaded with `compile=False`, the output of the encoder is taken with
`model.get_layer(...).output`, and montages are written to files instead of windows, so that no
display is needed. MNIST is read as Keras stores it after its download, from MNIST_NPZ, which
benchmarks.startup writes.

usage: python -m benchmarks.published MODEL INDEX OUTPUT_FOLDER MNIST_NPZ [SAMPLES]
"""

import pickle
import sys

import numpy as np


def euclidean(a, b):
    """Return the Euclidean distance of two vectors."""
    return np.linalg.norm(a - b)


def perform_search(query_features, index, max_results=64):
    """Rank the whole index by its distance to the query: [(distance, row), ...], nearest first."""
    results = []
    for i in range(len(index["features"])):
        results.append((euclidean(query_features, index["features"][i]), i))
    return sorted(results)[:max_results]


def main(model_path, index_path, output, mnist_path, samples=1):
    import cv2
    from imutils import build_montages
    from tensorflow.keras.models import Model, load_model

    print("[INFO] loading MNIST dataset...")
    with np.load(mnist_path) as arrays:
        train_x, test_x = arrays["x_train"], arrays["x_test"]
    train_x = np.expand_dims(train_x, axis=-1).astype("float32") / 255.0
    test_x = np.expand_dims(test_x, axis=-1).astype("float32") / 255.0

    print("[INFO] loading autoencoder and index...")
    autoencoder = load_model(model_path, compile=False)
    with open(index_path, "rb") as file:
        index = pickle.load(file)
    encoder = Model(autoencoder.input, autoencoder.get_layer("encoded").output)

    print("[INFO] encoding testing images...")
    features = encoder.predict(test_x)
    for i in np.random.choice(np.arange(len(test_x)), size=samples, replace=False):
        results = perform_search(features[i], index, max_results=225)
        images = []
        for _, j in results:
            image = (train_x[j] * 255).astype("uint8")
            images.append(np.dstack([image] * 3))
        cv2.imwrite(f"{output}/published_query.png", (test_x[i] * 255).astype("uint8"))
        montage = build_montages(images, (28, 28), (15, 15))[0]
        cv2.imwrite(f"{output}/published_results.png", montage)


if __name__ == "__main__":
    main(*sys.argv[1:5], *map(int, sys.argv[5:]))
