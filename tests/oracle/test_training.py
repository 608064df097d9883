"""Training: an uninterrupted run is the oracle of a continued one, plain torch of the loop."""

from __future__ import annotations

import copy
import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from harness.compute.inputs import augment, mutate, translate
from harness.compute.seeds import derived_seed, generator
from harness.compute.trainer import Training, _optimizer, learning_rate, subset
from harness.dequantise import fixed_noise
from harness.domain import Images
from harness.errors import DataError, TrainingError
from harness.suite import Recipe
from plugins.models.glow import glow
from plugins.models.glow_linear import glow_linear

DOMAIN = Images(1, 4, 4)
CPU = torch.device("cpu")


def nothing(amount):
    """No progress is shown."""


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(0).integers(0, 256, (70, 1, 4, 4), dtype=np.uint8)


def component(build, **recipe):
    return SimpleNamespace(recipe=Recipe(**{"minibatch": 16, **recipe}), build=build)


def small_glow(domain):
    return glow(domain, levels=1, steps=2, width=4)


def small_linear(domain):
    return glow_linear(domain, steps=2, width=4, hidden_layers=1)


RECIPES = [
    {"optimizer": "adamax", "weight_decay": 1e-3, "warmup_epochs": 3.0},
    {"optimizer": "adamw", "precision": "float64", "clip_grad_norm": 0.5},
    {"optimizer": "adam", "translate": 0.3, "horizontal_flip": True, "mutation_rate": 0.2},
]


@pytest.mark.parametrize("recipe", RECIPES)
@pytest.mark.parametrize("build", [small_glow, small_linear])
def test_two_epochs_and_two_more_are_four_bit_for_bit(images, build, recipe):
    whole = Training(component(build, **recipe), DOMAIN, images, 3, CPU)
    whole.start()
    states = []
    for _ in range(4):
        whole.run_epoch(nothing)
        states.append(whole.state())
    continued = Training(component(build, **recipe), DOMAIN, images, 3, CPU)
    continued.resume(*states[1], 2)
    torch.rand(7)  # the global generator must not matter
    continued.run_epoch(nothing)
    assert continued.state() == states[2]
    continued.run_epoch(nothing)
    assert continued.state() == states[3]


def test_continuing_from_epoch_0_is_training_from_the_start(images):
    whole = Training(component(small_glow), DOMAIN, images, 3, CPU)
    whole.start()
    start = whole.state()
    whole.run_epoch(nothing)
    continued = Training(component(small_glow), DOMAIN, images, 3, CPU)
    continued.resume(*start, 0)
    continued.run_epoch(nothing)
    assert continued.state() == whole.state()


def test_seeds_give_different_models(images):
    states = []
    for seed in (0, 1):
        training = Training(component(small_glow), DOMAIN, images, seed, CPU)
        training.start()
        states.append(training.state()[0])
    assert states[0] != states[1]


class Slope(torch.nn.Module):
    """log p(x) = -w mean(x): its training can be followed by hand."""

    likelihood = "unnormalized"

    def __init__(self, domain):
        super().__init__()
        self.domain = domain
        self.w = torch.nn.Parameter(torch.ones(()))

    def log_prob(self, x):
        return -self.w * x.flatten(1).to(self.w.dtype).mean(1)


def test_an_epoch_is_what_plain_torch_does_by_hand(images):
    """Order, dropped remainder, loss in bits per dimension, warm-up, decay and clipping."""
    recipe = {
        "optimizer": "adamax",
        "learning_rate": 0.1,
        "weight_decay": 0.2,
        "warmup_epochs": 2.0,
        "clip_grad_norm": 3.0,
        "precision": "float64",
    }
    training = Training(component(Slope, **recipe), DOMAIN, images, 5, CPU)
    training.start()
    losses = [training.run_epoch(nothing) for _ in range(3)]
    w, moment, infinity = 1.0, 0.0, 0.0
    expected = []
    step = 0
    for epoch in (1, 2, 3):
        order = torch.randperm(70, generator=generator(5, "order", epoch)).tolist()
        seen = []
        for start in range(0, 64, 16):  # 70 examples are 4 minibatches of 16; 6 are left out
            mean = images[order[start : start + 16]].astype(float).mean()
            scale = 16 * math.log(2)
            seen.append(w * mean / scale)
            gradient = mean / scale
            gradient *= min(1.0, 3.0 / (abs(gradient) + 1e-6))
            gradient += 0.2 * w
            step += 1
            moment = 0.9 * moment + 0.1 * gradient
            infinity = max(0.999 * infinity, abs(gradient) + 1e-8)
            rate = 0.1 * min(1.0, step / 8)
            w -= rate / (1 - 0.9**step) * moment / infinity
        expected.append(sum(seen) / 4)
    assert losses == pytest.approx(expected, rel=1e-12)
    assert float(training.model.w.detach()) == pytest.approx(w, rel=1e-12)


