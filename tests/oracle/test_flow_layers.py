"""Each layer of the flows against its definition, in float64: determinants, inverses, values."""

import math

import pytest
import torch
from torch import nn
from torch.distributions import Normal
from torch.nn import functional as F

from oodbench import Images
from plugins.models.flows.actnorm import ActNorm, InvertibleActNorm, initialising
from plugins.models.flows.chain import Chain, Logit, Squeeze
from plugins.models.flows.convolutions import HiddenConv2d, ZeroConv2d
from plugins.models.flows.couplings import ConvCoupling, LinearCoupling
from plugins.models.flows.glow import GlowLevel, GlowStep
from plugins.models.flows.glow_linear import GlowLinearStep
from plugins.models.flows.mixing import (
    InvertibleConv1x1,
    InvertibleConv1x1LU,
    random_rotation,
)
from plugins.models.flows.multiscale import ConditionalNormal, Split, Top, squeeze
from plugins.models.flows.realnvp import Permute, ResidualCoupling, by_colour


def randomised(layer, seed=0):
    """The layer in float64, every parameter moved away from its special initial value."""
    generator = torch.Generator().manual_seed(seed)
    layer = layer.to(torch.float64)
    with torch.no_grad():
        for parameter in layer.parameters():
            noise = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
            parameter.add_(0.15 * noise)
    return layer


def normal(*shape, seed=1):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def log_abs_det(function, x):
    """The definition: slogdet of the autograd Jacobian, one example at a time."""
    rows = []
    for example in x:
        jacobian = torch.autograd.functional.jacobian(
            lambda e: function(e[None]).flatten(), example
        )
        rows.append(torch.linalg.slogdet(jacobian.reshape(x[0].numel(), -1)).logabsdet)
    return torch.stack(rows)


class WithParity(nn.Module):
    def __init__(self, layer, parity):
        super().__init__()
        self.layer, self.parity = layer, parity

    def forward(self, x):
        return self.layer(x, self.parity)

    def inverse(self, y):
        return self.layer.inverse(y, self.parity)


class LogitOfImages(nn.Module):
    """The logit of grey levels: the sigmoid makes them from any number."""

    def __init__(self):
        super().__init__()
        self.logit = Logit(0.05)

    def forward(self, x):
        y, ladj = self.logit(torch.sigmoid(x) - 0.5)
        return y, ladj + (F.logsigmoid(x) + F.logsigmoid(-x)).flatten(1).sum(1)

    def inverse(self, y):
        return torch.logit(self.logit.inverse(y) + 0.5)


def linear_coupling(parity):
    return WithParity(LinearCoupling(9, width=5, hidden_layers=2), parity)


def linear_step(channels, parity):
    return WithParity(GlowLinearStep(Images(channels, 2, 3), width=5, hidden_layers=1), parity)


# A layer and the shape of one example; height and width differ, so that neither can stand in.
LAYERS = {
    "actnorm": (lambda: InvertibleActNorm(3), (3, 2, 4)),
    "mix-lu": (lambda: InvertibleConv1x1LU(4), (4, 2, 3)),
    "mix-lu-one-channel": (lambda: InvertibleConv1x1LU(1), (1, 2, 3)),
    "mix-plain": (lambda: InvertibleConv1x1(3), (3, 2, 3)),
    "mix-plain-one-channel": (lambda: InvertibleConv1x1(1), (1, 2, 3)),
    "squeeze": (Squeeze, (2, 4, 2)),
    "conv-coupling": (lambda: ConvCoupling(4, width=5), (4, 2, 3)),
    "residual-coupling-0": (lambda: ResidualCoupling(4, 0, width=5, blocks=1), (4, 2, 3)),
    "residual-coupling-1": (lambda: ResidualCoupling(6, 1, width=5, blocks=2), (6, 2, 3)),
    "logit": (LogitOfImages, (1, 2, 3)),
    "permute": (lambda: Permute(torch.tensor([2, 0, 1])), (3, 2, 3)),
    "chain": (lambda: Chain(Squeeze(), InvertibleActNorm(4)), (1, 4, 2)),
    "linear-coupling-0": (lambda: linear_coupling(0), (1, 3, 3)),
    "linear-coupling-1": (lambda: linear_coupling(1), (1, 3, 3)),
    "glow-step": (lambda: GlowStep(4, width=5), (4, 2, 3)),
    "glow-level": (lambda: GlowLevel(1, steps=3, width=5), (1, 4, 6)),
    "glow-linear-step-0": (lambda: linear_step(1, 0), (1, 2, 3)),
    "glow-linear-step-1": (lambda: linear_step(3, 1), (3, 2, 3)),
}


