"""The objective, its stationarity and the certificate at 50 digits, written from their definitions; nothing of dualib is used.

Arguments: `kind` is "ib" or "dualib"; `pxy` (n_x, n_y) the joint distribution; `encoder` (n_x, n_t) p(t|x); `beta` the trade-off.
Floats are taken as the exact binary numbers they are; sources of probability 0 and clusters without weight are left out.
"""

from reference.certificate import log_c
from reference.objective import Clustering, clustering, distortion, objective
from reference.stationarity import ratios, residual

__all__ = ["Clustering", "clustering", "distortion", "log_c", "objective", "ratios", "residual"]
