"""How a solve ended, in words."""

from __future__ import annotations

import enum


class Status(enum.Enum):
    """How a solve ended; the value is the message for a person, with advice.

    Examples
    --------
    >>> import dualib
    >>> solution = dualib.solve(dualib.datasets.toy(), 8.0, certify=False)
    >>> solution.status.name, solution.converged, solution.gap
    ('NOT_CERTIFIED', True, inf)
    """

    CONVERGED = "converged: the residual and the certified gap are within the tolerance"
    MAX_ITER = (
        "stopped at max_iter before the residual fell below tol: raise max_iter, loosen tol, or start from a "
        "neighbouring beta (anneal)"
    )
    GAP_OPEN = (
        "stationary, but a gap above tol to the global optimum is left: raise max_iter, give another init or "
        "random_state, or anneal down from a higher beta; the gap stated is the bound that holds"
    )
    CAPPED = (
        "stationary with no more than n_clusters clusters, the best that was found; the gap stated is to a lower bound for so many, "
        "which none may reach"
    )
    LOCAL = (
        "stationary at this alpha, the best that was found; the gap stated is to a lower bound for every alpha, which is the "
        "optimum at alpha = 1"
    )
    NOT_CERTIFIED = "stationary; no bound on the distance to the global optimum was asked for: pass certify=True for one"
