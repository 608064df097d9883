"""The kit for models against planted faults: each is found by the check that is there for it.

A good one passes everything; every fault is a small change to it, and the set of checks that fail
is exactly that expected.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn

from oodbench import DomainError, Images
from oodbench.testing import assert_conforms, check_model
from plugins.models.text.bigram import Bigram


def failed(checks):
    return {check.name: check.message for check in checks if check.outcome == "failed"}


def named(checks, name):
    (found,) = (check for check in checks if check.name == name)
    return found


class GoodModel(nn.Module):
    """One affine map per pixel under a normal base; every capability that there is."""

    likelihood = "exact"

    def __init__(self, domain):
        super().__init__()
        self.domain = domain
        self.loc = nn.Parameter(torch.full((domain.dims,), 0.5))
        self.log_scale = nn.Parameter(0.1 * torch.randn(domain.dims) - 1.0)
        self.register_buffer("prepared", torch.tensor(False))

    def density(self, y):
        """Terms of the log-density at y in 0 to 1, and the volume of a bin."""
        z = (y - self.loc) * (-self.log_scale).exp()
        return {
            "base": -0.5 * (z.square() + math.log(2 * math.pi)).sum(1),
            "ladj": -self.log_scale.sum().expand(len(y)),
            "bins": z.new_full((len(y),), -self.domain.dims * self.domain.bits * math.log(2)),
        }

    def to_noise(self, x):
        return (self.middle(x) - self.loc) * (-self.log_scale).exp()

    def middle(self, x):
        return (x.flatten(1).to(self.loc.dtype) + 0.5) / self.domain.levels

    def log_density(self, y):
        return sum(self.density(y.flatten(1) / self.domain.levels).values())

    def log_prob_terms(self, x):
        return self.density(self.middle(x))

    def log_prob(self, x):
        return sum(self.log_prob_terms(x).values())

    def training_loss(self, x, generator):
        noise = torch.rand(x.shape, generator=generator).to(self.loc)
        return -self.log_density(x.to(self.loc.dtype) + noise).mean()

    @property
    def noise_range(self):
        return 0.5, 5.0 * self.domain.levels

    def estimate_noise(self, z, sd):
        """Exact: minus the score of pixels with noise in units of the noise."""
        with torch.no_grad():
            variances = (self.log_scale.exp() * self.domain.levels).square() + sd**2
            found = sd * (self.middle(z) - self.loc) * self.domain.levels / variances
            return found.view(z.shape)

    def prepare(self, x):
        with torch.no_grad():
            y = self.middle(x)
            self.loc.copy_(y.mean(0))
            self.log_scale.copy_(y.std(0).clamp_min(1e-2).log())
            self.prepared.fill_(True)

    def sample(self, n, generator, temperature=1.0):
        with torch.no_grad():
            z = temperature * torch.randn(n, self.domain.dims, generator=generator)
            y = self.loc + self.log_scale.exp() * z
            x = (y * self.domain.levels).floor().clamp(0, self.domain.levels - 1)
            return x.to(torch.uint8).view(n, *self.domain.shape)


class PlainModel(nn.Module):
    """The contract and no more: independent categorical pixels."""

    likelihood = "exact"

    def __init__(self, domain):
        super().__init__()
        self.domain = domain
        self.logits = nn.Parameter(torch.randn(domain.dims, domain.levels))

    def temperature(self, x):
        return 1.0

    def log_prob(self, x):
        pixels = x.flatten(1).long().unsqueeze(-1)
        logits = (self.logits / self.temperature(x)).log_softmax(-1).expand(len(x), -1, -1)
        return logits.gather(-1, pixels).squeeze(-1).sum(1)


def scaled(factor, offset=0.0):
    """A model whose log_prob is a wrong function of the right one, in training as well."""

    class Wrong(PlainModel):
        def log_prob(self, x):
            per_pixel = offset * self.domain.dims
            return super().log_prob(x) * factor(self.domain) + per_pixel

    return Wrong


class MissingConstant(GoodModel):
    def density(self, y):
        terms = super().density(y)
        del terms["bins"]
        return terms


class MissingDeterminant(GoodModel):
    def density(self, y):
        terms = super().density(y)
        del terms["ladj"]
        return terms


class Squared(GoodModel):
    """A squared error in place of a density."""

    def density(self, y):
        return {"error": -(y - self.loc).square().sum(1) - 0 * self.log_scale.sum()}


class FreshNoise(PlainModel):
    def log_prob(self, x):
        return super().log_prob(x) + 0.1 * torch.randn(len(x))


class OwnNoise(PlainModel):
    """Noise that no seed of torch's reaches."""

    def log_prob(self, x):
        noise = 0.02 * np.random.default_rng().standard_normal(len(x))
        return super().log_prob(x) + torch.from_numpy(noise).to(self.logits)


