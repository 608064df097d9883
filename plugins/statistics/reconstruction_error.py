"""Error of each example's reconstruction from several levels of noise."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from oodbench import DensityModel, Per, Reconstructs, UnsupportedError
from plugins.statistics.per_example import examples_of

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor


class ReconstructionError:
    r"""Mean squared error of each example's reconstructions from several levels of noise.

    e_k(x) = 1/D ‖(x - x_k) / (levels - 1)‖²,   x_k = reconstruct(x, start = k / K),   k = 1 ... K

    A diffusion model restores what noise has destroyed as it was in the training data: details
    after a little noise, almost the whole image after much noise. An OOD image comes back changed.
    The noise is the same for every example, with another draw for each start.

    Departures from the paper:
        There is no perceptual distance (LPIPS), which needs a network trained on photographs and
        labels. The paper has 25 starts and 100 steps of a multistep solver (PLMS); the defaults
        here are 5 starts, 4 steps from one start to the next, of the solver with a single step
        (DDIM). Starts are spaced evenly over the noise levels of the model.

    Arguments:
        starts: Number of starts, K.
        steps: Number of steps from one start to the next: start k takes k steps times this number.
        noise_seed: Seed for the noise.

    References:
        | Denoising Diffusion Models for Out-of-Distribution Detection (Graham et al., 2023)
        | https://arxiv.org/abs/2211.07740
    """

    per: Per = "example"
    fake_features = ("mse_1", "mse_2", "mse_3")

    def __init__(
        self,
        *,
        starts: Annotated[int, Field(ge=1)] = 5,
        steps: Annotated[int, Field(ge=1)] = 4,
        noise_seed: Annotated[int, Field(ge=0, lt=2**62)] = 0,
    ) -> None:
        self.starts, self.steps, self.noise_seed = starts, steps, noise_seed

    def features(self, model: DensityModel) -> Sequence[str]:
        """Return `mse_1` to `mse_K`.

        Raises:
            UnsupportedError: The model does not have `reconstruct`.
        """
        _require_reconstruct(model)
        return tuple(f"mse_{k}" for k in range(1, self.starts + 1))

    def __call__(self, model: DensityModel, groups: Tensor) -> NDArray[np.float64]:
        """Evaluate the errors for each example.

        Arguments:
            model: In evaluation mode, with `reconstruct`; left unchanged.
            groups: uint8, (M, 1, *domain.shape).

        Returns:
            float64, (M, K), from 0 to 1.

        Raises:
            UnsupportedError: The model does not have `reconstruct`.
            ValueError: A group contains several examples.
        """
        import torch

        x, reconstructs = examples_of("reconstruction_error", groups), _require_reconstruct(model)
        errors = []
        for k in range(1, self.starts + 1):
            found = reconstructs.reconstruct(
                x, k / self.starts, k * self.steps, self.noise_seed + k
            )
            difference = (found - x.to(found)) / (model.domain.levels - 1)
            errors.append(difference.square().flatten(1).mean(1))
        return torch.stack(errors, dim=1).to("cpu", torch.float64).numpy()


def _require_reconstruct(model: DensityModel) -> Reconstructs:
    if not isinstance(model, Reconstructs):
        name = type(model).__name__
        raise UnsupportedError(
            "reconstruction_error needs a model with reconstruct(x, start, steps, noise_seed), "
            f"such as a diffusion model; {name} lacks this method"
        )
    return model
