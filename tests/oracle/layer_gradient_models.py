"""Small models that make it hard to tell which parameter did what for which example."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import nn
from torch.distributions import Normal
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from oodbench import Images
from plugins.models.flows.actnorm import ActNorm

DOMAIN = Images(3, 4, 4)
FEATURES = DOMAIN.dims


class Density(nn.Module):
    """An unnormalised density: the sum of squares of what `network` returns, (N, ...)."""

    domain = DOMAIN
    likelihood = "unnormalized"

    def log_prob(self, x):
        h = self.network((x.to(next(self.parameters()).dtype) + 0.5) / 256 - 0.5)
        return -0.5 * torch.sin(h).square().flatten(1).sum(1)


class Plain(Density):
    """Whatever is given, on the images."""

    def __init__(self, *layers):
        super().__init__()
        self.network = nn.Sequential(*layers)


class Pixels(Density):
    """Embedded pixels, one sequence of 48 for each image."""

    def __init__(self, **options):
        super().__init__()
        self.embedding = nn.Embedding(256, 6, padding_idx=172, **options)
        self.body = nn.Linear(6, 3)

    def log_prob(self, x):
        return -0.5 * self.body(self.embedding(x.flatten(1).int())).square().flatten(1).sum(1)


class Scale(nn.Module):
    """y = x exp(s), with its log-determinant in one of many shapes."""

    def __init__(self, form, features=FEATURES):
        super().__init__()
        self.form = form
        self.s = nn.Parameter(torch.linspace(-0.3, 0.4, features))

    def forward(self, x):
        y, ladj = x * torch.exp(self.s), self.s.sum()
        if self.form == "per example":
            return y, ladj.expand(len(x))
        if self.form == "scalar":
            return y, ladj
        if self.form == "dict":
            return {"y": y, "ladj": ladj.expand(len(x)), "kind": "scale"}
        if self.form == "object":
            return Normal(y, torch.exp(self.s).expand_as(y))
        self.ladj = ladj  # left on the module
        return y


class Flow(Density):
    """Three scales and rotations, a standard normal base."""

    def __init__(self, form):
        super().__init__()
        self.scales = nn.ModuleList(Scale(form) for _ in range(3))
        self.mix = nn.Linear(FEATURES, FEATURES)

    def log_prob(self, x):
        y, ladj = (x.flatten(1).to(self.mix.weight.dtype) + 0.5) / 256, 0.0
        for scale in self.scales:
            out = scale(y)
            if isinstance(out, dict):
                y, more = out["y"], out["ladj"]
            elif isinstance(out, Normal):
                y, more = out.loc, torch.log(out.scale).sum(1)
            elif isinstance(out, tuple):
                y, more = out
            else:
                y, more = out, scale.ladj
            y, ladj = torch.tanh(self.mix(y)), ladj + more
        # The determinant reads the weight of a child.
        ladj = ladj + 3 * torch.linalg.slogdet(self.mix.weight).logabsdet
        return -0.5 * y.square().sum(1) + ladj


class Stacked(Flow):
    """Log-determinants of no shape are stacked: one per example would change their number."""

    def __init__(self):
        super().__init__("scalar")

    def log_prob(self, x):
        y, ladjs = (x.flatten(1).to(self.mix.weight.dtype) + 0.5) / 256, []
        for scale in self.scales:
            y, ladj = scale(y)
            y = torch.tanh(self.mix(y))
            ladjs.append(ladj)
        return -0.5 * y.square().sum(1) + torch.stack(ladjs).sum()


class SequenceFirst(nn.Module):
    """Rows are pixels, and the examples come second."""

    def __init__(self, rows):
        super().__init__()
        self.rows = rows
        self.norm = nn.LayerNorm(FEATURES // rows)
        self.linear = nn.Linear(FEATURES // rows, 5)

    def forward(self, x):
        sequence = x.reshape(len(x), self.rows, -1).transpose(0, 1)  # (T, N, E)
        return self.linear(self.norm(sequence)).transpose(0, 1)


class Shuffled(nn.Module):
    """Pixels and examples in one dimension, the pixel first."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(8, 5)

    def forward(self, x):
        rows = x.reshape(len(x), 6, 8).transpose(0, 1).reshape(6 * len(x), 8)
        return self.linear(rows).reshape(6, len(x), 5).transpose(0, 1)


