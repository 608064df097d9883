"""Rules for torch's built-in modules."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.grad import conv1d_weight, conv2d_weight, conv3d_weight

from plugins.statistics.layer_gradients.norms import (
    PIECE_BYTES,
    SMALL,
    Deferred,
    GroupGradient,
    Outer,
    Rows,
    RuleGradient,
    explicit_sq_norms,
    gram_is_cheaper,
)
from plugins.statistics.layer_gradients.registry import Call, Misaligned, layer_gradient_rule

Convolution = nn.Conv1d | nn.Conv2d | nn.Conv3d
Transposed = nn.ConvTranspose1d | nn.ConvTranspose2d | nn.ConvTranspose3d
WEIGHT_GRADIENTS = (conv1d_weight, conv2d_weight, conv3d_weight)


def summed_to(gradient: Tensor, shape: Sequence[int]) -> Tensor:
    """Sum the gradient for a broadcast parameter: (M, b r, ...) to (M, *shape)."""
    skipped = gradient.dim() - 2 - len(shape)
    over = [1, *range(2, 2 + skipped)]
    over += [2 + skipped + k for k, size in enumerate(shape) if size == 1]
    return gradient.sum(over).reshape(gradient.shape[0], *shape)


@layer_gradient_rule(nn.Linear, parameters=("weight", "bias"))
def linear(module: nn.Linear, call: Call) -> dict[str, GroupGradient]:
    """For y = x W^T + b: dW = sum delta x^T, db = sum delta, over all leading positions."""
    x, delta = call.grouped(call.inputs[0]), call.grouped(call.delta())
    x, delta = x.flatten(1, -2), delta.flatten(1, -2)  # (M, P, I), (M, P, O)
    gradients: dict[str, GroupGradient] = {"weight": Outer(x, delta)}
    if module.bias is not None:
        gradients["bias"] = delta.sum(1)
    return gradients


@layer_gradient_rule(nn.Conv1d, nn.Conv2d, nn.Conv3d, parameters=("weight", "bias"))
def convolution(module: Convolution, call: Call) -> dict[str, RuleGradient]:
    """For a convolution with any dimension, stride, padding, dilation and number of groups.

    dW = sum over output positions of delta times the input patch below each position.
    """
    return convolution_gradients(module, call, call.inputs[0], call.delta())


def convolution_gradients(
    module: Convolution, call: Call, x: Tensor, delta: Tensor
) -> dict[str, RuleGradient]:
    """Like `convolution`, with delta the gradient for the bare convolution's output."""
    _require_batch(module, x)
    reach = _reach(module)
    before, after = _padding(module, reach)
    if _thinner_by_delta(module, reach, before, after):
        # Move each output channel over the input instead: the same sum, with fewer columns.
        left = [size - p for size, p in zip(reach, before, strict=True)]
        right = [size - p for size, p in zip(reach, after, strict=True)]
        padded, points = _pad(delta, left, right), x
    else:
        padded, points = _pad(x, before, after, module.padding_mode), delta
    weight = _weight_gradient(call, padded, points, module)
    return {"weight": weight, "bias": channel_sums(call, delta)}


@layer_gradient_rule(
    nn.ConvTranspose1d,
    nn.ConvTranspose2d,
    nn.ConvTranspose3d,
    parameters=("weight", "bias"),
)
def transposed_convolution(module: Transposed, call: Call) -> dict[str, RuleGradient]:
    """For a transposed convolution with any stride, padding, dilation and number of groups.

    A transposed convolution is the way back through a convolution, so input and delta change
    places: dW = sum over input positions of x times the patch of delta at each position.
    """
    x, delta = call.inputs[0], call.delta()
    _require_batch(module, x)
    padding = list(module.padding)
    padded = _pad(delta, padding, padding)
    sizes = zip(x.shape[2:], module.stride, _reach(module), strict=True)
    for dim, (size, stride, reach) in enumerate(sizes, start=2):
        padded = padded.narrow(dim, 0, (size - 1) * stride + reach + 1)
    weight = _weight_gradient(call, padded, x, module)
    return {"weight": weight, "bias": channel_sums(call, delta)}


def _require_batch(module: Convolution | Transposed, x: Tensor) -> None:
    if x.dim() != 2 + len(module.kernel_size):
        raise Misaligned("the convolution has a single example as input, without a batch")


def _reach(module: Convolution | Transposed) -> list[int]:
    """Return how far a patch reaches in each spatial dimension."""
    return [d * (k - 1) for d, k in zip(module.dilation, module.kernel_size, strict=True)]


def channel_sums(call: Call, delta: Tensor) -> Tensor:
    """Sum delta over examples and positions: (M, C)."""
    return call.grouped(delta).sum([1, *range(3, delta.dim() + 1)])


