"""Ranks uniform for what is true, and telling of what is not how it is wrong; bits likewise."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import pytest
import scipy.stats
import torch
from torch import Tensor

from diabolo.data import Data
from diabolo.distributions import REALS
from diabolo.errors import DiaboloError
from diabolo.evaluate import Calibration, Reliability, pit, posterior_ranks, reliability
from diabolo.model import LatentModel
from diabolo.noise import KeyedNoise
from diabolo.recipes import RECIPES, build
from laws.evaluation import F64, Linear, tensor, textbook
from laws.recipes import case

CHANCE = 1e-3  # of a test that fails although all is well; seeds are fixed


def uniform(values: Tensor) -> bool:
    """Whether numbers (N, D) pass the test of Kolmogorov and Smirnov, each element of them."""
    found = [scipy.stats.kstest(v.numpy(), "uniform").pvalue for v in values.T]
    return min(found) * len(found) > CHANCE


def bits_of(model: LatentModel, n: int) -> Data:
    """Data that a model drew."""
    noise = KeyedNoise(5, torch.arange(n), lead=1)
    with torch.no_grad():
        return Data(model.sample(n, noise=noise).sample((), noise), support="binary")


def small(width: int = 8, moved: float = 0.6, **options: object) -> LatentModel:
    """A model of bits at a generic point."""
    torch.manual_seed(0)
    spec = Data(torch.eye(2, width), support="binary").spec()
    options = {"net": "mlp(hidden=(8,))", "latent": 2, **options}
    model = build("vae", spec, **options).model.double().eval()
    with torch.no_grad():
        for p in model.parameters():
            p.add_(moved * torch.randn_like(p))
    return model


# -- ranks of z ----------------------------------------------------------------------------------


def test_ranks_of_the_exact_posterior_are_uniform() -> None:
    found = posterior_ranks(textbook().rotated().model(), 5000)
    assert uniform(found.values)
    assert found.p_all > CHANCE
    assert found.verdicts == ("calibrated", "calibrated")
    assert found.notes[0].startswith("No departure of q(z|x) from calibration was found")
    torch.testing.assert_close(found.position, tensor([0.5, 0.5]), atol=0.017, rtol=0)  # 4 errors
    torch.testing.assert_close(found.spread, tensor([1.0, 1.0]), atol=0.051, rtol=0)
    assert int(found.counts.sum()) == 10_000


def test_what_is_wrong_with_q_is_named() -> None:
    true = textbook().rotated()
    scale = true.model().latent.posterior.scale
    middle = -true.gain @ true.mu
    one = tensor([1.0, 0.0])
    for options, words in (
        ({"scale": scale / 2}, ("too narrow", "too narrow")),
        ({"scale": scale * 2}, ("too wide", "too wide")),
        ({"scale": scale / (1 + one)}, ("too narrow", "calibrated")),
        ({"offset": middle + 0.5 * scale}, ("too high", "too high")),
        ({"offset": middle - 0.5 * scale * one}, ("too low", "calibrated")),
    ):
        found = posterior_ranks(true.model(**options), 2000)
        assert found.verdicts == words
        assert found.p_all < 1e-6
        wrong = [w for w in words if w != "calibrated"]
        assert found.notes[0].startswith(f"q(z|x) is {wrong[0]} in {len(wrong)} of 2 elements")
    assert found.rows()[1].value == 1


def test_a_departure_without_a_direction_has_a_word_of_its_own() -> None:
    """Ranks of mean 1/2 and the spread of uniform ones, in four places only."""
    a = math.sqrt(1 / 6 - 0.2**2)  # so that 0.2^2 + a^2 is 2 / 12
    u = 0.5 + tensor([0.2, -0.2, a, -a]).repeat(100)[:, None]
    found = Calibration.found("q(z|x)", u, draws=99, how="as given")
    assert float(found.spread) == pytest.approx(1)
    assert found.verdicts == ("of another shape",)
    assert found.notes[0].startswith("q(z|x) is of another shape in 1 of 1 elements")


def test_few_draws_have_uniform_ranks_too() -> None:
    for draws in (1, 3):
        assert uniform(posterior_ranks(textbook().rotated().model(), 4000, draws=draws).values)


def test_correlations_that_marginals_do_not_show_are_not_told() -> None:
    """The marginals of the posterior, independent: each element is calibrated, q is not p(z|x)."""
    true = textbook()
    marginal = true.model(scale=true.covariance.diagonal().sqrt())
    assert posterior_ranks(marginal, 20_000).p_all > CHANCE
    best = true.model()  # the best bound's q is narrower than the marginals, by 7 %
    assert set(posterior_ranks(best, 20_000).verdicts) == {"too narrow"}


def test_conditions_are_read() -> None:
    true = Linear(textbook().weight, textbook().mu, 0.25, tensor([[1.0], [-2.0], [0.5]])).rotated()
    c = torch.randn(3000, 1, generator=torch.Generator().manual_seed(0), dtype=F64)
    assert uniform(posterior_ranks(true.model(), 3000, c).values)
    with pytest.raises(DiaboloError, match="conditional"):
        posterior_ranks(true.model(), 100)


# -- ranks of x ----------------------------------------------------------------------------------


def test_the_pit_of_the_true_model_is_uniform() -> None:
    true = textbook()
    x = true.draw(3000)
    found = pit(true.model(), Data(x))
    assert uniform(found.values)
    assert found.verdicts == ("calibrated",) * 3
    # Ranks among draws come near to the marginal's own distribution function.
    scale = (true.weight.square().sum(1) + true.variance).sqrt()
    exact = torch.distributions.Normal(true.mu, scale).cdf(x)
    assert float((found.values - exact).abs().mean()) < 0.05
    assert found.rows()[1].how == "of 3: p < 0.01 for all of them together"
    assert found.rows()[0].name == f"p-value of {found.of}"


def test_the_pit_tells_what_is_wrong_with_the_model() -> None:
    true = textbook()
    x = true.draw(2000)
    for data, word in (
        (true.mu + 1.3 * (x - true.mu), "too narrow"),
        (true.mu + 0.7 * (x - true.mu), "too wide"),
        (x + 1, "too low"),
        (x - 1, "too high"),
    ):
        assert set(pit(true.model(), Data(data)).verdicts) == {word}


@pytest.mark.parametrize(("support", "levels"), [("binary", None), ("count", None), ("byte", 4)])
def test_the_pit_of_levels_is_uniform(support: str, levels: int | None) -> None:
    """Ties are spread: of the model's own draws it is uniform, of others it is not."""
    torch.manual_seed(0)
    g = torch.Generator().manual_seed(0)
    x = torch.randint(0, levels or 2, (50, 4), generator=g) / ((levels or 2) - 1)
    spec = Data(x, support=support, levels=levels).spec()
    model = build("vae", spec, latent=2, net="mlp(hidden=(8,))").model.eval()
    drawn = bits_of(model, 2000).x
    data = Data(drawn, support=support, levels=levels)
    assert uniform(pit(model, data).values)
    shifted = replace(data, x=(drawn + 1 / ((levels or 2) - 1)).clamp(max=1))
    assert pit(model, shifted).p_all < 1e-6


