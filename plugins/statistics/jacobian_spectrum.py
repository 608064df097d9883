"""Singular values for a flow's generator at each example."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from oodbench import DensityModel, Flow, Per, Side, UnsupportedError
from plugins.statistics.per_example import examples_of

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor


class JacobianSpectrum:
    r"""Log singular values for a flow's generator at each example, the largest first.

    log σ_1 >= ... >= log σ_D,   σ_i singular values of dx/dz at z = to_noise(x)

    with x in grey levels: a unit noise step along the i-th right singular vector moves the image
    by σ_i grey levels. The number of σ_i above a threshold is the model's local intrinsic
    dimension (LID) at x (section 3.2 in the paper, where the threshold is calibrated; see the
    scorer `lid-dimension`). All σ_i are stored, and thresholds can be changed at no cost.

    For small images, the whole Jacobian dz/dx is computed, in a backward pass per dimension; the
    singular values are 1 / σ. For large images, the spectrum is estimated without a matrix, by
    stochastic Lanczos quadrature on J'J, which is only ever applied to vectors: `probes` random
    orthonormal directions, `steps` products each. The values are then quantiles from an
    estimated spectrum: accurate where many values lie close together, but not individually. The
    probes are the same for every example. If `probes` and `steps` both equal the number of
    dimensions, the result is exact.

    Arguments:
        exact_up_to: Maximum number of dimensions for which the whole Jacobian is computed.
        probes: Number of directions for larger images, limited to the number of dimensions.
        steps: Products with J'J per direction, limited to the number of dimensions.
        seed: Seed for drawing the probes.

    References:
        | A Geometric Explanation of the Likelihood OOD Detection Paradox (Kamkari et al., 2024)
        | https://arxiv.org/abs/2403.18910
        | Fast estimation of tr(f(A)) via stochastic Lanczos quadrature (Ubaru et al., 2017)
        | https://doi.org/10.1137/16M1104974
    """

    per: Per = "example"
    fake_features = tuple(f"log_singular_value_{place}" for place in range(1, 8))

    def __init__(
        self,
        *,
        exact_up_to: Annotated[int, Field(ge=0)] = 1024,
        probes: Annotated[int, Field(ge=1)] = 4,
        steps: Annotated[int, Field(ge=1)] = 32,
        seed: Annotated[int, Field(ge=0)] = 0,
    ) -> None:
        self.exact_up_to = exact_up_to
        self.probes = probes
        self.steps = steps
        self.seed = seed

    def features(self, model: DensityModel) -> Sequence[str]:
        """Return `log_singular_value_1` to `log_singular_value_D`.

        Raises:
            UnsupportedError: The model is not a flow.
        """
        _require_flow(model)
        return tuple(f"log_singular_value_{i}" for i in range(1, model.domain.dims + 1))

    def fake_values(self, noise: NDArray[np.float64], side: Side) -> NDArray[np.float64]:
        """Descending spectra, all of whose logarithms are lower by 4 out of distribution."""
        import numpy as np

        level = np.linspace(6.0, -4.0, noise.shape[-1]) - (4.0 if side == "out" else 0.0)
        return np.sort(level + 0.7 * noise)[..., ::-1].copy()

    def __call__(self, model: DensityModel, groups: Tensor) -> NDArray[np.float64]:
        """Evaluate the spectrum at each example.

        Arguments:
            model: In evaluation mode, a `Flow`; left unchanged.
            groups: uint8, (M, 1, *domain.shape).

        Returns:
            float64, (M, D), descending, log σ with σ in grey levels per noise unit.

        Raises:
            UnsupportedError: The model is not a flow, or `to_noise` has no derivative.
            ValueError: A group contains several examples.
        """
        from plugins.statistics.jacobians.exact import exact_spectra
        from plugins.statistics.jacobians.lanczos import estimated_spectra

        x, flow = examples_of("jacobian_spectrum", groups), _require_flow(model)
        if model.domain.dims <= self.exact_up_to:
            return exact_spectra(flow, model, x)
        return estimated_spectra(
            flow, model, x, probes=self.probes, steps=self.steps, seed=self.seed
        )


def _require_flow(model: DensityModel) -> Flow:
    if not isinstance(model, Flow):
        name = type(model).__name__
        raise UnsupportedError(
            f"jacobian_spectrum needs a flow with to_noise(x); {name} lacks this method"
        )
    return model
