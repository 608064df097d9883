"""Options for the causal-lm plugin, without importing torch or transformers."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field

from oodbench import DensityModel, Tokens


def causal_lm(
    domain: Tokens, *, path: Path, bos: Annotated[int, Field(ge=0)] | None = None
) -> DensityModel:
    """Causal language model of transformers, such as GPT-2, GPT-NeoX (Pythia) or Llama.

    P(x) = Π_t P(x_t | bos, x_1, ..., x_{t-1}). The token `bos` stands before each window, so the
    mean of minus log P over T tokens is the loss of transformers for the T + 1 tokens with `bos`
    first. Nothing is padded. Needs transformers (extra `text`).

    Nothing is downloaded: `hf download EleutherAI/pythia-70m --local-dir pythia` fetches a folder,
    with `--revision step1000` at that step of the training. Code in the folder is never run. A
    key covers the content of every file in the folder. Weights are converted to float32 after
    loading, exactly. Dropout is off, also in training, because its random numbers would not be
    those of the training seed.

    Arguments:
        domain: The text to model; at most as many tokens as the model knows. Probability of tokens
            that the domain lacks is lost.
        path: Folder with `config.json` and weights, safetensors where there are any; or the file
            `config.json` alone, for random weights or for saved epochs.
        bos: Token before the first, by default `bos_token_id` of the configuration.

    Returns:
        A model with the weights in the folder, or with random weights drawn from torch's global
        generator.

    Raises:
        DataError: The folder holds no causal language model, or lacks weights.
        DomainError: The vocabulary or the windows are too large for the model.
        ImportError: transformers is not installed.
        ValueError: There is no token to begin with.
    """
    from plugins.models.text.causal_lm import CausalLM

    return CausalLM(domain, path=path, bos=bos)
