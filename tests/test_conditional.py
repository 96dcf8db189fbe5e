"""p(unseen | seen): closed forms of linear-Gaussian models, enumeration of discrete ones.

Shapes: N data, E elements of x, M draws.
"""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from torch import Tensor

from diabolo.data import Data
from diabolo.errors import DiaboloError
from diabolo.evaluate import complete
from diabolo.model import LatentModel
from diabolo.recipes import build
from diabolo.spec import Spec
from laws.evaluation import F64, Linear, tensor

LONG = {
    "importance": "importance(k=20000)",
    "gibbs": "gibbs(chains=200, sweeps=125)",
}


def wide() -> Linear:
    """Five elements of x that follow two latents, with a diagonal posterior of whole data."""
    weight = tensor([[2, 0.3], [1, 1], [0, -1.5], [1.2, 0.5], [-0.7, 0.9]])
    return Linear(weight, tensor([0.5, -0.5, 0, 1, 2]), 0.25).rotated()


def model_for(true: Linear, method: str) -> LatentModel:
    """Weights need a q that covers p(z | seen); that of whole data, for chains, is too narrow."""
    return true.model(scale=torch.ones(2, dtype=F64)) if "importance" in method else true.model()


def holed(true: Linear, n: int, seed: int = 1, part: float = 0.4) -> tuple[Tensor, Data]:
    """Whole rows and the same with holes at random; the first row has nothing seen."""
    x = true.draw(n)
    mask = torch.rand(x.shape, generator=torch.Generator().manual_seed(seed)) > part
    mask[0], mask[1:, 0] = False, False
    return x, Data(torch.where(mask, x, torch.nan), mask=mask)


