"""Score statistics of the layers: squared gradients in units of the Fisher information."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Self

from pydantic import Field

from oodbench import DensityModel, NotFittedError, Per, ScoreError
from plugins.statistics.fake_layers import FAKE_LAYERS

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from plugins.statistics.fisher.score import ScoreStatistic

Damping = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class LayerFisherDiagonal:
    r"""Score statistic of each layer with a diagonal Fisher information, one row per group.

    S_l(X) = 1/b Σ_i g_i² / (F_i + λ mean F),      g = ∂/∂θ_l Σ_{x in X} log p(x)
    F_i    = mean over the fit examples of (∂/∂θ_i log p(x))²

    over the numbers i of layer l; a layer is one named parameter tensor. It is Rao's score
    statistic: with F known, λ = 0 and X drawn from the model its mean is the number of parameters
    of the layer. The identity in place of F gives b times less than `layer_gradient_sq_norms`.

    A layer without any gradient on the fit examples has the value 0: its F is not known. Unlike
    norms this needs the gradient of each group itself, and one pass over the fit examples; F is as
    large as the model (see docs/layer-gradients.md). A model that cannot be followed in batches is
    done one group at a time.

    Arguments:
        damping: λ, relative to the mean of F over the layer. It bounds what a number counts that
            has no gradient on the fit examples.

    References:
        | Large sample tests of statistical hypotheses concerning several parameters with
          applications to problems of estimation (Rao, 1948)
        | Model-agnostic out-of-distribution detection using combined statistical tests
          (Bergamin et al., 2022)
        | https://arxiv.org/abs/2203.01097
    """

    per: Per = "group"
    fake_features = FAKE_LAYERS

    def __init__(self, *, damping: Damping = 1e-3) -> None:
        self.damping = damping
        self._fitted: ScoreStatistic | None = None

    def features(self, model: DensityModel) -> Sequence[str]:
        """The names of the layers, in `named_parameters` order."""
        return tuple(name for name, _ in model.named_parameters())

    def fit(self, model: DensityModel, examples: Tensor) -> Self:
        """Estimate the Fisher information.

        Arguments:
            model: In evaluation mode; its `.grad` fields and `requires_grad` flags end as they
                were.
            examples: uint8, (N, *domain.shape).

        Raises:
            ScoreError: There is no example, a gradient is not finite, or the model's log p
                depends on none of its parameters.
        """
        if not len(examples):
            raise ScoreError("the Fisher information needs at least one fit example")
        self._fitted = None  # what was fitted before makes room
        self._fitted = self._fit(model, examples)
        return self

    def _fit(self, model: DensityModel, examples: Tensor) -> ScoreStatistic:
        from plugins.statistics.fisher.score import fit_diagonal

        return fit_diagonal(model, examples, self.damping)

    def __call__(self, model: DensityModel, groups: Tensor) -> NDArray[np.float64]:
        """Evaluate the score statistic; squares are summed in float64.

        Arguments:
            model: That of the fit, in evaluation mode; left as found.
            groups: uint8, (M, b, *domain.shape).

        Returns:
            float64, (M, L), without unit; never negative.

        Raises:
            NotFittedError: `fit` was not called.
            ScoreError: The model is computed in another way than at the fit.
        """
        if self._fitted is None:
            raise NotFittedError(f"{type(self).__name__} was called before it was fitted")
        values: NDArray[np.float64] = self._fitted(model, groups).cpu().numpy()
        return values / groups.shape[1]


class LayerFisherEkfac(LayerFisherDiagonal):
    r"""Score statistic of each layer with an EKFAC Fisher information, one row per group.

    S_l(X) = 1/b Σ_ij (U_D^T G U_A)_ij² / (s_ij + λ mean s),   G = ∂/∂W Σ_{x in X} log p(x)
    s_ij   = mean over the fit examples of (U_D^T G(x) U_A)_ij²

    where W is the weight of a linear map, a convolution or an embedding, whose gradient is
    G = Σ_p δ_p a_p^T over positions p: inputs a and gradients of outputs δ. The columns of U_A and
    U_D are the eigenvectors of A = Σ a a^T and D = Σ δ δ^T over fit examples and positions, the
    Kronecker factors. A first pass over the fit examples takes A and D, a second one s. Signs and
    order of eigenvectors change nothing. Any other tensor (bias, ActNorm, LU factor, scale, and
    weights that a module uses in a way of its own) has the diagonal F of `LayerFisherDiagonal`.

    As to the choices that the papers leave open:
        A bias is a layer of its own here, so a is not extended by a 1.

        A convolution is a sum over positions of patches. With as many output channels as input
        channels or more, a are patches of the input, as in KFC. With fewer, stride 1 and no
        groups, δ are patches of the gradient of the output and a the input at a point: the same G
        with its numbers in another order, and factors that are smaller (in a Glow of width 512,
        D of 432 and A of 512 in place of A of 4,608). Convolutions in groups have factors for
        each group.

        Where one set of weights is used several times, p goes over the uses too, and G and s are
        those of their sum.

        A side longer than `max_factor` has no factor, and the unit matrix for U.

    Arguments:
        damping: λ, relative to the mean of s over the layer, which is that of the diagonal F.
        max_factor: Rows of the largest factor that is decomposed.

    References:
        | Fast Approximate Natural Gradient Descent in a Kronecker-factored Eigenbasis (George et
          al., 2018)
        | https://arxiv.org/abs/1806.03884
        | A Kronecker-factored approximate Fisher matrix for convolution layers (Grosse & Martens,
          2016)
        | https://arxiv.org/abs/1602.01407
    """

    def __init__(
        self,
        *,
        damping: Damping = 1e-3,
        max_factor: Annotated[int, Field(gt=0)] = 1024,
    ) -> None:
        super().__init__(damping=damping)
        self.max_factor = max_factor

    def _fit(self, model: DensityModel, examples: Tensor) -> ScoreStatistic:
        from plugins.statistics.fisher.score import fit_ekfac

        return fit_ekfac(model, examples, self.damping, self.max_factor)
