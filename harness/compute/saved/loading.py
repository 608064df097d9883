"""Loading of a saved epoch into a model."""

from __future__ import annotations

from harness.compute.saved.contents import read_weights
from harness.compute.saved.matching import match
from harness.compute.saved.states import find_states
from harness.contracts import DensityModel
from harness.errors import DataError
from harness.suite.saved import SavedEpochs


def load_saved(
    model: DensityModel, saved: SavedEpochs, seed: int, epoch: int, content: str
) -> str:
    """Load the weights of a saved epoch into a model on the CPU.

    Arguments:
        model: Newly built, with the precision for the evaluation.
        saved: Files of the model.
        seed: Seed of the training.
        epoch: Number of the epoch or step.
        content: Content of the files according to the plan.

    Returns:
        How the weights were found in the file, in words.

    Raises:
        DataError: The file is damaged, holds other objects, or does not match the model; the
            message names the file.
    """
    states = find_states(read_weights(saved, seed, epoch, content))
    path = saved.paths[seed, epoch]
    try:
        fit = match(model.state_dict(), states, saved.table)
        model.load_state_dict(fit.complete())
    except DataError as error:
        raise DataError(f"{path}: {error}") from error
    except (RuntimeError, KeyError, TypeError, ValueError) as error:
        raise DataError(f"{path}: the model does not accept the weights: {error}") from error
    return fit.way
