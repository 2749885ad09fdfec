"""Sizes of montages: kept apart from OpenCV, because text about results needs them too."""

SHOWN = 225  # results in a montage, as many as fit a screen
PHOTO_SIDE = 160  # pixels of a photograph's tile
READABLE = 96  # pixels of a tile that has room for a caption