class Experts(nn.Module):
    """Each example goes to one of two experts, which see nothing of the others."""

    def __init__(self):
        super().__init__()
        self.experts = nn.ModuleList(nn.Linear(FEATURES, 4) for _ in range(2))

    def forward(self, x):
        x = x.flatten(1)
        second, out = x[:, 0] > 0, x.new_zeros(len(x), 4)
        for chosen, expert in zip((~second, second), self.experts, strict=True):
            out[chosen] = expert(x[chosen])
        return out


class Context(nn.Module):
    """Uses a table whose length could be taken for a number of examples."""

    def __init__(self, rows):
        super().__init__()
        self.inner = Attending(rows)
        self.register_buffer("table", torch.linspace(-1, 1, rows * 4).reshape(rows, 4))

    def forward(self, x):
        return self.inner(x.flatten(1), self.table, gain=2.0)


class Attending(nn.Module):
    def __init__(self, rows):
        super().__init__()
        self.query = nn.Parameter(torch.linspace(-1, 1, FEATURES * 4).reshape(FEATURES, 4))
        self.gain = nn.Parameter(torch.ones(rows))

    def forward(self, x, table, *, gain):
        weights = (gain * self.gain * (x @ self.query @ table.T)).softmax(-1)
        return weights @ table


class Pair(NamedTuple):
    left: torch.Tensor
    right: torch.Tensor | None


class Named(nn.Module):
    """Returns a named tuple, one entry of which is nothing and one output unused."""

    def __init__(self):
        super().__init__()
        self.net = NamedInner()

    def forward(self, x):
        pair, _ = self.net(x.flatten(1))
        return pair.left


class NamedInner(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.linspace(-1, 1, FEATURES * 4).reshape(FEATURES, 4))
        self.only_unused = nn.Parameter(torch.ones(4))

    def forward(self, x):
        y = x @ self.weight
        return Pair(torch.sin(y), None), y * self.only_unused


class Square(torch.autograd.Function):
    """x^2 w with a backward of its own, and no rule for vectorisation."""

    @staticmethod
    def forward(ctx, x, w):
        ctx.save_for_backward(x, w)
        return x * x * w

    @staticmethod
    def backward(ctx, delta):
        x, w = ctx.saved_tensors
        return 2 * x * w * delta, (delta * x * x).sum(0)


class Custom(nn.Module):
    def __init__(self):
        super().__init__()
        self.w = nn.Parameter(torch.linspace(-1, 1, FEATURES))

    def forward(self, x):
        return Square.apply(x.flatten(1), self.w)


class Shift(nn.Module):
    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(0.5))
        self.shift = nn.Parameter(torch.linspace(-1, 1, FEATURES))

    def forward(self, x):
        return x + torch.exp(self.scale) * self.shift


class Overwriting(nn.Module):
    """Writes into what it gave its first layer, and into what its layers returned."""

    def __init__(self):
        super().__init__()
        self.shift = Shift()
        self.linear = nn.Linear(FEATURES, 6)
        self.norm = ActNorm(6)

    def forward(self, x):
        h = x.flatten(1) * 1.0
        out = self.shift(h)
        h.zero_()
        out = self.linear(torch.sin(out)).mul_(2.0)[:, :, None, None]
        shifted = self.norm(out)
        out.zero_()
        return shifted


class Blocked(nn.Module):
    """Some uses of its weight take no gradient."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(FEATURES, 6)
        self.other = nn.Linear(FEATURES, 6)

    def forward(self, x):
        x = x.flatten(1)
        with torch.no_grad():
            offset = self.linear(x) + self.other(x)
        scale = F.linear(x, self.other.weight.detach())
        return self.linear(x) * offset + scale


class Recursive(nn.Module):
    """Calls itself."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(
            torch.linspace(-0.2, 0.2, FEATURES * FEATURES).view(FEATURES, -1)
        )

    def forward(self, x, depth=2):
        y = torch.tanh(x.flatten(1) @ self.weight)
        return self(y, depth - 1) if depth else y


