"""Axes that show both a narrow in-distribution set and distant OOD sets."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from harness.metrics.placements import Floats

MOST_WIDTHS = 15.0
"""Maximum range on a linear axis, in widths of the in-distribution set."""

TICKS = 6


@dataclass(frozen=True)
class Scale:
    """Axis positions: linear, or t = asinh((x - center) / width) to compress distant values.

    Attributes:
        center: Centre of the asinh scale, in the unit of the values.
        width: Width of the asinh scale, in the unit of the values; None means linear.
    """

    center: float = 0.0
    width: float | None = None

    @property
    def remark(self) -> str:
        """Remark for the axis label."""
        return "" if self.width is None else " (asinh scale)"

    def forward(self, x: Floats) -> Floats:
        """Convert values to positions."""
        return x if self.width is None else np.asarray(np.arcsinh((x - self.center) / self.width))

    def inverse(self, t: Floats) -> Floats:
        """Convert positions to values."""
        return t if self.width is None else np.asarray(np.sinh(t) * self.width + self.center)

    def slope(self, x: Floats) -> Floats:
        """Compute dx / dt at values: density per t = density per x, times the slope."""
        if self.width is None:
            return np.ones_like(x)
        return np.asarray(np.hypot(x - self.center, self.width))

    def ticks(self, low: float, high: float) -> dict[float, str]:
        """Choose round values between two positions, evenly spaced on a linear axis.

        Returns:
            Labels by position.
        """
        if self.width is None and low < high:
            return _even_ticks(low, high)
        values = self.inverse(np.linspace(low, high, TICKS))
        gaps = np.diff(values)
        nearest = np.minimum(np.append(gaps, np.inf), np.append(np.inf, gaps))
        units = 10.0 ** np.floor(np.log10(nearest))
        multiples = np.round(values / units)
        multiples[0] = np.ceil(values[0] / units[0])  # round the ends inwards
        multiples[-1] = np.floor(values[-1] / units[-1])
        rounded = multiples * units
        places = self.forward(rounded)
        return {
            float(at): f"{value + 0.0:,.6g}" for at, value in zip(places, rounded, strict=True)
        }


def _even_ticks(low: float, high: float) -> dict[float, str]:
    """Choose multiples of 1, 2, 2.5 or 5 times a power of ten, with the necessary decimals."""
    rough = (high - low) / (TICKS - 1)
    unit = 10.0 ** np.floor(np.log10(rough))
    step = next(m * unit for m in (1.0, 2.0, 2.5, 5.0, 10.0) if m * unit >= rough * (1 - 1e-9))
    exact = (f"{d}f" for d in range(12) if abs(round(step, d) - step) < 1e-9 * step)
    style = next(exact, "6g")
    ticks = np.arange(np.ceil(low / step - 1e-9), np.floor(high / step + 1e-9) + 1) * step
    return {float(at): f"{at + 0.0:,.{style}}" for at in ticks}


def choose_scale(own: Floats, others: Iterable[Floats]) -> Scale:
    """Choose a linear scale unless the in-distribution values would be squeezed into a sliver.

    Arguments:
        own: float64, (n,), in-distribution.
        others: float64, (m,) each, OOD.
    """
    values = np.concatenate([own, *others])
    low, center, high = np.quantile(own, [0.05, 0.5, 0.95])
    if high <= low or np.ptp(values) <= MOST_WIDTHS * (high - low):
        return Scale()
    return Scale(float(center), float(high - low))
