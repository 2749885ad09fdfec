"""Sizes of sheets: kept apart from OpenCV, because text about results needs them too."""

TUTORIAL_RESULTS = 225  # results for a digit, unless another number is asked for
SCREEN_RESULTS = 24  # the same of picture files: as many as a screen shows with their names
LISTED_RESULTS = 10  # of them that the terminal lists
SHEET_RESULTS = 225  # results on a sheet at most
GROUP_ROWS = 20  # groups on a sheet of groups
GROUP_PICTURES = 10  # pictures of a group on it
QUERY_PARTS = 10  # pictures of a combined query on its sheet
SHEET_PIXELS = 100_000_000  # of all tiles of a sheet at most: they take four times 300 MB

TILE_GAP = 2  # pixels between tiles
QUERY_SIDE = 112  # pixels of a query's picture above its results
PHOTO_SIDE = 160  # pixels of a photograph's tile
READABLE_SIDE = 96  # pixels of a tile that has room for lines of text
ICON_SIDE = 64  # pixels up to which a picture is enlarged: its own pixels are worth seeing
