"""The random problems that benchmarks and tests share: each depends on its number and the seed alone."""

from typing import NamedTuple

import numpy as np

import dualib


class RandomProblem(NamedTuple):
    """A joint distribution with a distortion and a beta; `onset` is where learning begins."""

    number: int
    joint: dualib.JointDistribution
    kind: str
    beta: float
    onset: float
    concentration: float

    def __str__(self):
        size = f"{self.joint.n_x}x{self.joint.n_y}"
        return f"no. {self.number}: {self.kind}, {size}, Dirichlet {self.concentration:.2f}, beta {self.beta:.6g}"


def random_problem(number, seed=0):
    """Problem `number`: n_x in 2..100, n_y in 2..20, rows of p(y|x) Dirichlet(a) with a in 0.1..5, IB and dual IB by turns.

    p(x) is Dirichlet(2); a and beta are uniform in the logarithm, beta between half the onset of learning and 100 (or the
    onset, should that be larger).
    """
    rng = np.random.default_rng([seed, number])
    n_x, n_y = int(rng.integers(2, 101)), int(rng.integers(2, 21))
    concentration = float(np.exp(rng.uniform(np.log(0.1), np.log(5.0))))
    px = rng.dirichlet(np.full(n_x, 2.0))
    joint = dualib.JointDistribution.from_conditionals(rng.dirichlet(np.full(n_y, concentration), n_x), px)
    kind = ("ib", "dualib")[number % 2]
    onset = dualib.onset(joint, kind)
    low, high = np.log(0.5 * onset), np.log(max(100.0, onset))
    return RandomProblem(number, joint, kind, float(np.exp(rng.uniform(low, high))), onset, concentration)
