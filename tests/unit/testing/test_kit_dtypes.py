"""The kit says what to do about models that are given uint8, or assume float32."""

from __future__ import annotations

import inspect

import pytest
import torch
from torch import nn

from harness.testing.models import check_model

UINT8 = (
    "the examples are uint8 where floating-point numbers are needed: convert the examples first, "
    "for example x.to(next(self.parameters()).dtype); raised "
)
MIXED = (
    "float32 meets float64: convert the examples to the dtype of the parameters, for example "
    "x.to(next(self.parameters()).dtype), keep constants in buffers, and create no tensor without "
    "dtype=x.dtype; raised "
)


class Base(nn.Module):
    likelihood = "lower_bound"

    def __init__(self, domain):
        super().__init__()
        self.domain = domain
        self.linear = nn.Linear(domain.dims, 1)
        self.conv = nn.Conv2d(domain.channels, 1, 1)

    def log_prob(self, x):
        return self.value(x) - 1000

    def value(self, x):
        raise NotImplementedError


class ByteIntoLinear(Base):
    def value(self, x):
        return self.linear(x.flatten(1)).squeeze(1)


class ByteIntoConv(Base):
    def value(self, x):
        return self.conv(x).sum((1, 2, 3))


class ByteIntoMean(Base):
    def value(self, x):
        return x.flatten(1).mean(1) * self.linear.bias


class ByteInPlace(Base):
    def value(self, x):
        x = x.clone()
        x *= 0.5
        return self.linear(x.flatten(1)).squeeze(1)


class SingleIntoLinear(Base):
    def value(self, x):
        return self.linear(x.flatten(1) / 255).squeeze(1)


class SingleIntoConv(Base):
    def value(self, x):
        return self.conv(x.float()).sum((1, 2, 3))


class SingleConstant(Base):
    def value(self, x):
        x = x.flatten(1).to(self.linear.weight.dtype)
        return (x @ torch.ones(x.shape[1], 1)).squeeze(1) * self.linear.bias


def messages(model):
    return {check.name: check.message for check in check_model(model) if check.outcome == "failed"}


@pytest.mark.parametrize("model", [ByteIntoLinear, ByteIntoConv, ByteIntoMean, ByteInPlace])
def test_uint8_in_a_layer(model):
    found = messages(model)["shape_and_dtype"]
    assert found.startswith(UINT8)
    assert found.endswith(f"({place(model)})")


@pytest.mark.parametrize("model", [SingleIntoLinear, SingleIntoConv, SingleConstant])
def test_float32_assumed(model):
    found = messages(model)
    assert "shape_and_dtype" not in found
    assert found["float64"].startswith(f"after .to(torch.float64) log_prob fails: {MIXED}")
    assert found["per_example"].startswith(MIXED)
    assert found["per_example"].endswith(f"({place(model)})")


def test_other_errors_come_without_advice():
    class Other(Base):
        def value(self, x):
            raise RuntimeError("the floats are in a double boat")

    class Missing(Base):
        def value(self, x):
            raise KeyError("Byte")

    assert messages(Missing)["shape_and_dtype"].startswith("raised KeyError: 'Byte' (")
    assert messages(Other)["shape_and_dtype"].startswith("raised RuntimeError: the floats are in")


def place(model):
    """Return file and line of the statement in a model that fails: the last but for a `return`."""
    lines, start = inspect.getsourcelines(model.value)
    number = next(
        place for place, line in enumerate(lines) if "*= 0.5" in line or "return" in line
    )
    return f"test_kit_dtypes.py:{start + number}"
