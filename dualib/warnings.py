"""The warnings of dualib, in one small hierarchy so that they can be filtered together."""


class DualibWarning(UserWarning):
    """Base class of every warning that dualib raises."""


class ConvergenceWarning(DualibWarning):
    """A tolerance was not reached; the message gives beta, the certified gap and the remedy."""


class CacheWarning(DualibWarning):
    """The on-disk cache of compiled kernels cannot be used; kernels are compiled in every process."""