@pytest.fixture(params=LAYERS)
def layer_and_input(request):
    torch.manual_seed(0)
    make, shape = LAYERS[request.param]
    return randomised(make()), normal(2, *shape)


def test_ladj_is_the_log_determinant_of_the_jacobian(layer_and_input):
    layer, x = layer_and_input
    ladj = layer(x)[1]
    assert ladj.shape == (2,)
    torch.testing.assert_close(ladj, log_abs_det(lambda e: layer(e)[0], x), rtol=0, atol=1e-11)


def test_inverse_undoes_forward(layer_and_input):
    layer, x = layer_and_input
    torch.testing.assert_close(layer.inverse(layer(x)[0]), x, rtol=0, atol=1e-11)


def test_forward_undoes_inverse(layer_and_input):
    layer, x = layer_and_input
    z = normal(*layer(x)[0].shape, seed=2)
    torch.testing.assert_close(layer(layer.inverse(z))[0], z, rtol=0, atol=1e-11)


def test_the_layers_that_are_tested_do_something(layer_and_input):
    layer, x = layer_and_input
    y, ladj = layer(x)
    assert y.shape != x.shape or not torch.allclose(x, y)
    assert isinstance(layer, Squeeze | Permute) or (ladj.abs() > 0.01).all()


# ActNorm


def test_actnorm_is_an_affine_map_of_each_channel():
    layer = InvertibleActNorm(2)
    layer.set(torch.tensor([1.0, 2.0]), torch.tensor([0.0, math.log(3)]))
    y, ladj = layer(torch.tensor([[[[1.0, -1.0]], [[0.0, 1.0]]]]))
    torch.testing.assert_close(y, torch.tensor([[[[2.0, 0.0]], [[6.0, 9.0]]]]))
    torch.testing.assert_close(ladj, torch.tensor([2 * math.log(3)]))


def test_actnorm_starts_as_the_identity_and_forward_never_initialises():
    layer, x = InvertibleActNorm(3), torch.randn(4, 3, 2, 2)
    assert torch.equal(layer(x)[0], x)
    assert not layer.initialised


def test_actnorm_initialises_to_zero_mean_and_unit_variance():
    layer = randomised(ActNorm(3))
    x = normal(5, 3, 2, 4) * torch.tensor([0.01, 1.0, 40.0])[:, None, None] + 7
    layer.initialise(x)
    y = layer(x)
    assert layer.initialised
    zero, one = torch.zeros(3, dtype=torch.float64), torch.ones(3, dtype=torch.float64)
    torch.testing.assert_close(y.mean((0, 2, 3)), zero, rtol=0, atol=1e-12)
    torch.testing.assert_close(y.var((0, 2, 3), correction=0), one, rtol=1e-12, atol=0)


def test_actnorm_only_centres_a_constant_channel():
    layer = ActNorm(2)
    x = torch.stack([torch.full((6, 2), 5.0), torch.arange(12.0).reshape(6, 2)])[None]
    layer.initialise(x)
    assert layer.log_scale[0] == 0
    assert layer.log_scale[1] != 0
    assert torch.equal(layer(x)[0, 0], torch.zeros(6, 2))


def test_initialising_sets_each_norm_from_what_reaches_it_and_leaves_no_hook():
    first, second = ActNorm(2).double(), ActNorm(2).double()
    net = nn.Sequential(first, nn.ReLU(), second)
    x = 3 * normal(50, 2, 2, 2) + 1
    with initialising(net):
        net(x)
    variance, mean = torch.var_mean(x, (0, 2, 3), keepdim=True, correction=0)
    hidden = F.relu((x - mean) / variance.sqrt())
    torch.testing.assert_close(-second.bias.flatten(), hidden.mean((0, 2, 3)))
    before = second.bias.clone()
    net(10 * x)
    assert torch.equal(second.bias, before)


def test_initialising_leaves_no_hook_after_an_error():
    norm = ActNorm(2)
    with pytest.raises(KeyError), initialising(norm):
        raise KeyError
    norm(torch.ones(1, 2, 1, 1))
    assert not norm.initialised


# 1x1 convolutions