class Reseeding(PlainModel):
    def log_prob(self, x):
        torch.manual_seed(0)
        return super().log_prob(x)


class BatchMean(PlainModel):
    def log_prob(self, x):
        return super().log_prob(x).mean().expand(len(x))


class BatchScalar(PlainModel):
    def log_prob(self, x):
        return super().log_prob(x).mean()


class BatchStatistics(PlainModel):
    def temperature(self, x):
        return 1 + 0.1 * x.to(self.logits.dtype).std()


class WritesInput(PlainModel):
    def log_prob(self, x):
        values = super().log_prob(x)
        x.clamp_(min=1)  # on dark pixels only
        return values


class FlagOutsideState(GoodModel):
    """ActNorm's bug: it is initialised again on the first batch after loading."""

    initialised = False

    def prepare(self, x):
        super().prepare(x)
        self.initialised = True

    def log_prob(self, x):
        if not self.initialised:
            self.prepare(x)
        return super().log_prob(x)


class ConstantOutsideState(PlainModel):
    """A draw of its own, kept in no buffer."""

    def __init__(self, domain):
        super().__init__(domain)
        self.mixing = torch.rand(()).item()

    def log_prob(self, x):
        flat = -self.domain.dims * self.domain.bits * math.log(2)
        density = math.log(self.mixing) + super().log_prob(x)
        return torch.logaddexp(density, torch.full_like(density, math.log1p(-self.mixing) + flat))


class Detached(PlainModel):
    def log_prob(self, x):
        return super().log_prob(x).detach()


class GlobalNoise(GoodModel):
    def training_loss(self, x, generator):
        y = (x.flatten(1) + torch.rand(x.flatten(1).shape)) / self.domain.levels
        return -sum(self.density(y).values()).mean()


class ConstantChannels(GoodModel):
    def prepare(self, x):
        super().prepare(x)
        with torch.no_grad():
            self.log_scale.copy_(self.middle(x).std(0).log())


class SamplesOutside(GoodModel):
    def sample(self, n, generator, temperature=1.0):
        return super().sample(n, generator, temperature) + self.domain.levels // 2


class GlobalSamples(GoodModel):
    def sample(self, n, generator, temperature=1.0):
        return super().sample(n, torch.default_generator, temperature)


class ShiftedDensity(GoodModel):
    """A density in which the bin of x is x - 1/2 to x + 1/2."""

    def log_density(self, y):
        return super().log_density(y + 0.5)


class DensityOfTheUnitCube(GoodModel):
    """A density per volume of all 4^D bins, not per bin."""

    def log_density(self, y):
        return super().log_density(y) + self.domain.dims * self.domain.bits * math.log(2)


class DensityOfScaledImages(GoodModel):
    """A density that takes y in 0 to 1."""

    def log_density(self, y):
        return sum(self.density(y.flatten(1)).values())


class RoundedDensity(GoodModel):
    def log_density(self, y):
        return super().log_density(y.detach().floor() + 0.5)


class NoisyDensity(GoodModel):
    """Right in the middle of the bins only."""

    def log_density(self, y):
        noise = (y - y.floor() - 0.5).flatten(1).sum(1) * torch.randn(len(y))
        return super().log_density(y) + noise


class BatchDensity(GoodModel):
    def log_density(self, y):
        within = (y - y.floor() - 0.5).abs().mean()
        return super().log_density(y) + within


