"""Evaluation: errors that are what they say, invariances, words, and refusals."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import scipy.stats
import torch
from torch import Tensor, nn

from diabolo.data import Data
from diabolo.data.decode import AsFloat, Binarize, Dequantize, Scale
from diabolo.errors import DiaboloError
from diabolo.evaluate import (
    Estimate,
    active_units,
    bound,
    complete,
    diagnose,
    difference,
    distortion,
    evaluate,
    log_likelihood,
    pareto_shape,
    sample_quality,
)
from diabolo.evaluate.drawing import reconstructed
from diabolo.evaluate.graph import Compile, pays
from diabolo.graph import compiler
from diabolo.model import LatentModel
from diabolo.noise import KeyedNoise, Noise, mix_seed
from diabolo.recipes import RECIPES, build
from laws import evaluation as laws
from laws import recipes as recipe_laws
from laws.evaluation import F64, Linear, tensor, textbook

N = 24
G = torch.Generator().manual_seed(0)
DATA = {
    "binary": Data((torch.rand(N, 1, 4, 5, generator=G) < 0.3).float(), support="binary"),
    "real": Data(torch.randn(N, 6, generator=G)),
    "byte": Data(
        torch.randint(0, 5, (N, 1, 4, 4), generator=G).byte(),
        support="byte",
        levels=5,
        decoder=Scale(5),
    ),
    "dynamic": Data(
        torch.randint(0, 256, (N, 1, 4, 4), generator=G).byte(),
        support="binary",
        decoder=Binarize(Scale()),
    ),
}
SMALL = {"net": "mlp(hidden=(12,))", "latent": 3}


def small(data: Data, seed: int = 0, **options: object) -> LatentModel:
    torch.manual_seed(seed)
    if data.support == "real":  # a scale of which log-densities are some ten nats
        options = {"likelihood": "Normal(scale=0.7)", **options}
    model = build("vae", data.spec(), **{**SMALL, **options}).model
    with torch.no_grad():  # away from the data's mean: posterior and prior differ
        for p in model.parameters():
            p.add_(0.3 * torch.randn_like(p))
    return model.eval()


def of_recipe(name: str) -> tuple[LatentModel, Data]:
    """A recipe's model in float64, away from its initial values, and data for it."""
    case = recipe_laws.case(name, n=6, dtype=F64)
    model = case.build().model.eval()
    with torch.no_grad():
        for p in model.parameters():
            p.add_(0.2 * torch.randn_like(p))
    return model, Data(case.x, support="binary", c=case.c)


# -- invariances ---------------------------------------------------------------------------------


@pytest.mark.oracle(36)
@pytest.mark.parametrize("name", DATA)
def test_batch_and_chunk_change_nothing(name: str) -> None:
    # Matrix products of other shapes round otherwise: 1e-12 of some 30 nats in float64.
    laws.batch_and_chunk_change_nothing(small(DATA[name]).double(), DATA[name], 1e-10)


@pytest.mark.oracle(36)
@pytest.mark.parametrize("name", DATA)
def test_order_changes_nothing(name: str) -> None:
    laws.order_changes_nothing(small(DATA[name]).double(), DATA[name], 1e-10)


@pytest.mark.parametrize("name", DATA)
def test_bounds_are_ordered(name: str) -> None:
    laws.bounds_are_ordered(small(DATA[name]), DATA[name])


@pytest.mark.parametrize("name", DATA)
def test_parts_make_the_bound(name: str) -> None:
    laws.parts_make_the_bound(small(DATA[name]), DATA[name])


ON_OFF: tuple[Compile, ...] = ("on", "off")
COMPILER = pytest.mark.skipif(compiler() is None, reason="a C++ compiler is not installed")


def compiled_equals_eager(model: LatentModel, data: Data) -> None:
    """By the graph, whose chunks are padded at k's end and whose last batch is eager."""
    eager = log_likelihood(model, data, k=23, seed=1, compile="off")
    found = log_likelihood(model, data, k=23, seed=1, compile="on", batch=5, chunk=50)
    # float64, but Inductor's own exp and log: some units of the last place of each element.
    laws.estimates_agree(found, eager, 1e-8)
    assert found.notes == ("The decoder was compiled, which changes numbers by rounding only.",)


@pytest.mark.slow
@COMPILER
@pytest.mark.parametrize("name", DATA)
def test_compiled_equals_eager(name: str) -> None:
    data = DATA[name]
    compiled_equals_eager(small(data).double(), data)
    if data.support == "binary" and name == "binary":
        mask = torch.rand(data.x.shape, generator=G) < 0.7
        seen = replace(data, mask=mask, x=torch.where(mask, data.x, torch.nan))
        compiled_equals_eager(small(seen).double(), seen)


