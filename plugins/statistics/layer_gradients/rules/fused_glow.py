r"""A whole Glow level at once: forward pass, backward pass and layer gradients.

The result equals the `GlowLevel` module's result, in fewer and larger operations. With
s = exp(log_scale) for an ActNorm, the hidden layers in a coupling are

    h1 = relu((s1 w1) * a + s1 b1),   h2 = relu((s2 w2) * h1 + s2 b2),   o = e (w3 * h2 + b3)

with * a convolution and e = exp(3 log_scale). Backwards, with d1, d2, d3 the gradients for the
outputs of the bare convolutions,

    d3 = e d_o,   d2 = [h2 > 0] (w3 s2)^T * d3,   d1 = [h1 > 0] (w2 s1)^T * d2

where s2 and s1 scale the inputs to the transposed weights. The parameter gradients are

    w: sum of d times the input patches           ActNorm's b, convolution's bias: sum d
    hidden ActNorm's log_scale: (1/s) sum d h     last convolution's log_scale: 3 sum d_o o

The ActNorm and the 1x1 convolution in a step form a single matrix, y = (W s) x + (W s) b, so that

    W: (sum d_y x^T + (sum d_y) b^T) s             d_x = (W s)^T d_y

Scaling w and b by s has the same effect as the scale s after the convolution, so (1/s) sum d h
also equals the sum of w dw and b db: fewer products, if a row in dw is shorter than the number of
positions.

Activations are (N, H, W, C), so that the positions in an image are the rows of a matrix. The
gradients for the 3x3 convolutions need patches; the first convolution and the transposed last
convolution multiply these patches too, because both have few channels, for which torch's
convolutions are slow.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from plugins.models.flows.actnorm import ActNorm
from plugins.models.flows.convolutions import HiddenConv2d
from plugins.models.flows.couplings import ConvCoupling
from plugins.models.flows.fused import FoldedSteps, last_convolution
from plugins.models.flows.glow import GlowLevel
from plugins.models.flows.mixing import exactly, is_rounding
from plugins.statistics.layer_gradients.norms import PIECE_BYTES, Outer, explicit_sq_norms
from plugins.statistics.layer_gradients.registry import BackwardPass, layer_gradient_fused_rule


@layer_gradient_fused_rule(GlowLevel, when=GlowLevel.is_as_built)
def glow_level(level: GlowLevel, this: BackwardPass, x: Tensor) -> tuple[Tensor, Tensor]:
    """Map floating (N, C, H, W) to (N, 4 C, H/2, W/2), and ladj (N,)."""
    blocks = F.pixel_unshuffle(x, 2)  # equals `squeeze`, but needs N > 0 and no vmap
    y, ladj = _Level.apply(blocks, this.anchor, level, this)
    return y, ladj


class _Level(torch.autograd.Function):
    """The steps in a level; the backward pass reports the norms."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, anchor: Tensor, level: GlowLevel, this: BackwardPass
    ) -> tuple[Tensor, Tensor]:
        ctx.steps, ctx.this = list(level.steps), this
        dtype = _dtype_of_networks(x)
        with exactly(x):
            ctx.parameters = FoldedSteps(ctx.steps)
            ladj = ctx.parameters.ladj * (x.shape[2] * x.shape[3])
            x = x.permute(0, 2, 3, 1).contiguous()
            surroundings = _Surroundings(x.chunk(2, dim=3)[0], dtype)
            kept = [x]
            for k, step in enumerate(ctx.steps):
                ladj_step, *more = _step(step.coupling, ctx.parameters, k, x, surroundings)
                x, ladj = more[-1], ladj + ladj_step
                kept += more
        ctx.save_for_backward(*kept)
        return x.permute(0, 3, 1, 2), ladj

    @staticmethod
    def backward(ctx: Any, delta: Tensor, d_ladj: Tensor) -> tuple[Tensor | None, ...]:
        kept, delta = ctx.saved_tensors, delta.permute(0, 2, 3, 1)
        dtype = kept[1].dtype if ctx.steps else delta.dtype
        backward = _Backward(ctx.parameters, ctx.this, delta, d_ladj, dtype)
        for k in reversed(range(len(ctx.steps))):
            delta = backward.step(k, ctx.steps[k].coupling, delta, kept[6 * k : 6 * k + 7])
        backward.report()
        return delta.permute(0, 3, 1, 2), None, None, None