@pytest.mark.parametrize("channels", [1, 2, 3, 12])
def test_random_rotation_is_orthogonal_with_determinant_one(channels):
    for seed in range(4):
        torch.manual_seed(seed)
        w = random_rotation(channels)
        torch.testing.assert_close(w @ w.T, torch.eye(channels, dtype=torch.float64))
        assert torch.linalg.det(w).item() == pytest.approx(1)


@pytest.mark.parametrize("channels", [1, 2, 7])
def test_both_1x1_convolutions_start_as_the_same_rotation(channels):
    torch.manual_seed(0)
    lu = InvertibleConv1x1LU(channels)
    torch.manual_seed(0)
    plain = InvertibleConv1x1(channels)
    torch.testing.assert_close(lu.weight(), plain.weight)
    assert lu(torch.zeros(1, channels, 2, 2))[1].item() == pytest.approx(0, abs=1e-5)


def test_the_lu_weight_is_the_product_of_its_factors():
    torch.manual_seed(3)
    layer = randomised(InvertibleConv1x1LU(4)).requires_grad_(False)
    lower, upper = torch.eye(4).double(), torch.zeros(4, 4).double()
    for i in range(4):
        upper[i, i] = layer.sign[i] * layer.log_s[i].exp()
        for j in range(i):
            lower[i, j], upper[j, i] = layer.lower[i, j], layer.upper[j, i]
    weight = layer.p @ lower @ upper
    x = normal(1, 4, 1, 1)
    torch.testing.assert_close(layer(x)[0].flatten(), weight @ x.flatten())
    assert sorted(layer.p.flatten().tolist()) == [0.0] * 12 + [1.0] * 4
    assert set(layer.sign.abs().tolist()) == {1.0}


def test_what_the_lu_weight_does_not_read_has_no_gradient():
    layer = randomised(InvertibleConv1x1LU(4))
    y, ladj = layer(normal(2, 4, 2, 2))
    (y.square().sum() + ladj.sum()).backward()
    assert torch.equal(layer.lower.grad.triu(), torch.zeros(4, 4).double())
    assert torch.equal(layer.upper.grad.tril(), torch.zeros(4, 4).double())
    assert (layer.log_s.grad != 0).all()


def test_a_plain_1x1_convolution_mixes_channels_of_one_pixel():
    layer = randomised(InvertibleConv1x1(3))
    x = normal(2, 3, 2, 2)
    y = torch.einsum("oc,nchw->nohw", layer.weight, x)
    torch.testing.assert_close(layer(x)[0], y)


# Convolutions


def test_zero_conv_starts_at_zero_and_scales_by_exp_three_log_scale():
    layer = ZeroConv2d(2, 3).double()
    x = normal(2, 2, 3, 3)
    assert torch.equal(layer(x), torch.zeros(2, 3, 3, 3).double())
    layer = randomised(layer)
    scale = torch.tensor([math.exp(3 * s) for s in layer.log_scale.flatten().tolist()]).double()
    y = F.conv2d(x, layer.weight, layer.bias, padding=1) * scale[:, None, None]
    torch.testing.assert_close(layer(x), y)


@pytest.mark.parametrize("size", [1, 3])
def test_hidden_conv_starts_at_a_twentieth_and_keeps_the_size(size):
    torch.manual_seed(0)
    layer = HiddenConv2d(64, 64, size=size)
    assert layer.bias is None
    assert layer(torch.zeros(1, 64, 5, 4)).shape == (1, 64, 5, 4)
    assert layer.weight.std().item() == pytest.approx(0.05, rel=0.03)


# Couplings


def test_conv_coupling_keeps_the_first_half_and_moves_the_second_by_it():
    layer = randomised(ConvCoupling(4, width=5))
    x = normal(2, 4, 2, 3)
    h = torch.relu(layer.norm1(layer.conv1(x[:, :2])))
    h = torch.relu(layer.norm2(layer.conv2(h)))
    shift, raw = layer.conv3(h)[:, :2], layer.conv3(h)[:, 2:]
    scale = 1 / (1 + torch.exp(-(raw + 2)))
    y, ladj = layer(x)
    assert torch.equal(y[:, :2], x[:, :2])
    torch.testing.assert_close(y[:, 2:], (x[:, 2:] + shift) * scale)
    torch.testing.assert_close(ladj, scale.log().flatten(1).sum(1))


