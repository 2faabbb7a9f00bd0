"""Plain Blahut-Arimoto sweeps in NumPy that follow zeros exactly, the rate at which they lose an error, and their linearisation."""

import numpy as np

_ROUNDING = 2e-17  # of a step
_SURE = 1e-14  # errors above this have two digits
_FEW = 20  # sweeps
_KEPT = 2000  # encoders of one run


class Sweeps:
    """Sweeps of the IB or the dual IB at one beta, from encoder to encoder, on the faces (n_t, n_y) of some decoder.

    The IB needs no faces: an entry of the decoder is 0 once its members have underflowed, and then shuts out the x that have it.
    """

    def __init__(self, joint, kind, beta, face):
        self.live = joint.px > 0.0
        self.px, self.py_x = joint.px[self.live], joint.py_x[self.live]
        self.kind, self.beta, self.face = kind, beta, face
        self.allowed = np.ones((len(self.px), len(face)), dtype=bool)
        if kind == "dualib":
            self.log_p = np.log(np.where(self.py_x > 0.0, self.py_x, 1.0))
            self.allowed = ~(face & (self.py_x == 0.0)[:, None, :]).any(axis=2)

    def decoder(self, encoder):
        """Log w (n_t,) and log r (n_t, n_y) of an encoder (n_x, n_t)."""
        pairs = self.px[:, None] * encoder
        weights = pairs.sum(axis=0)
        with np.errstate(divide="ignore"):
            log_w = np.log(weights)
            if self.kind == "ib":
                return log_w, np.log(pairs.T @ self.py_x / weights[:, None])
        mean = np.where(self.face, pairs.T @ self.log_p / weights[:, None], -np.inf)
        mean -= mean.max(axis=1, keepdims=True)
        return log_w, mean - np.log(np.exp(mean).sum(axis=1, keepdims=True))

    def encoder(self, log_w, log_r):
        """p(t|x) = w_t exp(-beta d(x, t)) / Z(x), (n_x, n_t)."""
        log_r = np.where(np.isfinite(log_r), log_r, -1e30)  # infinite, and times 0 still 0
        if self.kind == "ib":
            minus_d = self.py_x @ log_r.T
        else:
            r = np.exp(log_r)
            minus_d = np.where(self.allowed, self.log_p @ r.T - np.sum(r * log_r, axis=1), -1e30)
        terms = log_w + self.beta * minus_d
        terms -= np.real(terms).max(axis=1, keepdims=True)
        terms = np.exp(terms)
        return terms / terms.sum(axis=1, keepdims=True)

    def __call__(self, encoder):
        """The encoder after one sweep."""
        return self.encoder(*self.decoder(encoder))

    def distance(self, first, second):
        """Total variation of two encoders, averaged over p(x)."""
        return 0.5 * float(self.px @ np.abs(first - second).sum(axis=1))

    def perturbed(self, encoder, rng, share):
        """The encoder mixed with `share` of a random one, of finite distortion."""
        noise = np.where(self.allowed, rng.exponential(size=encoder.shape), 0.0)
        return (1.0 - share) * encoder + share * noise / noise.sum(axis=1, keepdims=True)

    def errors(self, start, most=2_000_000):
        """Where sweeps from an encoder come to rest, and their distance from there: after every m-th one, and m."""
        encoder, kept, every = start, [start], 1
        least, since = np.inf, 0
        for n in range(1, most + 1):
            following = self(encoder)
            step = self.distance(following, encoder)
            least, since = (step, 0) if step < 0.9 * least else (least, since + 1)
            encoder = following
            if n % every == 0:
                kept.append(encoder)
                if len(kept) > _KEPT:
                    kept, every = kept[::2], 2 * every
            if step < _ROUNDING or (step < 1e3 * _ROUNDING and since > 500 + n // 10):
                break
        return encoder, np.array([self.distance(own, encoder) for own in kept]), every


def observed_rate(sweeps, encoder, rng):
    """The mean factor by which one sweep lowers the error of a perturbed encoder: (from 1e-4 to 1e-11, from 1e-9 to 1e-11).

    The perturbation is made smaller until sweeps return to where they were. Where the last two decades take few sweeps, faster
    directions are in the error to the end: then both are of `repeated_fall`.
    """
    share, apart = 0.03, np.inf
    while apart > 1e-7:
        start = sweeps.perturbed(encoder, rng, share)
        limit, errors, every = sweeps.errors(start)
        apart, share = sweeps.distance(limit, encoder), share / 4.0
    if np.sum((errors < 1e-9) & (errors > 1e-11)) * every < _FEW:
        return (repeated_fall(sweeps, start, limit),) * 2
    return tuple(_fall(errors, first) ** (1.0 / every) for first in (1e-4, 1e-9))


def repeated_fall(sweeps, encoder, limit, times=40):
    """The mean factor from 1e-4 to 1e-11 when what is left of the error has been enlarged to 1e-4, and swept, again and again.

    Each p(t|x) is changed by a factor of e at most, so that what is next to 0 stays there.
    """
    live = limit > 0.0
    log_limit = np.log(limit, where=live, out=np.zeros_like(limit))
    for _ in range(times):
        apart = np.log(encoder, where=live & (encoder > 0.0), out=log_limit.copy()) - log_limit
        encoder = limit * np.exp(np.clip(1e-4 / sweeps.distance(encoder, limit) * apart, -1.0, 1.0))
        encoder /= encoder.sum(axis=1, keepdims=True)
        errors = [sweeps.distance(encoder, limit)]
        while errors[-1] > 1e-11:
            following = sweeps(encoder)
            errors.append(sweeps.distance(following, limit))
            encoder = following if errors[-1] > _SURE else encoder
    return _fall(np.array(errors), np.inf)


def _fall(errors, start):
    """The mean factor of the errors from the first one below `start` to 1e-11, without a last one that is rounding."""
    last = int(np.argmax(errors < 1e-11))
    last = last if errors[last] > _SURE or last == 1 else last - 1
    first = min(int(np.argmax(errors < start)), last - 1)
    return (errors[last] / errors[first]) ** (1.0 / (last - first))


def spectral_radius(sweeps, log_w, log_r, seen):
    """The largest rate of the linearised sweep in (log w, log r where `seen`), by a complex step in each coordinate: exact.

    Adding a number to all of log w, which changes nothing but its norm, is a direction of rate 0: the sweep normalises.
    """
    log_r = np.where(seen, log_r, np.where(np.isfinite(log_r), log_r, -np.inf))
    n_t, count = len(log_w), int(seen.sum())
    jacobian = np.empty((n_t + count, n_t + count))
    for i in range(n_t + count):
        weights, decoder = log_w.astype(complex), log_r.astype(complex)
        if i < n_t:
            weights[i] += 1e-30j
        else:
            flat = decoder[seen]
            flat[i - n_t] += 1e-30j
            decoder[seen] = flat
        new_w, new_r = sweeps.decoder(sweeps.encoder(weights, decoder))
        jacobian[:, i] = np.concatenate([new_w.imag, new_r[seen].imag]) / 1e-30
    return float(np.abs(np.linalg.eigvals(jacobian)).max())
