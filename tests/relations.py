"""What the tests by hypothesis share: random problems, and how many examples are tried.

``DUALIB_EXAMPLES``: "thorough", 1,000 examples of each relation, or "nightly", 50,000; by default each test says itself.
"""

import os
import warnings

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

import dualib
from dualib import JointDistribution

EXAMPLES = {"": None, "thorough": 1_000, "nightly": 50_000}[os.environ.get("DUALIB_EXAMPLES", "")]
PROFILE = settings(
    max_examples=EXAMPLES or 1000,
    deadline=None,
    derandomize=EXAMPLES != 50_000,  # the nightly run is to find what no run before it has
    suppress_health_check=list(HealthCheck),
)


@st.composite
def problems(draw):
    """p(x) and p(y|x): 1 to 12 states each, Dirichlet 0.05 to 5, with zeros and duplicates."""
    n_x, n_y = draw(st.integers(1, 12)), draw(st.integers(1, 12))
    concentration = draw(st.sampled_from([0.05, 0.2, 1.0, 5.0]))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    px = rng.dirichlet(np.full(n_x, 1.0))
    py_x = rng.dirichlet(np.full(n_y, concentration), n_x)
    if draw(st.booleans()):
        py_x = py_x * (rng.random((n_x, n_y)) < 0.6)
        py_x[py_x.sum(axis=1) == 0.0] = 1.0
    if draw(st.booleans()) and n_x > 1:
        py_x[-1] = py_x[0]
    if draw(st.booleans()) and n_x > 2:
        px[1] = 0.0
    py_x = np.nan_to_num(py_x, nan=1.0)
    return px / px.sum(), py_x / py_x.sum(axis=1, keepdims=True)


betas = st.floats(-3.0, 4.0).map(lambda power: 10.0**power)
kinds = st.sampled_from(["ib", "dualib"])


def solve(px, py_x, beta, kind, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.simplefilter("always", dualib.ConvergenceWarning)
        return dualib.solve(JointDistribution.from_conditionals(py_x, px), beta, kind, **options)


def same_quantities(first, second):
    """The objective is unique; rate and distortion are where the optimum is not on a straight piece of the curve."""
    tolerance = 1e-9 + first.gap + second.gap
    assert first.objective == pytest.approx(second.objective, abs=tolerance, rel=1e-12)
    trade = first.beta * (first.expected_distortion - second.expected_distortion)
    assert first.rate - second.rate == pytest.approx(-trade, abs=2 * tolerance, rel=1e-9)


def thinned(seed):
    """A random joint distribution with four cells in ten at 0, some of the others tiny."""
    rng = np.random.default_rng([3, seed])
    n_x, n_y = int(rng.integers(1, 16)), int(rng.integers(1, 9))
    pxy = rng.dirichlet(np.full(n_x * n_y, rng.choice([0.05, 0.3, 1.0, 5.0]))).reshape(n_x, n_y)
    rng.integers(5)
    pxy *= rng.random(pxy.shape) < 0.6
    return JointDistribution(pxy / pxy.sum())
