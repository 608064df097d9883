"""Faults planted in the engine: the comparison with the loop sees each, so does verification."""

from __future__ import annotations

import importlib
import importlib.abc
import importlib.util
import sys
from contextlib import contextmanager

import numpy as np
import pytest
import torch

from oodbench import Images
from plugins.models.flows.glow import GlowLevel
from plugins.models.glow import glow
from plugins.statistics.layer_gradients.objectives import latent_sum, log_prob
from plugins.statistics.layer_gradients.reference import looped_layer_gradients
from tests.oracle import test_layer_gradient_engine as own
from tests.oracle import test_layer_gradient_engine_models as foreign
from tests.oracle import test_layer_gradient_engine_text as text
from tests.oracle.layer_gradient_models import groups_of, randomised

PACKAGE = "plugins.statistics.layer_gradients"

# What is wrong, and the model, group size and (for Glow) path on which it shows.
FAULTS = {
    "Gram matrix of delta alone": (
        "norms",
        "(a.double() * d)",
        "(d.double() * d)",
        "linear",
        2,
    ),
    "norm of delta alone": (
        "norms",
        "explicit_sq_norms(a) * explicit_sq_norms(d)",
        "explicit_sq_norms(d)",
        "linear",
        1,
    ),
    "a block of channels dropped": (
        "norms",
        "return squares.reshape(m, -1).sum(1)",
        "return squares.reshape(m, -1)[:, 0]",
        "conv-grouped",
        1,
    ),
    "square left out": (
        "norms",
        "dim=1, dtype=torch.float64).square()",
        "dim=1, dtype=torch.float64)",
        "linear",
        1,
    ),
    "columns in the wrong order": (
        "norms",
        "order = [column for columns, _ in self._done for column in columns]",
        "order = sorted(column for columns, _ in self._done for column in columns)",
        "norms",
        1,
    ),
    "examples dealt out to groups like cards": (
        "registry",
        "return tensor.reshape(self.groups, tensor.shape[0] // self.groups, *tensor.shape[1:])",
        "return tensor.unflatten(0, (-1, self.groups)).transpose(0, 1)",
        "linear",
        2,
    ),
    "a call of a shared module dropped": (
        "recorder",
        "for name, call in calls:",
        "for name, call in calls[1:]:",
        "linear-shared",
        1,
    ),
    "norms added over calls instead of gradients": (
        "norms",
        "return _joined(products, -2)",
        "return Outer(*(torch.stack(x, 1) for x in zip(*((p.a, p.d) for p in products))))",
        "linear-shared",
        1,
    ),
    "log-determinant of ActNorm dropped": (
        "rules.flow_layers",
        'return gradients | {"log_scale": log_scale + _pixels_times_delta(call)}',
        "return gradients",
        "linear-shared",
        1,
    ),
    "log-determinant of ActNorm for one pixel": (
        "rules.flow_layers",
        "pixels = call.inputs[0].shape[2] * call.inputs[0].shape[3]",
        "pixels = 1",
        "linear-shared",
        1,
    ),
    "log-determinant of the plain 1x1 convolution dropped": (
        "rules.flow_layers",
        "_weight_gradient(call) + ladj * torch.linalg.inv(module.weight).T",
        "_weight_gradient(call)",
        "linear-own",
        1,
    ),
    "log-determinant of the LU convolution dropped": (
        "rules.flow_layers",
        "log_s = diagonal + _pixels_times_delta(call).flatten(1)",
        "log_s = diagonal",
        "glow by rules",
        1,
    ),
    "diagonal of L given a gradient": (
        "rules.flow_layers",
        ".tril(-1)",
        ".tril()",
        "glow by rules",
        1,
    ),
    "scale of ActNorm forgotten in the gradient of its bias": (
        "rules.flow_layers",
        '"bias": bias * scale',
        '"bias": bias',
        "glow by rules",
        1,
    ),
    "factor of the log-scale": (
        "rules.flow_layers",
        "log_scale = 3 * summed_to",
        "log_scale = summed_to",
        "glow",
        1,
    ),
    "scale forgotten in the gradient of the last convolution": (
        "rules.flow_layers",
        "inner = delta * torch.exp(3 * module.log_scale)",
        "inner = delta",
        "glow",
        1,
    ),
    "dilation": (
        "rules.torch_layers",
        "[..., ::dilation]",
        "[..., :size]",
        "conv-strided",
        1,
    ),
    "patches of delta shifted": (
        "rules.torch_layers",
        "padded, points = _pad(delta, left, right), x",
        "padded, points = _pad(delta, left, right).roll(1, -1), x",
        "conv-thin",
        1,
    ),
    "row of the padding given a gradient": (
        "rules.torch_layers",
        "if module.padding_idx is not None:",
        "if False:",
        "embedding",
        2,
    ),
    "equal tokens counted once": (
        "norms",
        "sums.index_add_",
        "sums.index_copy_",
        "transformer",
        1,
    ),
    "tokens of all groups added up": (
        "norms",
        "self.rows + self.size * groups.unsqueeze(1)",
        "self.rows",
        "transformer",
        1,
    ),
    "cross term of a tied weight dropped": (
        "norms",
        "+ 2 * cross",
        "",
        "tied",
        1,
    ),
    "cross term of a tied weight with the wrong tokens": (
        "norms",
        "product.d.gather(2, self.rows",
        "product.d.gather(2, self.rows.roll(1, 1)",
        "tied",
        2,
    ),
    "one of two layers with the same weight overlooked": (
        "plan",
        "units = [Unit(way, {name: Part() for name in way[0]}) for way in preferred]",
        "units = [Unit(way, {name: Part() for name in way[0][:1]}) for way in preferred]",
        "twins",
        1,
    ),
    "RMS normalisation with its weight": (
        "rules.transformer_layers",
        "torch.ones_like(weight)",
        "weight",
        "rms-norm",
        1,
    ),
    "attention: last layer passed over on the way back": (
        "rules.transformer_layers",
        "delta @ module.out_proj.weight",
        "delta",
        "self-attention",
        1,
    ),
    "attention: gradient of the shares dropped": (
        "rules.transformer_layers",
        "back.append((shares, call.deltas[1]))",
        "pass",
        "attention-crossed",
        1,
    ),
    "attention: queries and keys exchanged": (
        "rules.transformer_layers",
        "zip(names, products, strict=True)",
        "zip(names, [products[0], products[2], products[1]], strict=True)",
        "attention-crossed",
        1,
    ),
    "normalised with another eps": (
        "rules.torch_layers",
        "F.group_norm(x, module.num_groups, eps=module.eps)",
        "F.group_norm(x, module.num_groups, eps=0.01)",
        "norms",
        1,
    ),
    "a value that leaves a module unseen": (
        "graph",
        "self._leaky.add(call.module)",
        "pass",
        "flow-side-channel",
        1,
    ),
    "a use in the parent overlooked": (
        "graph",
        "chains = [self._able(name, use) for use in uses]",
        "chains = [max((self._able(name, use) for use in uses), key=len)]",
        "flow-ladj",
        1,
    ),
    "gradients of outputs ignored": (
        "vmap",
        "(out * delta[k]).sum()",
        "out.sum()",
        "instance-norm",
        1,
    ),
    "an output more than counts": (
        "vmap",
        "for out, k in replay.outputs(function, row)",
        "for out, k in replay.outputs(function, row)[:1]",
        "flow-ladj",
        1,
    ),
    "Glow: log-determinant of ActNorm dropped": (
        "rules.fused_glow",
        ".sum(2) + d_ladj,",
        ".sum(2),",
        "glow",
        1,
    ),
    "Glow: log-determinant counted where nothing reads it": (
        "rules.fused_glow",
        "self._d_ladj = d_ladj",
        "self._d_ladj = torch.ones_like(d_ladj)",
        "glow, latent",
        1,
    ),
    "Glow: log-determinant of the mixing dropped": (
        "rules.fused_glow",
        "d_diagonal + d_ladj",
        "d_diagonal",
        "glow",
        1,
    ),
    "Glow: log-determinant of the coupling dropped": (
        "rules.fused_glow",
        "torch.addcmul(self._d_ladj.view(-1, 1, 1, 1), d_b, y[..., half:])",
        "d_b * y[..., half:]",
        "glow",
        1,
    ),
    "Glow: examples dealt out to groups like cards": (
        "rules.fused_glow",
        "return x.reshape(self._groups, -1, x.shape[3])",
        "return x.reshape(-1, self._groups, x.shape[3]).transpose(0, 1)",
        "glow",
        2,
    ),
    "Glow: scales of the hidden layers exchanged": (
        "rules.fused_glow",
        "w2.flatten(1) * p.s1[k]",
        "w2.flatten(1) * p.s2[k]",
        "glow",
        1,
    ),
    "Glow: sigmoid of something else": (
        "rules.fused_glow",
        "torch.sigmoid(-2 - o[..., half:])",
        "torch.sigmoid(-1.99 - o[..., half:])",
        "glow",
        1,
    ),
    "Glow: ReLU not passed on the way back": (
        "rules.fused_glow",
        "aten.grad_input(delta, h, 0, grad_input=delta)",
        "delta",
        "glow",
        1,
    ),
    "Glow: scale of ActNorm forgotten": (
        "rules.fused_glow",
        "(y @ p.mixes) * p.scales.unsqueeze(1)",
        "(y @ p.mixes)",
        "glow",
        1,
    ),
    "Glow: permutation forgotten": (
        "rules.fused_glow",
        "p.p.mT.unsqueeze(1) @ mix @ p.upper.mT.unsqueeze(1)",
        "mix @ p.upper.mT.unsqueeze(1)",
        "glow",
        1,
    ),
    "Glow: factor of the log-scale": (
        "rules.fused_glow",
        '3 * sums["d_o o"]',
        'sums["d_o o"]',
        "glow",
        1,
    ),
    "Glow: scale forgotten in the log-scale of a hidden layer": (
        "rules.fused_glow",
        ".sum(1, dtype=weight.dtype) / scale)",
        ".sum(1, dtype=weight.dtype))",
        "glow",
        1,
    ),
    "Glow: bias forgotten in the log-scale of a hidden layer": (
        "rules.fused_glow",
        "(d_weight * weight).sum(2) + d_bias * bias",
        "(d_weight * weight).sum(2)",
        "glow, more positions",
        1,
    ),
    "Glow: weights in another order than patches": (
        "rules.fused_glow",
        "weight = _by_patch(conv.weight)",
        "weight = conv.weight.flatten(1)",
        "glow, more positions",
        2,
    ),
    "Glow: steps in the order of the backward pass": (
        "rules.fused_glow",
        "torch.stack(parts[::-1])",
        "torch.stack(parts)",
        "glow",
        1,
    ),
    "Glow: patches without a corner": (
        "rules.fused_glow",
        "d3 = self._surroundings(d_o * p.e[k])",
        "d3 = self._surroundings(d_o * p.e[k]); d3[..., : 2 * half] = 0",
        "glow",
        1,
    ),
    "Glow: scale forgotten in what goes back through the last convolution": (
        "rules.fused_glow",
        "self._surroundings(d_o * p.e[k])",
        "self._surroundings(d_o)",
        "glow",
        1,
    ),
    "Glow: kernel of the last convolution not turned round": (
        "rules.fused_glow",
        "weight.flip(2, 3).permute(2, 3, 0, 1)",
        "weight.permute(2, 3, 0, 1)",
        "glow",
        1,
    ),
    "Glow: gradients of shift and scale exchanged": (
        "rules.fused_glow",
        "d_y, d_o = d[..., : 2 * half], d[..., half:]",
        "d_y, d_o = d[..., : 2 * half], d[..., half:].roll(half, 3)",
        "glow",
        1,
    ),
    "Glow: scale of the last convolution forgotten": (
        "rules.fused_glow",
        "o * p.e.unsqueeze(1)",
        "o",
        "glow",
        1,
    ),
}


