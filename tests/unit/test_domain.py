"""Domains: what enters keys, what follows, and which models take which domain."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from harness.compute.inputs import model_input, stored_tensor
from harness.domain import Domain, Images, Tokens, domain_of
from harness.errors import DomainError
from harness.registry.options import check_domain

IMAGES = Images(3, 8, 4, bits=5)


class Other(Domain):
    """A domain that no model takes unless it takes all."""

    example, input_dtype = "list", "int64"
    shape, levels, dtype, unit = (2,), 4, "uint8", "bits/number"

    def __str__(self):
        return "2 numbers"


def test_only_the_fields_enter_keys():
    assert vars(IMAGES) == {"channels": 3, "height": 8, "width": 4, "bits": 5}
    assert [field.name for field in dataclasses.fields(Images)] == list(vars(IMAGES))


def test_a_stored_domain_is_read_back():
    assert domain_of({**vars(IMAGES)}) == IMAGES


def test_what_follows_from_the_fields():
    assert (IMAGES.shape, IMAGES.dims, IMAGES.levels) == ((3, 8, 4), 96, 32)
    assert (IMAGES.dtype, IMAGES.input_dtype) == ("uint8", "uint8")
    assert (IMAGES.unit, IMAGES.example) == ("bits/dim", "image")


def of_images(domain: Images, *, width: int = 3):
    """A model of images."""


def of_both(domain: Images | Other):
    """A model of two kinds of domains."""


def of_any(domain: Domain):
    """A model of every domain."""


def of_unknown(domain):
    """A model that does not say."""


class OfImages:
    """A model of images, as a class."""

    def __init__(self, domain: Images):
        self.domain = domain


@pytest.mark.parametrize("model", [of_images, OfImages])
def test_the_annotation_of_the_domain_says_which_domains_a_model_takes(model):
    check_domain(model, IMAGES)
    with pytest.raises(DomainError, match=r"the model takes Images, not Other \(2 numbers\)"):
        check_domain(model, Other())


@pytest.mark.parametrize("model", [of_both, of_any, of_unknown])
def test_a_model_may_take_several_kinds_of_domains(model):
    check_domain(model, IMAGES)
    check_domain(model, Other())


BYTES = Tokens(64)


@pytest.mark.parametrize(
    ("vocabulary", "dtype", "text"),
    [
        (2, "uint8", "64 tokens of 2"),
        (256, "uint8", "64 bytes"),
        (257, "uint16", "64 tokens of 257"),
        (2**16, "uint16", "64 tokens of 65,536"),
        (2**16 + 1, "uint32", "64 tokens of 65,537"),
        (2**32, "uint32", "64 tokens of 4,294,967,296"),
    ],
)
def test_tokens_are_stored_in_the_smallest_dtype(vocabulary, dtype, text):
    domain = Tokens(64, vocabulary)
    assert (domain.dtype, domain.input_dtype, str(domain)) == (dtype, "int64", text)
    assert (domain.shape, domain.dims, domain.levels) == ((64,), 64, vocabulary)
    assert domain.unit == ("bits/byte" if vocabulary == 256 else "bits/token")
    assert domain_of({**vars(domain)}) == domain


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0,), "length must be at least 1, not 0"),
        ((2**27,), "an example has at most 67,108,864 dimensions, not 134,217,728"),
        ((4, 1), "vocabulary must be 2 to 4,294,967,296, not 1"),
        ((4, 2**32 + 1), "vocabulary must be 2 to 4,294,967,296, not 4,294,967,297"),
    ],
)
def test_impossible_tokens(arguments, message):
    with pytest.raises(ValueError, match=f"^{message}$"):
        Tokens(*arguments)


@pytest.mark.parametrize("domain", [Images(1, 2, 2), Tokens(4), Tokens(4, 300), Tokens(4, 70_000)])
def test_a_model_gets_the_stored_values_in_its_dtype(domain):
    rng = np.random.default_rng(0)
    stored = rng.integers(0, domain.levels, (5, *domain.shape)).astype(domain.dtype)
    stored[0] = domain.levels - 1
    x = model_input(stored_tensor(stored), domain)
    assert x.dtype == getattr(torch, domain.input_dtype)
    assert x.tolist() == stored.tolist()
