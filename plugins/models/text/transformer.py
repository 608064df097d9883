"""Causal transformer: every token given the tokens before, by attention."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional as F

from oodbench import Likelihood, Tokens

START = 0.02
"""Standard deviation of the initial weights, GPT-2's."""


class Transformer(nn.Module):
    r"""Autoregressive density over windows of tokens.

    log P(x) = Σ_t log softmax(W n(h_t))[x_t],   h = blocks(e),   e_t = places_t + tokens[x_{t-1}]

    The vector `places_1` alone is the input at the first place: the learned beginning of a window,
    in place of a token before. A block adds attention and a network to its input, each after a
    normalisation (Radford et al., 2019).

    Arguments:
        domain: Windows of text.
        layers: Number of blocks.
        width: Length of the vector at each place.
        heads: Number of attention heads.
        head: Whether W has weights of its own or is the weight of `tokens`.

    Raises:
        ValueError: `width` is no multiple of `heads`.
    """

    likelihood: Likelihood = "exact"

    def __init__(
        self,
        domain: Tokens,
        *,
        layers: int,
        width: int,
        heads: int,
        head: Literal["separate", "tied"],
    ) -> None:
        super().__init__()
        self.domain = domain
        self.tokens = nn.Embedding(domain.vocabulary, width)
        self.places = nn.Embedding(domain.length, width)
        self.blocks = nn.ModuleList(Block(width, heads) for _ in range(layers))
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, domain.vocabulary, bias=False)
        self._start(layers)
        if head == "tied":
            self.head.weight = self.tokens.weight

    def log_prob(self, x: Tensor) -> Tensor:
        """Evaluate log P(x) for windows, int64, (N, T): floating, (N,), in nats."""
        return self.log_prob_tokens(x).sum(1)

    def log_prob_tokens(self, x: Tensor) -> Tensor:
        """Evaluate log P(x_t | x_1, ..., x_{t-1}): floating, (N, T), in nats."""
        logits = self._logits(x[:, :-1])
        losses = F.cross_entropy(logits.flatten(0, 1), x.flatten(), reduction="none")
        return -losses.view(x.shape)

    @torch.no_grad()
    def sample(self, n: int, generator: Generator, temperature: float = 1.0) -> Tensor:
        """Draw windows token by token, int64, (n, T); the temperature divides the logits."""
        device = self.head.weight.device
        x = torch.empty(n, 0, dtype=torch.int64, device=device)
        for _ in range(self.domain.length):
            probabilities = (self._logits(x)[:, -1] / temperature).softmax(1).cpu()
            drawn = torch.multinomial(probabilities, 1, generator=generator)
            x = torch.cat((x, drawn.to(device)), dim=1)
        return x

    def _logits(self, before: Tensor) -> Tensor:
        """Compute the logits after each of t >= 0 tokens, (N, t), and before: (N, t + 1, V)."""
        places = torch.arange(before.shape[1] + 1, device=before.device).expand(len(before), -1)
        h = self.places(places) + F.pad(self.tokens(before), (0, 0, 1, 0))
        for block in self.blocks:
            h = block(h)
        logits: Tensor = self.head(self.norm(h))
        return logits.to(self.head.weight.dtype)

    @torch.no_grad()
    def _start(self, layers: int) -> None:
        """Draw the initial weights; those next to the sum over blocks are smaller (GPT-2)."""
        for module in self.modules():
            if isinstance(module, nn.Linear | nn.Embedding):
                nn.init.normal_(module.weight, std=START)
            if isinstance(module, nn.Linear) and module.bias is not None:
                nn.init.zeros_(module.bias)
        for block in self.blocks:
            block.joined.weight.div_(math.sqrt(2 * layers))
            block.down.weight.div_(math.sqrt(2 * layers))


class Block(nn.Module):
    """Attention, then a network with one hidden layer, each added to its input: (N, T, width).

    Arguments:
        width: Length of the vector at each place.
        heads: Number of attention heads.

    Raises:
        ValueError: `width` is no multiple of `heads`.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        if width % heads:
            raise ValueError(
                f"width must be a multiple of heads: {width} is no multiple of {heads}"
            )
        self.heads = heads
        self.norm1 = nn.LayerNorm(width)
        # Without a bias: a bias of the keys would change nothing, and be trained on rounding.
        self.split = nn.Linear(width, 3 * width, bias=False)
        self.joined = nn.Linear(width, width)
        self.norm2 = nn.LayerNorm(width)
        self.up = nn.Linear(width, 4 * width)
        self.down = nn.Linear(4 * width, width)

    def forward(self, h: Tensor) -> Tensor:
        """Map floating (N, T, width) to the same shape; a place sees itself and those before."""
        h = h + self.joined(self._attended(self.split(self.norm1(h))))
        return h + self.down(F.gelu(self.up(self.norm2(h))))

    def _attended(self, x: Tensor) -> Tensor:
        """Attend with queries, keys and values, (N, T, 3 width): (N, T, width)."""
        q, k, v = x.unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)  # (N, heads, T, -1)
        attended = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return attended.transpose(1, 2).flatten(2)
