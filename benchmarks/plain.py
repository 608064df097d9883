"""The models in a plain formulation, for the other benchmarks; the densities are those of ours.

Glow and the linear Glow: as in the published code. RealNVP: contiguous activations, channels
gathered before each coupling and scattered after it, ActNorms and log-determinants by themselves.
Autoregressive flows: zuko's own `Flow`, with its own base distribution. Models of text: as ours.
"""

from __future__ import annotations

import math

import torch
from torch.distributions import Normal
from torch.nn import functional as F
from zuko.distributions import DiagNormal
from zuko.lazy import Flow, UnconditionalDistribution

from oodbench import Tokens
from plugins.models.flows.autoregressive import MaskedAffine, MaskedSpline
from plugins.models.flows.multiscale import squeeze
from plugins.models.flows.realnvp import RealNVP, by_colour


def plain_realnvp(model, y):
    """log p of y in [-1/2, 1/2), without the bins' volume."""
    x, log_prob = _logit(y, model.levels[0][0].alpha)
    for index, level in enumerate(model.levels):
        x = F.pixel_unshuffle(x, 2)
        order = by_colour(x.shape[1] // 4).to(x.device)
        steps = [layer for layer in level if hasattr(layer, "__len__")]
        for number, (norm, coupling) in enumerate(steps):
            checkered = number < len(steps) // 2
            x = x[:, order] if checkered else x
            x = (x + norm.bias) * torch.exp(norm.log_scale)
            log_prob = log_prob + norm.log_scale.sum() * x.shape[2] * x.shape[3]
            half = x.shape[1] // 2
            kept, moved = (slice(half), slice(half, None))[:: 1 if coupling.kept == 0 else -1]
            shift, raw = coupling.net(x[:, kept].contiguous()).chunk(2, dim=1)
            log_scale = 4 * torch.tanh(raw / 4)
            out = x.clone()
            out[:, moved] = x[:, moved] * torch.exp(log_scale) + shift
            log_prob = log_prob + log_scale.flatten(1).sum(1)
            x = out[:, torch.argsort(order)] if checkered else out
        if index < len(model.splits):
            x, z = x.chunk(2, dim=1)
            log_prob = log_prob + Normal(0.0, 1.0).log_prob(z).flatten(1).sum(1)
    return log_prob + Normal(0.0, 1.0).log_prob(x).flatten(1).sum(1)


def plain_autoregressive(model, y):
    """log p of y in [-1/2, 1/2), without the bins' volume."""
    logit, norm = model.entrance
    x, ladj = _logit(y, logit.alpha)
    x = (x + norm.bias) * torch.exp(norm.log_scale)
    ladj = ladj + norm.log_scale.sum() * x.shape[2] * x.shape[3]
    zero = torch.zeros(model.domain.dims, dtype=x.dtype, device=x.device)
    base = UnconditionalDistribution(DiagNormal, zero, torch.ones_like(zero), buffer=True)
    return Flow(list(model.transforms), base)().log_prob(x.flatten(1)) + ladj


def _logit(y, alpha):
    s = alpha + (1 - 2 * alpha) * (y + 0.5)
    ladj = math.log(1 - 2 * alpha) - torch.log(s) - torch.log(1 - s)
    return torch.log(s) - torch.log(1 - s), ladj.flatten(1).sum(1)


PLAIN = {
    RealNVP: plain_realnvp,
    MaskedAffine: plain_autoregressive,
    MaskedSpline: plain_autoregressive,
}


def published_log_prob(model, x):
    """`model.log_prob(x)`, step by step as in the published code."""
    domain = model.domain
    if isinstance(domain, Tokens):
        return model.log_prob(x)
    y = (x.to(next(model.parameters()).dtype) + 0.5) / domain.levels - 0.5
    log_prob = y.new_full((len(y),), -domain.dims * domain.bits * math.log(2))
    if type(model) in PLAIN:
        return log_prob + PLAIN[type(model)](model, y)
    if hasattr(model, "levels"):
        return log_prob + _published_glow(model, y)
    for k in range(model._n_steps):
        y, ladj = _published_linear_step(model._step(k), y, k % 2)
        log_prob = log_prob + ladj
    return log_prob + (-y - 2 * F.softplus(-y)).flatten(1).sum(1)


def _published_glow(model, y):
    log_prob = y.new_zeros(len(y))
    for index, level in enumerate(model.levels):
        y = squeeze(y).contiguous()  # ours is channels-last, which the layers would take over
        for step in level.steps:
            y, ladj = _published_step(step, y)
            log_prob = log_prob + ladj
        if index < len(model.splits):
            y, z = y.chunk(2, dim=1)
            mean, log_sd = _zero_conv(model.splits[index].prior.conv, y).chunk(2, dim=1)
            log_prob = log_prob + _gaussian(z, mean, log_sd)
    zeros = torch.zeros(len(y), 2 * y.shape[1], *y.shape[2:], dtype=y.dtype, device=y.device)
    mean, log_sd = _zero_conv(model.top.prior.conv, zeros).chunk(2, dim=1)
    return log_prob + _gaussian(y, mean, log_sd)


def _published_step(step, x):
    pixels = x.shape[2] * x.shape[3]
    x, mix, net = _actnorm(step.norm, x), step.mix, step.coupling
    eye = torch.eye(x.shape[1], dtype=x.dtype, device=x.device)
    lower = mix.lower * torch.tril(torch.ones_like(eye), -1) + eye
    upper = mix.upper * torch.triu(torch.ones_like(eye), 1)
    upper = upper + torch.diag(mix.sign * torch.exp(mix.log_s))
    x = F.conv2d(x, torch.matmul(mix.p, torch.matmul(lower, upper))[:, :, None, None])
    a, b = x.chunk(2, dim=1)
    h = F.relu(_actnorm(net.norm1, F.conv2d(a, net.conv1.weight, padding=1)))
    h = F.relu(_actnorm(net.norm2, F.conv2d(h, net.conv2.weight)))
    shift, raw = _zero_conv(net.conv3, h).chunk(2, dim=1)
    scale = torch.sigmoid(raw + 2)
    ladj = torch.log(scale).flatten(1).sum(1)
    ladj = ladj + pixels * (step.norm.log_scale.sum() + mix.log_s.sum())
    return torch.cat((a, (b + shift) * scale), dim=1), ladj


def _published_linear_step(step, x, parity):
    x = F.conv2d(_actnorm(step.norm, x), step.mix.weight[:, :, None, None])
    pixels, net = x.shape[2] * x.shape[3], step.coupling
    ladj = pixels * (step.norm.log_scale.sum() + torch.linalg.slogdet(step.mix.weight)[1])
    mask = (net.even if parity == 0 else 1 - net.even).reshape(x.shape[1:])
    kept = (x * mask).flatten(1)
    log_scale = torch.tanh(net.log_scale_net(kept)).reshape(x.shape) * (1 - mask)
    shift = net.shift_net(kept).reshape(x.shape) * (1 - mask)
    return x * torch.exp(log_scale) + shift, ladj + log_scale.flatten(1).sum(1)


def _actnorm(norm, x):
    return (x + norm.bias) * torch.exp(norm.log_scale)


def _zero_conv(conv, x):
    return F.conv2d(x, conv.weight, conv.bias, padding=1) * torch.exp(3 * conv.log_scale)


def _gaussian(z, mean, log_sd):
    square = (z - mean) ** 2 / torch.exp(2 * log_sd)
    return (-0.5 * (math.log(2 * math.pi) + 2 * log_sd + square)).flatten(1).sum(1)
