"""Options for the energy-based model plugin, without importing torch."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from oodbench import DensityModel, Images

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]


def ebm(
    domain: Images,
    *,
    width: Annotated[int, Field(ge=1)] = 16,
    halvings: Annotated[int, Field(ge=1, le=6)] = 3,
    chains: Annotated[int, Field(ge=1)] = 1024,
    steps: Annotated[int, Field(ge=1)] = 10,
    step_size: Positive = 10.0,
    largest_gradient: Positive = 0.03,
    step_noise: NotNegative = 0.005,
    sampling_steps: Annotated[int, Field(ge=0)] = 100,
    restart: Annotated[float, Field(ge=0, le=1)] = 0.05,
    regularisation: NotNegative = 0.1,
) -> DensityModel:
    """Energy-based model (Du & Mordatch, 2019), with an unnormalised likelihood.

    `log_prob` is minus the energy: the log-probability up to an unknown constant, so there are no
    bits per dimension. It is trained by contrastive divergence with persistent Langevin chains.
    For gradient scores use the statistic `centred_gradient_sq_norms`.

    Arguments:
        domain: The images to model; any size.
        width: Channels of the first convolution; each further one doubles them.
        halvings: Number of convolutions with stride 2.
        chains: Number of persistent chains, which are stored with the weights.
        steps: Number of Langevin steps of the chains in each training step.
        step_size: Factor on the gradient of the energy in a Langevin step, for images in [-1, 1].
        largest_gradient: Limit for each entry of this gradient.
        step_noise: Standard deviation of the noise in a Langevin step.
        sampling_steps: Number of Langevin steps of a sample, beginning at a chain.
        restart: Probability that a chain begins again, in each training step, at an image without
            structure: each number is that of a random image of the minibatch.
        regularisation: Weight of the squared energies in the training loss.

    Returns:
        A model with random weights and chains, drawn from torch's global generator.

    References:
        https://arxiv.org/abs/1903.08689
    """
    from plugins.models.networks.ebm import EBM, Langevin, conv_energy

    return EBM(
        domain,
        energy=conv_energy(domain, width=width, halvings=halvings),
        chains=chains,
        langevin=Langevin(step_size, largest_gradient, step_noise),
        steps=steps,
        sampling_steps=sampling_steps,
        restart=restart,
        regularisation=regularisation,
    )
