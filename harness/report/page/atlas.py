"""Image atlas: a PNG with many small tiles, cropped where a tile is shown."""

from __future__ import annotations

import base64
import io
from typing import Any

import numpy as np

from harness.report.figures.samples import Images, stretched


def atlas(images: Images, levels: int) -> dict[str, Any]:
    """Put all images into a single PNG, row by row.

    Arguments:
        images: uint8, (n, channels, height, width), with values below `levels`.
        levels: Number of values per channel, stretched to 0 to 255.

    Returns:
        `png`: a data URI; `columns`: tiles per row; `width` and `height`: tile size in pixels.
    """
    from PIL import Image

    count, _, height, width = images.shape
    shown = stretched(images, levels)
    columns = int(np.ceil(np.sqrt(count)))
    rows = -(-count // columns)
    tiles = np.zeros((rows * columns, *shown.shape[1:]), np.uint8)
    tiles[:count] = shown
    grid = tiles.reshape(rows, columns, -1, height, width).transpose(0, 3, 1, 4, 2)
    sheet = grid.reshape(rows * height, columns * width, -1)
    buffer = io.BytesIO()
    Image.fromarray(sheet if sheet.shape[2] == 3 else sheet[:, :, 0]).save(
        buffer, "png", optimize=True
    )
    png = "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()
    return {"png": png, "columns": columns, "width": width, "height": height}