def test_a_new_conv_coupling_scales_by_sigmoid_two():
    layer, x = ConvCoupling(4, width=5).double(), normal(2, 4, 2, 3)
    y, ladj = layer(x)
    scale = 1 / (1 + math.exp(-2))
    torch.testing.assert_close(y[:, 2:], x[:, 2:] * scale)
    torch.testing.assert_close(ladj, torch.full((2,), 12 * math.log(scale)).double())


@pytest.mark.parametrize("kept", [0, 1])
def test_residual_coupling_keeps_one_half_and_moves_the_other_by_it(kept):
    layer = randomised(ResidualCoupling(4, kept, width=5, blocks=1))
    x = normal(2, 4, 2, 3)
    halves = x[:, :2], x[:, 2:]
    first, block, _, last = layer.net
    h = first(halves[kept])
    h = h + block.conv2(torch.relu(block.conv1(torch.relu(h))))
    out = last(torch.relu(h))
    log_scale = torch.tanh(out[:, 2:])
    moved = halves[1 - kept] * torch.exp(log_scale) + out[:, :2]
    y, ladj = layer(x)
    found = y[:, :2], y[:, 2:]
    assert torch.equal(found[kept], halves[kept])
    torch.testing.assert_close(found[1 - kept], moved)
    torch.testing.assert_close(ladj, log_scale.flatten(1).sum(1))


def test_a_new_residual_coupling_is_the_identity():
    x = normal(2, 4, 2, 3)
    y, ladj = ResidualCoupling(4, 0, width=5, blocks=1).double()(x)
    assert torch.equal(y, x)
    assert torch.equal(ladj, torch.zeros(2).double())


def test_the_halves_of_a_squeezed_image_are_the_colours_of_a_checkerboard():
    rows, columns = torch.meshgrid(torch.arange(4), torch.arange(6), indexing="ij")
    odd = ((rows + columns) % 2).repeat(1, 2, 1, 1).float()
    y = Permute(by_colour(2))(squeeze(odd))[0]
    assert y[:, :4].unique().tolist() == [0]
    assert y[:, 4:].unique().tolist() == [1]


def test_the_logit_of_grey_levels_is_bounded():
    ends = torch.tensor([[[[-0.5, 0.0, 0.5]]]], dtype=torch.float64)
    expected = torch.tensor([[[[0.02, 0.5, 0.98]]]], dtype=torch.float64)
    torch.testing.assert_close(torch.sigmoid(Logit(0.02)(ends)[0]), expected)


@pytest.mark.parametrize(("alpha", "share"), [(0.05, 0.012), (1e-3, 0.115), (1e-6, 0.2995)])
def test_a_smaller_alpha_gives_the_bin_of_black_a_larger_share_of_the_range(alpha, share):
    ends = torch.tensor([0.0, 1 / 256, 1.0], dtype=torch.float64).reshape(1, 1, 1, 3) - 0.5
    black, above_black, white = Logit(alpha)(ends)[0].flatten()
    assert (above_black - black) / (white - black) == pytest.approx(share, abs=5e-4)


@pytest.mark.parametrize("parity", [0, 1])
def test_linear_coupling_keeps_one_parity_and_moves_the_other_by_it(parity):
    layer = randomised(LinearCoupling(9, width=5, hidden_layers=2))
    x = normal(2, 1, 3, 3)
    kept, moved = range(parity, 9, 2), range(1 - parity, 9, 2)
    y = layer(x, parity)[0].flatten(1)
    assert torch.equal(y[:, kept], x.flatten(1)[:, kept])
    assert (y[:, moved] != x.flatten(1)[:, moved]).all()
    other = x.flatten(1).clone()
    other[:, moved] += 1  # what is moved decides nothing: y grows by the scale alone
    growth = layer(other.reshape(x.shape), parity)[0].flatten(1) - y
    masked = x.flatten(1).clone()
    masked[:, moved] = 0
    scale = torch.exp(torch.tanh(layer.log_scale_net(masked)))[:, moved]
    torch.testing.assert_close(growth[:, moved], scale)
    shift = layer.shift_net(masked)[:, moved]
    torch.testing.assert_close(y[:, moved], x.flatten(1)[:, moved] * scale + shift)


def test_linear_coupling_networks_have_the_layers_of_the_paper():
    layer = LinearCoupling(9, width=5, hidden_layers=2)
    sizes = [tuple(m.weight.shape) for m in layer.shift_net if isinstance(m, nn.Linear)]
    assert sizes == [(5, 9), (5, 5), (5, 5), (9, 5)]
    kinds = [type(m) for m in layer.log_scale_net]
    assert kinds == [nn.Linear, nn.ReLU] * 3 + [nn.Linear]