@pytest.mark.parametrize(
    ("step", "expected"), [(0, 0.01), (4, 0.05), (9, 0.1), (10, 0.1), (1000, 0.1)]
)
def test_warm_up_is_linear_and_then_constant(step, expected):
    recipe = Recipe(learning_rate=0.1, warmup_epochs=2.0)
    assert learning_rate(recipe, step, steps_per_epoch=5) == pytest.approx(expected)


def test_without_warm_up_the_first_step_is_whole():
    assert learning_rate(Recipe(learning_rate=0.1), 0, 5) == 0.1


class Breaks(Slope):
    """Its loss is not a number from the third call on."""

    calls = 0

    def log_prob(self, x):
        self.calls += 1
        return super().log_prob(x) * (math.nan if self.calls > 6 else 1.0)


def test_a_loss_that_is_not_finite_names_epoch_and_step(images):
    training = Training(component(Breaks), DOMAIN, images, 0, CPU)
    training.run_epoch(nothing)
    with pytest.raises(TrainingError, match=r"^the loss is nan at epoch 2, step 3; "):
        training.run_epoch(nothing)


def test_fewer_examples_than_a_minibatch():
    images = np.zeros((10, 1, 4, 4), dtype=np.uint8)
    with pytest.raises(DataError, match="a minibatch has 16 examples, but only 10 are available"):
        Training(component(Slope), DOMAIN, images, 0, CPU)


def test_a_limited_number_of_examples_is_all_that_is_seen(images):
    order = np.argsort(np.random.PCG64([derived_seed(0, "examples"), 70]).random_raw(70))
    changed = images.copy()
    changed[order[32:]] = 7
    found = []
    for data in (images, changed):
        training = Training(component(small_glow, examples=32), DOMAIN, data, 0, CPU)
        training.start()
        training.run_epoch(nothing)
        found.append(training.state())
    assert found[0] == found[1]


def test_progress_adds_up_to_the_epoch(images):
    training = Training(component(Slope, minibatch=3), DOMAIN, images, 0, CPU)
    amounts = []
    training.run_epoch(amounts.append)
    assert sum(amounts) == 69


def test_few_examples_are_random_and_nested():
    images = np.repeat(np.arange(10, dtype=np.uint8), 800).reshape(-1, 1, 1, 1)  # in class order
    seen = [set(), set()]
    for seed in range(2):
        few, more = (subset(images, n, seed, "examples").ravel() for n in (800, 3200))
        counts = np.bincount(more, minlength=10)
        assert len(few) == 800
        assert len(more) == 3200
        assert (abs(counts - 320) < 60).all()  # 4 standard deviations of a hypergeometric count
        assert (np.bincount(few, minlength=10) <= counts).all()
        numbered = np.arange(8000, dtype=np.uint32).reshape(-1, 1, 1, 1)
        ids = [set(subset(numbered, n, seed, "examples").ravel().tolist()) for n in (800, 3200)]
        assert ids[0] < ids[1]
        seen[seed] = ids[1]
    assert seen[0] != seen[1]
    assert (subset(images, None, 0, "examples") == images).all()
    assert (subset(images, 9000, 0, "examples") == images).all()


def test_own_bits_per_dim_is_the_mean_over_the_images(images):
    training = Training(component(Slope, precision="float64"), DOMAIN, images, 0, CPU)
    expected = images.astype(float).mean() / (16 * math.log(2))
    assert training.own_bits_per_dim(images) == pytest.approx(expected, rel=1e-12)


class Sloping(Slope):
    """A density over real-valued images that falls with the sum of the pixels."""

    def log_density(self, y):
        return -y.to(torch.float64).flatten(1).sum(1)


def test_own_bits_per_dim_is_of_the_density_with_noise_in_the_bin(images):
    training = Training(component(Sloping, precision="float64"), DOMAIN, images, 0, CPU)
    expected = (images + fixed_noise(images)).mean() / math.log(2)
    assert training.own_bits_per_dim(images) == pytest.approx(expected, rel=1e-12)


def test_own_bits_per_dim_is_of_a_random_subset_of_a_large_split(images):
    training = Training(component(Slope, precision="float64"), DOMAIN, images, 0, CPU)
    dark, bright = np.zeros((2000, 1, 4, 4), np.uint8), np.full((2000, 1, 4, 4), 200, np.uint8)
    expected = 100 / (16 * math.log(2))
    own = training.own_bits_per_dim(np.concatenate([dark, bright]))
    assert own == pytest.approx(expected, rel=0.15)


