"""Examples as the page shows them: images in a PNG with many small tiles, or texts."""

from __future__ import annotations

import base64
import io
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.domain import Domain, Examples, Tokens
from harness.report.figures.samples import Images, stretched
from harness.text import MOST_SHOWN, counted, shown_bytes


def sheet(examples: Examples, domain: Domain) -> dict[str, Any]:
    """Return examples in the form that the page shows: an atlas of images, or texts.

    Returns:
        For text, `texts`: a line for each window.
    """
    if not isinstance(domain, Tokens):
        return atlas(examples, domain.levels)
    return {"texts": [shown_window(window, domain) for window in examples]}


def shown_window(window: NDArray[Any], domain: Tokens) -> str:
    """Show a window as text, or as numbers if the tokens are no bytes."""
    if domain.is_bytes:
        return shown_bytes(window.astype(np.uint8).tobytes())
    rest = len(window) - MOST_SHOWN
    numbers = " ".join(map(str, window[:MOST_SHOWN].tolist()))
    return f"{numbers} … and {counted(rest, 'token')}" if rest > 0 else numbers


def sheet_bytes(domain: Domain) -> int:
    """Estimate the bytes of an example in a sheet."""
    return 2 * min(domain.dims, MOST_SHOWN) if isinstance(domain, Tokens) else domain.dims


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