class _Planter(importlib.abc.MetaPathFinder, importlib.abc.SourceLoader):
    """Imports one module with a line changed."""

    def __init__(self, name, old, new):
        self.name, self.old, self.new = name, old, new
        self.path = importlib.util.find_spec(name).origin

    def find_spec(self, fullname, path, target=None):
        if fullname == self.name:
            return importlib.util.spec_from_loader(fullname, self, origin=self.path)
        return None

    def get_filename(self, fullname):
        return self.path + " with a fault"

    def get_data(self, path):
        with open(self.path, encoding="utf-8") as file:
            source = file.read()
        assert source.count(self.old) >= 1, f"{self.old!r} is no longer in {self.path}"
        return source.replace(self.old, self.new).encode()


@contextmanager
def planted(module, old, new):
    """The engine module with a fault in one of its parts; afterwards it is sound again."""
    planter = _Planter(f"{PACKAGE}.{module}", old, new)
    sound = {name: m for name, m in sys.modules.items() if name.startswith(PACKAGE)}
    for name in sound:
        del sys.modules[name]
    sys.meta_path.insert(0, planter)
    try:
        yield importlib.import_module(f"{PACKAGE}.engine")
    finally:
        sys.meta_path.remove(planter)
        for name in [name for name in sys.modules if name.startswith(PACKAGE)]:
            del sys.modules[name]
        sys.modules.update(sound)
        sys.modules["plugins.statistics"].layer_gradients = sound[PACKAGE]


