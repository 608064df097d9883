"""Layer score statistics: squared gradients in Fisher information units."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Literal, Self

from pydantic import Field

from oodbench import DensityModel, NotFittedError, Per, ScoreError
from plugins.statistics.fake_layers import FAKE_LAYERS

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from plugins.statistics.fisher.score import DiagonalStatistic, ScoreStatistic

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Unit = Literal["relative", "absolute"]


class LayerFisherDiagonal:
    r"""Score statistic for each layer with a diagonal Fisher information, a row per group.

    S_l(X) = 1/b Σ_i g_i² / (F_i + λ mean F),      g = ∂/∂θ_l Σ_{x in X} log p(x)
    F_i    = mean over the fit examples of (∂/∂θ_i log p(x))²

    over the entries i in layer l; a layer is a named parameter tensor. S is Rao's score
    statistic: with F known, λ = 0 and X drawn from the model, the mean of S_l equals the number
    of parameters in the layer. With the identity in place of F, S_l is `layer_gradient_sq_norms`
    divided by b.

    A layer without any gradient on the fit examples has the value 0, since F is unknown. Unlike
    norms, the score statistic needs the gradient itself for each group, and a pass over the fit
    examples; F is as large as the model (see docs/layer-gradients.md). A model that cannot be
    followed in batches is evaluated group by group.

    Departures from the code by Bergamin et al.:
        The code adds 1e-8 to F, whatever the scale of F; `damping = 1e-8` with
        `damping_unit = "absolute"` restores this. The code estimates F on the train split; here F
        comes from half of the fit examples, since statistics never see the train split.

    Arguments:
        damping: λ. It bounds the contribution from a parameter entry without any gradient on the
            fit examples.
        damping_unit: `relative`: λ counts in units of the mean of F over the layer; `absolute`:
            the denominator is F_i + λ.

    References:
        | Large sample tests of statistical hypotheses concerning several parameters with
          applications to problems of estimation (Rao, 1948)
        | Model-agnostic out-of-distribution detection using combined statistical tests
          (Bergamin et al., 2022)
        | https://arxiv.org/abs/2203.01097
    """

    per: Per = "group"
    fake_features = FAKE_LAYERS

    def __init__(self, *, damping: Positive = 1e-3, damping_unit: Unit = "relative") -> None:
        self.damping, self.damping_unit = damping, damping_unit
        self._fitted: ScoreStatistic | DiagonalStatistic | None = None

    def features(self, model: DensityModel) -> Sequence[str]:
        """Return the layer names, in `named_parameters` order."""
        return tuple(name for name, _ in model.named_parameters())

    def fit(self, model: DensityModel, examples: Tensor) -> Self:
        """Estimate the Fisher information.

        Arguments:
            model: In evaluation mode; `.grad` fields and `requires_grad` flags end unchanged.
            examples: uint8, (N, *domain.shape).

        Raises:
            ScoreError: The examples are empty, or a gradient is not finite.
            UnsupportedError: The model's log p does not depend on any parameter, or Kronecker
                factors are needed and the model cannot be followed in batches.
        """
        if not len(examples):
            raise ScoreError("the Fisher information needs at least one fit example")
        self._fitted = None  # frees the memory for an earlier fit
        self._fitted = self._fit(model, examples)
        return self

    def _fit(self, model: DensityModel, examples: Tensor) -> ScoreStatistic | DiagonalStatistic:
        from plugins.statistics.fisher.moments import Damping
        from plugins.statistics.fisher.score import DiagonalStatistic

        return DiagonalStatistic(model, examples, Damping(self.damping, self.damping_unit))

    def __call__(self, model: DensityModel, groups: Tensor) -> NDArray[np.float64]:
        """Evaluate the score statistic; squares are summed in float64.

        Arguments:
            model: The model used for the fit, in evaluation mode; left unchanged.
            groups: uint8, (M, b, *domain.shape).

        Returns:
            float64, (M, L), without unit; never negative.

        Raises:
            NotFittedError: `fit` was not called.
            UnsupportedError: The model runs different modules or operations from the fit.
        """
        if self._fitted is None:
            raise NotFittedError(f"{type(self).__name__} was called before `fit`")
        values: NDArray[np.float64] = self._fitted(model, groups).cpu().numpy()
        return values / groups.shape[1]


class LayerFisherEkfac(LayerFisherDiagonal):
    r"""Score statistic for each layer with an EKFAC Fisher information, a row per group.

    S_l(X) = 1/b Σ_ij (U_D^T G U_A)_ij² / (s_ij + λ mean s),   G = ∂/∂W Σ_{x in X} log p(x)
    s_ij   = mean over the fit examples of (U_D^T G(x) U_A)_ij²

    where W is the weight in a linear map, a convolution or an embedding, with the gradient
    G = Σ_p δ_p a_p^T over positions p: inputs a and output gradients δ. The columns of U_A and
    U_D are the eigenvectors of A = Σ a a^T and D = Σ δ δ^T over fit examples and positions, the
    Kronecker factors. A first pass over the fit examples collects A and D, a second pass s. Signs
    and order do not matter for the eigenvectors. Any other tensor (bias, ActNorm, LU factor,
    scale, and weights used by a module in a custom way) has the diagonal F known from
    `LayerFisherDiagonal`.

    Choices left open by the papers:
        A bias is a separate layer here, so a is not extended by a 1.

        A convolution is a sum over patch positions. If there are at least as many output channels
        as input channels, a are input patches, as in KFC. With fewer output channels, stride 1
        and no groups, δ are patches taken from the output gradient and a is the input at a point:
        the same G with the entries in another order, and smaller factors (in a Glow with width
        512, D with 432 rows and A with 512 in place of A with 4,608). Grouped convolutions have
        separate factors for each group.

        If a set of weights is used several times, p runs over the uses too, and G and s belong
        to the sum.

        A side longer than `max_factor` does not get a factor, and U is the identity matrix.

    Arguments:
        damping: λ. The mean of s over the layer equals the mean of the diagonal F.
        damping_unit: `relative`: λ counts in units of this mean; `absolute`: the denominator is
            s_ij + λ.
        max_factor: Maximum number of rows for which a factor is decomposed.

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
        damping: Positive = 1e-3,
        damping_unit: Unit = "relative",
        max_factor: Annotated[int, Field(gt=0)] = 1024,
    ) -> None:
        super().__init__(damping=damping, damping_unit=damping_unit)
        self.max_factor = max_factor

    def _fit(self, model: DensityModel, examples: Tensor) -> ScoreStatistic:
        from plugins.statistics.fisher.moments import Damping
        from plugins.statistics.fisher.score import fit_ekfac

        damping = Damping(self.damping, self.damping_unit)
        return fit_ekfac(model, examples, damping, self.max_factor)