def _weight_gradient(
    call: Call, padded: Tensor, points: Tensor, module: Convolution | Transposed
) -> RuleGradient:
    """Build the product of the patches of `padded` and the positions of `points`."""
    product = partial(_product, call, padded, points, module)
    positions = points[:, 0].numel() // call.groups
    size = math.prod(module.kernel_size)
    columns, outputs = padded.shape[1] // module.groups * size, points.shape[1] // module.groups
    if size == 1 or gram_is_cheaper(positions, columns, outputs):
        return product()
    if _has_fast_groups(padded):
        return Deferred(partial(_sq_norms_by_groups, call, padded, points, module), product)
    if _is_faster_by_rows(call, positions * columns, module):
        return Deferred(partial(_sq_norms_by_rows, call, padded, points, module), product)
    return product()


def _has_fast_groups(x: Tensor) -> bool:
    """Return whether a convolution with many groups is a single call, not a loop over groups."""
    is_float32_on_cpu = x.dtype == torch.float32 and x.device.type == "cpu"
    return is_float32_on_cpu and torch.backends.mkldnn.is_available()


def _sq_norms_by_groups(
    call: Call, padded: Tensor, points: Tensor, module: Convolution | Transposed
) -> Tensor:
    """Compute squared norms, float64, (M,), without patches.

    With the groups of examples side by side as channels, a convolution has M times as many groups
    and kernels, and the gradient for its kernels holds that for each group of examples.
    """
    weights = WEIGHT_GRADIENTS[len(module.kernel_size) - 1]
    shape = (points.shape[1], padded.shape[1] // module.groups, *module.kernel_size)
    step = max(1, PIECE_BYTES // (math.prod(shape) * padded.element_size()))
    pieces = zip(call.grouped(padded).split(step), call.grouped(points).split(step), strict=True)
    norms = []
    for x, delta in pieces:
        m = len(x)
        x, delta = (rows.transpose(0, 1).flatten(1, 2) for rows in (x, delta))  # (b, m C, *space)
        size = (m * shape[0], *shape[1:])
        stride, dilation, groups = module.stride, module.dilation, m * module.groups
        found = weights(x, size, delta, stride, 0, dilation, groups)
        norms.append(explicit_sq_norms(found.reshape(m, -1)))
    return torch.cat(norms)


def explicit_convolution_gradient(module: Convolution, call: Call) -> Tensor:
    """Compute the weight's gradient in the layout of the weight: (M, *weight.shape)."""
    _require_batch(module, call.inputs[0])
    before, after = _padding(module, _reach(module))
    padded = _pad(call.inputs[0], before, after, module.padding_mode)
    product = _product(call, padded, call.delta(), module).explicit()  # (M, ..., O, k C)
    by_patch = product.reshape(call.groups, module.out_channels, math.prod(module.kernel_size), -1)
    return by_patch.transpose(2, 3).reshape(call.groups, *module.weight.shape)


def _padding(module: Convolution, reach: list[int]) -> tuple[list[int], list[int]]:
    """Return the padding before and after each spatial dimension."""
    if module.padding == "valid":
        return [0] * len(reach), [0] * len(reach)
    if module.padding == "same":
        return [size // 2 for size in reach], [size - size // 2 for size in reach]
    return list(module.padding), list(module.padding)  # type: ignore[arg-type]


def _thinner_by_delta(
    module: Convolution, reach: list[int], before: list[int], after: list[int]
) -> bool:
    """Return whether to take patches of delta: cheaper with fewer output than input channels.

    The sum over shifted deltas is the same only without strides and groups, and with zeros as
    padding.
    """
    return (
        module.groups == 1
        and module.out_channels < module.in_channels
        and all(stride == 1 for stride in module.stride)
        and module.padding_mode == "zeros"
        and all(max(b, a) <= size for size, b, a in zip(reach, before, after, strict=True))
    )


def _pad(x: Tensor, before: list[int], after: list[int], mode: str = "zeros") -> Tensor:
    if not any(before) and not any(after):
        return x
    pairs = zip(reversed(before), reversed(after), strict=True)
    sizes = [size for pair in pairs for size in pair]
    return F.pad(x, sizes, "constant" if mode == "zeros" else mode)


def _points(x: Tensor) -> Tensor:
    """Treat each position as a patch: (N, C, *space) to (N, P, 1, C)."""
    return x.flatten(2).transpose(1, 2).unsqueeze(2)


def _patches(x: Tensor, module: Convolution | Transposed) -> Tensor:
    """Extract the kernel's patch at each position: (N, C, *space) to (N, P, prod(kernel), C).

    Channels come last, so that copies read contiguous memory.
    """
    space = len(module.kernel_size)
    if math.prod(module.kernel_size) * math.prod(module.stride) == 1:
        return _points(x)
    view = x.movedim(1, -1).contiguous()  # (N, *space, C)
    sizes = zip(module.kernel_size, module.dilation, module.stride, strict=True)
    for dim, (size, dilation, step) in enumerate(sizes, start=1):
        view = view.unfold(dim, dilation * (size - 1) + 1, step)[..., ::dilation]
    view = view.movedim(1 + space, -1)  # (N, *positions, *kernel, C)
    return view.flatten(1, space).flatten(2, 1 + space)


def _product(
    call: Call, padded: Tensor, points: Tensor, module: Convolution | Transposed
) -> Outer:
    """Build the product of patches and points over all positions, by blocks of channels."""
    blocks = module.groups

    def by_block(rows: Tensor) -> Tensor:
        rows = call.grouped(rows).flatten(1, 2)  # (M, b P, k, C)
        if blocks == 1:
            return rows.flatten(2)
        rows = rows.unflatten(3, (blocks, -1)).movedim(3, 1)  # (M, blocks, b P, k, C / blocks)
        return rows.flatten(3)

    return Outer(by_block(_patches(padded, module)), by_block(_points(points)))


def _is_faster_by_rows(call: Call, numbers: int, module: Convolution | Transposed) -> bool:
    """Return whether `_sq_norms_by_rows` holds and is faster than a product with whole patches.

    `numbers` is the size of all patches of a group.
    """
    return (
        len(module.kernel_size) == 2
        and module.kernel_size[0] > 1
        and module.stride == (1, 1)
        and module.groups == 1
        and numbers * call.groups > SMALL
    )


def _sq_norms_by_rows(
    call: Call, padded: Tensor, points: Tensor, module: nn.Conv2d | nn.ConvTranspose2d
) -> Tensor:
    """Compute squared norms, float64, (M,), by a product for each row of the kernel.

    Patches of a single kernel row serve all rows: in the flattened image, a row further down is
    a constant number of positions later. So a third of the numbers are copied for a 3x3 kernel.
    """
    (high, wide), (down, right) = module.kernel_size, module.dilation
    rows = padded.movedim(1, -1).contiguous()  # (N, H', W', C), with the padding
    rows = rows.unfold(2, right * (wide - 1) + 1, 1)[..., ::right]  # (N, H', W, C, wide)
    height, width = rows.shape[1:3]
    rows = call.grouped(rows.movedim(-1, 3)).flatten(4).flatten(1, 3)  # (M, b H' W, wide C)
    skipped = height - points.shape[2]
    if len(points) > call.groups:  # so that every image in a group has as many rows as `padded`
        points = F.pad(points, (0, 0, 0, skipped))
    points = call.grouped(points.movedim(1, -1)).flatten(1, 3)
    count = rows.shape[1] - skipped * width
    starts = [down * width * k for k in range(high)]
    norms = [Outer(rows[:, s : s + count], points[:, :count]).sq_norms() for s in starts]
    return torch.stack(norms).sum(0)


@layer_gradient_rule(
    nn.Embedding,
    parameters=("weight",),
    when=lambda module: module.max_norm is None and not module.scale_grad_by_freq,
)
def embedding(module: nn.Embedding, call: Call) -> dict[str, RuleGradient]:
    """For y = W[i]: dW is delta in the rows looked up, except for the padding row."""
    rows = call.grouped(call.inputs[0]).flatten(1).long()  # (M, P)
    delta = call.grouped(call.delta()).flatten(1, -2)  # (M, P, E)
    if module.padding_idx is not None:
        delta = delta.masked_fill((rows == module.padding_idx).unsqueeze(2), 0)
    return {"weight": Rows(rows, delta, module.num_embeddings)}


@layer_gradient_rule(nn.LayerNorm, parameters=("weight", "bias"))
def layer_norm(module: nn.LayerNorm, call: Call) -> dict[str, GroupGradient]:
    """For y = weight n(x) + bias, both with the normalised shape."""
    normalised = F.layer_norm(call.inputs[0], module.normalized_shape, eps=module.eps)
    return _affine(call, normalised, module.normalized_shape)


@layer_gradient_rule(nn.GroupNorm, parameters=("weight", "bias"))
def group_norm(module: nn.GroupNorm, call: Call) -> dict[str, GroupGradient]:
    """For y = weight n(x) + bias, both with an entry per channel."""
    x = call.inputs[0]
    normalised = F.group_norm(x, module.num_groups, eps=module.eps)
    return _per_channel(call, normalised)


@layer_gradient_rule(
    nn.BatchNorm1d,
    nn.BatchNorm2d,
    nn.BatchNorm3d,
    parameters=("weight", "bias"),
    when=lambda module: not module.training and module.running_mean is not None,
)
def batch_norm(module: nn.BatchNorm2d, call: Call) -> dict[str, GroupGradient]:
    """For y = weight n(x) + bias with the stored mean and variance, as in evaluation."""
    mean, variance = module.running_mean, module.running_var
    normalised = F.batch_norm(call.inputs[0], mean, variance, eps=module.eps)
    return _per_channel(call, normalised)


def _per_channel(call: Call, normalised: Tensor) -> dict[str, GroupGradient]:
    shape = (normalised.shape[1], *(1 for _ in normalised.shape[2:]))
    return _affine(call, normalised, shape)


def _affine(call: Call, normalised: Tensor, shape: Sequence[int]) -> dict[str, GroupGradient]:
    """Compute the gradients for scale and shift, both with a shape broadcast to delta's shape."""
    delta = call.delta()
    return {
        "weight": summed_to(call.grouped(delta * normalised), shape),
        "bias": summed_to(call.grouped(delta), shape),
    }
