"""Names of the types of arrays, and of what travels beside them. Shapes are in docstrings."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

AnyArray = NDArray[Any]
Floats = NDArray[np.float32]
Rows = NDArray[np.int64]  # places of codes or images, from 0
Labels = NDArray[np.int64]  # -1 for no label
Bools = NDArray[np.bool_]
Pixels = NDArray[np.uint8]  # a picture in OpenCV's order, BGR, (h, w, 3)
Picture = NDArray[Any]  # for people to look at: uint8 or float in [0, 1], (h, w, 1 or 3) RGB

Found = tuple[Floats, Rows]  # distances and rows of what a search found
Candidates = tuple[AnyArray, Rows]  # estimates of any type that order candidates, and their rows
Size = tuple[int, int]  # height and width in pixels
Colour = tuple[int, int, int]  # BGR
Source = dict[str, Any]  # the arguments of `open_dataset` that open a dataset again
Scores = dict[str, dict[str, Any]]  # measures by their names, by the name of the code
History = list[dict[str, Any]]  # a row for each epoch of a training
