"""The grid of a sweep: the problems, distortions, seeds and betas given, checked, and their combinations."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from dualib._validation import shown, validate_beta, validate_betas
from dualib.distortions.interface import Distortion
from dualib.distortions.named import as_distortion
from dualib.engine.choice import engine_problem, solves_sparse
from dualib.engine.initial import of_encoder
from dualib.engine.sizes import check_solvable, check_sparse_fits
from dualib.joint import JointDistribution, check_joint


@dataclass(frozen=True)
class Axis:
    """The values of one argument; a single value has no axis in the result."""

    name: str
    values: Sequence[Any]
    single: bool = False

    def place(self, i: int) -> str:
        """How a person would write the i-th value; nothing where there is only one, and that is no number or name."""
        what = self.name if self.single else f"{self.name}[{i}]"
        value = self.values[i].name if isinstance(self.values[i], Distortion) else self.values[i]
        return f"{what} = {shown(value)}" if isinstance(value, (int, float, str)) else "" if self.single else what


@dataclass(frozen=True)
class Grid:
    """All combinations of the values of four axes.

    A position is one number for each axis; an index, into the array of results, only for those that are no single values.
    """

    problems: Axis
    distortions: Axis
    seeds: Axis
    betas: Axis

    @property
    def axes(self) -> tuple[Axis, ...]:
        """The four in their order, the last one fastest."""
        return self.problems, self.distortions, self.seeds, self.betas

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the array of results."""
        return tuple(len(axis.values) for axis in self.axes if not axis.single)

    def positions(self) -> Iterator[tuple[int, ...]]:
        """All of them in order."""
        return itertools.product(*(range(len(axis.values)) for axis in self.axes))

    def values(self, position: tuple[int, ...]) -> tuple[Any, ...]:
        """The problem, distortion, seed and beta there."""
        return tuple(axis.values[i] for axis, i in zip(self.axes, position, strict=True))

    def index(self, position: tuple[int, ...]) -> tuple[int, ...]:
        """Where its result belongs."""
        return tuple(i for axis, i in zip(self.axes, position, strict=True) if not axis.single)

    def place(self, position: tuple[int, ...]) -> str:
        """The same for a person."""
        return ", ".join(filter(None, (axis.place(i) for axis, i in zip(self.axes, position, strict=True))))

    def check(self, init: Any, *, certify: bool) -> None:
        """Refuse, before any work, a problem that its distortion, its start or the memory does not fit."""
        for i, j in itertools.product(range(len(self.problems.values)), range(len(self.distortions.values))):
            try:
                self._check(self.problems.values[i], self.distortions.values[j], init, certify)
            except (ValueError, TypeError, MemoryError) as error:
                kind = next(kind for kind in (ValueError, TypeError, MemoryError) if isinstance(error, kind))
                raise kind(f"{self.place((i, j, 0, 0))}: {error}") from error

    def _check(self, joint: JointDistribution, distortion: Distortion, init: Any, certify: bool) -> None:
        if isinstance(init, str) and init != "random":
            raise ValueError(f"init must be an encoder (n_x, n_t), labels (n_x,), 'random' or None, got {shown(init)}")
        if solves_sparse(joint, distortion):
            check_sparse_fits(joint)
            return
        problem = engine_problem(joint, distortion, f"distortion {distortion!r}")
        if certify:
            check_solvable(problem)
        if init is not None and not isinstance(init, str):
            of_encoder(problem, [1.0], init, "init")


def problem_axis(problems: Any) -> Axis:
    """A JointDistribution or several."""
    if isinstance(problems, JointDistribution):
        return Axis("problems", [problems], single=True)
    values = _listed("problems", problems, "a JointDistribution or an iterable of them")
    for i, value in enumerate(values):
        check_joint(f"problems[{i}]", value)
    return Axis("problems", values)


def distortion_axis(distortions: Any) -> Axis:
    """A distortion or several, by name or as such."""
    if isinstance(distortions, (str, Distortion)) or not isinstance(distortions, Iterable):
        return Axis("distortions", [_distortion("distortions", distortions)], single=True)
    values = _listed("distortions", distortions, "a distortion or an iterable of them")
    return Axis("distortions", [_distortion(f"distortions[{i}]", value) for i, value in enumerate(values)])


def _distortion(name: str, value: Any) -> Distortion:
    try:
        return as_distortion(value)
    except (ValueError, TypeError) as error:
        raise (TypeError if isinstance(error, TypeError) else ValueError)(f"{name}: {error}") from None


def seed_axis(seeds: Any) -> Axis:
    """A whole number, None, or several of these."""
    single = not isinstance(seeds, Iterable)
    values = [seeds] if single else _listed("seeds", seeds, "a whole number, None or an iterable of these")
    for value in values:
        whole = isinstance(value, (int, np.integer)) and not isinstance(value, (bool, np.bool_))
        if value is not None and not (whole and value >= 0):
            reason = " (a Generator would make each result depend on those before it)" * isinstance(value, np.random.Generator)
            raise ValueError(f"seeds must be whole numbers of at least 0 or None{reason}, got {shown(value)}")
    return Axis("seeds", [None if value is None else int(value) for value in values], single=single)


def beta_axis(betas: Any) -> Axis:
    """A trade-off or several."""
    value = betas.item() if isinstance(betas, np.ndarray) and betas.ndim == 0 else betas
    if isinstance(value, str) or not isinstance(value, Iterable):
        return Axis("betas", [validate_beta(value, "betas")], single=True)
    return Axis("betas", validate_betas(betas))


def _listed(name: str, values: Any, wanted: str) -> list[Any]:
    if isinstance(values, (str, bytes)) or not isinstance(values, Iterable):
        raise TypeError(f"{name} must be {wanted}, got {shown(values)}")
    result = list(values)
    if not result:
        raise ValueError(f"{name} must not be empty")
    return result
