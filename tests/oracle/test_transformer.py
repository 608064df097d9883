"""The transformer against its definition and against what makes it causal, in float64."""

import itertools
import math

import numpy as np
import pytest
import torch

from oodbench import Tokens
from plugins.models.transformer import transformer

HEADS = ["separate", "tied"]


def built(domain, seed=0, **options):
    """A small model in float64, every parameter moved away from its initial value."""
    torch.manual_seed(seed)
    model = transformer(domain, **{"layers": 2, "width": 8, "heads": 2, **options}).double()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.5 * torch.randn_like(parameter))
    return model


def every_window(domain):
    return torch.tensor(list(itertools.product(range(domain.vocabulary), repeat=domain.length)))


def normalised(row, weight, bias):
    centred = row - sum(row) / len(row)
    return weight * centred / math.sqrt(sum(centred**2) / len(row) + 1e-5) + bias


def softmax(values):
    exponentials = np.exp(values - values.max())
    return exponentials / exponentials.sum()


def literal_log_probs(model, window, heads):
    """log P of each token given those before, by loops over places and heads."""
    p = {name: value.detach().numpy() for name, value in model.state_dict().items()}
    width = p["norm.weight"].shape[0]
    size = width // heads
    gelu = np.vectorize(lambda u: u / 2 * (1 + math.erf(u / math.sqrt(2))))
    h = [p["places.weight"][0]]
    h += [p["places.weight"][t] + p["tokens.weight"][x] for t, x in enumerate(window[:-1], 1)]
    for k in range(len(model.blocks)):
        b = {name[len(f"blocks.{k}.") :]: v for name, v in p.items() if f"blocks.{k}." in name}
        inner = [normalised(row, b["norm1.weight"], b["norm1.bias"]) for row in h]
        q, key, value = (
            [b["split.weight"][i * width :][:width] @ row for row in inner] for i in range(3)
        )
        for t in reversed(range(len(h))):
            attended = []
            for start in range(0, width, size):
                part = slice(start, start + size)
                products = [q[t][part] @ key[s][part] for s in range(t + 1)]
                shares = softmax(np.array(products) / math.sqrt(size))
                attended.append(sum(a * value[s][part] for s, a in enumerate(shares)))
            joined = b["joined.weight"] @ np.concatenate(attended) + b["joined.bias"]
            h[t] = h[t] + joined
            hidden = normalised(h[t], b["norm2.weight"], b["norm2.bias"])
            hidden = gelu(b["up.weight"] @ hidden + b["up.bias"])
            h[t] = h[t] + b["down.weight"] @ hidden + b["down.bias"]
    last = [normalised(row, p["norm.weight"], p["norm.bias"]) for row in h]
    return [
        math.log(softmax(p["head.weight"] @ row)[x]) for row, x in zip(last, window, strict=True)
    ]


@pytest.mark.parametrize("head", HEADS)
def test_log_probabilities_are_those_of_the_definition(head):
    model = built(Tokens(5, vocabulary=6), head=head)
    windows = [[0, 5, 5, 2, 1], [3, 3, 3, 3, 3], [4, 0, 1, 2, 3]]
    found = model.log_prob_tokens(torch.tensor(windows))
    expected = [literal_log_probs(model, window, heads=2) for window in windows]
    np.testing.assert_allclose(found.detach(), expected, rtol=1e-12)
    total = model.log_prob(torch.tensor(windows)).detach()
    np.testing.assert_allclose(total, np.sum(expected, axis=1), rtol=1e-12)


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("domain", [Tokens(3, vocabulary=4), Tokens(1, vocabulary=7)])
def test_the_probabilities_of_all_windows_sum_to_one(domain, head):
    total = built(domain, head=head).log_prob(every_window(domain)).exp().sum()
    assert total.item() == pytest.approx(1, abs=1e-12)


def test_each_token_depends_on_all_tokens_before_and_on_no_other():
    model, x = built(Tokens(6, vocabulary=9), layers=3), torch.tensor([[0, 1, 2, 3, 4, 5]])
    embedded = []
    model.tokens.register_forward_hook(lambda module, args, out: embedded.append(out))
    values = model.log_prob_tokens(x)[0]
    for place, value in enumerate(values):
        (gradient,) = torch.autograd.grad(value, embedded[0], retain_graph=True)
        reached = (gradient[0] != 0).all(1)  # the tokens 0 to 4; the last is read by no other
        assert reached.tolist() == [before < place for before in range(5)]


def test_samples_have_the_probabilities_of_the_model():
    domain, draws = Tokens(2, vocabulary=3), 10_000
    model = built(domain)
    expected = model.log_prob(every_window(domain)).exp()
    drawn = model.sample(draws, torch.Generator().manual_seed(0))
    counts = (drawn.unsqueeze(1) == every_window(domain)).all(2).double().mean(0)
    assert ((counts - expected).abs() < 5 * (expected / draws).sqrt()).all()


def test_a_temperature_near_zero_draws_the_most_probable_token_each_time():
    model = built(Tokens(5, vocabulary=6))
    (drawn,) = model.sample(3, torch.Generator(), temperature=1e-6).unique(dim=0)
    for place in range(5):
        others = drawn.repeat(6, 1)
        others[:, place] = torch.arange(6)
        assert model.log_prob_tokens(others)[:, place].argmax() == drawn[place]


def test_a_tied_head_has_the_weight_of_the_embedding():
    domain = Tokens(3, vocabulary=4)
    names = {head: [n for n, _ in built(domain, head=head).named_parameters()] for head in HEADS}
    assert set(names["separate"]) - set(names["tied"]) == {"head.weight"}
    model = built(domain, head="tied")
    assert model.head.weight is model.tokens.weight


def test_the_width_is_a_multiple_of_the_heads():
    with pytest.raises(ValueError, match="width must be a multiple of heads: 10 is no multiple"):
        transformer(Tokens(3), width=10, heads=4)