@pytest.mark.slow
@COMPILER
@pytest.mark.parametrize("name", RECIPES.names())
def test_every_recipe_compiles_to_the_same(name: str) -> None:
    model, data = of_recipe(name)
    if not model.deterministic:
        compiled_equals_eager(model, data)


@pytest.mark.slow
@COMPILER
def test_compiled_dense_layers_are_products() -> None:
    """In float32 a wide layer is a convolution, which must be the same product."""
    g = torch.Generator().manual_seed(1)
    data = Data((torch.rand(7, 1, 9, 11, generator=g) < 0.3).float(), support="binary")
    model = small(data, net="mlp(hidden=(96, 80))")
    eager = log_likelihood(model, data, k=50, compile="off")
    found = log_likelihood(model, data, k=50, compile="on")
    # Both are 2e-3 from float64 here, at logits of tens and 720 nats: 1e-5 of the value.
    laws.estimates_agree(found, eager, 7e-3)
    low, same = (log_likelihood(model, data, k=50, compile=c, precision="bf16") for c in ON_OFF)
    assert abs(low.value - same.value) < 0.01  # the same products, a density in float32
    assert low.value != found.value


def test_only_long_work_is_compiled() -> None:
    model = small(DATA["binary"])
    assert not pays(model, 10**5)
    assert pays(model, 10**12)
    assert log_likelihood(model, DATA["binary"], k=3).notes == ()


def test_without_a_compiler_work_is_eager_and_it_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    data, model = DATA["binary"], small(DATA["binary"])
    monkeypatch.setattr("diabolo.evaluate.graph.compiler", lambda: None)
    monkeypatch.setattr("diabolo.evaluate.importance.pays", lambda *_: True)
    found = log_likelihood(model, data, k=3)
    assert found.notes == (
        "The decoder was not compiled, which is slower: there is no C++ compiler (g++).",
    )
    assert torch.equal(found.per_datum, log_likelihood(model, data, k=3, compile="off").per_datum)
    with pytest.raises(DiaboloError, match="cannot be compiled: there is no C"):
        log_likelihood(model, data, k=3, compile="on")


@pytest.mark.oracle(36)
@pytest.mark.parametrize("name", RECIPES.names())
def test_every_recipe_is_evaluated_by_the_same_laws(name: str) -> None:
    model, data = of_recipe(name)
    found = evaluate(model, data, k=None if model.deterministic else 7)
    json.dumps(found.to_json(), allow_nan=False)
    if model.deterministic:
        assert found.likelihood is None
        assert found.distortion is not None
        return
    laws.batch_and_chunk_change_nothing(model, data, 1e-10)
    laws.order_changes_nothing(model, data, 1e-10)
    laws.parts_make_the_bound(model, data)
    laws.bounds_are_ordered(model, data)
    assert len(found.bound.rate) == len(model.groups)
    assert sum(len(v) for v in found.units.variance) == sum(model.groups)


@pytest.mark.oracle(36)
def test_larger_k_begins_with_the_samples_of_a_smaller_one() -> None:
    """k p_hat_k is a sum of positive weights that a larger k only adds to."""
    data, model = DATA["binary"], small(DATA["binary"]).double()
    few, many = log_likelihood(model, data, k=10), log_likelihood(model, data, k=11)
    added = many.per_datum + math.log(11) - (few.per_datum + math.log(10))
    assert bool((added > 0).all())


@pytest.mark.oracle(36)
def test_seed_repeats_and_another_seed_differs() -> None:
    data, model = DATA["dynamic"], small(DATA["dynamic"])
    first = log_likelihood(model, data, k=5, seed=3)
    assert torch.equal(first.per_datum, log_likelihood(model, data, k=5, seed=3).per_datum)
    other = log_likelihood(model, data, k=5, seed=4)
    assert not torch.equal(first.per_datum, other.per_datum)
    torch.rand(3)  # the caller's generator has no part in it
    assert torch.equal(first.per_datum, log_likelihood(model, data, k=5, seed=3).per_datum)


def test_caller_generator_and_mode_are_left_alone() -> None:
    data, model = DATA["binary"], small(DATA["binary"]).train()
    before, threads = torch.get_rng_state(), torch.get_num_threads()
    evaluate(model, data, k=3)
    assert torch.equal(before, torch.get_rng_state())
    assert model.training
    assert torch.is_grad_enabled()
    assert torch.get_num_threads() == threads


@pytest.mark.oracle(36)
@pytest.mark.parametrize("name", DATA)
def test_float32_agrees_with_float64(name: str) -> None:
    data = DATA[name]
    single, double = small(data), small(data).double()
    a, b = (log_likelihood(m, data, k=50).per_datum for m in (single, double))
    assert float((a - b).abs().max()) < 1e-3  # the stated bound, in nats


