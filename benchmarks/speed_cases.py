"""The problems of the speed benchmark: the same joint distributions and betas for every contender."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

import dualib

SMOOTHING = 0.5  # of the counts of letters and contexts, so that the dual IB has no infinite distortions


class Case(NamedTuple):
    """A joint distribution, a distortion and the betas wanted, ascending."""

    name: str
    kind: str
    joint: dualib.JointDistribution
    betas: np.ndarray

    def __str__(self) -> str:
        return f"{self.name}, {self.kind}"


def random_joint(n_x: int, n_y: int) -> dualib.JointDistribution:
    """Rows of p(y|x) uniform on the simplex, p(x) Dirichlet(2); the seed is the shape."""
    rng = np.random.default_rng([n_x, n_y])
    return dualib.JointDistribution.from_conditionals(rng.dirichlet(np.ones(n_y), n_x), rng.dirichlet(np.full(n_x, 2.0)))


def _contexts() -> dualib.JointDistribution:
    return dualib.JointDistribution.from_counts(dualib.datasets.load_contexts().train_counts, smoothing=SMOOTHING)


# name: (joint distribution, number of betas, .5 to 100 in equal ratios)
PROBLEMS = {
    "toy 5 x 2": (dualib.datasets.toy, 50),
    "random 8 x 8": (lambda: random_joint(8, 8), 50),
    "letters 27 x 27": (lambda: dualib.datasets.load_letters(SMOOTHING), 50),
    "random 60 x 6": (lambda: random_joint(60, 6), 50),
    "random 100 x 10": (lambda: random_joint(100, 10), 50),
    "contexts 542 x 27": (_contexts, 20),
    "random 500 x 50": (lambda: random_joint(500, 50), 20),
}
KINDS = ("ib", "dualib")
QUICK = ("toy 5 x 2", "random 8 x 8", "letters 27 x 27")


def cases(names: list[str], kinds: tuple[str, ...] = KINDS) -> list[Case]:
    """The cases of these problems, a problem's distortions next to each other."""
    found = []
    for name in names:
        make, count = PROBLEMS[name]
        joint = make()
        found += [Case(name, kind, joint, np.geomspace(0.5, 100.0, count)) for kind in kinds]
    return found
