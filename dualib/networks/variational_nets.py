"""The nets of the variational bottlenecks and their training; needs torch.

A diagonal Gaussian encoder q(z|x) on top of any trunk, a prior of z, which is b(z|y) of the label or the standard normal r(z), and a
decoder p(y|z). The loss, in the mean over a batch and for one z of q(z|x):

    ln q(z|x) - ln b(z|y)  +  beta CE(y, p(y|z))  +  gamma KL( p(y|z) || ptilde(y|x) )
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import numpy as np

from dualib._validation import Array
from dualib.networks.backend import import_torch
from dualib.progress import Reporter

torch = import_torch("the variational bottlenecks need")
nn = torch.nn

_TRUNK_UNITS = 256
_LABEL_UNITS = 500
_DECODER_UNITS = 1000
_LEAST_ENCODER_SCALE, _LEAST_LABEL_SCALE = 1e-3, 1e-2
_START = -4.0  # of what softplus makes a scale: training starts with little noise, for from much it may never find a signal
_BATCH = 1024  # rows at a time where nothing is learnt


@dataclass(frozen=True)
class Settings:
    """Of one training; see `dualib.networks.VariationalDualIB`."""

    beta: float
    gamma: float
    of_label: bool  # whether the prior is b(z|y), else r(z)
    latent_dim: int
    epochs: int
    batch_size: int
    learning_rate: float
    decay_at: tuple[int, ...]


class Nets(nn.Module):  # type: ignore[misc, name-defined]
    """Trunk, encoder, prior and decoder."""

    def __init__(self, trunk: Any, example: Any, n_classes: int, settings: Settings) -> None:
        super().__init__()
        self.n_classes, self.settings = n_classes, settings
        self.trunk = _dense_trunk(example[0].numel()) if trunk is None else copy.deepcopy(trunk)
        self.trunk.eval()  # one example must not train a normalisation, or be all of its batch
        with torch.no_grad():
            n_features = self.trunk(example[:1]).flatten(1).shape[1]
        self.encoder = nn.Linear(n_features, 2 * settings.latent_dim)
        hidden = nn.Linear(n_classes, _LABEL_UNITS)
        self.of_label = nn.Sequential(hidden, nn.ReLU(), nn.Linear(_LABEL_UNITS, 2 * settings.latent_dim))
        # two linear maps, which are one, but learn as two do
        self.decoder = nn.Sequential(
            nn.Linear(settings.latent_dim, _DECODER_UNITS), nn.Linear(_DECODER_UNITS, n_classes, bias=False)
        )

        with torch.no_grad():
            for scales in (self.encoder.bias, self.of_label[-1].bias):
                scales[settings.latent_dim :] = _START

    def encode(self, x: Any) -> Any:
        """q(z|x)."""
        mean, raw = self.encoder(self.trunk(x).flatten(1)).chunk(2, dim=1)
        return torch.distributions.Normal(mean, _LEAST_ENCODER_SCALE + nn.functional.softplus(raw), validate_args=False)

    def prior(self, codes: Any) -> Any:
        """b(z|y), or r(z)."""
        if not self.settings.of_label:
            zero = torch.zeros(len(codes), self.settings.latent_dim, dtype=self.encoder.weight.dtype)
            return torch.distributions.Normal(zero, torch.ones_like(zero), validate_args=False)
        mean, raw = self.of_label(nn.functional.one_hot(codes, self.n_classes).to(self.encoder.weight.dtype)).chunk(2, dim=1)
        return torch.distributions.Normal(mean, _LEAST_LABEL_SCALE + nn.functional.softplus(raw), validate_args=False)

    def loss(self, x: Any, codes: Any, log_target: Any) -> Any:
        """Mean over a batch; log ptilde (n, n_classes)."""
        q = self.encode(x)
        z = q.rsample()
        loss = (q.log_prob(z) - self.prior(codes).log_prob(z)).sum(dim=1).mean()
        log_p = torch.log_softmax(self.decoder(z), dim=1)
        if self.settings.beta:
            loss = loss + self.settings.beta * nn.functional.nll_loss(log_p, codes)
        if self.settings.gamma:
            loss = loss + self.settings.gamma * (log_p.exp() * (log_p - log_target)).sum(dim=1).mean()
        return loss


def _dense_trunk(n_inputs: int) -> Any:
    units = _TRUNK_UNITS
    return nn.Sequential(nn.Flatten(), nn.Linear(n_inputs, units), nn.ReLU(), nn.Linear(units, units), nn.ReLU())


def fitted(
    trunk: Any, X: Any, codes: Any, target: Any, n_classes: int, settings: Settings, seed: int, report: Reporter
) -> tuple[Nets, list[float]]:
    """Nets trained on X (n, ...) with the codes (n,) of the labels, and the mean loss of each epoch.

    `target` is called with the batch's positions and gives ptilde (m, n_classes); positions are drawn anew for each epoch.
    """
    inputs, labels = torch.as_tensor(X, dtype=torch.float32), torch.as_tensor(codes)
    rng = np.random.default_rng(seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        nets = Nets(trunk, inputs, n_classes, settings)
        nets.train()
        optimizer = torch.optim.Adam(nets.parameters(), lr=settings.learning_rate)
        schedule = torch.optim.lr_scheduler.MultiStepLR(optimizer, list(settings.decay_at), gamma=0.5)
        report.expect(settings.epochs)
        losses = []
        for _ in range(settings.epochs):
            total = 0.0
            for batch in np.array_split(rng.permutation(len(inputs)), -(-len(inputs) // settings.batch_size)):
                log_target = torch.as_tensor(np.log(target(batch)), dtype=torch.float32)
                loss = nets.loss(inputs[batch], labels[batch], log_target)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                total += float(loss.detach()) * len(batch)
            schedule.step()
            losses.append(total / len(inputs))
            report.step()
    return nets.eval().double(), losses  # so that a prediction does not depend on the others of its batch


def encoded(nets: Nets, X: Any) -> tuple[Array, Array]:
    """Means and standard deviations of q(z|x), (n, latent_dim) each."""
    inputs = torch.as_tensor(X, dtype=torch.float64)
    with torch.no_grad():
        parts = [nets.encode(batch) for batch in inputs.split(_BATCH)]
    mean, scale = (np.concatenate([getattr(q, name).numpy() for q in parts]) for name in ("mean", "stddev"))
    return mean, scale


def log_decoded(nets: Nets, z: Array) -> Array:
    """The ln p(y|z), (n, n_classes), of z (n, latent_dim)."""
    with torch.no_grad():
        log_p = torch.log_softmax(nets.decoder(torch.as_tensor(z)), dim=1)
    return log_p.numpy()


def prior_of(nets: Nets, codes: Any) -> tuple[Array, Array]:
    """Means and standard deviations of b(z|y) or r(z), (n, latent_dim) each."""
    with torch.no_grad():
        prior = nets.prior(torch.as_tensor(codes))
    return prior.mean.numpy(), prior.stddev.numpy()