@pytest.mark.oracle(36)
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
@pytest.mark.parametrize("name", DATA)
def test_devices_agree(name: str) -> None:
    """The bits of the noise are the same everywhere; float32 functions make normals of them.

    Their rounding, 1e-7 of a normal, came to 1.2e-5 of 270 nats.
    """
    data, model = DATA[name], small(DATA[name]).double()
    here, bounded = log_likelihood(model, data, k=50), bound(model, data).elbo
    model.cuda()
    laws.estimates_agree(here, log_likelihood(model, data, k=50), 1e-4)
    laws.estimates_agree(bounded, bound(model, data).elbo, 1e-4)
    single = log_likelihood(model.float(), data, k=50).per_datum
    assert float((single - here.per_datum).abs().max()) < 1e-3  # the stated bound, in nats


@pytest.mark.oracle(36)
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
@pytest.mark.parametrize("name", RECIPES.names())
def test_devices_agree_for_every_recipe(name: str) -> None:
    model, data = of_recipe(name)
    k = None if model.deterministic else 7
    here = evaluate(model, data, k=k)
    there = evaluate(model.cuda(), data, k=k)
    assert there.notes == here.notes
    for a, b in zip(_numbers(here.to_json()), _numbers(there.to_json()), strict=True):
        assert a == pytest.approx(b, rel=1e-6, abs=1e-6, nan_ok=True)


def _numbers(found: Any) -> Iterator[float]:
    """All numbers of nested lists and dictionaries, in order."""
    if isinstance(found, dict):
        found = list(found.values())
    if isinstance(found, list | tuple):
        for part in found:
            yield from _numbers(part)
    elif isinstance(found, int | float):
        yield float(found)


def test_bfloat16_networks_stay_near_and_densities_stay_float32() -> None:
    data, model = DATA["binary"], small(DATA["binary"])
    seen: list[torch.dtype] = []
    handle = model.likelihood.net.head.register_forward_hook(lambda m, i, o: seen.append(o.dtype))
    a = log_likelihood(model, data, k=200)
    assert set(seen) == {torch.float32}
    seen.clear()
    b = log_likelihood(model, data, k=200, precision="bf16")
    handle.remove()
    assert set(seen) == {torch.bfloat16}
    # bfloat16 rounds logits of a few units to 1e-2; twenty of them with random signs
    assert abs(a.value - b.value) < 0.1
    assert a.value != b.value
    with pytest.raises(DiaboloError, match=r"'float32' or 'bf16', but got 'half'"):
        log_likelihood(model, data, k=2, precision="half")  # type: ignore[arg-type]


@pytest.mark.oracle(36)
def test_saved_and_loaded_weights_give_equal_numbers() -> None:
    import safetensors.torch

    data, model = DATA["byte"], small(DATA["byte"])
    state = safetensors.torch.load(safetensors.torch.save(model.state_dict()))
    other = small(data, seed=1)
    assert not torch.equal(
        log_likelihood(model, data, k=3).per_datum, log_likelihood(other, data, k=3).per_datum
    )
    other.load_state_dict(state)
    assert torch.equal(
        log_likelihood(model, data, k=3).per_datum, log_likelihood(other, data, k=3).per_datum
    )


