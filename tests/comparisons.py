"""One comparison of predictions that the tests share: a family's own counts, and a grid that is solved fast."""

import numpy as np

import dualib

RNG = np.random.default_rng(3)
FEATURES = RNG.normal(size=(14, 2))
FAMILY = dualib.ExponentialFamily(FEATURES, RNG.normal(size=(2, 5)))
PAIRS = FAMILY.joint(RNG.dirichlet(np.full(14, 2.0))).pxy.ravel()
TRAIN, TEST = (RNG.multinomial(n, PAIRS).reshape(14, 5) for n in (600, 900))
TRAIN[3] = 0  # an x without a training sample
METHODS = ("ib", "dualib", "dualib-exp", "ib-exp", "plug-in", "maxent")
GRID = {"betas": [2.0, 5.0, 12.0], "smoothing": [0.05, 0.5], "l2": [0.3, 3.0]}


def compare(train=TRAIN, test=TEST, **options):
    return dualib.compare_predictions(train, test, **{**GRID, **options})