class DensityWritesInput(GoodModel):
    def log_density(self, y):
        values = super().log_density(y)
        y.clamp_(min=1)
        return values


class NoNoise(GoodModel):
    noise_range = 0.0, 5.0


class FlatNoise(GoodModel):
    def estimate_noise(self, z, sd):
        return super().estimate_noise(z, sd).flatten(1)


class NoiseWithGraph(GoodModel):
    def estimate_noise(self, z, sd):
        return super().estimate_noise(z, sd) + self.loc.view(z.shape[1:])


class InfiniteNoise(GoodModel):
    def estimate_noise(self, z, sd):
        return super().estimate_noise(z, sd) / (sd < self.noise_range[1])


class DrawnNoise(GoodModel):
    def estimate_noise(self, z, sd):
        return super().estimate_noise(z, sd) + torch.randn(z.shape)


class NoiseOfTheBatch(GoodModel):
    def estimate_noise(self, z, sd):
        return super().estimate_noise(z, sd) - z.double().mean()


class NoiseWritesInput(GoodModel):
    def estimate_noise(self, z, sd):
        found = super().estimate_noise(z, sd)
        z.clamp_(min=1)
        return found


class NoiseOfScaledIntegers(GoodModel):
    """Integers are taken as numbers from 0 to 1."""

    def estimate_noise(self, z, sd):
        return super().estimate_noise(z if z.is_floating_point() else z / 255, sd)


class WrongTerms(GoodModel):
    def log_prob_terms(self, x):
        return {**super().log_prob_terms(x), "more": torch.ones(len(x))}

    def log_prob(self, x):
        return sum(super().log_prob_terms(x).values())


class RoundedNoise(GoodModel):
    def to_noise(self, x):
        return super().to_noise(x.round())


class LastLevelOnly(GoodModel):
    def to_noise(self, x):
        return super().to_noise(x)[:, ::2]


class ChangesMode(PlainModel):
    def log_prob(self, x):
        self.eval()
        return super().log_prob(x)


class CountsCalls(PlainModel):
    def __init__(self, domain):
        super().__init__(domain)
        self.register_buffer("calls", torch.zeros(()))

    def log_prob(self, x):
        self.calls += 1
        return super().log_prob(x)


class OnlySingle(PlainModel):
    def log_prob(self, x):
        return super().log_prob(x).float()


class NotFinite(PlainModel):
    def log_prob(self, x):
        dark = x.flatten(1).sum(1) == 0
        return super().log_prob(x) + torch.where(dark, -math.inf, 0.0)


class OtherDomain(PlainModel):
    def __init__(self, domain):
        super().__init__(domain)
        self.domain = (domain.channels, domain.height, domain.width)

    def log_prob(self, x):
        pixels = x.flatten(1).long().unsqueeze(-1)
        return self.logits.log_softmax(-1).expand(len(x), -1, -1).gather(-1, pixels).sum((1, 2))


class StrangeLikelihood(PlainModel):
    likelihood = "elbo"


class Explodes(PlainModel):
    """The square root has no gradient at 0."""

    def log_prob(self, x):
        return super().log_prob(x) + 0 * (self.logits - self.logits.detach()).abs().sqrt().sum()


class Unnormalized(Squared):
    likelihood = "unnormalized"


class NotOnTheUnitDomain(PlainModel):
    def __init__(self, domain):
        if domain.dims < 16:
            raise DomainError("too small")
        super().__init__(domain)


class NetworkModel(PlainModel):
    """Independent categorical pixels again, with logits from a network."""

    def __init__(self, domain):
        super().__init__(domain)
        self.network = nn.Linear(domain.levels, domain.levels)
        nn.init.normal_(self.network.weight, std=0.1 / domain.levels**0.5)

    def log_probabilities(self):
        return self.network(self.logits).to(self.logits.dtype).log_softmax(-1)

    def terms(self, x):
        pixels = x.flatten(1).long().unsqueeze(-1)
        return self.log_probabilities().expand(len(x), -1, -1).gather(-1, pixels).squeeze(-1)

    def log_prob(self, x):
        return self.terms(x).sum(1)