class Counting(nn.Module):
    """Counts the rows that a network reads."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner, self.rows = inner, 0

    def forward(self, h: Tensor, c: Tensor | None = None) -> Tensor:
        self.rows += len(h)
        return self.inner(h, c)


def test_each_datum_is_encoded_once_and_decoded_k_times() -> None:
    data, model = DATA["binary"], small(DATA["binary"])
    encoder = model.latent.posterior
    encoder.net, model.likelihood.net = Counting(encoder.net), Counting(model.likelihood.net)
    log_likelihood(model, data, k=100, chunk=50)
    assert (encoder.net.rows, model.likelihood.net.rows) == (N, 100 * N)


def test_one_binarisation_for_all_samples(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    original = Binarize.__call__

    def note(self: Binarize, stored: Tensor, noise: Noise) -> Tensor:
        assert isinstance(noise, KeyedNoise)
        asked.append(len(stored))
        return original(self, stored, noise)

    monkeypatch.setattr(Binarize, "__call__", note)
    data = DATA["dynamic"]
    log_likelihood(small(data), data, k=100, chunk=10)
    assert sum(asked) - len(data) == N  # `spec` decodes them once, the evaluation once


# -- errors --------------------------------------------------------------------------------------


def test_data_stderr_is_the_standard_error_of_the_mean() -> None:
    data, model = DATA["real"], small(DATA["real"])
    for e in (log_likelihood(model, data, k=7, batch=5), bound(model, data, batch=5).elbo):
        values = e.per_datum.numpy()
        assert math.isclose(e.value, values.mean(), rel_tol=1e-12)  # ragged batches, by count
        assert math.isclose(e.data_stderr, scipy.stats.sem(values), rel_tol=1e-12)
        assert e.n == len(values) == N


def test_mc_stderr_of_the_likelihood_is_calibrated() -> None:
    """Over seeds, (estimate - exact) / mc_stderr has standard deviation 1 and no mean."""
    true = textbook()
    model = true.model(scale=tensor([0.4, 0.6]))  # wider than the posterior: finite variance
    x = true.draw(20)
    exact = float(true.log_prob(x).mean())
    z, errors = [], []
    for seed in range(200):
        found = log_likelihood(model, Data(x), k=100, seed=seed)
        z.append((found.value - exact) / found.mc_stderr)
        errors.append(found.mc_stderr)
    # 200 repetitions know a standard deviation to 5 %: three of those. The mean is off by the
    # bias, half the variance of one datum: 0.5 * 20 * mc_stderr, plus three of its own errors.
    assert abs(np.std(z, ddof=1) - 1) < 0.15
    assert -0.5 * 20 * np.mean(errors) - 3 / math.sqrt(200) < np.mean(z) < 3 / math.sqrt(200)


def test_mc_stderr_of_the_bound_is_calibrated() -> None:
    true = textbook()
    scale = tensor([0.4, 0.6])
    model, x = true.model(scale=scale), true.draw(20)
    elbo = exact_elbo(true, x, scale)
    z = []
    for seed in range(200):
        found = bound(model, Data(x), samples=16, seed=seed).elbo
        z.append((found.value - float(elbo.mean())) / found.mc_stderr)
    assert abs(np.std(z, ddof=1) - 1) < 0.15  # as above
    assert abs(np.mean(z)) < 3 / math.sqrt(200)  # the bound is unbiased


def exact_elbo(true: Linear, x: Tensor, scale: Tensor) -> Tensor:
    """-KL(q || posterior) + log p(x), with q's mean exact."""
    q = torch.distributions.MultivariateNormal(torch.zeros(2, dtype=F64), torch.diag(scale**2))
    p = torch.distributions.MultivariateNormal(torch.zeros(2, dtype=F64), true.covariance)
    return true.log_prob(x) - torch.distributions.kl_divergence(q, p)


def test_estimates_lie_within_their_errors_of_the_truth() -> None:
    true = textbook()
    model, x = true.model(), true.draw(200)
    exact = true.log_prob(x)
    found = log_likelihood(model, Data(x), k=2000)
    assert abs(found.value - float(exact.mean())) < 4 * found.mc_stderr
    z = (found.per_datum - exact) / found.per_datum_stderr
    assert abs(float(z.std()) - 1) < 0.2  # 200 data know it to 5 %; the delta method is first order
    assert found.mc_stderr < 0.01 < found.data_stderr


def test_one_sample_tells_no_monte_carlo_error() -> None:
    data, model = DATA["binary"], small(DATA["binary"])
    for e in (log_likelihood(model, data, k=1), bound(model, data, samples=1).elbo):
        assert e.mc_stderr is None
        assert e.per_datum_stderr is None
        assert "Monte Carlo" not in str(e)
    assert log_likelihood(model, data.take(torch.tensor([0])), k=5).data_stderr is None


def test_effective_sample_size_and_pareto_shape_tell_a_bad_posterior() -> None:
    true = textbook().rotated()
    x = Data(true.draw(10))
    exact = torch.diagonal(true.covariance).sqrt()
    good = log_likelihood(true.model(), x, k=500)
    torch.testing.assert_close(good.ess, torch.full((10,), 500.0, dtype=F64), atol=1e-6, rtol=0)
    assert bool((good.pareto < 0).all())
    narrow = log_likelihood(true.model(scale=0.3 * exact), x, k=500)
    assert float(narrow.pareto.mean()) > 0.7  # weights exp(5 e^2): no mean beyond the first tenth
    assert float(narrow.ess.mean()) < 100
    wide = log_likelihood(true.model(scale=1.5 * exact), x, k=500)
    assert float(wide.pareto.mean()) < 0.5
    assert 100 < float(wide.ess.mean()) < 500
    told = " ".join(evaluate(true.model(scale=0.3 * exact), x, k=500).notes)
    assert "heavy-tailed" in told
    remedy = re.findall("method='(.*?)'", told)
    assert remedy == ["importance(refine=300, form=full)"]
    assert evaluate(true.model(scale=0.3 * exact), x, k=500, method=remedy[0]).notes == ()
    assert evaluate(true.model(scale=1.5 * exact), x, k=500).notes == ()