def closed_form(true: Linear, x: Tensor, seen: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and covariance of the unseen entries of one row given the others."""
    covariance = true.weight @ true.weight.T + true.variance * torch.eye(len(true.mu), dtype=F64)
    cross = covariance[~seen][:, seen]
    gain = cross @ torch.linalg.inv(covariance[seen][:, seen])
    mean = true.mu[~seen] + gain @ (x[seen] - true.mu[seen])
    return mean, covariance[~seen][:, ~seen] - gain @ cross.T


@pytest.mark.parametrize("method", LONG)
def test_draws_have_the_conditional_mean_and_covariance(method: str) -> None:
    true = wide()
    x, data = holed(true, 8)
    assert data.mask is not None
    m = 4000
    found = complete(model_for(true, method), data, method=LONG[method], draws=m, seed=3)
    assert found.rows.tolist() == list(range(8))
    told = found.ess if method == "importance" else found.acceptance
    assert told is not None
    # Draws of K weighed z, or of visits of chains, know no more than those z.
    count = min(m, float(found.ess.min())) if found.ess is not None else 1000.0
    assert count > 300
    for i in range(8):
        seen = data.mask[i]
        mean, covariance = closed_form(true, x[i], seen)
        draws = found.draws[:, i][:, ~seen].double()
        scale = covariance.diagonal().sqrt()
        off = (draws.mean(0) - mean).abs() / scale
        assert float(off.max()) < 4.5 / math.sqrt(count)
        # The guess averages means of p(x | z), not draws.
        off = (found.best[i][~seen].double() - mean).abs() / scale
        assert float(off.max()) < 4.5 / math.sqrt(count)
        spread = torch.cov(draws.T).view(covariance.shape)
        # The error of a covariance is at most sqrt(2) of its scale over sqrt(count).
        off = (spread - covariance).abs() / (scale[:, None] * scale)
        assert float(off.max()) < 4.5 * math.sqrt(2 / count)
        assert torch.equal(found.best[i][seen], x[i][seen])
        assert torch.equal(found.draws[:, i][:, seen], x[i][seen].expand(m, -1))


@pytest.mark.parametrize(
    ("method", "point"),
    [("importance(k=400)", "mean"), ("gibbs(chains=10, sweeps=50)", "median")],
)
def test_intervals_hold_what_they_say_and_guesses_are_the_best(method: str, point: str) -> None:
    true = wide()
    x, data = holed(true, 400)
    assert data.mask is not None
    model = model_for(true, method)
    found = complete(model, data, method=method, point=point, seed=1)  # type: ignore[arg-type]
    hole = ~data.mask
    inside = (found.low <= x) & (x <= found.high)
    count = int(hole.sum())
    # Entries of a row are dependent: take the binomial error of a third as many.
    error = 0.3 / (count / 3) ** 0.5
    assert float(inside[hole].double().mean()) == pytest.approx(0.9, abs=3 * error)
    assert bool(found.low[~hole].isnan().all())
    errors, best = [], []
    for i in range(len(x)):
        _, covariance = closed_form(true, x[i], data.mask[i])
        errors.append((found.best[i][hole[i]] - x[i][hole[i]]).square().sum())
        best.append(covariance.trace())
    ratio = float(torch.stack(errors).sum() / torch.stack(best).sum())
    assert ratio == pytest.approx(1, abs=0.1)  # 1100 errors, of which each square is a chi^2


def test_refusals_mend_a_chain_whose_posterior_is_wrong() -> None:
    """With a posterior of twice the scale, only the chain with refusals has the right spread."""
    true = wide()
    x, data = holed(true, 6)
    assert data.mask is not None
    wide_q = torch.diagonal(torch.linalg.inv(true.covariance)) ** -0.5 * 2
    model = true.model(scale=wide_q)
    ratio = {}
    for correct in ("true", "false"):
        method = f"gibbs(chains=150, sweeps=125, correct={correct.title()})"
        found = complete(model, data, method=method, draws=3000)
        wrong = []
        for i in range(1, 6):
            seen = data.mask[i]
            _, covariance = closed_form(true, x[i], seen)
            spread = found.draws[:, i][:, ~seen].double().var(0)
            wrong.append((spread / covariance.diagonal() - 1).abs().max())
        ratio[correct] = float(torch.stack(wrong).max())
    assert ratio["true"] < 0.15  # three errors of the variance of some thousand draws
    assert ratio["false"] > 0.25


def discrete() -> tuple[LatentModel, Tensor]:
    torch.manual_seed(0)
    spec = Spec(event=(4,), support="binary")
    model = build("discrete_vae", spec, latent=2, values=3, net="mlp(hidden=(8,))").model
    model = model.double().eval()
    with torch.no_grad():
        for p in model.parameters():
            p.add_(0.8 * torch.randn_like(p))
    return model, torch.tensor(list(itertools.product((0.0, 1.0), repeat=4)), dtype=F64)


def test_a_discrete_latent_is_gone_through() -> None:
    """Against p(x_u | x_s) = p(x) / sum over x_u of p(x), each by a sum over all z."""
    model, every = discrete()
    with torch.no_grad():
        t = model(every, every=True)
        log_px = t.log_average(t.log_weight)
    mask = torch.tensor([[True, False, True, False], [False] * 4, [True, True, True, False]])
    x = torch.tensor([[1.0, 0, 0, 0], [0, 0, 0, 0], [0, 1, 1, 0]], dtype=F64)
    m = 4000
    found = complete(model, Data(x, "binary", mask=mask), draws=m)
    assert found.ess is None
    for i in range(3):
        fits = ((every == x[i]) | ~mask[i]).all(1)
        share = log_px[fits].softmax(0)
        for j in (~mask[i]).nonzero().flatten().tolist():
            one = float(share[every[fits][:, j] == 1].sum())
            assert float(found.best[i, j]) == float(one > 0.5)
            assert float(found.certainty[i, j]) == pytest.approx(max(one, 1 - one), abs=1e-9)
            error = math.sqrt(one * (1 - one) / m)
            assert float(found.draws[:, i, j].mean()) == pytest.approx(one, abs=4 * error)
        assert bool(found.certainty[i][mask[i]].isnan().all())


def test_intervals_hold_their_share_where_few_z_count() -> None:
    """Ends are quantiles of the mixture of p(x | z), however few z have its weight."""
    torch.manual_seed(0)
    spec = Spec(event=(3,), support="real")
    model = build("discrete_vae", spec, latent=1, values=3, net="mlp(hidden=(8,))").model
    model = model.double().eval()
    x = torch.randn(20, 3, generator=torch.Generator().manual_seed(1), dtype=F64)
    mask = torch.tensor([True, True, False]).expand(20, 3)
    found = complete(model, Data(x, mask=mask), interval=0.9)
    with torch.no_grad():
        t = model(x, mask=mask, every=True)
    px = t.px
    share = t.importance[..., None]  # (3, 20, 1)
    for end, part in ((found.low, 0.05), (found.high, 0.95)):
        z = (end.double() - px.loc) / px.log_scale.exp()
        below = (share * torch.special.ndtr(z)).sum(0)[:, 2]
        # Four errors of a quantile of 500 draws.
        assert float((below - part).abs().max()) < 4 * math.sqrt(0.05 * 0.95 / 500)


@pytest.mark.parametrize("name", ["m2", "hierarchical", "ladder", "hyperspherical_vae", "vamp"])
def test_importance_takes_any_latent(name: str) -> None:
    """Draws are in the support, and what was seen stays, whatever z is."""
    torch.manual_seed(0)
    more = {"condition": 3, "unlabelled": 5} if name == "m2" else {}
    x = (torch.rand(5, 6) < 0.5).float()
    spec = Spec(event=(6,), support="binary", count=5, mean=x.mean(0), examples=x, **more)
    model = build(name, spec, net="mlp(hidden=(8,))").model.eval()
    mask = torch.rand(5, 6) < 0.5
    found = complete(model, Data(x, "binary", mask=mask), method="importance(k=20)", draws=3)
    assert found.ess is not None
    assert bool(((found.draws == 0) | (found.draws == 1)).all())
    for k in range(len(found.rows)):
        seen = mask[found.rows[k]]
        assert torch.equal(found.draws[:, k][:, seen], x[found.rows[k]][seen].expand(3, -1))


@pytest.mark.parametrize("method", ["importance(k=30)", "gibbs(chains=3, sweeps=5)"])
def test_a_row_is_filled_alike_whatever_stands_beside_it(method: str) -> None:
    true = wide()
    _, data = holed(true, 12)
    whole = complete(true.model(), data, method=method, draws=2, seed=5)
    order = torch.randperm(12, generator=torch.Generator().manual_seed(0))[:7]
    some = complete(true.model(), data.take(order), method=method, draws=2, seed=5)
    for a, b in (
        (whole.best[order], some.best),
        (whole.low[order], some.low),
        (whole.draws[:, order], some.draws),
    ):
        torch.testing.assert_close(a, b, atol=1e-9, rtol=0, equal_nan=True)
    other = complete(true.model(), data, method=method, draws=2, seed=6)
    assert not torch.equal(whole.draws, other.draws)


def test_whole_data_have_nothing_to_fill_in() -> None:
    true = wide()
    x = true.draw(4)
    for data in (Data(x), Data(x, mask=torch.ones_like(x, dtype=torch.bool))):
        found = complete(true.model(), data, draws=2)
        assert found.rows.shape == (0,)
        assert found.draws.shape == (2, 0, 5)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"method": "gibs"}, "Did you mean 'gibbs'"),
        ({"method": "importance(k=0)"}, "k is a whole number of 1 or more"),
        ({"method": "importance(chains=3)"}, "chains"),
        ({"method": "gibbs(sweeps=0)"}, "sweeps is a whole number"),
        ({"draws": -1}, "draws is a whole number"),
        ({"point": "mode"}, "Unknown point"),
        ({"interval": 90}, "between 0 and 1"),
    ],
)
def test_mistakes_are_told(options: dict, sentence: str) -> None:
    true = wide()
    _, data = holed(true, 3)
    with pytest.raises(DiaboloError, match=sentence):
        complete(true.model(), data, **options)


def test_methods_refuse_models_that_they_are_not_for() -> None:
    true = wide()
    _, data = holed(true, 3)
    with pytest.raises(DiaboloError, match="no likelihood"):
        complete(true.model(deterministic=True), data)
    model, every = discrete()
    bits = Data(every, "binary", mask=torch.zeros_like(every, dtype=torch.bool))
    with pytest.raises(DiaboloError, match="use the method 'importance'"):
        complete(model, bits, method="gibbs")
    with pytest.raises(DiaboloError, match="leave 'k' out"):
        complete(model, bits, method="importance(k=9)")
