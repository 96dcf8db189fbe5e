"""The posterior of experts: what each entry adds, what a hole leaves out, and when it is exact."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from diabolo.data import Data
from diabolo.distributions import MultivariateNormal
from diabolo.evaluate import complete
from diabolo.posteriors import POSTERIORS
from diabolo.recipes import build
from diabolo.spec import Spec
from diabolo.views import default_view

MIXED = ("real", "category:3", "positive", "binary", "category:3")
TABLE = torch.tensor([[0.3, 2.0, 1.5, 1.0, 0.0], [-1.0, 0.0, 0.2, 0.0, 1.0]])
SPEC = Spec(
    event=(5,),
    support="mixed",
    kinds=MIXED,
    mean=torch.ones(5),
    scale=torch.full((5,), 2.0),
    missing=True,
)


@pytest.fixture(autouse=True)
def _double() -> None:
    torch.set_default_dtype(torch.float64)
    torch.manual_seed(0)


def mixed(latent: int) -> tuple[nn.Module, nn.Module]:
    """A posterior of a table of several kinds whose network says the same of all, and its view."""
    view = default_view(SPEC)
    q = POSTERIORS.build("experts", view.shape, latent, net="mlp(hidden=())", view=view, spec=SPEC)
    with torch.no_grad():
        q.offset.normal_()
        q.log_gain.normal_(std=0.3)
        for w in q.net.parameters():
            w.zero_()
    return q, view


def only(j: int) -> Tensor:
    """The mask of one column."""
    return (torch.arange(5) == j).expand(2, 5)


def test_values_and_flags_are_found_in_a_table_of_several_kinds() -> None:
    q, view = mixed(2)
    assert len(q.values) == 1 + 3 + 1 + 1 + 3
    for j in range(5):
        h, read = view(TABLE, only(j)), view.values(only(j))
        assert torch.equal(h[:, q.flags], read[:, q.values].to(h))


@pytest.mark.parametrize("seen", [(), (1,), (0, 3, 4), (0, 1, 2, 3, 4)])
def test_what_entries_tell_adds_up_and_holes_tell_nothing(seen: tuple[int, ...]) -> None:
    q, view = mixed(3)

    def told(mask: Tensor) -> tuple[Tensor, Tensor]:
        with torch.no_grad():
            found = q(view(TABLE, mask))
        assert isinstance(found, MultivariateNormal)
        precision = torch.linalg.inv(found.covariance)
        return precision, (precision @ found.loc[..., None]).squeeze(-1)

    none = told(torch.zeros_like(TABLE, dtype=torch.bool))
    both = told(torch.isin(torch.arange(5), torch.tensor(seen)).expand(2, 5))
    each = [told(only(j)) for j in seen]
    torch.testing.assert_close(both[0], none[0] + sum((e[0] - none[0] for e in each), 0 * none[0]))
    torch.testing.assert_close(both[1], sum((e[1] for e in each), 0 * none[1]))
    assert torch.equal(none[1], torch.zeros_like(none[1]))  # what the prior says


def test_it_can_be_exact_for_every_pattern_of_holes_at_once() -> None:
    """Of a linear-Gaussian model: all weights are alike, and means those of the normal density."""
    d, latent, noise = 6, 2, 0.1
    spec = Spec(event=(d,), missing=True)
    recipe = build(
        "iwae",
        spec,
        latent=latent,
        net="mlp(hidden=())",
        posterior="experts",
        likelihood=f"Normal(scale={noise})",
    )
    model, q = recipe.model, recipe.model.latent.posterior
    weight, bias = torch.randn(d, latent), torch.randn(d)
    with torch.no_grad():
        model.likelihood.net.head.weight.copy_(weight)
        model.likelihood.net.head.bias.copy_(bias)
        q.direction.copy_(weight)
        q.offset.copy_(-bias)
        q.log_gain.fill_(-torch.tensor(noise).log() / 3)
        q.net.head.weight.zero_()
        q.net.head.bias[latent:] = -800.0  # a precision of zero
    x = bias + torch.randn(30, latent) @ weight.T + noise * torch.randn(30, d)
    mask = torch.rand(30, d) < 0.6
    found = complete(model, Data(x, mask=mask), method="importance(k=50)", seed=1)
    assert found.ess is not None
    torch.testing.assert_close(found.ess, torch.full_like(found.ess, 50.0))
    for row, at in zip(found.best, found.rows, strict=True):
        s, u = mask[at], ~mask[at]
        precision = torch.eye(latent) + weight[s].T @ weight[s] / noise**2
        z = torch.linalg.solve(precision, weight[s].T @ (x[at, s] - bias[s]) / noise**2)
        covariance = weight[u] @ torch.linalg.solve(precision, weight[u].T)
        error = 5 * (covariance.diagonal() / 50).sqrt()
        assert bool(((row[u] - bias[u] - weight[u] @ z).abs() < error).all())


def test_precisions_that_float32_cannot_invert_are_inverted() -> None:
    """Entries that nearly follow from z, of which few are seen: most of z is free still."""
    q = POSTERIORS.build("experts", (2,), 8, net="mlp(hidden=())").float()
    with torch.no_grad():
        q.log_gain.fill_(torch.tensor(1e4).log() / 3)
    with torch.no_grad():
        found = q(torch.randn(64, 2, dtype=torch.float32))
    assert bool(found.loc.isfinite().all())
    assert float(found.variance.sum(-1).min()) > 3  # six directions are the prior's, somewhat cut