@pytest.mark.parametrize("shape", [0.2, 0.5, 0.9])
def test_pareto_shape_finds_the_shape_of_pareto_weights(shape: float) -> None:
    """Weights u^-shape are generalised Pareto with that shape."""
    u = torch.rand(4000, 50, generator=torch.Generator().manual_seed(0), dtype=F64)
    found = pareto_shape(-shape * u.log())
    # 190 tail weights: a standard error of (1 + shape) / sqrt(190) for one, a seventh of it for
    # the mean of 50; the prior at 0.5 draws by 5 % of the distance.
    assert abs(float(found.mean()) - shape) < 4 * (1 + shape) / math.sqrt(190 * 50) + 0.03
    assert bool(pareto_shape(-shape * u[:99].log()).isnan().all())


def test_numbers_that_are_none_are_told() -> None:
    data, model = DATA["real"], small(DATA["real"])
    x = data.x.clone()
    x[5] = torch.nan
    with pytest.raises(
        DiaboloError, match="not a number for 1 of 24 data, the first at position 5"
    ):
        log_likelihood(model, replace(data, x=x), k=2)


# -- conditions ----------------------------------------------------------------------------------


def classes() -> Linear:
    return Linear(
        tensor([[1.0], [0.5]]), tensor([0.0, 1.0]), 0.5, tensor([[0.0, 2.0, 5.0], [1.0, -1.0, 3.0]])
    )


def test_conditional_likelihood_is_named_and_exact() -> None:
    true = classes()
    c = torch.eye(3, dtype=F64)[torch.arange(30) % 3]
    x = true.draw(30, c=c)
    found = log_likelihood(true.model(), Data(x, c=c), k=20)
    assert found.kind.startswith("lower bound on log p(x|c) (importance-weighted, k=20)")
    # One latent, and the exact posterior: no variance, only rounding.
    torch.testing.assert_close(found.per_datum, true.log_prob(x, c), atol=1e-10, rtol=0)


def test_marginal_sums_over_the_classes() -> None:
    true, frequencies = classes(), (5, 3, 2)
    c = torch.eye(3, dtype=F64)[torch.arange(30) % 3]
    x = true.draw(30, c=c)
    each = torch.stack([true.log_prob(x, torch.eye(3, dtype=F64)[j]) for j in range(3)])
    exact = (each + (tensor(frequencies) / 10).log()[:, None]).logsumexp(0)
    for given in (Data(x), Data(x, c=c)):
        found = log_likelihood(true.model(), given, k=10, marginal=frequencies)
        torch.testing.assert_close(found.per_datum, exact, atol=1e-10, rtol=0)
        assert "log p(x) (importance-weighted, k=10 for each of 3 classes)" in found.kind
    wide = true.model(scale=tensor([0.9]))
    found = log_likelihood(wide, Data(x), k=500, marginal=frequencies)
    assert abs(found.value - float(exact.mean())) < 4 * found.mc_stderr
    told = evaluate(true.model(), Data(x), k=10, marginal=frequencies)
    assert told.bound is None
    assert told.likelihood is not None
    with pytest.raises(DiaboloError, match=r"frequencies of the 3 classes.*\(0.5, 0.5\)"):
        log_likelihood(wide, Data(x), k=5, marginal=(0.5, 0.5))
    with pytest.raises(DiaboloError, match=r"frequencies of the 3 classes.*nan"):
        log_likelihood(wide, Data(x), k=5, marginal=(0.5, 0.5, math.nan))
    several = Data(x, c=torch.ones(len(x), 3, dtype=F64))
    with pytest.raises(DiaboloError, match="one label"):
        log_likelihood(wide, several, k=5, marginal=frequencies)
    with pytest.raises(DiaboloError, match="takes no condition"):
        log_likelihood(textbook().model(), Data(textbook().draw(3)), k=5, marginal=(1.0,))


def test_mc_stderr_of_the_marginal_is_calibrated() -> None:
    """Classes that overlap share each datum: their errors count by their part in it."""
    near = 0.3 * torch.randn(3, 3, generator=torch.Generator().manual_seed(0), dtype=F64)
    true = Linear(textbook().weight, textbook().mu, 0.25, near)
    model = true.model(scale=tensor([0.4, 0.6]))
    x = true.draw(10, c=torch.eye(3, dtype=F64)[torch.arange(10) % 3])
    each = torch.stack([true.log_prob(x, torch.eye(3, dtype=F64)[j]) for j in range(3)])
    exact = float((each - math.log(3)).logsumexp(0).mean())
    z = []
    for seed in range(150):
        found = log_likelihood(model, Data(x), k=60, seed=seed, marginal=(1, 1, 1))
        z.append((found.value - exact) / found.mc_stderr)
    # 150 repetitions know a standard deviation to 6 %; three of those.
    assert abs(np.std(z, ddof=1) - 1) < 0.18