def test_unseen_entries_have_no_rank() -> None:
    true = textbook()
    x = true.draw(2000)
    mask = torch.rand(x.shape, generator=torch.Generator().manual_seed(1)) < tensor([0.5, 1.0, 0])
    found = pit(true.model(), Data(torch.where(mask, x, torch.nan), mask=mask))
    assert torch.equal(found.values.isnan(), ~mask)
    assert found.verdicts == ("calibrated", "calibrated", "unknown")
    assert math.isnan(found.p[2])
    assert json.loads(json.dumps(found.to_json()))["p"][2] is None


# -- bits ----------------------------------------------------------------------------------------


def test_calibrated_bits_are_off_by_chance_alone() -> None:
    g = torch.Generator().manual_seed(0)
    found = []
    for _ in range(30):
        p = torch.rand(200, 50, generator=g, dtype=F64) ** 3
        found.append(Reliability.of(p, (torch.rand(200, 50, generator=g) < p).double()))
    mean = sum(r.ece.value for r in found) / len(found)
    assert mean == pytest.approx(found[0].chance, rel=0.15)
    assert min(r.p for r in found) * len(found) > CHANCE
    assert found[0].ece.value < 0.02
    assert int(found[0].count.sum()) == 10_000


def test_distorted_probabilities_are_found() -> None:
    g = torch.Generator().manual_seed(0)
    p = torch.rand(500, 50, generator=g, dtype=F64)
    x = (torch.rand(500, 50, generator=g) < p).double()
    told = (1.5 * torch.logit(p)).sigmoid()
    found = Reliability.of(told, x)
    expected = float((told - p).abs().mean())
    assert found.ece.value == pytest.approx(expected, abs=4 * found.ece.data_stderr)
    assert found.p < 1e-6
    assert found.ece.value > 5 * found.chance
    few = found.predicted < 0.4
    assert bool((found.observed > found.predicted)[few].all())  # too sure on either side


