"""Entropies, divergences, mutual information, channel capacity, and estimates of them from counts.

Natural logarithms (nats) unless ``unit="bits"``; ``0 log 0 = 0``. Of distributions (`entropies`), of counts, corrected for so few
(`estimates`), and of encoders and channels (`channels`).
"""

from dualib.information.channels import ChannelCapacity, channel_capacity, gnid
from dualib.information.entropies import (
    chernoff_coefficient,
    chernoff_information,
    conditional_entropy,
    entropy,
    jensen_shannon,
    kl_divergence,
    mutual_information,
    mutual_information_shuffled,
)
from dualib.information.estimates import (
    entropy_chao_shen,
    entropy_grassberger,
    entropy_miller_madow,
    entropy_nsb,
    mutual_information_chao_shen,
    mutual_information_grassberger,
    mutual_information_miller_madow,
    mutual_information_nsb,
)

__all__ = [
    "ChannelCapacity",
    "channel_capacity",
    "chernoff_coefficient",
    "chernoff_information",
    "conditional_entropy",
    "entropy",
    "entropy_chao_shen",
    "entropy_grassberger",
    "entropy_miller_madow",
    "entropy_nsb",
    "gnid",
    "jensen_shannon",
    "kl_divergence",
    "mutual_information",
    "mutual_information_chao_shen",
    "mutual_information_grassberger",
    "mutual_information_miller_madow",
    "mutual_information_nsb",
    "mutual_information_shuffled",
]