@pytest.mark.usefixtures("hardly_tuned")
def test_marginal_has_the_warnings_of_the_classes_that_matter() -> None:
    """A q far too narrow has heavy weights, and a sum over classes hides none of them."""
    true = classes()
    c = torch.eye(3, dtype=F64)[torch.arange(30) % 3]
    x = true.draw(30, c=c)
    model = true.model(scale=tensor([0.02]))
    found = log_likelihood(model, Data(x), k=200, marginal=(1, 1, 1))
    parts = [
        log_likelihood(model, Data(x, c=row.expand(30, -1)), k=200, seed=mix_seed(0, j))
        for j, row in enumerate(torch.eye(3, dtype=F64))
    ]
    joint = torch.stack([p.per_datum for p in parts])
    matters = joint > joint.amax(0) + math.log(0.01)
    assert 0 < int(matters.sum()) < matters.numel()
    for i in range(30):
        told = [p for p, yes in zip(parts, matters[:, i].tolist(), strict=True) if yes]
        assert float(found.ess[i]) == min(float(p.ess[i]) for p in told)
        assert float(found.pareto[i]) == max(float(p.pareto[i]) for p in told)
    told = evaluate(model, Data(x), k=200, marginal=(1, 1, 1))
    assert any("heavy-tailed" in note for note in told.notes)
    assert "effective samples" in [q.name for q in told.rows()]
    assert log_likelihood(model, Data(x), k=5, marginal=(1, 1, 1)).pareto.isnan().all()
    moved = log_likelihood(
        model, Data(x[:3]), method="annealed(temperatures=3)", k=2, marginal=(1, 1, 1)
    )
    assert bool(((moved.acceptance > 0) & (moved.acceptance <= 1)).all())


@pytest.mark.usefixtures("hardly_tuned")
@pytest.mark.parametrize("exposure", ["one", "total"])
@pytest.mark.parametrize("hidden", [False, True])
def test_marginal_names_what_is_left_of_the_condition(exposure: str, hidden: bool) -> None:
    x = torch.poisson(torch.full((6, 4), 3.0))
    mask = torch.rand(6, 4) < 0.8 if hidden else None
    data = Data(x, c=torch.eye(3)[torch.arange(6) % 3], mask=mask, support="count")
    spec = replace(data.spec(), mean=x.mean(0))
    likelihood = f"Poisson(exposure={exposure})"
    model = build("cvae", spec, net="mlp(hidden=(8,))", latent=2, likelihood=likelihood).model
    of = "seen entries of x" if hidden else "x"
    given, left = ("c, total", "|total") if exposure == "total" else ("c", "")
    for method in ("importance", "annealed(temperatures=2)", "exact"):
        k = None if method == "exact" else 2
        one = log_likelihood(model, data, method=method, k=k)
        found = log_likelihood(model, data, method=method, k=k, marginal=(1, 1, 1))
        assert f"log p({of}|{given})" in one.kind
        sentence = one.kind.replace(f"log p({of}|{given})", f"log p({of}{left})")
        assert found.kind == sentence[:-1] + " for each of 3 classes)"


def test_conditional_model_without_conditions_is_refused_with_the_way_out() -> None:
    true = classes()
    for use in (log_likelihood, bound, evaluate):
        with pytest.raises(DiaboloError, match=r"conditional.*marginal="):
            use(true.model(), Data(true.draw(3)))


# -- words, units, refusals ----------------------------------------------------------------------


def test_deterministic_model_has_a_distortion_and_no_likelihood() -> None:
    true = textbook()
    model, x = true.model(deterministic=True), true.draw(10)
    for use in (log_likelihood, bound):
        with pytest.raises(DiaboloError, match="deterministic autoencoder has no"):
            use(model, Data(x))
    found = evaluate(model, Data(x))
    z = (x - true.mu) @ true.gain.T
    exact = -torch.distributions.Normal(z @ true.weight.T + true.mu, 0.5).log_prob(x).sum(1)
    torch.testing.assert_close(found.distortion.per_datum, exact, atol=1e-10, rtol=0)
    assert found.distortion.mc_stderr == 0
    assert (found.bound, found.likelihood, found.bits_per_dimension) == (None, None, None)
    assert "no likelihood" in found.notes[0]
    assert [r.name for r in found.rows()] == ["distortion", "active units"]


def test_bits_per_dimension_of_grey_levels() -> None:
    data = DATA["byte"]
    model = small(data)
    found = evaluate(model, data, k=10)
    assert math.isclose(
        found.bits_per_dimension, -found.likelihood.value / (16 * math.log(2)), rel_tol=1e-12
    )
    row = next(r for r in found.rows() if r.name == "bits per dimension")
    assert row.unit == "bits"
    assert "upper bound" in row.how
    assert evaluate(small(DATA["real"]), DATA["real"], k=2).bits_per_dimension is None
    mask = torch.ones(data.x.shape, dtype=torch.bool)
    mask[:, :, :2] = False  # half of the numbers are seen
    half = evaluate(model, replace(data, mask=mask), k=2)
    assert half.bits == 8
    assert "log p(seen entries of x)" in half.likelihood.kind


