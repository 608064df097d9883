"""Domains: what enters keys, what follows, and which models take which domain."""

from __future__ import annotations

import dataclasses

import pytest

from harness.domain import Domain, Images, domain_of
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
