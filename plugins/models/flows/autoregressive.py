"""Autoregressive flows on the flattened image, with transforms and masked networks from zuko."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Generator, Tensor, nn

from oodbench import Images
from plugins.models.flows.actnorm import InvertibleActNorm
from plugins.models.flows.chain import Chain, Logit
from plugins.models.flows.dequantised import DequantisedFlow
from plugins.models.flows.multiscale import standard_normal_log_prob

try:
    from zuko.flows.autoregressive import MaskedAutoregressiveTransform
    from zuko.nn import MaskedLinear
    from zuko.transforms import MonotonicAffineTransform, MonotonicRQSTransform
except ImportError as error:
    raise ImportError(
        "the models maf and spline-flow need zuko: pip install 'zuko>=1.6,<2', or install the "
        f"wheel of oodbench with its extra [flows] ({error})"
    ) from error


class Autoregressive(DequantisedFlow):
    r"""Autoregressive transforms of the flattened image, after the logit of the grey levels.

    v = ActNorm(logit(x)), flattened
    z = t_K(... t_1(v)),   t_k(v)_i = f(v_i; net_k(dimensions before i))
    ladj = ladj of the logit and the ActNorm + sum_k sum_i log df/dv_i
    base = sum_i log N(z_i; 0, 1)

    with f increasing in v_i. The dimensions are in reading order, channel after channel, for even
    k, and in reverse for odd k. One pass of the networks gives z; the inverse, and so a sample,
    takes D passes for each transform.

    Arguments:
        domain: Any images of at least two dimensions.
        transforms: Number of transforms, K.
        hidden: Units in the hidden layers of each masked network, one number per layer.
        univariate: Makes f from its parameters.
        shapes: Shapes of the parameters of f for one dimension.
        alpha: Distance of the logit's argument from 0 and 1, see `Logit`.

    References:
        | Masked Autoregressive Flow for Density Estimation (Papamakarios et al., 2017)
        | https://arxiv.org/abs/1705.07057
        | The logit: Density estimation using Real NVP (Dinh et al., 2017), 4.1
        | https://arxiv.org/abs/1605.08803
    """

    def __init__(
        self,
        domain: Images,
        *,
        transforms: int,
        hidden: Sequence[int],
        univariate: Callable[..., Any],
        shapes: Sequence[tuple[int, ...]],
        alpha: float,
    ) -> None:
        super().__init__(domain)
        self.entrance = Chain(Logit(alpha), InvertibleActNorm(domain.channels))
        order = torch.arange(domain.dims)
        self.transforms = nn.ModuleList(
            MaskedAutoregressiveTransform(
                domain.dims,
                order=order if k % 2 == 0 else order.flip(0),
                univariate=_of_full_precision(univariate),
                shapes=shapes,
                hidden_features=hidden,
            )
            for k in range(transforms)
        )
        # Masks of floats: a product of bools and floats takes four times as long.
        for module in self.modules():
            if isinstance(module, MaskedLinear):
                module.mask = module.mask.to(module.weight.dtype)
        self.register_state_dict_post_hook(_with_masks_of_bools)

    def transform(self, y: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Map y, (N, C, H, W), to z, (N, D), base and ladj, each (N,), in nats."""
        v, ladj = self.entrance(y)
        z = v.flatten(1)
        for layer in self.transforms if len(z) else ():  # zuko takes no empty batch
            z, more = layer().call_and_ladj(z)
            ladj = ladj + more
        return z, standard_normal_log_prob(z), ladj

    def inverse(self, z: Tensor) -> Tensor:
        """Map z, (N, D), to y, (N, C, H, W)."""
        for layer in reversed(self.transforms):
            z = layer().inv(z)
        return self.entrance.inverse(z.reshape(-1, *self.domain.shape))

    def draw_noise(self, n: int, generator: Generator) -> Tensor:
        """Draw standard normal z, float32, (n, D), on the CPU."""
        return torch.randn(n, self.domain.dims, generator=generator, dtype=torch.float32)


def _with_masks_of_bools(
    model: nn.Module, state: dict[str, Any], prefix: str, metadata: object
) -> None:
    """Store masks as zuko does, in a quarter of the bytes."""
    for name in [name for name in state if name.endswith(".mask")]:
        state[name] = state[name].bool()


def _of_full_precision(univariate: Callable[..., Any]) -> Callable[..., Any]:
    """Let a transform take its parameters in float32 where the network returns bfloat16."""

    def made(*parameters: Tensor) -> Any:
        is_rounded = parameters[0].dtype == torch.bfloat16
        return univariate(*(p.float() for p in parameters) if is_rounded else parameters)

    return made


class MaskedAffine(Autoregressive):
    r"""Masked autoregressive flow: f(v) = v exp(s) + t, with s and t from the network.

    s = raw / (1 + |raw|), so that 1/e < exp(s) < e: images unlike those of the training would grow
    from transform to transform without a tight bound.

    Arguments:
        domain: Any images of at least two dimensions.
        transforms: Number of transforms.
        hidden: Units in the hidden layers of each masked network, one number per layer.
        alpha: Distance of the logit's argument from 0 and 1, see `Logit`.
    """

    def __init__(
        self, domain: Images, *, transforms: int, hidden: Sequence[int], alpha: float
    ) -> None:
        super().__init__(
            domain,
            transforms=transforms,
            hidden=hidden,
            univariate=partial(MonotonicAffineTransform, slope=math.exp(-1)),
            shapes=[(), ()],
            alpha=alpha,
        )


class MaskedSpline(Autoregressive):
    r"""Neural spline flow: f is a rational-quadratic spline on [-5, 5], the identity elsewhere.

    The network gives the widths and heights of the bins and the slopes between them; all slopes
    are at least 1/1000.

    Arguments:
        domain: Any images of at least two dimensions.
        transforms: Number of transforms.
        hidden: Units in the hidden layers of each masked network, one number per layer.
        bins: Number of bins of each spline.
        alpha: Distance of the logit's argument from 0 and 1, see `Logit`.

    References:
        | Neural Spline Flows (Durkan et al., 2019), 3.1
        | https://arxiv.org/abs/1906.04032
    """

    def __init__(
        self, domain: Images, *, transforms: int, hidden: Sequence[int], bins: int, alpha: float
    ) -> None:
        super().__init__(
            domain,
            transforms=transforms,
            hidden=hidden,
            univariate=partial(MonotonicRQSTransform, slope=1e-3),
            shapes=[(bins,), (bins,), (bins - 1,)],
            alpha=alpha,
        )
