"""The engine against the loop on models of text, and the memory that text takes."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from oodbench import Tokens
from plugins.models.transformer import transformer
from plugins.statistics.layer_gradients import norms, vmap
from plugins.statistics.layer_gradients.allocations import Allocations
from plugins.statistics.layer_gradients.engine import LayerGradientEngine
from plugins.statistics.layer_gradients.graph import ObjectiveModule
from plugins.statistics.layer_gradients.norms import Outer, Rows, sq_norms, total
from plugins.statistics.layer_gradients.reference import looped_layer_gradients
from tests.oracle.layer_gradient_models import groups_of, randomised

DOMAIN = Tokens(10, vocabulary=14)
WIDTH = 8


class Text(nn.Module):
    """Embedded tokens, then whatever `body` does, and a head; no density, but like one."""

    domain, likelihood = DOMAIN, "unnormalized"

    def __init__(self, body=None):
        super().__init__()
        self.tokens = nn.Embedding(DOMAIN.vocabulary, WIDTH, padding_idx=3)
        self.body = body or nn.Identity()
        self.head = nn.Linear(WIDTH, DOMAIN.vocabulary)

    def log_prob(self, x):
        logits = self.head(torch.tanh(self.body(self.tokens(x))))
        return -F.cross_entropy(logits.transpose(1, 2), x.roll(1, 1), reduction="none").sum(1)


class TiedOutside(Text):
    """The head is no call of a module."""

    def log_prob(self, x):
        logits = F.linear(torch.tanh(self.body(self.tokens(x))), self.tokens.weight)
        return -F.cross_entropy(logits.transpose(1, 2), x, reduction="none").sum(1)


class Positions(nn.Module):
    """Positions embedded once for all examples, and a network on them."""

    def __init__(self):
        super().__init__()
        self.embedding, self.linear = nn.Embedding(DOMAIN.length, WIDTH), nn.Linear(WIDTH, WIDTH)

    def forward(self, h):
        places = torch.arange(h.shape[1]).unsqueeze(0)
        return h + self.linear(torch.tanh(self.embedding(places)))


class Added(nn.Module):
    """A row common to all examples that may not be repeated: the model counts on the one."""

    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(DOMAIN.length, WIDTH)

    def forward(self, h):
        (row,) = self.embedding(torch.arange(h.shape[1]).unsqueeze(0))
        return h * row


class Twins(nn.Module):
    """Two layers with the same weight and bias, each behind the other's output."""

    def __init__(self):
        super().__init__()
        self.one, self.other = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, WIDTH)
        self.other.weight, self.other.bias = self.one.weight, self.one.bias

    def forward(self, h):
        return self.other(torch.tanh(self.one(h)))


class Crossed(nn.Module):
    """Attention to other positions of other sizes, with masks, shares read too."""

    def __init__(self, **options):
        super().__init__()
        self.key, self.value = nn.Linear(WIDTH, 5), nn.Linear(WIDTH, 6)
        self.attention = nn.MultiheadAttention(WIDTH, 2, kdim=5, vdim=6, **options)

    def forward(self, h):
        seen = h[:, :7]
        mask = torch.zeros(10, 7, dtype=h.dtype).masked_fill(torch.ones(10, 7).tril() == 0, -9.0)
        padding = torch.zeros(len(h), 7, dtype=h.dtype)
        padding[:, 5] = -torch.inf
        given = [h, self.key(seen), self.value(seen)]
        if not self.attention.batch_first:
            given = [x.transpose(0, 1) for x in given]
        y, shares = self.attention(*given, key_padding_mask=padding, attn_mask=mask)
        y = y if self.attention.batch_first else y.transpose(0, 1)
        return y + shares.square().sum(2, keepdim=True)


class Self(nn.Module):
    """Causal attention of a sequence to itself."""

    def __init__(self, **options):
        super().__init__()
        self.attention = nn.MultiheadAttention(WIDTH, 4, batch_first=True, **options)

    def forward(self, h):
        mask = nn.Transformer.generate_square_subsequent_mask(h.shape[1], dtype=h.dtype)
        return self.attention(h, h, h, need_weights=False, attn_mask=mask, is_causal=True)[0]


