"""What is minimised: one small interface, and the distortions of the package as it sees them."""

from dualib.distortions.bottlenecks import IB, DualIB
from dualib.distortions.check import check_distortion
from dualib.distortions.divergences import Alpha, Bregman
from dualib.distortions.exponential import ExponentialFamily
from dualib.distortions.interface import Distortion
from dualib.distortions.matrices import RateDistortion

__all__ = ["IB", "Alpha", "Bregman", "Distortion", "DualIB", "ExponentialFamily", "RateDistortion", "check_distortion"]
