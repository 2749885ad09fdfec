"""Sizes of sheets: kept apart from OpenCV, because text about results needs them too."""

SHEET_RESULTS = 225  # results on a sheet, as many as the tutorial shows
GROUP_ROWS = 20  # groups on a sheet of groups
GROUP_PICTURES = 10  # pictures of a group on it
QUERY_PARTS = 10  # pictures of a combined query on its sheet

PHOTO_SIDE = 160  # pixels of a photograph's tile
READABLE_SIDE = 96  # pixels of a tile that has room for lines of text
ICON_SIDE = 64  # pixels up to which a picture is enlarged: its own pixels are worth seeing