def build(name):
    torch.manual_seed(0)
    if name.startswith("glow"):
        side = 8 if name.endswith("more positions") else 4
        return randomised(glow(Images(1, side, side), levels=1, steps=2, width=8))
    tables = own.MODELS | foreign.MODELS | text.MODELS
    return randomised(tables[name][0]())


def differs(norms, expected):
    return not np.allclose(norms, expected, rtol=1e-9, atol=1e-18)


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_seen_by_the_loop_and_mended_by_verification(fault, monkeypatch):
    module, old, new, name, size = FAULTS[fault]
    model = build(name)
    groups = groups_of(model.domain, 5, size)
    objective = latent_sum if name.endswith("latent") else log_prob
    expected = looped_layer_gradients(model, groups, objective)
    with planted(module, old, new) as engine:
        parts = {part: sys.modules[f"{PACKAGE}.{part}"] for part in ("verification", "registry")}
        if name.endswith("by rules"):
            monkeypatch.delitem(parts["registry"]._FUSED_RULES, GlowLevel)
        with monkeypatch.context() as context:
            context.setattr(parts["verification"], "_wrong", lambda *args: set())
            assert differs(engine.LayerGradientEngine(objective)(model, groups), expected)
        assert not differs(engine.LayerGradientEngine(objective)(model, groups), expected)


def test_without_a_fault_nothing_is_seen():
    model = build("glow")
    groups = groups_of(model.domain, 5, 2)
    with planted("norms", "def sq_norms", "def sq_norms") as engine:
        norms = engine.LayerGradientEngine()(model, groups)
    assert not differs(norms, looped_layer_gradients(model, groups))
