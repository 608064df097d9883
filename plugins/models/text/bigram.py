"""Markov chain of the first order over tokens, by counting."""

from __future__ import annotations

import torch
from torch import Generator, Tensor, nn

from oodbench import DomainError, Likelihood, Tokens

MOST_TOKENS = 4096
"""Largest vocabulary: the parameters grow with its square."""


class Bigram(nn.Module):
    """P(x) = softmax(first)[x_1] Π_t softmax(following[x_{t-1}])[x_t], with counted parameters.

    Arguments:
        domain: Domain of the density.

    Raises:
        DomainError: The vocabulary is too large.
    """

    likelihood: Likelihood = "exact"

    def __init__(self, domain: Tokens) -> None:
        super().__init__()
        if domain.vocabulary > MOST_TOKENS:
            raise DomainError(
                f"bigram takes a vocabulary of at most {MOST_TOKENS:,}, not {domain.vocabulary:,}"
            )
        self.domain = domain
        self.first = nn.Parameter(torch.zeros(domain.vocabulary))
        self.following = nn.Parameter(torch.zeros(domain.vocabulary, domain.vocabulary))

    @torch.no_grad()
    def prepare(self, x: Tensor) -> None:
        """Count the tokens of training windows, int64, (N, T), starting from one each."""
        size = self.domain.vocabulary
        first = torch.bincount(x[:, 0], minlength=size)
        pairs = (x[:, :-1] * size + x[:, 1:]).flatten()
        following = torch.bincount(pairs, minlength=size * size).view(size, size)
        for parameter, counts in ((self.first, first), (self.following, following)):
            smoothed = counts.double() + 1
            parameter.copy_((smoothed / smoothed.sum(-1, keepdim=True)).log())

    def log_prob(self, x: Tensor) -> Tensor:
        """Evaluate log P(x) for windows, int64, (N, T): floating, (N,), in nats."""
        first, following = self._terms(x)
        return first + following.sum(1)

    def log_prob_tokens(self, x: Tensor) -> Tensor:
        """Evaluate log P(x_1) and log P(x_t | x_{t-1}): floating, (N, T), in nats."""
        first, following = self._terms(x)
        return torch.cat((first.unsqueeze(1), following), dim=1)

    def _terms(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Evaluate the first tokens, (N,), and those after another, (N, T - 1)."""
        following = self.following.log_softmax(1)[x[:, :-1], x[:, 1:]]
        return self.first.log_softmax(0)[x[:, 0]], following

    @torch.no_grad()
    def sample(self, n: int, generator: Generator, temperature: float = 1.0) -> Tensor:
        """Draw windows token by token, int64, (n, T); the temperature divides the logits."""
        x = torch.empty(n, self.domain.length, dtype=torch.int64)
        logits = self.first.expand(n, -1)
        for place in range(self.domain.length):
            probabilities = (logits / temperature).softmax(1).cpu()
            x[:, place] = torch.multinomial(probabilities, 1, generator=generator)[:, 0]
            logits = self.following[x[:, place].to(self.following.device)]
        return x.to(self.following.device)
