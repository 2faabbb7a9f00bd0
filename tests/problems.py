"""Problems that several test files share."""

import importlib.util
from pathlib import Path

import numpy as np

from dualib import JointDistribution


def case_a():
    rng = np.random.default_rng(0)
    px = rng.dirichlet(3 * np.ones(5))
    return JointDistribution.from_conditionals(rng.dirichlet(np.ones(2), 5), px)


def huang():
    columns = np.array([[0.90, 0.08, 0.40], [0.025, 0.82, 0.05], [0.075, 0.10, 0.55]])
    return JointDistribution.from_conditionals(columns.T)


def given_matrix(n_x=6, n_columns=4):
    rng = np.random.default_rng(9)
    px, matrix = rng.dirichlet(np.full(n_x, 2.0)), rng.random((n_x, n_columns))
    return JointDistribution.from_conditionals(np.eye(n_x), px), px, matrix


def load_benchmark(name):
    """A module of benchmarks/, which is no package."""
    path = Path(__file__).parents[1] / "benchmarks" / f"{name}.py"
    spec = importlib.util.spec_from_file_location(f"benchmark_{name}", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


random_problem = load_benchmark("problems").random_problem
