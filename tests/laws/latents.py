"""Laws of whatever holds a latent, told of the recipe that uses it."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from diabolo.model import LatentModel
from diabolo.noise import FRESH, KeyedNoise

from .recipes import Case

K = 3000


def _deviates(values: Tensor, expected: Tensor | float) -> bool:
    """Whether the mean over samples lies over 5 of its standard errors from what is expected."""
    error = values.std(0) / math.sqrt(len(values))
    return bool(((values.mean(0) - expected).abs() > 5 * error + 1e-9).any())


def _near(case: Case) -> LatentModel:
    """A model whose posterior is near its prior, so that weights have a finite variance."""
    model = case.build().model.eval()
    with torch.no_grad():
        for p in model.latent.parameters():
            p.mul_(0.3)
    return model


def weights_average_to_one(case: Case) -> None:
    """E_q[p(z) / q(z | x)] = 1: log p(z) and log q(z | x) are normalised on the same space."""
    model = _near(case)
    c = None if model.classifies else case.c  # a label is no z: its probability is to be paid
    with torch.no_grad():
        t = model(case.x, c, k=K, noise=KeyedNoise(0, torch.arange(len(case.x))))
    ratio = torch.stack([d.log_p - d.log_q for d in t.draws]).sum(0).exp()  # (K, B)
    assert not _deviates(ratio, 1.0)


def samples_and_densities_agree(case: Case) -> None:
    """E_q[p / (p + q)] = E_p[q / (p + q)] for each group: samples follow densities on one space.

    Both sides are bounded (Bennett, 1976), so that unlike the weights they have a finite variance
    however light the tails of one are beside those of the other.
    """
    model = _near(case)
    torch.manual_seed(0)
    with torch.no_grad():
        t = model(case.x, case.c, k=K)
        for d in t.draws:
            if d.q is None or d.p is None:
                continue
            lead = (K, len(case.x))[: 2 - len(d.p.batch_shape)]
            y = d.p.sample(lead)
            of_q = (d.log_p - d.log_q).sigmoid()
            of_p = (d.q.log_prob(y) - d.p.log_prob(y)).sigmoid()
            assert not _deviates(of_q - of_p, 0.0)


def samples_follow_the_prior_that_is_charged(case: Case) -> None:
    """Codes of `sample` and codes of q, weighted by p(z) / q(z | x), have the same mean."""
    model = _near(case)
    c = None if case.c is None else case.c[:1]
    with torch.no_grad():
        noise = KeyedNoise(0, torch.arange(1))
        known = model._condition(c, 1, case.x, noise)
        inferred = model.latent(model.view(case.x[:1], None), known, K, noise)
        ratio = torch.stack([d.log_p - d.log_q for d in inferred.draws]).sum(0).exp()
        weighted = (ratio[..., None] * inferred.code)[:, 0]  # (K, D)
        torch.manual_seed(0)
        drawn = model.latent.sample(K, None if known is None else known.expand(K, -1), noise=FRESH)
    assert drawn.shape == weighted.shape
    error = ((weighted.var(0) + drawn.var(0)) / K).sqrt()
    assert bool(((weighted.mean(0) - drawn.mean(0)).abs() < 5 * error).all())


def closed_rates_are_mean_rates(case: Case) -> None:
    """A closed-form rate is the mean of log q - log p over samples, given the groups before."""
    model = _near(case)
    with torch.no_grad():
        t = model(case.x, case.c, k=K, noise=KeyedNoise(0, torch.arange(len(case.x))))
    for d in t.draws:
        # Their difference has mean zero at each sample, whatever the groups before it are.
        assert not _deviates(d.rate - (d.log_q - d.log_p), 0.0)
