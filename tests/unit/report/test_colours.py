"""Colours are told apart by readers with normal and colour-blind eyes, in figures and page."""

from __future__ import annotations

import itertools
import re
from importlib import resources

import numpy as np
import pytest

from harness.report.figures.style import COLOURS, DATASET_COLOURS

EYES = {
    "normal": np.eye(3),
    "deuteranopia": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
    "protanopia": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
}
"""Linear RGB as seen by each kind of eyes (Machado et al., 2009, severity 1)."""

TO_XYZ = np.array(
    [
        [0.4124564, 0.3575761, 0.1804375],
        [0.2126729, 0.7151522, 0.0721750],
        [0.0193339, 0.1191920, 0.9503041],
    ]
)
WHITE = np.array([0.95047, 1.0, 1.08883])
LEAST = 14
"""Least distance of two colours in CIELAB; 2.3 is just noticeable side by side."""


def lab(colour, eyes="normal"):
    """CIELAB of a colour as seen."""
    srgb = np.array([int(colour[k : k + 2], 16) / 255 for k in (1, 3, 5)])
    linear = np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)
    x, y, z = np.cbrt(TO_XYZ @ np.clip(EYES[eyes] @ linear, 0.001, 1) / WHITE)
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


def on_the_page(slot, theme):
    """The colours of scorers (`c`) or data sets (`d`) in the style sheet of the page."""
    css = (resources.files("harness.report.page") / "assets/page.css").read_text(encoding="utf-8")
    found = re.findall(rf"--{slot}\d: light-dark\((#\w+), (#\w+)\);", css)
    return [pair[theme == "dark"] for pair in found]


def test_the_light_page_has_the_colours_of_the_figures():
    for slot, colours in (("c", COLOURS), ("d", DATASET_COLOURS)):
        assert on_the_page(slot, "light") == [colour.lower() for colour in colours]
        assert len(on_the_page(slot, "dark")) == len(colours)


@pytest.mark.parametrize("eyes", EYES)
@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("slot", ["c", "d"])
def test_any_two_colours_differ(slot, theme, eyes):
    for one, other in itertools.combinations(on_the_page(slot, theme), 2):
        distance = np.linalg.norm(lab(one, eyes) - lab(other, eyes))
        assert distance > LEAST, (one, other, distance)


def test_the_simulation_knows_what_the_eyes_confuse():
    assert lab("#ffffff") == pytest.approx([100, 0, 0], abs=0.1)
    assert np.linalg.norm(lab("#d55e00") - lab("#b07c00")) > 30
    seen = [lab(colour, "deuteranopia") for colour in ("#d55e00", "#b07c00")]
    assert np.linalg.norm(seen[0] - seen[1]) < 5