def _dtype_of_networks(x: Tensor) -> torch.dtype:
    """Return the dtype in which couplings compute: bfloat16 where torch casts automatically."""
    is_rounded = is_rounding(x) and x.dtype == torch.float32
    return torch.get_autocast_dtype(x.device.type) if is_rounded else x.dtype


def _step(
    coupling: ConvCoupling, p: FoldedSteps, k: int, x: Tensor, surroundings: _Surroundings
) -> tuple[Tensor, ...]:
    """Run step k: return the coupling's ladj, and the tensors to keep for the backward pass.

    The tensors are the patches of a, h1, h2, o, the scale and y; o is the network output and y
    the step output. Patches and hidden layers have the dtype of the networks.
    """
    y = F.linear(x, p.mix[k], p.shift[k])
    a, b = y.chunk(2, dim=3)
    w1, w2, w3 = coupling.conv1.weight, coupling.conv2.weight, coupling.conv3.weight
    patches = surroundings(a)
    h1 = _linear(patches, _by_patch(w1 * p.s1[k]), p.b1[k]).relu_()
    h2 = _linear(h1, (w2 * p.s2[k]).flatten(1), p.b2[k]).relu_()
    w3 = w3 * p.e[k].view(-1, 1, 1, 1)
    o = last_convolution(h2.permute(0, 3, 1, 2), w3, p.b3[k]).permute(0, 2, 3, 1)
    shift, raw = o.chunk(2, dim=3)
    log_scale = F.logsigmoid(raw + 2)
    scale = torch.exp(log_scale)
    torch.mul(b + shift, scale, out=b)  # y is now the output
    return log_scale.sum(dim=(1, 2, 3)), patches, h1, h2, o, scale, y