class LayerFisherKfac(LayerFisherEkfac):
    r"""Score statistic for each layer with a Kronecker-factored Fisher information.

    S_l(X) = 1/b Σ_ij (U_D^T G U_A)_ij² / (s_ij + λ mean s),   G = ∂/∂W Σ_{x in X} log p(x)
    s_ij   = λ_j(A) λ_i(D) / (n R),   so that F = A ⊗ D / (n R)

    over n fit examples with R rows in all, where A = Σ a a^T, D = Σ δ δ^T, their eigenvectors U
    and the choices of rows a and δ are those of `LayerFisherEkfac`, and λ_i(D), λ_j(A) are the
    eigenvalues. The eigenvalues s are not rescaled by second moments in the eigenbasis, unlike in
    EKFAC. F is exact if a and δ are independent and the terms of the sum over positions are, too.

    If either side is longer than `max_factor`, and for any tensor without factors, F is the
    diagonal known from `LayerFisherDiagonal`. A single pass over the fit examples is enough.

    Arguments:
        damping: λ.
        damping_unit: `relative`: λ counts in units of the mean of s over the layer; `absolute`:
            the denominator is s_ij + λ.
        max_factor: Maximum number of rows for which a factor is decomposed.

    References:
        | Optimizing Neural Networks with Kronecker-factored Approximate Curvature (Martens &
          Grosse, 2015)
        | https://arxiv.org/abs/1503.05671
        | A Kronecker-factored approximate Fisher matrix for convolution layers (Grosse & Martens,
          2016)
        | https://arxiv.org/abs/1602.01407
        | OOD Detection with Immature Models, Eqs. 3 to 7
        | https://arxiv.org/abs/2502.00820
    """

    def _fit(self, model: DensityModel, examples: Tensor) -> ScoreStatistic:
        from plugins.statistics.fisher.moments import Damping
        from plugins.statistics.fisher.score import fit_kfac

        damping = Damping(self.damping, self.damping_unit)
        return fit_kfac(model, examples, damping, self.max_factor)
