"""Options for the autoregressive flow plugins, without importing torch or zuko."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from oodbench import DensityModel, Images


def maf(
    domain: Images,
    *,
    transforms: Annotated[int, Field(ge=1)] = 5,
    width: Annotated[int, Field(ge=1)] = 512,
    hidden_layers: Annotated[int, Field(ge=1)] = 2,
    alpha: Annotated[float, Field(gt=0, lt=0.5)] = 1e-3,
) -> DensityModel:
    """Masked autoregressive flow (Papamakarios et al., 2017), with an exact likelihood.

    Each dimension of the flattened image is scaled and shifted, depending on all dimensions before
    it. Needs zuko (extra `flows`). A sample takes a pass of the networks for each dimension and
    transform.

    Arguments:
        domain: The images to model.
        transforms: Number of autoregressive transforms; every other one goes in reverse order.
        width: Units in each hidden layer of the masked networks.
        hidden_layers: Number of hidden layers in each masked network.
        alpha: Grey levels are scaled to [alpha, 1 - alpha] before the logit. Take 0.05 for
            photographs (Dinh et al., 2017); where many pixels are black, less trains faster.

    Returns:
        A model with random weights, drawn from torch's global generator.

    Raises:
        ImportError: zuko is not installed.

    References:
        https://arxiv.org/abs/1705.07057
    """
    from plugins.models.flows.autoregressive import MaskedAffine

    hidden = [width] * hidden_layers
    return MaskedAffine(domain, transforms=transforms, hidden=hidden, alpha=alpha)


def spline_flow(
    domain: Images,
    *,
    transforms: Annotated[int, Field(ge=1)] = 3,
    width: Annotated[int, Field(ge=1)] = 256,
    hidden_layers: Annotated[int, Field(ge=1)] = 2,
    bins: Annotated[int, Field(ge=2)] = 8,
    alpha: Annotated[float, Field(gt=0, lt=0.5)] = 1e-3,
) -> DensityModel:
    """Autoregressive neural spline flow (Durkan et al., 2019), with an exact likelihood.

    Each dimension of the flattened image goes through a monotonic rational-quadratic spline that
    depends on all dimensions before it. Needs zuko (extra `flows`). A sample takes a pass of the
    networks for each dimension and transform.

    Arguments:
        domain: The images to model.
        transforms: Number of autoregressive transforms; every other one goes in reverse order.
        width: Units in each hidden layer of the masked networks.
        hidden_layers: Number of hidden layers in each masked network.
        bins: Number of bins of each spline.
        alpha: Grey levels are scaled to [alpha, 1 - alpha] before the logit. Take 0.05 for
            photographs (Dinh et al., 2017); where many pixels are black, less trains faster.

    Returns:
        A model with random weights, drawn from torch's global generator.

    Raises:
        ImportError: zuko is not installed.

    References:
        https://arxiv.org/abs/1906.04032
    """
    from plugins.models.flows.autoregressive import MaskedSpline

    hidden = [width] * hidden_layers
    return MaskedSpline(domain, transforms=transforms, hidden=hidden, bins=bins, alpha=alpha)