class _Backward:
    """Backward pass through the steps in a level, from the last to the first.

    Norms and small gradients are collected from step to step, and reported together at the end.
    """

    def __init__(
        self,
        parameters: FoldedSteps,
        this: BackwardPass,
        delta: Tensor,
        d_ladj: Tensor,
        dtype: torch.dtype,
    ) -> None:
        self._p, self._groups, self._this = parameters, this.groups, this
        self._d_ladj = d_ladj  # (N,)
        self._pixels = delta.shape[1] * delta.shape[2]
        self._surroundings, self._dtype = _Surroundings(delta, dtype), dtype
        self._sums: dict[str, list[Tensor]] = {}

    def step(
        self, k: int, coupling: ConvCoupling, delta: Tensor, kept: Sequence[Tensor]
    ) -> Tensor:
        """Return the gradient for the input; `kept` is the input and the tensors from `_step`."""
        x, patches, h1, h2, o, scale, y = kept
        p, half = self._p, y.shape[3] // 2
        w1, w2, w3 = coupling.conv1.weight, coupling.conv2.weight, coupling.conv3.weight
        d = y.new_empty(*y.shape[:3], 3 * half)
        d_y, d_o = d[..., : 2 * half], d[..., half:]  # overlap: b and shift share a gradient
        d_b = delta[..., half:]
        torch.mul(d_b, scale, out=d_o[..., :half])
        d_log_scale = torch.addcmul(self._d_ladj.view(-1, 1, 1, 1), d_b, y[..., half:])
        one_minus_scale = torch.sigmoid(-2 - o[..., half:])  # 1 - scale, without cancellation
        torch.mul(d_log_scale, one_minus_scale, out=d_o[..., half:])
        d3 = self._surroundings(d_o * p.e[k])
        d2 = _masked(d3 @ (_transposed(w3) * p.s2[k].flatten()).to(self._dtype), h2)
        d1 = _masked(d2 @ (w2.flatten(1) * p.s1[k].flatten()).to(self._dtype), h1)
        w1 = w1.to(self._dtype)
        d_a = F.conv_transpose2d(d1.permute(0, 3, 1, 2), w1, padding=1).permute(0, 2, 3, 1)
        torch.add(delta[..., :half], d_a, out=d_y[..., :half])
        self._hidden(k, 1, coupling.conv1, coupling.norm1, (patches, h1, d1))
        self._hidden(k, 2, coupling.conv2, coupling.norm2, (h1, h2, d2))
        self._collect("coupling.conv3.weight", Outer(self._rows(h2), self._rows(d3)).sq_norms())
        self._collect("mix", torch.bmm(self._rows(d_y).mT, self._rows(x)))
        self._collect("d", self._rows(d).sum(1))
        self._collect("d_o o", self._rows(d_o * o).sum(1))
        return d_y @ p.mix[k]

    def report(self) -> None:
        """Report the norms for all parameters in all steps."""
        p = self._p
        sums = {name: torch.stack(parts[::-1]) for name, parts in self._sums.items()}
        d_ladj = self._pixels * self._d_ladj.reshape(self._groups, -1).sum(1)[:, None]
        channels = p.biases.shape[1]
        y, o = sums["d"][..., :channels], sums["d"][..., channels // 2 :]  # (K, M, C)
        mix = sums["mix"] + y.unsqueeze(3) * p.biases[:, None, None]  # (K, M, C, C)
        mix = mix * p.scales[:, None, None]
        d_upper = (p.p @ p.lower).mT.unsqueeze(1) @ mix
        d_diagonal = d_upper.diagonal(dim1=2, dim2=3) * p.upper.diagonal(dim1=1, dim2=2)[:, None]
        d_lower = p.p.mT.unsqueeze(1) @ mix @ p.upper.mT.unsqueeze(1)
        self._norms({"mix.lower": d_lower.tril(-1), "mix.upper": d_upper.triu(1)})
        self._norms(
            {
                "norm.log_scale": (mix * p.mixes.unsqueeze(1)).sum(2) + d_ladj,
                "norm.bias": (y @ p.mixes) * p.scales.unsqueeze(1),
                "mix.log_s": d_diagonal + d_ladj,
                "coupling.conv3.bias": o * p.e.unsqueeze(1),
                "coupling.conv3.log_scale": 3 * sums["d_o o"],
            }
        )
        hidden = [f"coupling.norm{n}.{name}" for n in (1, 2) for name in ("bias", "log_scale")]
        self._norms({name: sums[name] for name in hidden})
        for name in [f"coupling.conv{n}.weight" for n in (1, 2, 3)]:
            self._report([name], sums[name])

    def _norms(self, gradients: Mapping[str, Tensor]) -> None:
        """Report the norms for explicit gradients with equal shapes, (K, M, ...)."""
        stacked = torch.stack(list(gradients.values()))
        norms = explicit_sq_norms(stacked.flatten(0, 2)).view(-1, stacked.shape[2])
        self._report(gradients, norms)

    def _report(self, names: Iterable[str], norms: Tensor) -> None:
        """Report squared norms, (len(names) K, M)."""
        steps = range(len(self._p.scales))
        self._this.report([f"steps.{k}.{name}" for name in names for k in steps], norms)

    def _hidden(
        self, k: int, number: int, conv: HiddenConv2d, norm: ActNorm, tensors: Sequence[Tensor]
    ) -> None:
        """Collect the norms for a hidden convolution and the gradients for the ActNorm.

        The tensors are the convolution's input or input patches, the ReLU output, and d.
        """
        weight = _by_patch(conv.weight)  # (w, I)
        scale, bias = (self._p.s1, self._p.s2)[number - 1][k].flatten(), norm.bias.flatten()
        norms, biases, log_scales = [], [], []
        for a, h, d in self._pieces(tensors, weight.numel()):  # (M, P, I), (M, P, w), (M, P, w)
            product, d_bias = Outer(a, d), d.sum(1, dtype=weight.dtype)
            if product.gram_is_cheaper:
                norms.append(product.sq_norms())
            else:
                d_weight = product.explicit()  # (M, w, I)
                norms.append(explicit_sq_norms(d_weight))
            if product.gram_is_cheaper or a.shape[1] < a.shape[2]:
                log_scales.append((d * h).sum(1, dtype=weight.dtype) / scale)
            else:
                log_scales.append((d_weight * weight).sum(2) + d_bias * bias)
            biases.append(d_bias)
        self._collect(f"coupling.conv{number}.weight", _joined(norms))
        self._collect(f"coupling.norm{number}.bias", _joined(biases))
        self._collect(f"coupling.norm{number}.log_scale", _joined(log_scales))

    def _pieces(self, tensors: Sequence[Tensor], size: int) -> Iterable[Sequence[Tensor]]:
        """Yield the rows for as many groups at a time as fit, with `size` numbers per group."""
        rows = [self._rows(tensor) for tensor in tensors]
        step = max(1, PIECE_BYTES // (size * rows[0].element_size()))
        if step >= self._groups:
            return [rows]
        return zip(*(each.split(step) for each in rows), strict=True)

    def _rows(self, x: Tensor) -> Tensor:
        """Collect the positions in each group: (N, H, W, C) to (M, b H W, C)."""
        return x.reshape(self._groups, -1, x.shape[3])

    def _collect(self, name: str, gradient: Tensor) -> None:
        self._sums.setdefault(name, []).append(gradient)


def _joined(pieces: Sequence[Tensor]) -> Tensor:
    return pieces[0] if len(pieces) == 1 else torch.cat(list(pieces))


def _linear(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Compute `F.linear` for (N, H, W, C) by a convolution, which adds the bias in one go."""
    weight, bias = weight[..., None, None].to(x.dtype), bias.to(x.dtype)
    return F.conv2d(x.permute(0, 3, 1, 2), weight, bias).permute(0, 2, 3, 1)


def _by_patch(weight: Tensor) -> Tensor:
    """Reshape convolution weights to multiply patches: (O, C, k, k) to (O, k^2 C)."""
    return weight.permute(0, 2, 3, 1).flatten(1)


def _transposed(weight: Tensor) -> Tensor:
    """Reshape weights for patches of d, from the right: (O, C, k, k) to (k^2 O, C)."""
    return weight.flip(2, 3).permute(2, 3, 0, 1).flatten(0, 2)


def _masked(delta: Tensor, h: Tensor) -> Tensor:
    """Pass a gradient back through a ReLU with output h; overwrites delta."""
    aten = torch.ops.aten.threshold_backward
    return aten.grad_input(delta, h, 0, grad_input=delta)  # in place, to save memory


class _Surroundings:
    """The 3x3 surroundings for each position in images with equal shapes, with zeros outside.

    A single padded buffer serves all steps, so that padding costs a copy into the buffer only.

    Arguments:
        like: Any tensor with the images' shape, (N, H, W, C).
        dtype: Floating-point type of the results.
    """

    def __init__(self, like: Tensor, dtype: torch.dtype) -> None:
        n, height, width, c = like.shape
        padded = like.new_zeros(n, height + 2, width + 2, c, dtype=dtype)
        image, row, column, channel = padded.stride()
        self._inside = padded[:, 1:-1, 1:-1]
        self._windows = padded.as_strided(
            (n, height, width, 3, 3, c), (image, row, column, row, column, channel)
        )

    def __call__(self, x: Tensor) -> Tensor:
        """Map (N, H, W, C) to (N, H, W, 9 C)."""
        self._inside.copy_(x)
        return self._windows.clone(memory_format=torch.contiguous_format).flatten(3)