# Levels


def test_squeeze_turns_a_block_of_pixels_into_channels():
    x = torch.arange(16.0).reshape(1, 1, 4, 4)
    y = squeeze(x)
    assert y.shape == (1, 4, 2, 2)
    assert y[0, :, 0, 0].tolist() == [0, 1, 4, 5]
    assert y[0, :, 1, 0].tolist() == [8, 9, 12, 13]


def test_squeeze_keeps_the_pixels_of_a_channel_together():
    x = torch.arange(8.0).reshape(1, 2, 2, 2)
    assert squeeze(x).flatten().tolist() == list(range(8))


def gaussian(conv, h, b):
    """log p(b | h) by torch.distributions."""
    out = conv(h)
    mean, log_sd = out[:, : b.shape[1]], out[:, b.shape[1] :]
    return Normal(mean, log_sd.exp()).log_prob(b).flatten(1).sum(1)


def test_conditional_normal_is_a_gaussian_and_its_z_a_standard_normal():
    layer = randomised(ConditionalNormal(3, 2))
    h, b = normal(2, 3, 2, 2), normal(2, 2, 2, 2, seed=2)
    z, log_prob = layer(h, b)
    torch.testing.assert_close(log_prob, gaussian(layer.conv, h, b))
    standard = Normal(0.0, 1.0).log_prob(z).flatten(1).sum(1)
    ladj = torch.stack(
        [log_abs_det(lambda e, i=i: layer(h[i : i + 1], e)[0], b[i : i + 1])[0] for i in range(2)]
    )
    torch.testing.assert_close(log_prob, standard + ladj)
    torch.testing.assert_close(layer.inverse(h, z), b)
    torch.testing.assert_close(layer(h, layer.inverse(h, b))[0], b)


def test_split_models_the_second_half_given_the_first():
    layer = randomised(Split(4))
    x = normal(2, 4, 2, 3)
    a, z, log_prob = layer(x)
    assert torch.equal(a, x[:, :2])
    torch.testing.assert_close(log_prob, gaussian(layer.prior.conv, x[:, :2], x[:, 2:]))
    torch.testing.assert_close(layer.inverse(a, z), x)
    back, noise, _ = layer(layer.inverse(a, x[:, 2:]))
    torch.testing.assert_close((back, noise), (a, x[:, 2:]))


def test_split_with_its_density_is_a_change_of_variables():
    layer = randomised(Split(4))
    x = normal(2, 4, 2, 2)
    _, z, log_prob = layer(x)
    ladj = log_abs_det(lambda e: torch.cat(layer(e)[:2], dim=1), x)
    standard = Normal(0.0, 1.0).log_prob(z).flatten(1).sum(1)
    torch.testing.assert_close(log_prob, standard + ladj)


def test_top_is_a_gaussian_of_learned_bias_and_scale():
    layer = randomised(Top(3))
    x = normal(2, 3, 2, 2)
    z, log_prob = layer(x)
    conv = layer.prior.conv
    learned = (conv.bias * torch.exp(3 * conv.log_scale.flatten()))[:, None, None]
    expected = Normal(learned[:3], learned[3:].exp()).log_prob(x).flatten(1).sum(1)
    torch.testing.assert_close(log_prob, expected)
    torch.testing.assert_close(layer.inverse(z), x)
    torch.testing.assert_close(layer(layer.inverse(x))[0], x)


@pytest.mark.parametrize("make", [lambda: Split(4), lambda: Top(4)])
def test_latents_start_as_standard_normals(make):
    layer, x = make().double(), normal(2, 4, 2, 2)
    z, log_prob = layer(x)[-2:]
    assert torch.equal(z, x[:, -z.shape[1] :])
    torch.testing.assert_close(log_prob, Normal(0.0, 1.0).log_prob(z).flatten(1).sum(1))


def test_the_log_scale_of_maf_is_bounded_by_one():
    from plugins.models.flows.autoregressive import MaskedAffine

    flow = MaskedAffine(Images(1, 2, 2), transforms=1, hidden=[4], alpha=0.05)
    affine = flow.transforms[0].univariate(torch.tensor(0.0), torch.tensor(3.0))
    assert float(affine.log_scale) == pytest.approx(3 / (1 + 3))
