"""Model families: layer gradients and a training step, beside plain formulations.

    uv run python benchmarks/families.py --size 28 --threads 1

Methods alternate; medians of processor time are shown, in milliseconds per example. "plain" is the
same network in the formulation of the published code: contiguous images and, for each logistic,
the difference of two distribution functions, with its lower limit and the cases for narrow bins.
"ours" is a training step of the model, "engine" the layer gradients at b = 1, "loop" a backward
pass per example. Losses of both formulations are asserted to be equal.
"""

from __future__ import annotations

import argparse
import statistics
import time

import torch
from torch.nn import functional as F

from harness.compute.device import keep_freed_memory
from oodbench import Images
from plugins.models.ebm import ebm
from plugins.models.hvae import hvae
from plugins.models.pixelcnn import pixelcnn
from plugins.models.vae import vae
from plugins.statistics.layer_gradients.engine import LayerGradientEngine
from plugins.statistics.layer_gradients.reference import looped_layer_gradients

FAMILIES = {"pixelcnn": pixelcnn, "vae": vae, "hvae": hvae, "ebm": ebm}
MINIBATCH, FEW = 32, 6


def published_mixture(raw, x):
    """Log-probability of gray images, (N,), as in the published PixelCNN++ code."""
    logits, means, log_scales = raw.chunk(3, dim=1)
    log_scales = log_scales.clamp(min=-7)
    y = x.float() * (2 / 255) - 1
    centred, rate = y - means, torch.exp(-log_scales)
    plus, minus, middle = rate * (centred + 1 / 255), rate * (centred - 1 / 255), rate * centred
    delta = torch.sigmoid(plus) - torch.sigmoid(minus)
    log_density = middle - log_scales - 2 * F.softplus(middle)
    inner = torch.where(
        delta > 1e-5, delta.clamp(min=1e-12).log(), log_density - torch.log(torch.tensor(127.5))
    )
    inner = torch.where(y > 0.999, -F.softplus(minus), inner)
    inner = torch.where(y < -0.999, plus - F.softplus(plus), inner)
    return torch.logsumexp(inner + F.log_softmax(logits, 1), 1).flatten(1).sum(1)


