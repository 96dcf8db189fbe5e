"""Averages over q: equal samples, and values that are gone through with their probabilities."""

from __future__ import annotations

import math

import pytest
import torch

from diabolo.distributions import Normal
from diabolo.errors import DiaboloError
from diabolo.model import Draw, Trace
from diabolo.objectives import ciwae, dreg, elbo, free_bits, iwae, miwae, piwae, stl, terms

EXACT = 1e-12  # float64, a dozen operations on numbers of order one


def enumerated(k: int = 4, b: int = 3) -> tuple[Trace, torch.Tensor]:
    """A trace of every value of z, and log p(x) by brute force."""
    g = torch.Generator().manual_seed(0)
    log_px, q, p = (torch.randn(k, b, generator=g, dtype=torch.float64) for _ in range(3))
    log_q, log_p = q.log_softmax(0), p.log_softmax(0)
    px = Normal(torch.zeros(2), torch.zeros(2), 1)
    draw = Draw(torch.zeros(k, b, 2), log_q, log_p)
    truth = (log_px.exp() * log_p.exp()).sum(0).log()
    return Trace(px, log_px, (draw,), torch.zeros(()), log_q), truth


def test_importance_bound_of_every_value_is_log_p():
    t, truth = enumerated()
    assert torch.allclose(iwae(t), truth, atol=EXACT)
    (d,) = t.draws
    posterior = (t.log_px + d.log_p - truth).exp()
    assert torch.allclose(t.importance, posterior, atol=EXACT)


def test_elbo_of_every_value_is_log_p_less_the_divergence_from_the_posterior():
    t, truth = enumerated()
    q = t.draws[0].log_q.exp()
    gap = (q * (q.log() - t.importance.log())).sum(0)
    assert torch.allclose(elbo(t), truth - gap, atol=EXACT)
    for beta in (0.0, 0.3, 1.0):
        mixed = beta * elbo(t) + (1 - beta) * truth
        assert torch.allclose(ciwae(t, beta=beta), mixed, atol=EXACT)


@pytest.mark.parametrize("objective", [elbo, iwae])
def test_terms_of_every_value_add_up(objective):
    t, _ = enumerated()
    parts = terms(objective, t)
    assert torch.allclose(parts.value, -parts.distortion - parts.rate.sum(0) - parts.penalty)
    weight = t.share if objective is elbo else t.importance
    assert torch.allclose(parts.distortion, -(weight * t.log_px).sum(0), atol=EXACT)
    divergence = (weight * (weight / t.share).log()).sum(0)
    assert torch.allclose(parts.penalty, divergence, atol=EXACT)


def test_equal_shares_are_those_of_samples():
    """A trace that says that each sample has 1 / K is one that says nothing."""
    t, _ = enumerated()
    plain = t._replace(log_share=None)
    told = t._replace(log_share=torch.full_like(t.log_px, -math.log(4)))
    for objective in (elbo, iwae):
        assert torch.allclose(objective(plain), objective(told), atol=EXACT)
    bits = [free_bits(s, nats=0.5, per="group") for s in (plain, told)]
    assert torch.allclose(*bits, atol=EXACT)
    values = torch.randn(4, 3, 5, dtype=torch.float64)
    assert torch.allclose(plain.average(values), told.average(values), atol=EXACT)
    assert torch.allclose(plain.share, told.share, atol=EXACT)


def test_objectives_made_of_samples_refuse_enumeration():
    t, _ = enumerated()
    for objective in (dreg, stl):
        with pytest.raises(DiaboloError, match="goes through all values"):
            objective(t)
    for objective in (miwae, piwae):
        with pytest.raises(DiaboloError, match="goes through all values"):
            objective(t, bounds=2)
