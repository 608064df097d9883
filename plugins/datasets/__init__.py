"""Data sets. Nothing here, and no data set's construction, imports scikit-learn or Pillow."""

from __future__ import annotations

from harness import Entry, hookimpl


@hookimpl
def bench_datasets() -> list[Entry]:
    """The built-in data sets."""
    return [
        Entry(
            name="digits",
            target="plugins.datasets.digits:Digits",
            summary="scikit-learn's 1,797 handwritten digits, 1x8x8",
            version="1",
        ),
        Entry(
            name="photos",
            target="plugins.datasets.photos:Photos",
            summary="Patches of scikit-learn's two photographs, a temple and a flower",
            version="1",
        ),
        Entry(
            name="noise",
            target="plugins.datasets.noise:Noise",
            summary="Independent random pixels, uniform or gaussian",
            version="1",
        ),
        Entry(
            name="constant",
            target="plugins.datasets.constant:Constant",
            summary="Images of one gray value or one colour",
            version="1",
        ),
        Entry(
            name="transformed",
            target="plugins.datasets.transformed:Transformed",
            summary="Another data set inverted, flipped, rotated or with its channels swapped",
            version="1",
        ),
        Entry(
            name="folder",
            target="plugins.datasets.folder:Folder",
            summary="Your own images: a folder of pictures, .npy or .npz arrays, MNIST's files",
            version="1",
        ),
    ]
