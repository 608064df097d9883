"""Models that lack what some statistics need, as plugins; each is otherwise in order."""

from __future__ import annotations

import torch
from torch import nn

from oodbench import Entry, hookimpl


@hookimpl
def bench_models():
    """One entry for each model that can be trained."""
    for kind in (Energy, Branching):
        yield Entry(kind.__name__.lower(), f":{kind.__name__}", kind.__doc__)


class Plain(nn.Module):
    """Differentiable, with one linear layer."""

    likelihood = "unnormalized"

    def __init__(self, domain):
        super().__init__()
        self.domain = domain
        self.linear = nn.Linear(domain.dims, 3)

    def values(self, x):
        return x.flatten(1).to(self.linear.weight.dtype) / 255

    def log_prob(self, x):
        return self.linear(self.values(x)).tanh().sum(1)

    def training_loss(self, x, generator):
        return -self.log_prob(x).mean()


class Energy(Plain):
    """Differentiates within its forward pass."""

    def log_prob(self, x):
        with torch.enable_grad():
            y = self.values(x).requires_grad_()
            (score,) = torch.autograd.grad(self.linear(y).tanh().sum(), y, create_graph=True)
        return -score.square().sum(1)


class Branching(Plain):
    """Gives dark and bright images to other layers, and calls a layer for all its images."""

    def __init__(self, domain):
        super().__init__(domain)
        self.bright = nn.Linear(domain.dims, 3)

    def log_prob(self, x):
        y, is_bright = self.values(x), self.values(x).mean(1) > 0.5
        found = torch.zeros(len(x), dtype=y.dtype, device=y.device)
        for layer, rows in ((self.linear, ~is_bright), (self.bright, is_bright)):
            if rows.any():
                found = found.masked_scatter(rows, layer(y[rows]).tanh().sum(1))
        return found


class Constant(Plain):
    """Has parameters, and a density that does not depend on them."""

    def log_prob(self, x):
        return self.values(x).sum(1)


class Outside(Plain):
    """Computes its density by NumPy, where no gradient follows."""

    def log_prob(self, x):
        weight = self.linear.weight.detach().numpy()
        return torch.from_numpy(self.values(x).detach().numpy() @ weight.T).sum(1)


class Counting(Plain):
    """Has a whole number as parameter."""

    def __init__(self, domain):
        super().__init__(domain)
        self.calls = nn.Parameter(torch.zeros((), dtype=torch.int64), requires_grad=False)


class Bare(Plain):
    """Has no parameters at all, but terms and noise."""

    def __init__(self, domain):
        nn.Module.__init__(self)
        self.domain = domain

    def log_prob(self, x):
        return -x.flatten(1).to(torch.float32).square().sum(1)

    def log_prob_terms(self, x):
        return {"only": self.log_prob(x)}

    def to_noise(self, x):
        return x.flatten(1) ** 2 + x.flatten(1)


class Rounding(Plain):
    """A flow whose noise is rounded, so that it has no derivative."""

    def to_noise(self, x):
        return self.values(x.to(torch.uint8))


class Once(torch.autograd.Function):
    """The sine, with a first derivative only."""

    @staticmethod
    def forward(context, x):
        context.save_for_backward(x)
        return x.sin()

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(context, gradient):
        return gradient * context.saved_tensors[0].cos()


class Curved(Plain):
    """A flow whose noise can be differentiated once only."""

    def to_noise(self, x):
        return Once.apply(self.values(x))


class NoModule:
    """Another model, in a class that is no module."""

    def __init__(self, domain):
        self._model = Plain(domain)

    def __getattr__(self, name):
        return getattr(self._model, name)
