"""What statistics share that read the noise a model estimates."""

from __future__ import annotations

from oodbench import DensityModel, EstimatesNoise, UnsupportedError


def require_noise(name: str, model: DensityModel) -> EstimatesNoise:
    """Return the model, if it estimates noise; `name` is the statistic in the message.

    Raises:
        UnsupportedError: The model does not have `estimate_noise`.
    """
    if not isinstance(model, EstimatesNoise):
        kind = type(model).__name__
        raise UnsupportedError(
            f"{name} needs a model with noise_range and estimate_noise(z, sd), such as a "
            f"diffusion model; {kind} lacks this method"
        )
    return model