def test_errors_of_bits_are_those_of_whole_data() -> None:
    """Fifty copies of a bit tell no more than one: no false alarm, and a larger chance."""
    g = torch.Generator().manual_seed(0)
    p = torch.rand(300, 1, generator=g, dtype=F64)
    x = (torch.rand(300, 1, generator=g) < p).double()
    one = Reliability.of(p, x, bins=4)
    many = Reliability.of(p.expand(-1, 50), x.expand(-1, 50), bins=4)
    assert min(one.p, many.p) > CHANCE
    torch.testing.assert_close(many.stderr, one.stderr, rtol=0.25, atol=0)
    assert many.chance == pytest.approx(one.chance, rel=0.2)
    assert many.ece.value == pytest.approx(one.ece.value)


def test_bits_of_the_model_itself_are_reliable_under_the_exact_posterior() -> None:
    """All values of a discrete z: hidden bits are predicted without error, and reliably so."""
    torch.manual_seed(0)
    spec = Data(torch.eye(2, 8), support="binary").spec()
    model = build("discrete_vae", spec, latent=1, net="mlp(hidden=(8,))").model.double().eval()
    with torch.no_grad():
        for p in model.parameters():
            p.add_(0.6 * torch.randn_like(p))
    found = reliability(model, bits_of(model, 2000), hidden=0.5)
    assert found.p > CHANCE
    assert found.ece.value < 4 * found.chance
    assert "50% of the bits hidden" in found.how
    assert len(found.notes) == 1


def test_hidden_bits_are_predicted_as_the_model_would() -> None:
    """Whatever q is worth: weights make up for it. A draw of a wrong q does not."""
    model = small()
    with torch.no_grad():  # q hardly says anything, but covers all
        model.latent.posterior.net.head.weight.mul_(0.1)
        model.latent.posterior.net.head.bias.copy_(tensor([0, 0, 0.2, 0.2]))
    data = bits_of(model, 1500)
    honest = reliability(model, data, hidden=0.5, k=200)
    assert honest.p > CHANCE
    assert abs(int(honest.count.sum()) - 6000) < 4 * math.sqrt(3000)
    seen = reliability(model, data)
    assert "which has seen it" in seen.how
    assert int(seen.count.sum()) == 12_000
    # Other data: the model's bits are turned over.
    other = reliability(model, replace(data, x=1 - data.x), hidden=0.5, k=200)
    assert other.p < 1e-6
    assert other.ece.value > 5 * honest.ece.value
    few = reliability(model, data, hidden=0.5, k=2)
    assert "are worth" in few.notes[1]


def test_masked_bits_are_not_counted() -> None:
    model = small()
    data = bits_of(model, 200)
    mask = torch.rand(data.x.shape, generator=torch.Generator().manual_seed(0)) < 0.7
    found = reliability(model, replace(data, mask=mask))
    assert int(found.count.sum()) == int(mask.sum())
    part = reliability(model, replace(data, mask=mask), hidden=0.3, k=20)
    assert int(part.count.sum()) < 0.4 * int(mask.sum())


# -- invariances and refusals --------------------------------------------------------------------