class TestAugmentation:
    def test_translation_against_a_loop_over_pixels(self):
        x = torch.randint(0, 256, (40, 2, 5, 4), dtype=torch.uint8)
        moved = translate(x, 0.4, torch.Generator().manual_seed(1))
        shifts = set()
        for image, result in zip(x, moved, strict=True):
            matching = [
                (dy, dx)
                for dy in range(-2, 3)
                for dx in range(-1, 2)
                if torch.equal(shifted(image, dy, dx), result)
            ]
            assert len(matching) == 1
            shifts.add(matching[0])
        assert len(shifts) > 8

    def test_every_shift_up_to_the_share_occurs_about_as_often(self):
        x = torch.zeros(9000, 1, 10, 10, dtype=torch.uint8)
        x[:, :, 5, 5] = 1
        moved = translate(x, 0.1, torch.Generator().manual_seed(1))
        counts = moved.sum(0)[0]
        assert counts[4:7, 4:7].sum() == 9000
        assert (counts[4:7, 4:7].double() - 1000).abs().max() < 150

    def test_half_of_the_examples_are_mirrored_left_to_right(self):
        x = torch.arange(6, dtype=torch.uint8).reshape(1, 1, 2, 3).repeat(4000, 1, 1, 1)
        flipped = augment(x, Recipe(horizontal_flip=True), 256, torch.Generator().manual_seed(1))
        mirror = torch.tensor([[[2, 1, 0], [5, 4, 3]]], dtype=torch.uint8)
        is_mirror = (flipped == mirror).flatten(1).all(1)
        assert ((flipped == x).flatten(1).all(1) ^ is_mirror).all()
        assert abs(int(is_mirror.sum()) - 2000) < 160

    def test_nothing_is_done_unless_asked_for(self):
        x = torch.randint(0, 256, (4, 1, 4, 4), dtype=torch.uint8)
        untouched = torch.Generator().manual_seed(1)
        assert torch.equal(augment(x, Recipe(), 256, untouched), x)
        assert torch.equal(untouched.get_state(), torch.Generator().manual_seed(1).get_state())


class TestMutation:
    @pytest.mark.parametrize("rate", [0.1, 0.3, 1.0])
    def test_a_share_of_the_values_is_uniform_over_the_levels(self, rate):
        # 5 of 6 levels differ from the old value, so 5/6 of what is replaced changes.
        x = torch.full((600, 3, 10, 10), 4, dtype=torch.uint8)
        mutated = mutate(x, rate, 6, torch.Generator().manual_seed(1))
        counts = torch.bincount(mutated.flatten().long()).double()
        expected = torch.full((6,), rate / 6) + torch.tensor([0, 0, 0, 0, 1 - rate, 0])
        error = (expected * (1 - expected) / x.numel()).sqrt()
        assert counts.shape == (6,)
        assert ((counts / x.numel() - expected).abs() < 4 * error).all()
        assert (x == 4).all()

    def test_every_channel_of_every_pixel_is_replaced_by_itself(self):
        x = torch.full((4000, 2, 2, 2), 200, dtype=torch.uint8)
        changed = (mutate(x, 0.5, 256, torch.Generator().manual_seed(1)) != 200).flatten(1)
        places = changed.double()
        assert (places.mean(0) - 0.5 * 255 / 256).abs().max() < 0.04
        off_diagonal = torch.corrcoef(places.T) - torch.eye(8)
        assert off_diagonal.abs().max() < 0.07  # 4.4 standard errors
        along_examples = torch.corrcoef(torch.stack([places[:-1, 0], places[1:, 0]]))[0, 1]
        assert abs(along_examples) < 0.07

    def test_what_replaces_values_differs_from_place_to_place(self):
        x = torch.zeros(1, 3, 40, 40, dtype=torch.uint8)
        mutated = mutate(x, 1.0, 256, torch.Generator().manual_seed(1))
        assert len(mutated.unique()) == 256

    def test_it_comes_after_the_other_changes_and_leaves_their_numbers(self):
        x = torch.randint(0, 256, (8, 1, 6, 6), dtype=torch.uint8)
        plain = {"translate": 0.3, "horizontal_flip": True}
        first, second = (torch.Generator().manual_seed(1) for _ in range(2))
        moved = augment(x, Recipe(**plain), 256, first)
        both = augment(x, Recipe(**plain, mutation_rate=0.2), 256, second)
        assert torch.equal(both, mutate(moved, 0.2, 256, first))

    def test_training_and_its_start_see_mutated_examples_and_evaluation_does_not(self):
        class Watched(Slope):
            seen = ()

            def prepare(self, x):
                self.log_prob(x)

            def log_prob(self, x):
                self.seen = (*self.seen, x.clone())
                return super().log_prob(x)

        images = np.full((64, 1, 4, 4), 9, dtype=np.uint8)
        recipe = {"mutation_rate": 0.25, "minibatch": 32, "prepare_batches": 2}
        training = Training(component(Watched, **recipe), DOMAIN, images, 0, CPU)
        training.start()
        training.run_epoch(nothing)
        training.own_bits_per_dim(images)
        start, first, second, own = training.model.seen
        for part in (start, first, second):
            assert abs(float((part != 9).double().mean()) - 0.25 * 255 / 256) < 0.08
            assert part.max() > 200  # of the 256 levels of the domain, none is left out
        assert not torch.equal(first, second)
        assert (own == 9).all()