class RoundedPixels(NetworkModel):
    """The log-probability of each pixel is rounded by autocast, their sum is not."""

    def log_probabilities(self):
        return self.network(self.logits).log_softmax(-1).to(self.logits.dtype)


class RoundedSum(NetworkModel):
    """The sum is rounded by autocast, and converted to float32 too late."""

    def log_probabilities(self):
        return self.network(self.logits).log_softmax(-1)

    def log_prob(self, x):
        return super().log_prob(x).to(self.logits.dtype)


class RoundedResult(RoundedSum):
    def log_prob(self, x):
        return self.terms(x).sum(1)


class RoundedTerms(NetworkModel):
    def log_prob_terms(self, x):
        return {
            "pixels": self.log_prob(x) - 1,
            "one": self.network.bias.new_ones(len(x)).bfloat16(),
        }


class RoundedLoss(NetworkModel):
    def training_loss(self, x, generator):
        return -RoundedSum.log_probabilities(self)[:, :4].sum(1).mean()


@pytest.mark.parametrize("domain", [Images(1, 4, 4), Images(3, 2, 4, bits=5)])
@pytest.mark.parametrize("model", [GoodModel, PlainModel, NetworkModel])
def test_good_models_conform(model, domain):
    assert_conforms(check_model(model, domain=domain))


def test_capabilities_that_a_model_has_not_are_skipped():
    skipped = {check.name for check in check_model(PlainModel) if check.outcome == "skipped"}
    assert skipped == (
        {"prepare", "training_loss", "sample", "log_density", "log_prob_terms", "to_noise"}
        | {"log_prob_tokens", "estimate_noise", "bfloat16"}
    )
    skipped = {check.name for check in check_model(GoodModel) if check.outcome == "skipped"}
    assert skipped == {"log_prob_tokens", "bfloat16"}


NATS_TO_BITS = 1 / math.log(2)


class FewerTokens(Bigram):
    def log_prob_tokens(self, x):
        return super().log_prob_tokens(x)[:, 1:]


class MeanTokens(Bigram):
    def log_prob_tokens(self, x):
        return super().log_prob_tokens(x) / x.shape[1]