class OwnAttention(nn.Module):
    """Attention whose projection is a plain parameter, next to torch's fused function."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(3 * WIDTH, WIDTH) / 3)

    def forward(self, h):
        q, k, v = F.linear(h, self.weight).unflatten(2, (3, 2, -1)).permute(2, 0, 3, 1, 4)
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return y.transpose(1, 2).flatten(2)


def tied(model):
    model.head.weight = model.tokens.weight
    return model


MODELS = {
    "transformer": (lambda: transformer(DOMAIN, layers=2, width=WIDTH, heads=2), {"rule"}),
    "transformer-tied": (
        lambda: transformer(DOMAIN, layers=1, width=WIDTH, heads=2, head="tied"),
        {"rule"},
    ),
    "tied": (lambda: tied(Text()), {"rule"}),
    "tied-outside": (TiedOutside, {"vmap"}),
    "twins": (lambda: Text(Twins()), {"rule"}),
    "positions": (lambda: Text(Positions()), {"rule"}),
    "positions-unrepeated": (lambda: Text(Added()), {"rule", "vmap"}),
    "rms-norm": (lambda: Text(nn.RMSNorm(WIDTH)), {"rule"}),
    "self-attention": (lambda: Text(Self()), {"rule"}),
    "attention-unbiased": (lambda: Text(Self(bias=False)), {"rule"}),
    "attention-crossed": (lambda: Text(Crossed(batch_first=True)), {"rule"}),
    "attention-crossed-time-first": (lambda: Text(Crossed(add_zero_attn=True)), {"rule"}),
    "attention-own-rows": (lambda: Text(Self(add_bias_kv=True)), {"rule", "vmap"}),
    "encoder": (
        lambda: Text(nn.TransformerEncoderLayer(WIDTH, 2, 12, batch_first=True)),
        {"rule"},
    ),
    "attention-without-module": (lambda: Text(OwnAttention()), {"rule", "vmap"}),
}


def built(name):
    torch.manual_seed(0)
    return randomised(MODELS[name][0]())


def ways(engine, model, groups):
    return {unit.method for unit in engine.plan(model, groups).units(ObjectiveModule(model))}


@pytest.mark.parametrize("name", MODELS)
def test_every_model_of_text_has_the_norms_of_the_loop(name):
    model, engine = built(name), LayerGradientEngine()
    for count, size in ((5, 1), (3, 2), (1, 3), (10, 1)):
        groups = groups_of(DOMAIN, count, size, seed=count)
        expected = looped_layer_gradients(model, groups)
        np.testing.assert_allclose(engine(model, groups), expected, rtol=1e-9, atol=1e-24)
    assert ways(engine, model, groups) == MODELS[name][1]


def test_a_loop_over_groups_serves_attention_that_vmap_refuses(monkeypatch):
    def refuse(*args, **options):
        raise RuntimeError("Batching rule not implemented for aten::_scaled_dot_product_attention")

    monkeypatch.setattr(vmap, "vmap", refuse)
    model, engine = built("attention-without-module"), LayerGradientEngine()
    groups = groups_of(DOMAIN, 4, 2)
    expected = looped_layer_gradients(model, groups)
    np.testing.assert_allclose(engine(model, groups), expected, rtol=1e-9)
    assert ways(engine, model, groups) == {"rule", "loop"}


def table_rows(groups, positions, size, width, seed=0):
    generator = torch.Generator().manual_seed(seed)
    rows = torch.randint(size, (groups, positions), generator=generator)
    d = torch.randn(groups, positions, width, generator=generator, dtype=torch.float64)
    return Rows(rows, d, size)


def added(table):
    """The gradient row by row, (M, size, E)."""
    full = torch.zeros(len(table.rows), table.size, table.d.shape[2], dtype=torch.float64)
    for m, rows in enumerate(table.rows.tolist()):
        for p, row in enumerate(rows):
            full[m, row] += table.d[m, p]
    return full


@pytest.mark.parametrize("positions", [0, 1, 9])
def test_norms_of_rows_added_up(positions):
    table = table_rows(4, positions, size=5, width=3)
    expected = added(table).square().sum((1, 2))
    torch.testing.assert_close(sq_norms(table), expected, rtol=1e-12, atol=0)
    torch.testing.assert_close(table.product().explicit(), added(table), rtol=1e-12, atol=1e-15)


def test_the_sum_of_rows_and_products_has_a_cross_term():
    first, second = (
        table_rows(4, positions, size=5, width=3, seed=positions) for positions in (9, 4)
    )
    generator = torch.Generator().manual_seed(0)
    a = torch.randn(4, 6, 3, generator=generator, dtype=torch.float64)
    product = Outer(a, torch.randn(4, 6, 5, generator=generator, dtype=torch.float64))
    for parts in ([first, second], [first, product], [product, first, second, product]):
        full = [added(p) if isinstance(p, Rows) else p.explicit() for p in parts]
        expected = sum(full).square().sum((1, 2))
        torch.testing.assert_close(sq_norms(total(parts)), expected, rtol=1e-12, atol=0)
        gradient = norms.settled(total(parts)).explicit()
        torch.testing.assert_close(gradient, sum(full), rtol=1e-12, atol=1e-14)


def test_a_large_product_is_multiplied_out_in_pieces(monkeypatch):
    generator = torch.Generator().manual_seed(0)
    a = torch.randn(2, 7, 5, generator=generator, dtype=torch.float64)
    d = torch.randn(2, 7, 11, generator=generator, dtype=torch.float64)
    expected = norms._direct_sq_norms(a, d)
    monkeypatch.setattr(norms, "PIECE_BYTES", 3 * 2 * 5 * 8)  # three rows of both groups
    torch.testing.assert_close(norms._direct_sq_norms(a, d), expected, rtol=1e-12, atol=0)


MIB = 2**20


def peak(run, known=()):
    """Most bytes alive at once in tensors that `run` makes."""
    with Allocations(known) as made:
        run()
    return made.peak


def test_a_norm_of_rows_takes_no_one_hot_matrix():
    table = table_rows(1, 512, size=50_304, width=8)
    assert peak(lambda: sq_norms(table), [table.rows, table.d]) < 0.2 * MIB  # one-hot: 196 MiB
    product = Outer(torch.ones(1, 100, 64), torch.ones(1, 100, 100_000))
    assert not product.gram_is_cheaper
    assert peak(product.sq_norms, [product.a, product.d]) < 6 * MIB  # in whole: 24 MiB


@pytest.mark.slow
@pytest.mark.parametrize("head", ["separate", "tied"])
def test_a_large_vocabulary_takes_no_more_memory_than_a_plain_pass(head):
    """At the vocabulary and window of Pythia: the logits alone have 98 MiB, in either pass."""
    domain = Tokens(512, vocabulary=50_304)
    torch.manual_seed(0)
    model = transformer(domain, layers=1, width=64, heads=4, head=head)
    groups = torch.randint(domain.vocabulary, (1, 1, domain.length))
    parameters, known = list(model.parameters()), [groups, *model.parameters()]
    engine = LayerGradientEngine()
    engine(model, groups)  # makes the plan
    found = peak(lambda: engine(model, groups), known)
    plain = peak(lambda: torch.autograd.grad(model.log_prob(groups[0]).sum(), parameters), known)
    assert 290 * MIB < found <= plain + 10 * MIB