class Twice(nn.Module):
    """One linear layer called twice, its weight read once more, and once transposed."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(FEATURES, FEATURES)
        self.twin = nn.Linear(FEATURES, FEATURES, bias=False)
        self.twin.weight = self.linear.weight

    def forward(self, x):
        h = torch.tanh(self.linear(self.linear(x.flatten(1))))
        return self.twin(h) + h @ self.linear.weight


class Convolved(nn.Module):
    """One convolution at two resolutions, so that its calls have other numbers of positions."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 3, padding=1)

    def forward(self, x):
        fine = torch.tanh(self.conv(x))
        return (
            self.conv(fine[:, :, ::2, ::2]).flatten(1) + self.conv(fine).mean((1, 2, 3))[:, None]
        )


class Checkpointed(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(FEATURES, 6), nn.Tanh(), nn.Linear(6, 6))

    def forward(self, x):
        return checkpoint(self.net, torch.sin(x.flatten(1)), use_reentrant=False)


class Energy(Density):
    """Its density reads a gradient: score matching in one line."""

    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(FEATURES, 6), nn.Tanh(), nn.Linear(6, 1))

    def log_prob(self, x):
        with torch.enable_grad():
            y = (x.flatten(1).to(self.net[0].weight.dtype) / 256).requires_grad_()
            (score,) = torch.autograd.grad(self.net(y).sum(), y, create_graph=True)
        return -score.square().sum(1)


class Hooked(nn.Module):
    """A linear layer whose output a hook of the user's doubles."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(FEATURES, 6)
        self.linear.register_forward_hook(lambda module, args, output: 2 * output)
        self.patched = nn.Linear(6, 6)
        self.patched.forward = lambda x: F.linear(x, self.patched.weight, 3 * self.patched.bias)

    def forward(self, x):
        return self.patched(self.linear(x.flatten(1)))


class Method(nn.Module):
    """Parameters used outside any forward but that of the model."""

    def __init__(self):
        super().__init__()
        self.inner = MethodInner()

    def forward(self, x):
        return self.inner.features(x.flatten(1))


class MethodInner(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(FEATURES, 6)
        self.gain = nn.Parameter(torch.tensor(0.7))

    def features(self, x):
        return self.gain * self.linear(x)


class Attention(nn.Module):
    def __init__(self, *, batch_first):
        super().__init__()
        self.batch_first = batch_first
        self.attention = nn.MultiheadAttention(8, 2, batch_first=batch_first)

    def forward(self, x):
        x = x.reshape(len(x), 6, 8)
        x = x if self.batch_first else x.transpose(0, 1)
        y = self.attention(x, x, x, need_weights=False)[0]
        return y if self.batch_first else y.transpose(0, 1)


class Recurrent(nn.Module):
    def __init__(self):
        super().__init__()
        self.gru = nn.GRU(8, 5, batch_first=True)

    def forward(self, x):
        return self.gru(x.reshape(len(x), 6, 8))[0]


def with_unused_parameter():
    net = nn.Sequential(nn.Flatten(), nn.Linear(FEATURES, 6), nn.LayerNorm(6))
    net[2].unused = nn.Parameter(torch.ones(3))
    return net


def flat(*layers):
    return Plain(nn.Flatten(), *layers)


def randomised(model, seed=0):
    """The model in float64 and evaluation mode, every parameter moved off its start."""
    generator = torch.Generator().manual_seed(seed)
    model = model.double().eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator).double())
    return model


def groups_of(domain, groups, size, seed=0):
    """Random groups, of the dtype that a model gets, (M, b, *shape)."""
    generator = torch.Generator().manual_seed(seed)
    shape, dtype = (groups, size, *domain.shape), getattr(torch, domain.input_dtype)
    return torch.randint(domain.levels, shape, generator=generator, dtype=dtype)
