"""Example distribution with plugins for `bench`, without heavy imports."""

from __future__ import annotations

from oodbench import Entry, hookimpl


# --8<-- [start:hooks]
@hookimpl
def bench_scorers() -> list[Entry]:
    """Return the example scorer."""
    return [
        Entry(
            name="norm-and-bits",
            target="oodbench_example.scorer:NormAndBits",
            summary="total log gradient norm and log-probability, each standardised, added up",
            version="1",
        )
    ]


@hookimpl
def bench_models() -> list[Entry]:
    """Return the example density model."""
    return [
        Entry(
            name="small-vae",
            target="oodbench_example.vae:SmallVAE",
            summary="variational autoencoder with two latents and its bound by quadrature",
            version="1",
        )
    ]


@hookimpl
def bench_datasets() -> list[Entry]:
    """Return the example data set."""
    return [
        Entry(
            name="csv",
            target="oodbench_example.dataset:CSV",
            summary="gray images from train.csv and test.csv, one a line",
            version="1",
        )
    ]
