"""The engine against the loop on the model families other than Glow."""

import numpy as np
import pytest
import torch

from oodbench import Images
from plugins.models.diffusion import diffusion
from plugins.models.ebm import ebm
from plugins.models.hvae import hvae
from plugins.models.pixelcnn import pixelcnn
from plugins.models.vae import vae
from plugins.statistics.layer_gradients.engine import LayerGradientEngine
from plugins.statistics.layer_gradients.graph import ObjectiveModule
from plugins.statistics.layer_gradients.reference import looped_layer_gradients
from tests.oracle.layer_gradient_models import groups_of, randomised

GRAY, COLOUR = Images(1, 5, 6, bits=5), Images(3, 4, 3)
MODELS = {
    "diffusion": (lambda: diffusion(GRAY, width=4, halvings=1, heads=2, draws=3), GRAY),
    "diffusion-l1": (
        lambda: diffusion(COLOUR, width=4, halvings=2, objective="l1-at-t", draws=2),
        COLOUR,
    ),
    "pixelcnn": (lambda: pixelcnn(GRAY, blocks=2, width=6, components=2), GRAY),
    "pixelcnn-colour": (lambda: pixelcnn(COLOUR, blocks=1, width=4, components=2), COLOUR),
    "vae": (lambda: vae(GRAY, latents=3, width=4, components=2, draws=3), GRAY),
    "vae-iwae": (
        lambda: vae(COLOUR, latents=3, width=4, components=2, draws=3, bound="iwae"),
        COLOUR,
    ),
    "vae-categorical": (
        lambda: vae(GRAY, latents=2, width=4, decoder="categorical", draws=2),
        GRAY,
    ),
    "ebm": (lambda: ebm(GRAY, width=4, halvings=2, chains=2), GRAY),
    "hvae": (lambda: hvae(GRAY, latents=2, width=4, components=2, draws=3), GRAY),
    "hvae-colour": (
        lambda: hvae(COLOUR, layers=2, latents=2, width=4, components=2, draws=2),
        COLOUR,
    ),
}


@pytest.mark.parametrize("size", [1, 3])
@pytest.mark.parametrize("name", MODELS)
def test_every_layer_has_the_norm_of_the_loop(name, size):
    torch.manual_seed(0)
    make, domain = MODELS[name]
    model, engine, groups = randomised(make()), LayerGradientEngine(), groups_of(domain, 4, size)
    expected = looped_layer_gradients(model, groups)
    np.testing.assert_allclose(engine(model, groups), expected, rtol=1e-9, atol=1e-30)
    assert (expected > 0).all()
    plan = engine.plan(model, groups)
    assert plan is not None
    ways = {unit.method for unit in plan.units(ObjectiveModule(model))}
    # Transposed convolutions may take the generic path; no layer takes a pass for each group.
    assert ways == {"rule"} if not name.startswith("vae") else "loop" not in ways
