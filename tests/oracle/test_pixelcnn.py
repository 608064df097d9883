"""PixelCNN against what makes it a PixelCNN, in float64."""

import pytest
import torch

from oodbench import Images
from plugins.models.pixelcnn import pixelcnn

FOUR = [Images(1, 2, 2, bits=2), Images(1, 1, 4, bits=2), Images(2, 2, 1, bits=2)]


def built(domain, seed=0, **options):
    """A small model in float64, every parameter moved away from its initial value."""
    torch.manual_seed(seed)
    model = pixelcnn(domain, width=4, components=2, **options).double()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return model


def every_image(domain):
    values = torch.arange(domain.levels, dtype=torch.uint8)
    return torch.cartesian_prod(*[values] * domain.dims).reshape(-1, *domain.shape)


def images(domain, n):
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, domain.levels, (n, *domain.shape), generator=generator).byte()


@pytest.mark.parametrize("pixels", ["logistics", "categorical"])
@pytest.mark.parametrize("domain", FOUR)
def test_the_probabilities_of_all_images_sum_to_one(domain, pixels):
    total = built(domain, blocks=2, pixels=pixels).log_prob(every_image(domain)).exp().sum()
    assert total.item() == pytest.approx(1, abs=1e-12)


def test_each_pixel_depends_on_all_earlier_pixels_and_on_no_other():
    domain = Images(2, 4, 5)
    model = built(domain, blocks=3)
    x = images(domain, 1).double().requires_grad_()
    raw = model._raw(x)
    for place in range(20):
        row, column = divmod(place, 5)
        (gradient,) = torch.autograd.grad(raw[..., row, column].sum(), x, retain_graph=True)
        reached = (gradient[0] != 0).flatten(1)  # (C, pixels)
        assert reached[:, :place].all()
        assert not reached[:, place:].any()


def test_samples_are_drawn_pixel_by_pixel_given_all_before(monkeypatch):
    """Against the definition: a forward pass through the whole image for every pixel."""
    domain = Images(2, 9, 3, bits=3)
    model = built(domain, blocks=1)
    assert model._reach < domain.height - 1
    generator = torch.Generator().manual_seed(3)
    x = torch.zeros(4, *domain.shape, dtype=torch.uint8)
    for row in range(9):
        for column in range(3):
            raw = model._raw(x)[:, :, row : row + 1, column : column + 1]
            drawn = model._pixels.sample(raw, generator, 1.0)
            x[:, :, row : row + 1, column : column + 1] = drawn
    assert torch.equal(model.sample(4, torch.Generator().manual_seed(3)), x)
    assert len(x.unique()) > 4


def test_the_frequencies_of_samples_are_the_probabilities():
    domain, draws = Images(1, 1, 2, bits=2), 10_000
    model = built(domain, blocks=1)
    x = every_image(domain)
    expected = model.log_prob(x).exp()
    drawn = model.sample(draws, torch.Generator().manual_seed(0))
    counts = (drawn.unsqueeze(1) == x).flatten(2).all(2).double().mean(0)
    assert ((counts - expected).abs() < 5 * (expected / draws).sqrt() + 1e-12).all()


def test_at_temperature_zero_there_is_one_sample():
    drawn = built(Images(1, 3, 3)).sample(3, torch.Generator(), temperature=0.0)
    assert len(drawn.unique(dim=0)) == 1
