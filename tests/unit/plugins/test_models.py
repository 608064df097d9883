"""The model plugins as the harness lists them: entries, options, layers, domains."""

import inspect
import pkgutil
import subprocess
import sys

import pytest
import torch
from zuko.nn import MaskedLinear

from oodbench import DomainError, Images
from plugins.models import bench_models
from plugins.models.autoregressive import maf
from plugins.models.glow import glow
from plugins.models.glow_linear import glow_linear
from plugins.models.realnvp import realnvp


def images(domain, n, seed=0):
    generator = torch.Generator().manual_seed(seed)
    shape = (n, *domain.shape)
    return torch.randint(0, domain.levels, shape, generator=generator).to(torch.uint8)


# Entries and options


def test_every_entry_is_summarised_and_versioned():
    assert all(entry.summary and entry.version for entry in bench_models())


def test_options_are_read_without_importing_torch():
    code = (
        "import importlib, sys; from plugins.models import bench_models;"
        "targets = [entry.target.partition(':')[0] for entry in bench_models()];"
        "[importlib.import_module(target) for target in targets];"
        "heavy = ('torch', 'torchvision', 'sklearn', 'zuko', 'transformers');"
        "print(len(targets) > 9, [name for name in heavy if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "True []\n"


def test_defaults_are_those_of_the_paper():
    def defaults(target):
        parameters = list(inspect.signature(target).parameters.values())
        assert [p.kind for p in parameters[1:]] == [inspect.Parameter.KEYWORD_ONLY] * (
            len(parameters) - 1
        )
        return {p.name: p.default for p in parameters[1:]}

    assert defaults(glow) == {"levels": 3, "steps": 32, "width": 512}
    assert defaults(glow_linear) == {
        "steps": 10,
        "width": 1000,
        "hidden_layers": 10,
        "shared_steps": True,
        "dequantisation": "uniform",
        "ladj_constant": 0.0,
    }


@pytest.mark.parametrize("entry", bench_models(), ids=lambda entry: entry.name)
def test_every_option_is_explained(entry):
    target = pkgutil.resolve_name(entry.target)
    text = inspect.getdoc(target).split("Arguments:")[1]
    assert all(f"    {option}: " in text for option in inspect.signature(target).parameters)


WITHOUT_ZUKO = """
import sys
sys.modules["zuko"] = None
from oodbench import Images
from plugins.models import autoregressive
try:
    autoregressive.{model}(Images(1, 4, 4))
except ImportError as error:
    print(error)
"""


@pytest.mark.parametrize("model", ["maf", "spline_flow"])
def test_without_zuko_the_error_names_the_extra(model):
    code = WITHOUT_ZUKO.format(model=model)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "need zuko: pip install 'zuko>=1.6,<2'" in done.stdout
    assert "extra [flows]" in done.stdout


def test_masks_are_multiplied_as_floats_and_stored_as_bools():
    """A state stored before, with masks of bools as zuko has them, is read as well."""
    domain = Images(1, 2, 2)
    model, again = (maf(domain, transforms=2, width=8) for _ in range(2))
    masks = [layer.mask for layer in model.modules() if isinstance(layer, MaskedLinear)]
    assert {mask.dtype for mask in masks} == {torch.float32}
    state = model.state_dict()
    stored = [value for name, value in state.items() if name.endswith("mask")]
    assert {mask.dtype for mask in stored} == {torch.bool}
    assert all(torch.equal(a, b.float()) for a, b in zip(masks, stored, strict=True))
    assert any(mask.any() and not mask.all() for mask in stored)
    again.load_state_dict(state)
    x = images(domain, 3)
    assert torch.equal(again.log_prob(x), model.log_prob(x))
    assert again.double().log_prob(x).dtype == torch.float64


# Layers


def layers(model):
    return [name for name, _ in model.named_parameters()]


def test_the_default_glow_has_1353_layers():
    assert len(layers(glow(Images(3, 32, 32)))) == 1353


def test_the_default_linear_glow_has_51_layers():
    assert len(layers(glow_linear(Images(1, 28, 28)))) == 51


def test_a_step_of_glow_has_14_layers():
    model = glow(Images(1, 2, 2), levels=1, steps=1, width=2)
    assert layers(model) == [
        "levels.0.steps.0.norm.bias",
        "levels.0.steps.0.norm.log_scale",
        "levels.0.steps.0.mix.lower",
        "levels.0.steps.0.mix.upper",
        "levels.0.steps.0.mix.log_s",
        "levels.0.steps.0.coupling.conv1.weight",
        "levels.0.steps.0.coupling.norm1.bias",
        "levels.0.steps.0.coupling.norm1.log_scale",
        "levels.0.steps.0.coupling.conv2.weight",
        "levels.0.steps.0.coupling.norm2.bias",
        "levels.0.steps.0.coupling.norm2.log_scale",
        "levels.0.steps.0.coupling.conv3.weight",
        "levels.0.steps.0.coupling.conv3.bias",
        "levels.0.steps.0.coupling.conv3.log_scale",
        "top.prior.conv.weight",
        "top.prior.conv.bias",
        "top.prior.conv.log_scale",
    ]


@pytest.mark.parametrize(("levels", "steps"), [(1, 1), (2, 3), (3, 2)])
def test_layers_of_glow_by_levels_and_steps(levels, steps):
    model = glow(Images(1, 8, 8), levels=levels, steps=steps, width=2)
    assert len(layers(model)) == 14 * levels * steps + 3 * (levels - 1) + 3


@pytest.mark.parametrize(("levels", "couplings", "blocks"), [(1, 1, 0), (2, 3, 1), (1, 2, 2)])
def test_layers_of_realnvp_by_levels_couplings_and_blocks(levels, couplings, blocks):
    model = realnvp(Images(1, 4, 4), levels=levels, couplings=couplings, width=2, blocks=blocks)
    assert len(layers(model)) == 2 * levels * couplings * (6 + 4 * blocks)


@pytest.mark.parametrize(("shared_steps", "sets"), [(True, 1), (False, 4)])
def test_layers_of_linear_glow_by_steps(shared_steps, sets):
    model = glow_linear(
        Images(1, 2, 2), steps=4, width=3, hidden_layers=2, shared_steps=shared_steps
    )
    assert len(layers(model)) == sets * (2 + 1 + 2 * 2 * (2 + 2))


# Domains


@pytest.mark.parametrize(
    ("domain", "levels", "message"),
    [
        (
            Images(1, 28, 28),
            3,
            "glow with levels = 3 cannot be built for 1x28x28: height and width must be divisible "
            "by 8; levels of at most 2 would fit",
        ),
        (
            Images(3, 16, 24, bits=5),
            4,
            "glow with levels = 4 cannot be built for 3x16x24 at 5 bits: height and width must be "
            "divisible by 16; levels of at most 3 would fit",
        ),
        (
            Images(1, 8, 7),
            1,
            "glow with levels = 1 cannot be built for 1x8x7: height and width must be divisible "
            "by 2; glow-linear takes any size",
        ),
        (
            Images(1, 1, 8),
            1,
            "glow with levels = 1 cannot be built for 1x1x8: height and width must be divisible "
            "by 2; glow-linear takes any size",
        ),
    ],
)
def test_glow_refuses_what_it_cannot_halve(domain, levels, message):
    with pytest.raises(DomainError) as caught:
        glow(domain, levels=levels, steps=1, width=2)
    assert str(caught.value) == message


@pytest.mark.parametrize("domain", [Images(1, 28, 28), Images(2, 4, 12, bits=1)])
def test_glow_takes_what_it_can_halve(domain):
    model = glow(domain, levels=2, steps=1, width=2)
    assert model.log_prob(images(domain, 2)).isfinite().all()


@pytest.mark.parametrize("domain", [Images(1, 1, 1), Images(2, 3, 5, bits=1), Images(4, 2, 2)])
@pytest.mark.parametrize("shared_steps", [True, False])
def test_linear_glow_takes_any_images(domain, shared_steps):
    model = glow_linear(domain, steps=2, width=3, hidden_layers=0, shared_steps=shared_steps)
    model.prepare(images(domain, 8))
    assert model.log_prob(images(domain, 2)).isfinite().all()