def test_dequantised_data_are_marked_as_a_lower_bound() -> None:
    stored = torch.randint(0, 4, (10, 3)).byte()
    data = Data(stored, decoder=Dequantize())
    found = evaluate(small(data), data, k=5)
    assert found.likelihood.kind.endswith("of dequantised x: a lower bound on log P(level)")
    assert found.bits == 3
    assert any("dequant" in n or "uniform noise" in n for n in found.notes)


def test_evaluation_tells_all_in_json_and_rows() -> None:
    data = DATA["byte"]
    ticks: list[float] = []
    found = evaluate(small(data), data, k=100, seed=5, progress=ticks.append)
    told = json.loads(json.dumps(found.to_json(), allow_nan=False))
    assert told["log_likelihood"]["k"] == 100
    assert told["log_likelihood"]["seed"] == told["seed"] == 5
    assert told["log_likelihood"]["ess_min"] <= told["log_likelihood"]["ess_mean"] <= 100
    assert {"value", "mc_stderr", "data_stderr", "kind", "n"} <= told["elbo"].keys()
    assert len(told["rate_elements"][0]) == told["active_units"]["of"] == 3
    names = [r.name for r in found.rows()]
    assert names[:3] == ["log-likelihood", "bits per dimension", "ELBO"]
    assert {"distortion", "rate", "active units", "effective samples"} <= set(names)
    values = {r.name: r.value for r in found.rows()}
    assert math.isclose(values["ELBO"], -values["distortion"] - values["rate"], abs_tol=1e-4)
    assert ticks[-1] == 1.0
    assert ticks == sorted(ticks)


def test_models_are_compared_datum_by_datum() -> None:
    data = DATA["binary"]
    a, b = (log_likelihood(small(data, seed=s), data, k=50) for s in (0, 1))
    found = difference(a, b)
    assert math.isclose(found.value, a.value - b.value, rel_tol=1e-9)
    assert math.isclose(found.mc_stderr, math.hypot(a.mc_stderr, b.mc_stderr), rel_tol=1e-9)
    paired = scipy.stats.sem((a.per_datum - b.per_datum).numpy())
    assert math.isclose(found.data_stderr, paired, rel_tol=1e-9)
    assert difference(a, a).value == difference(a, a).data_stderr == 0
    with pytest.raises(DiaboloError, match="got 24 and 3 data"):
        difference(a, log_likelihood(small(data), data.take(torch.arange(3)), k=2))


def test_weights_that_are_all_zero_give_minus_infinity() -> None:
    """A datum that no sample explains has likelihood 0, and its error is unbounded."""
    true = textbook()
    x = torch.cat([true.draw(3), tensor([[1e200, 0.0, 0.0]])])
    found = log_likelihood(true.model(), Data(x), k=200)
    assert found.per_datum[3] == -math.inf
    assert found.ess[3] == 0
    assert found.per_datum_stderr[3] == math.inf
    assert bool(torch.isfinite(found.per_datum[:3]).all())
    told = evaluate(true.model(), Data(x), k=200)
    json.dumps(told.to_json(), allow_nan=False)


def test_estimate_prints_both_errors() -> None:
    e = Estimate.of(tensor([1.0, 2.0]), tensor([0.04, 0.05]), k=3, seed=0, kind="a thing")
    assert str(e) == "1.500 (standard errors: Monte Carlo 0.150, data 0.500)"
    infinite = Estimate.of(tensor([-math.inf, 0.0]), None, k=1, seed=0, kind="a thing")
    assert infinite.to_json()["value"] is None


@pytest.mark.parametrize("option", ["k", "chunk", "batch"])
def test_counts_below_one_are_refused(option: str) -> None:
    with pytest.raises(DiaboloError, match=f"{option} is a whole number of 1 or more, but got 0"):
        log_likelihood(small(DATA["real"]), DATA["real"], **{"k": 2, option: 0})
    with pytest.raises(DiaboloError, match="samples is"):
        bound(small(DATA["real"]), DATA["real"], samples=0)


def test_data_that_do_not_fit_are_refused() -> None:
    model = small(DATA["real"])
    with pytest.raises(DiaboloError, match=r"shape \(6,\), but got \(1, 4, 5\)"):
        evaluate(model, DATA["binary"])
    with pytest.raises(DiaboloError, match="at least one datum"):
        evaluate(model, DATA["real"].take(torch.arange(0)))
    with pytest.raises(DiaboloError, match="at least two data, but got 1"):
        active_units(model, DATA["real"].take(torch.arange(1)))