MODEL_FAULTS = {
    "bits instead of nats": (scaled(lambda d: NATS_TO_BITS), "unit", "in bits"),
    "nats per dimension": (scaled(lambda d: 1 / d.dims), "unit", "per dimension"),
    "negative log-likelihood": (scaled(lambda d: -1), "unit", "negative log-likelihood"),
    "bits per dimension": (
        scaled(lambda d: -NATS_TO_BITS / d.dims),
        "unit",
        "bits per dimension",
    ),
    "the constant missing": (MissingConstant, "unit", "-dims * bits * ln 2"),
    "2 a pixel too much": (scaled(lambda d: 1, 2.0), "unit", "negative log-likelihood"),
    "2 a pixel too little": (scaled(lambda d: 1, -2.0), "unit", "a constant is taken twice"),
    "ln 2 a pixel too much": (scaled(lambda d: 1, math.log(2)), "unit", "a constant or a"),
    "ln 2 a pixel too little": (scaled(lambda d: 1, -math.log(2)), "unit", "in bits"),
    "the determinant missing": (MissingDeterminant, "unit", "total probability"),
    "a squared error": (Squared, "unit", "-dims * bits * ln 2"),
    "no model of the unit domain": (NotOnTheUnitDomain, "unit", "unit_domain"),
    "a domain of its own": (OtherDomain, "interface", "`domain` must be the domain passed in"),
    "an unknown likelihood": (
        StrangeLikelihood,
        "interface",
        "the `likelihood` 'elbo'; known: exact",
    ),
    "NaN in the gradient": (Explodes, "gradients", "NaN or infinite in logits"),
    "fresh noise": (FreshNoise, "deterministic", "draw no noise in evaluation"),
    "noise of its own": (OwnNoise, "deterministic", "draw no noise in evaluation"),
    "seeding torch": (Reseeding, "deterministic", "global random generator"),
    "a batch mean": (BatchMean, "per_example", "depends on the rest of the batch"),
    "batch statistics": (BatchStatistics, "per_example", "depends on the rest of the batch"),
    "writing into x": (WritesInput, "input_untouched", "log_prob writes into"),
    "a flag outside the state": (FlagOutsideState, "state_round_trip", "such as a flag"),
    "a constant outside the state": (ConstantOutsideState, "state_round_trip", "buffer"),
    "noise past the generator": (GlobalNoise, "training_loss", "without its generator"),
    "constant channels": (ConstantChannels, "prepare", "constant examples"),
    "samples outside the domain": (SamplesOutside, "sample", "a sample has the value"),
    "samples past the generator": (GlobalSamples, "sample", "without its generator"),
    "a shifted density": (ShiftedDensity, "log_density", "the bin of x is x to x + 1"),
    "a density per cube": (DensityOfTheUnitCube, "log_density", "-dims * bits * ln 2 is included"),
    "a density of scaled images": (DensityOfScaledImages, "log_density", "y is in grey levels"),
    "a rounded density": (RoundedDensity, "log_density", "is y rounded"),
    "a density with noise": (NoisyDensity, "log_density", "draw no noise"),
    "a density of the batch": (BatchDensity, "log_density", "rest of the batch"),
    "a density that writes into y": (
        DensityWritesInput,
        "log_density",
        "writes into the examples",
    ),
    "terms that do not add up": (WrongTerms, "log_prob_terms", "do not sum"),
    "noise of rounded images": (RoundedNoise, "to_noise", "not invertible"),
    "noise of one level": (LastLevelOnly, "to_noise", "from every level"),
    "no noise": (NoNoise, "estimate_noise", "noise_range is 0 to 5: it must be"),
    "flat noise": (FlatNoise, "estimate_noise", "not torch.float64 with the same shape"),
    "noise with a graph": (NoiseWithGraph, "estimate_noise", "has a graph"),
    "infinite noise": (InfiniteNoise, "estimate_noise", "is NaN or infinite"),
    "drawn noise": (DrawnNoise, "estimate_noise", "draw no noise"),
    "noise of the batch": (NoiseOfTheBatch, "estimate_noise", "rest of the batch"),
    "noise that writes into z": (NoiseWritesInput, "estimate_noise", "writes into the examples"),
    "noise of scaled integers": (NoiseOfScaledIntegers, "estimate_noise", "noise in integers"),
    "changing the mode": (ChangesMode, "left_as_found", "the training mode"),
    "counting in the state": (CountsCalls, "left_as_found", "the state"),
    "rounded pixels": (
        RoundedPixels,
        "bfloat16",
        "to rounding outside of products than to products",
    ),
    "a rounded sum": (RoundedSum, "bfloat16", "to rounding outside of products than to products"),
    "a rounded result": (RoundedResult, "bfloat16", "log_prob returns torch.bfloat16: convert"),
    "a rounded term": (RoundedTerms, "bfloat16", "log_prob_terms returns torch.bfloat16"),
    "a rounded loss": (RoundedLoss, "bfloat16", "training_loss returns torch.bfloat16"),
    "float32 only": (OnlySingle, "float64", "log_prob is torch.float32"),
    "no density of dark images": (NotFinite, "finite", "1 of 6 examples"),
}


# What one fault cannot but break besides.
MODELS_ALSO_FAIL = {
    "NaN in the gradient": {"unit"},
    "a density per cube": {"unit"},
    "a density of scaled images": {"unit"},
    "a density with noise": {"training_loss"},
    "no density of dark images": {"unit"},
}


@pytest.mark.parametrize("name", MODEL_FAULTS)
def test_model_faults(name, examine):
    model, check, text = MODEL_FAULTS[name]
    status, checks = examine("models", model, "--domain", "1x4x4x5")
    assert status == 1
    assert failed(checks).keys() == {check} | MODELS_ALSO_FAIL.get(name, set())
    assert text in named(checks, check).message


@pytest.mark.parametrize(
    ("model", "text"),
    [(FewerTokens, "has shape (5, 7), not (5, 8)"), (MeanTokens, "do not sum to log_prob")],
)
def test_faults_of_models_of_text(model, text):
    checks = check_model(model)
    assert failed(checks).keys() == {"log_prob_tokens"}
    assert text in named(checks, "log_prob_tokens").message


