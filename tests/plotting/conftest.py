"""Two curves to draw, and no figure left open."""

import matplotlib
import numpy as np
import pytest

matplotlib.use("Agg")

import matplotlib.pyplot as plt

import dualib
from dualib import JointDistribution

BETAS = np.geomspace(2.0, 64.0, 21)


def toy():
    x = np.linspace(-1.0, 0.6, 5)
    py_x = np.exp(-np.outer(x, [-1.0, 1.0]))
    return JointDistribution.from_conditionals(py_x / py_x.sum(axis=1, keepdims=True), x_labels=list("abcde"))


@pytest.fixture(scope="module")
def ib():
    return dualib.anneal(toy(), "ib", BETAS)


@pytest.fixture(scope="module")
def dual():
    return dualib.anneal(toy(), "dualib", BETAS)


@pytest.fixture(autouse=True)
def _no_figures_left():
    plt.close("all")
    yield
    for number in plt.get_fignums():  # whatever was drawn must also render without a warning
        plt.figure(number).canvas.draw()
    plt.close("all")