def test_batch_and_order_change_nothing() -> None:
    model = small()
    data = bits_of(model, 40)
    order = torch.randperm(40, generator=torch.Generator().manual_seed(0))
    ranked = posterior_ranks(model, 40).values
    torch.testing.assert_close(posterior_ranks(model, 40, batch=7).values, ranked)
    whole = pit(model, data)
    torch.testing.assert_close(pit(model, data, batch=7).values, whole.values)
    torch.testing.assert_close(pit(model, data.take(order)).values, whole.values[order])
    for hidden in (0.0, 0.5):
        found = reliability(model, data, hidden=hidden, k=10)
        cut = reliability(model, data, hidden=hidden, k=10, batch=7)
        turned = reliability(model, data.take(order), hidden=hidden, k=10)
        for other, per in ((cut, found.ece.per_datum), (turned, found.ece.per_datum[order])):
            torch.testing.assert_close(other.ece.per_datum, per, atol=1e-9, rtol=0)


def test_results_are_told_in_rows_and_json() -> None:
    model = small()
    data = bits_of(model, 60)
    for found in (posterior_ranks(model, 60), pit(model, data), reliability(model, data)):
        assert all(math.isfinite(q.value) for q in found.rows())
        assert json.loads(json.dumps(found.to_json()))["notes"] == list(found.notes)
    double = [reliability(model, data).ece.value, pit(model, data).p_all]
    model.float()
    single = [reliability(model, data).ece.value, pit(model, data).p_all]
    assert single == pytest.approx(double, rel=1e-3)


def test_what_there_is_not_is_refused_with_a_sentence() -> None:
    true = textbook()
    data = Data(true.draw(30))
    point = true.model(deterministic=True)
    for use in (posterior_ranks, lambda m: pit(m, data), lambda m: reliability(m, data)):
        with pytest.raises(DiaboloError, match="deterministic autoencoder has no likelihood"):
            use(point)
    with pytest.raises(DiaboloError, match=r"of bits \(Bernoulli\), but .* a Normal likelihood"):
        reliability(true.model(), data)
    with pytest.raises(DiaboloError, match="at least 20 data, but got 19"):
        pit(true.model(), data.take(torch.arange(19)))
    with pytest.raises(DiaboloError, match="n is a whole number of 20 or more"):
        posterior_ranks(true.model(), 5)
    model = small()
    for hidden in (-0.1, 1.0, math.nan):
        with pytest.raises(DiaboloError, match="hidden is a part of the bits"):
            reliability(model, bits_of(model, 5), hidden=hidden)
    with pytest.raises(DiaboloError, match="two data, but got 1"):
        reliability(model, bits_of(model, 1))
    with pytest.raises(DiaboloError, match="there are none"):
        Reliability.of(torch.zeros(3, 2), torch.zeros(3, 2), torch.zeros(3, 2, dtype=torch.bool))
    counts = Data(torch.poisson(torch.full((30, 4), 3.0)), support="count")
    spec = replace(counts.spec(), mean=counts.x.mean(0))
    total = build("vae", spec, latent=2, likelihood="Poisson(exposure=total)").model
    with pytest.raises(DiaboloError, match=r"given its total.*no calibrated rank"):
        posterior_ranks(total, 30)
    assert pit(total, counts).of == "p(x_j) given its total"


@pytest.mark.parametrize("name", RECIPES.names())
def test_every_recipe_is_calibrated_or_refused_with_a_sentence(name: str) -> None:
    made = case(name, n=24)
    model = made.build().model.eval()
    data = Data(made.x, c=made.c, support="binary")
    if model.deterministic:
        for use in (pit, reliability):
            with pytest.raises(DiaboloError, match="no likelihood"):
                use(model, data)
        return
    assert isinstance(pit(model, data, draws=9), Calibration)
    for hidden in (0.0, 0.5):
        assert math.isfinite(reliability(model, data, hidden=hidden, k=5).ece.value)
    one = model.space == REALS and len(model.groups) == 1 and not any(model.levels)
    c = None if model.classifies else made.c
    if one:
        assert posterior_ranks(model, 24, c, draws=9).values.shape == (24, sum(model.groups))
    else:
        with pytest.raises(DiaboloError, match="one vector of continuous numbers") as caught:
            posterior_ranks(model, 24, c)
        assert "method" not in str(caught.value)