def shifted(image, dy, dx):
    """An image moved down by dy and right by dx, zeros moving in, by a loop."""
    channels, height, width = image.shape
    result = torch.zeros_like(image)
    for c in range(channels):
        for row in range(height):
            for column in range(width):
                if 0 <= row - dy < height and 0 <= column - dx < width:
                    result[c, row, column] = image[c, row - dy, column - dx]
    return result


def test_streams_differ_by_seed_purpose_and_epoch_and_are_the_same_everywhere():
    found = {derived_seed(s, p, e) for s in (0, 1) for p in ("order", "noise") for e in (0, 1)}
    assert len(found) == 8
    assert derived_seed(0, "order", 1) == 4489457307835839548


@pytest.mark.parametrize(("name", "rounding"), [("adam", 1e-6), ("adamax", 0), ("adamw", 1e-6)])
def test_optimisers_give_what_torch_gives_tensor_by_tensor(name, rounding):
    classes = {"adam": torch.optim.Adam, "adamax": torch.optim.Adamax, "adamw": torch.optim.AdamW}
    torch.manual_seed(0)
    ours = torch.nn.ParameterList(torch.randn(size) for size in (1, 7, 100))
    plain = copy.deepcopy(ours)
    optimizers = (
        _optimizer(ours, Recipe(optimizer=name, learning_rate=0.1, weight_decay=0.01)),
        classes[name](plain.parameters(), lr=0.1, weight_decay=0.01, foreach=False),
    )
    for _ in range(3):
        for one, other in zip(ours, plain, strict=True):
            one.grad = torch.randn_like(one)
            other.grad = one.grad.clone()
        for optimizer in optimizers:
            optimizer.step()
    for one, other in zip(ours, plain, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=rounding)  # steps are near 0.1


@pytest.mark.parametrize("recipe", RECIPES)
def test_an_epoch_that_is_gone_on_with_ends_bit_for_bit_as_if_never_left(images, recipe):
    whole = Training(component(small_glow, **recipe), DOMAIN, images, 3, CPU)
    whole.start()
    kept = {}

    def keep():
        kept[whole.steps] = (*whole.state(), whole.progress(), whole.steps)

    losses = [whole.run_epoch(nothing, keep) for _ in range(2)]
    keep()  # at the end of an epoch too
    assert sorted(kept) == [1, 2, 3, 5, 6, 7, 8]  # 4 steps an epoch, the last has a checkpoint
    ends = {}
    for steps in (1, 3, 6, 8):
        continued = Training(component(small_glow, **recipe), DOMAIN, images, 3, CPU)
        continued.resume_within(*kept[steps])
        torch.rand(7)
        amounts = []
        loss = continued.run_epoch(amounts.append)
        ends[steps] = continued.state()
        assert sum(amounts) == 16 * (4 - steps % 4)
        assert steps == 8 or loss == losses[steps // 4]
    assert ends[6] == kept[8][:2]
    whole.run_epoch(nothing)
    assert ends[8] == whole.state()
    assert ends[1] == ends[3] != ends[6]


def test_a_weight_that_is_not_finite_names_its_layer():
    images = np.zeros((16, 1, 4, 4), dtype=np.uint8)
    images[:, :, 0, 0] = 1
    training = Training(component(Slope, learning_rate=3.3e37), DOMAIN, images, 0, CPU)
    training.model.w.data.fill_(-3.2e38)  # its loss is finite, what the step makes of it is not
    with pytest.raises(TrainingError, match=r"^layer 'w' has weights that are not finite at the"):
        training.run_epoch(nothing)