def plain_pixelcnn(model, x, generator):
    """Minus the log-probability, (N,), by padded convolutions of contiguous images."""

    def shifted(conv, h):
        height, width = conv.kernel_size
        left, right = (width // 2, width // 2) if width % 2 else (width - 1, 0)
        return conv(F.pad(h, (left, right, height - 1, 0)))

    def block(part, h, other=None):
        inner = shifted(part.conv1, F.elu(h))
        if other is not None:
            inner = inner + part.skip(F.elu(other))
        a, b = shifted(part.conv2, F.elu(inner)).chunk(2, dim=1)
        return h + a * torch.sigmoid(b)

    y = x.float() * (2 / 255) - 1
    y = torch.cat((y, torch.ones_like(y)), dim=1)
    above = F.pad(shifted(model.first_above, y)[:, :, :-1], (0, 0, 1, 0))
    before = F.pad(shifted(model.first_row, y)[:, :, :-1], (0, 0, 1, 0))
    before = before + F.pad(shifted(model.first_left, y)[..., :-1], (1, 0, 0, 0))
    for k in range(len(model.above)):
        above = block(model.above[k], above)
        before = block(model.before[k], before, above)
    return -published_mixture(model.last(F.elu(before)), x)


def plain_vae(model, x, generator):
    """Minus the ELBO with one draw, (N,)."""
    mean, log_sd = model.encoder(x.float() * (2 / 255) - 1).chunk(2, dim=1)
    z = mean + log_sd.exp() * torch.randn(mean.shape, generator=generator)
    divergence = 0.5 * (log_sd.exp() ** 2 + mean**2 - 1 - 2 * log_sd).sum(1)
    return divergence - published_mixture(model.decoder(z), x)


def plain_hvae(model, x, generator):
    """The training loss, (), with one draw, latents as torch distributions."""
    noise = [torch.randn(len(x), *shape, generator=generator) for shape in model._shapes]

    def normal(raw):
        mean, log_sd = raw.chunk(2, dim=1)
        return torch.distributions.Normal(mean, log_sd.clamp(-7, 3).exp())

    joined, inferred = x.float() * (2 / 255) - 1, []
    for up, posterior, eps in zip(model.up, model.posterior, noise, strict=True):
        features = up(joined)
        q = normal(posterior(features))
        z = q.mean + q.stddev * eps
        inferred.append((z, q.log_prob(z)))
        joined = torch.cat((features, z), dim=1)
    features, divergence = None, 0
    for i in reversed(range(len(inferred))):
        z, log_q = inferred[i]
        mean = torch.zeros_like(z)
        p = torch.distributions.Normal(mean, torch.ones_like(z))
        if features is not None:
            p = normal(model.prior[i](features))
        mean_divergence = (log_q - p.log_prob(z)).flatten(1).sum(1).mean()
        divergence = divergence + mean_divergence.clamp(min=model._free_nats)
        features = model.down[i](z if features is None else torch.cat((features, z), dim=1))
    likelihood = published_mixture(model.last(features), x).mean()
    return divergence / model._warmup_steps - likelihood


def plain_ebm(model, x, generator):
    """The training loss, (); gradients of the chains go through the whole backward pass."""
    chosen = torch.randperm(len(model.chains), generator=generator)[: len(x)]
    sources = torch.randint(len(x), x.shape, generator=generator)
    fresh = x.gather(0, sources)
    restarts = torch.rand(len(x), generator=generator) < model._restart
    y = model.chains[chosen].clone()
    y[restarts] = fresh[restarts]
    y = y.float() * (2 / 255) - 1
    for _ in range(model._steps):
        y = y.detach().requires_grad_()
        model.energy(y).sum().backward()
        noise = torch.randn(y.shape, generator=generator) * model._langevin.noise
        step = model._langevin.size * y.grad.clamp(-0.03, 0.03)
        y = (y.detach() - step + noise).clamp(-1, 1)
    model.zero_grad()
    ends = torch.round((y + 1) * 127.5) * (2 / 255) - 1
    energies, others = model.energy(x.float() * (2 / 255) - 1), model.energy(ends)
    squares = energies.square().mean() + others.square().mean()
    return energies.mean() - others.mean() + model._regularisation * squares


PLAIN = {"pixelcnn": plain_pixelcnn, "vae": plain_vae, "hvae": plain_hvae, "ebm": plain_ebm}


def methods_of(name, domain):
    """Functions to time, each with its number of examples; the training steps return losses."""
    torch.manual_seed(0)
    model = FAMILIES[name](domain).eval()
    parameters, engine = list(model.parameters()), LayerGradientEngine()
    x = torch.randint(256, (MINIBATCH, *domain.shape)).byte()

    def step(loss):
        def run():
            value = loss(torch.Generator().manual_seed(0))
            torch.autograd.grad(value, parameters)
            return float(value.detach())

        return run

    def ours(generator):
        if hasattr(model, "training_loss"):
            return model.training_loss(x, generator)
        return -model.log_prob(x).mean()

    return {
        "plain step": (step(lambda g: PLAIN[name](model, x, g).mean()), MINIBATCH),
        "our step": (step(ours), MINIBATCH),
        "plain log_prob": (step(lambda g: model.log_prob(x).sum()), MINIBATCH),
        "engine": (lambda: engine(model, x.unsqueeze(1)), MINIBATCH),
        "loop": (lambda: looped_layer_gradients(model, x[:FEW].unsqueeze(1)), FEW),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--family", choices=FAMILIES, nargs="+", default=list(FAMILIES))
    parser.add_argument("--size", type=int, default=28, help="height and width of the images")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    keep_freed_memory()
    for name in arguments.family:
        methods = methods_of(name, Images(1, arguments.size, arguments.size))
        values = {method: run() for method, (run, _) in methods.items()}
        plain, ours = values["plain step"], values["our step"]
        assert abs(plain / ours - 1) < 1e-3, f"the losses differ: {plain}, {ours}"
        times = {method: [] for method in methods}
        for _ in range(arguments.repeats):
            for method, (run, count) in methods.items():
                started = time.process_time()
                run()
                times[method].append(1e3 * (time.process_time() - started) / count)
        ms = {method: statistics.median(found) for method, found in times.items()}
        print(f"{name}, {arguments.size} x {arguments.size}: ms per example")
        print("  " + ", ".join(f"{method} {value:.2f}" for method, value in ms.items()))
        print(
            f"  plain / our step {ms['plain step'] / ms['our step']:.2f}, engine / plain log_prob "
            f"{ms['engine'] / ms['plain log_prob']:.2f}, loop / engine "
            f"{ms['loop'] / ms['engine']:.2f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
