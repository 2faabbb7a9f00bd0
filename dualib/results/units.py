"""Nats or bits, and which numbers are informations at all."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dualib._validation import in_unit

if TYPE_CHECKING:
    from dualib.distortions.interface import Distortion

INFORMATION = ("objective", "lower_bound", "rate", "relevance", "decoder_information", "gap")
KL_DISTORTIONS = ("ib", "dualib", "dualexpib")  # whose expected distortion is an information, in nats


def unit_factor(unit: str) -> float:
    """What to multiply nats by to have `unit`: 1 for "nats", 1/ln 2 for "bits"; ValueError for another."""
    return in_unit(unit, 1.0)


def is_information(distortion: Distortion) -> bool:
    """Whether the expected distortion is an information, in nats or bits."""
    return distortion.name in KL_DISTORTIONS


def distortion_factor(distortion: Distortion, unit: str) -> float:
    """`unit_factor` where the expected distortion is an information, else 1."""
    return unit_factor(unit) if is_information(distortion) else 1.0
