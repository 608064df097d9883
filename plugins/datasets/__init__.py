"""Data sets. Nothing here, and no data set's construction, imports scikit-learn or Pillow."""

from __future__ import annotations

from oodbench import Entry, hookimpl


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
            target="plugins.datasets.sklearn_photos:Photos",
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
        Entry(
            name="mnist",
            target="plugins.datasets.published.mnist:Mnist",
            summary="Handwritten digits, 1x28x28, 60,000 + 10,000",
            version="1",
        ),
        Entry(
            name="fashion-mnist",
            target="plugins.datasets.published.mnist:FashionMnist",
            summary="Clothes, 1x28x28, 60,000 + 10,000",
            version="1",
        ),
        Entry(
            name="kmnist",
            target="plugins.datasets.published.mnist:Kmnist",
            summary="Cursive Japanese characters, 1x28x28, 60,000 + 10,000",
            version="1",
        ),
        Entry(
            name="omniglot",
            target="plugins.datasets.published.omniglot:Omniglot",
            summary="Handwritten characters of 50 alphabets, 1x28x28, 19,280 + 13,180",
            version="1",
        ),
        Entry(
            name="svhn",
            target="plugins.datasets.published.svhn:Svhn",
            summary="House numbers in street views, 3x32x32, 73,257 + 26,032",
            version="1",
        ),
        Entry(
            name="celeba",
            target="plugins.datasets.published.celeba:CelebA",
            summary="Faces, cropped and reduced to 3x32x32, 162,770 + 19,962",
            version="1",
        ),
        Entry(
            name="cifar10",
            target="plugins.datasets.published.cifar10:Cifar10",
            summary="Small photographs of ten kinds of things, 3x32x32, 50,000 + 10,000",
            version="1",
        ),
        Entry(
            name="gtsrb",
            target="plugins.datasets.published.gtsrb:Gtsrb",
            summary="German traffic signs, resized to 3x32x32, 26,640 + 12,630",
            version="1",
        ),
        Entry(
            name="imagenet32",
            target="plugins.datasets.published.imagenet32:Imagenet32",
            summary="ImageNet reduced to 3x32x32, 1,281,167 + 50,000",
            version="1",
        ),
    ]