WRONG = {
    "bits as numbers": ("binary", {"support": "real", "decoder": AsFloat()}, "'binary' x.*'real'"),
    "grey as bits": ("dynamic", {"support": "byte", "levels": 256}, "'binary' x.*'byte' "),
    "numbers as bits": ("real", {"support": "binary"}, "'real' x.*'binary'"),
    "other levels": ("byte", {"levels": 9}, r"'byte' \(5 levels\) x.*'byte' \(9 levels\)"),
    "codes": ("byte", {"support": "category"}, r"'byte' \(5.*'category' \(5"),
}


@pytest.mark.parametrize(("name", "change", "sentence"), WRONG.values(), ids=WRONG)
def test_data_in_another_support_are_refused(name: str, change: dict, sentence: str) -> None:
    """They have the shape of the model's, and would get a number that means nothing."""
    other, model = replace(DATA[name], **change), small(DATA[name])
    for use in (
        evaluate,
        bound,
        distortion,
        log_likelihood,
        reconstructed,
        complete,
        lambda m, d: log_likelihood(m, d, method="annealed(temperatures=2)", k=1),
    ):
        with pytest.raises(DiaboloError, match=f"^This model scores {sentence}"):
            use(model, other)


@pytest.mark.parametrize(
    "use",
    [
        evaluate, log_likelihood, bound, distortion, active_units, diagnose, sample_quality,
        reconstructed, complete,
    ],
)  # fmt: skip
def test_what_is_no_data_is_refused(use: Callable) -> None:
    with pytest.raises(DiaboloError, match=r"Expected `Data`, but got ndarray: .*schema\.data"):
        use(small(DATA["real"]), DATA["real"].x.numpy())


def test_a_diagnosis_of_one_datum_says_what_to_do() -> None:
    one = DATA["real"].take(torch.arange(1))
    with pytest.raises(DiaboloError, match=r"got 1: give more rows, or leave full out"):
        evaluate(small(DATA["real"]), one, full=True)


@pytest.mark.parametrize("scaled", [False, True])
def test_real_numbers_hold_all_that_are_continuous(scaled: bool) -> None:
    """Values in [0, 1] are real numbers to a normal density, standardised or not; bits are not."""
    data = DATA["real"]
    model = build("vae", data.spec(standardize=scaled), **SMALL).model.eval()
    inside = replace(data, x=data.x.sigmoid(), support="unit")
    same = log_likelihood(model, replace(inside, support="real"), k=3)
    assert torch.equal(log_likelihood(model, inside, k=3).per_datum, same.per_datum)
    with pytest.raises(DiaboloError, match="scores 'real' x, but these data are 'binary'"):
        log_likelihood(model, replace(inside, support="binary"), k=3)


# -- active units and distortion -----------------------------------------------------------------


def test_active_units_are_those_whose_mean_moves() -> None:
    true = Linear(tensor([[2.0, 0.0], [0.0, 1e-3]]), tensor([0.0, 0.0]), 0.1)
    x = true.draw(500)
    found = active_units(true.model(), Data(x))
    exact = ((x - true.mu) @ true.gain.T).var(0)
    torch.testing.assert_close(found.variance[0], exact, atol=1e-12, rtol=0)
    assert (found.count, found.groups) == (1, (1,))
    assert active_units(true.model(), Data(x), threshold=1e-9).count == 2
    assert json.loads(json.dumps(found.to_json()))["of"] == 2


def test_distortion_of_a_density_is_that_of_the_bound() -> None:
    data, model = DATA["real"], small(DATA["real"])
    assert torch.equal(distortion(model, data).per_datum, bound(model, data).distortion.per_datum)


def test_optimal_scale_is_frozen_in_evaluation() -> None:
    """A likelihood whose scale fits the batch does so in training only: batches change nothing."""
    data = DATA["real"]
    model = small(data, likelihood="Normal(scale=optimal)").double()
    a, b = (log_likelihood(model, data, k=4, batch=s).per_datum for s in (1, N))
    torch.testing.assert_close(a, b, atol=1e-10, rtol=0)


def test_numbers_of_a_draw_name_its_digest() -> None:
    """Binarised and dequantised x, drawn when decoded or once before; and no other x."""
    data = DATA["dynamic"]
    found = evaluate(small(data), data, k=2)
    assert found.to_json()["x_sha256"] == found.x == data.digest()
    assert any(data.digest() in n and "data.seed=0" in n for n in found.notes)
    static = replace(data, fixed=True).drawn()
    assert evaluate(small(static), static, k=2).x == data.digest()
    other = replace(data, seed=1)
    assert evaluate(small(other), other, k=2).x != data.digest()
    plain = DATA["real"]
    told = evaluate(small(plain), plain, k=2)
    assert told.x is None
    assert "x_sha256" not in told.to_json()
    assert told.notes == ()