def test_faults_that_break_much():
    assert {"shape_and_dtype", "per_example"} <= failed(check_model(BatchScalar)).keys()
    assert "gradients" in failed(check_model(Detached))


def test_an_unnormalized_likelihood_has_no_unit_check():
    checks = check_model(Unnormalized)
    assert failed(checks) == {}
    assert named(checks, "unit").outcome == "skipped"
    message = "the likelihood is unnormalized, so the sum need not be 1"
    assert named(checks, "unit").message == message


def test_unreached_parameters_are_remarked_on():
    class Unreached(PlainModel):
        def __init__(self, domain):
            super().__init__(domain)
            self.spare = nn.Parameter(torch.zeros(2))
            self.fixed = nn.Parameter(torch.zeros(2), requires_grad=False)

    checks = check_model(Unreached)
    assert named(checks, "gradients").outcome == "passed"
    assert named(checks, "gradients").message == (
        "log_prob does not reach spare; requires_grad is off for fixed"
    )


def test_the_unit_message_has_the_numbers():
    found = failed(check_model(scaled(lambda d: NATS_TO_BITS)))["unit"]
    assert found.startswith("the 256 images in 1x2x2 at 2 bits have a total probability of 0.0")
    assert "a mean log_prob of -8.0" in found
    assert "(uniform: -5.545 nats)" in found


def test_the_kit_leaves_torch_as_it_was():
    torch.manual_seed(3)
    before = torch.random.get_rng_state()
    check_model(GoodModel)
    assert torch.equal(torch.random.get_rng_state(), before)


def of_a_latent(likelihood, *, above=0.0, weights=0.0):
    """P(x): mean over two latents of products of softmaxes; both values moved by constants."""

    class Latent(nn.Module):
        def __init__(self, domain):
            super().__init__()
            self.domain, self.likelihood = domain, likelihood
            self.logits = nn.Parameter(0.1 * torch.randn(2, domain.dims, domain.levels))

        def given(self, x):
            """Log P(x | z), (N, 2)."""
            pixels = x.flatten(1).long()[:, None, :, None].expand(-1, 2, -1, -1)
            logits = self.logits.log_softmax(2).expand(len(x), -1, -1, -1)
            return logits.gather(3, pixels).squeeze(3).sum(2)

        def log_prob(self, x):
            return self.given(x).mean(1) + above

        def estimate_log_prob(self, x, draws, generator):
            z = torch.randint(2, (draws,), generator=generator)
            return self.given(x)[:, z].logsumexp(1) - math.log(draws) + weights

    return Latent


@pytest.mark.parametrize("likelihood", ["lower_bound", "estimate"])
def test_a_bound_and_an_estimate_are_compared_with_draws(likelihood):
    unit = named(check_model(of_a_latent(likelihood)), "unit")
    assert unit.outcome == "passed"
    assert "; estimate_log_prob by 2048 draws has a mean of -5." in unit.message


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (of_a_latent("lower_bound", above=-1.0, weights=-0.5), "sum to 0.607, not to 1"),
        (of_a_latent("lower_bound", weights=0.5), "sum to 1.65, not to 1"),
        (of_a_latent("estimate", above=-0.5), "far from log_prob"),
        (of_a_latent("estimate", above=math.log(2)), "total probability of 2"),
        (of_a_latent("lower_bound", above=math.log(2)), "total probability of 2"),
    ],
)
def test_a_wrong_bound_estimate_or_draws_are_found(model, message):
    found = failed(check_model(model))
    assert found.keys() == {"unit"}
    assert message in found["unit"]


def test_a_bound_above_the_estimate_by_draws_is_found():
    class Uniform(of_a_latent("lower_bound")):
        """Its log_prob is uniform, whatever it was trained on; its draws know better."""

        def log_prob(self, x):
            return 0 * self.given(x).mean(1) - self.domain.dims * self.domain.bits * math.log(2)

        def training_loss(self, x, generator):
            return -self.given(x // 2).mean()

    assert "which is said to be a lower bound" in failed(check_model(Uniform))["unit"]
