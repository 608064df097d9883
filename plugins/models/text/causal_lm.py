"""Causal language models of transformers, with the log-probability of a whole window."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional as F

from oodbench import DataError, DomainError, Likelihood, Tokens

try:
    from transformers import AutoConfig, AutoModelForCausalLM
    from transformers.utils import logging
except ImportError as error:
    raise ImportError(
        "the model causal-lm needs transformers: pip install 'transformers>=5,<6', or install the "
        "wheel of this project with the extra [text]"
    ) from error

DROPOUTS = ("dropout", "pdrop", "dropout_prob", "dropout_rate")
"""Ends of the names of dropout rates in configurations."""


class CausalLM(nn.Module):
    r"""Log-probability of windows under a causal language model.

    log P(x) = Σ_t log softmax(network(bos, x_1, ..., x_{t-1}))[x_t]

    The state has the names of the network alone, as files of transformers have.

    Arguments:
        domain: Windows of tokens.
        path: Folder with configuration and weights, or a configuration for random weights.
        bos: Token before the first; None for that of the configuration.

    Raises:
        DataError: There is no causal language model, or weights are missing.
        DomainError: The vocabulary or the windows are too large for the model.
        ValueError: There is no token to begin with.
    """

    likelihood: Likelihood = "exact"

    def __init__(self, domain: Tokens, *, path: Path, bos: int | None) -> None:
        super().__init__()
        self.domain = domain
        config = _configuration(path)
        self._bos = _first_token(config, bos, path)
        _check_sizes(domain, config)
        network = _loaded(path, config) if path.is_dir() else _built(config)
        self.network = network.float()  # here: some classes ignore a dtype asked for in loading
        for module in self.network.modules():
            if isinstance(module, nn.Dropout):
                module.p = 0.0

    def log_prob(self, x: Tensor) -> Tensor:
        """Evaluate log P(x) for windows, int64, (N, T): floating, (N,), in nats."""
        return self.log_prob_tokens(x).sum(1)

    def log_prob_tokens(self, x: Tensor) -> Tensor:
        """Evaluate log P(x_t | bos, x_1, ..., x_{t-1}): floating, (N, T), in nats."""
        logits = self._logits(x[:, :-1])
        losses = F.cross_entropy(logits.flatten(0, 1), x.flatten(), reduction="none")
        return -losses.view(x.shape)

    @torch.no_grad()
    def sample(self, n: int, generator: Generator, temperature: float = 1.0) -> Tensor:
        """Draw windows token by token, int64, (n, T); the temperature divides the logits."""
        device = next(self.parameters()).device
        x = torch.empty(n, 0, dtype=torch.int64, device=device)
        for _ in range(self.domain.length):
            logits = self._logits(x)[:, -1, : self.domain.vocabulary]
            probabilities = (logits / temperature).softmax(1).cpu()
            drawn = torch.multinomial(probabilities, 1, generator=generator)
            x = torch.cat((x, drawn.to(device)), dim=1)
        return x

    def state_dict(self, *args: Any, **options: Any) -> Any:
        """Return the state of the network, as `torch.nn.Module.state_dict`."""
        return self.network.state_dict(*args, **options)

    def load_state_dict(self, state_dict: Mapping[str, Any], *args: Any, **options: Any) -> Any:
        """Load the state of the network, as `torch.nn.Module.load_state_dict`."""
        return self.network.load_state_dict(state_dict, *args, **options)

    def _logits(self, before: Tensor) -> Tensor:
        """Compute the logits after `bos` and each of t >= 0 tokens, (N, t): (N, t + 1, V)."""
        logits: Tensor = self.network(
            F.pad(before, (1, 0), value=self._bos), use_cache=False
        ).logits
        return logits.to(next(self.parameters()).dtype)


def _configuration(path: Path) -> Any:
    try:
        config = AutoConfig.from_pretrained(path, local_files_only=True, trust_remote_code=False)
    except (OSError, ValueError, KeyError) as error:
        raise DataError(f"{path}: no configuration of transformers: {_line(error)}") from error
    for name, value in config.to_dict().items():
        if name.endswith(DROPOUTS) and isinstance(value, int | float):
            setattr(config, name, 0.0)
    return config


def _first_token(config: Any, bos: int | None, path: Path) -> int:
    found = config.bos_token_id if bos is None else bos
    if found is None:
        raise ValueError(f"{path}: the configuration has no bos_token_id: give the option bos")
    if not 0 <= found < config.vocab_size:
        raise ValueError(f"bos must be below the {config.vocab_size:,} tokens, not {found:,}")
    return int(found)


def _check_sizes(domain: Tokens, config: Any) -> None:
    if domain.vocabulary > config.vocab_size:
        raise DomainError(
            f"the model knows {config.vocab_size:,} tokens, and the text has {domain.vocabulary:,}"
        )
    most = getattr(config, "max_position_embeddings", None)
    if most is not None and domain.length > most:
        raise DomainError(f"the model reads at most {most:,} tokens, not {domain.length:,}")


def _built(config: Any) -> Any:
    return AutoModelForCausalLM.from_config(config, trust_remote_code=False)


def _loaded(folder: Path, config: Any) -> Any:
    """Load the weights in a folder; all of them must be there, of the right shapes."""
    with _quiet():
        try:
            network, found = AutoModelForCausalLM.from_pretrained(
                folder,
                config=config,
                local_files_only=True,
                trust_remote_code=False,
                output_loading_info=True,
            )
        except (OSError, ValueError, RuntimeError) as error:
            raise DataError(f"{folder}: no weights for the model: {_line(error)}") from error
    for kind in ("missing_keys", "mismatched_keys"):
        names = sorted(map(str, found[kind]))
        if names:
            what = kind.removesuffix("_keys")
            raise DataError(f"{folder}: {len(names)} {what} weights, the first is {names[0]}")
    return network


@contextmanager
def _quiet() -> Iterator[None]:
    """Load without the progress bars of transformers."""
    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:300]
