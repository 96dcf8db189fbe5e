"""One question, four methods: what each answers, says, and refuses."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from diabolo.data import Data
from diabolo.errors import DiaboloError
from diabolo.evaluate import evaluate, log_likelihood
from diabolo.recipes import RECIPES
from laws import evaluation as laws
from laws import recipes as recipe_laws
from laws.evaluation import F64, Linear, tensor, textbook

METHODS = {"importance": 500, "prior": 500, "annealed(temperatures=60)": 16, "exact": None}  # k


def one_dimensional() -> Linear:
    """z ~ N(0, 1), x | z ~ N(z, 1)."""
    return Linear(tensor([[1.0]]), tensor([0.0]), 1.0)


def test_all_methods_find_the_same_likelihood() -> None:
    true = textbook()
    model, x = true.model(scale=tensor([0.4, 0.6])), true.draw(20)
    log_p = float(true.log_prob(x).mean())
    ess = {}
    for method, k in METHODS.items():
        found = log_likelihood(model, Data(x), method=method, k=k)
        bias = 0.0
        if found.per_datum_stderr is not None:  # half the variance of one datum's estimate
            bias = float(found.per_datum_stderr.square().mean()) / 2
        assert -4 * found.mc_stderr - bias - 1e-9 <= found.value - log_p, method
        assert found.value - log_p <= 4 * found.mc_stderr + 1e-9, method
        ess[method] = None if found.ess is None else float(found.ess.mean()) / found.k
    assert ess["exact"] is None
    assert ess["prior"] < 0.15 < 0.4 < min(ess["importance"], ess["annealed(temperatures=60)"])


@pytest.mark.oracle(7)
@pytest.mark.parametrize(
    ("k", "expected"), [(1, -1.9189385332), (2, -1.65347379), (4, -1.57013868)]
)
def test_naive_sampling_has_the_bounds_of_the_oracle(k: int, expected: float) -> None:
    """Oracle 7: log p = -1.5155121235 at x = 1, and the bounds of k samples of the prior."""
    n = 20_000
    found = log_likelihood(
        one_dimensional().model(), Data(torch.ones(n, 1, dtype=F64)), method="prior", k=k
    )
    assert found.value == pytest.approx(expected, abs=4 * found.data_stderr)
    assert found.kind == f"lower bound on log p(x) (samples of the prior, k={k})"


@pytest.mark.oracle(7)
def test_the_effective_sample_size_of_naive_sampling_is_that_of_its_divergence() -> None:
    """Oracle 7: 1 + chi^2(p(z|x) || p(z)) = 1.3641175048 at x = 1."""
    data = Data(torch.ones(50, 1, dtype=F64))
    found = log_likelihood(one_dimensional().model(), data, method="prior", k=2000)
    assert float(found.ess.mean()) / 2000 == pytest.approx(1 / 1.3641175048, rel=0.01)


@pytest.mark.parametrize("name", RECIPES.names())
def test_every_recipe_is_sampled_from_its_prior(name: str) -> None:
    """Hierarchies and discrete latents too; batch, chunk and order change nothing."""
    case = recipe_laws.case(name, n=5, dtype=F64)
    model = case.build().model.eval()
    data = Data(case.x, support="binary", c=case.c)
    if model.deterministic:
        with pytest.raises(DiaboloError, match="deterministic autoencoder has no"):
            log_likelihood(model, data, method="prior")
        return
    whole = log_likelihood(model, data, method="prior", k=7)
    for batch, chunk in ((1, None), (2, 3)):
        cut = log_likelihood(model, data, method="prior", k=7, batch=batch, chunk=chunk)
        laws.estimates_agree(whole, cut, 1e-10)
    order = torch.tensor([3, 0, 4, 2, 1])
    turned = log_likelihood(model, data.take(order), method="prior", k=7)
    torch.testing.assert_close(turned.per_datum, whole.per_datum[order], atol=1e-10, rtol=0)
    few = log_likelihood(model, data, method="prior", k=6)
    assert bool((whole.per_datum + math.log(7) > few.per_datum + math.log(6)).all())


def test_a_prior_is_drawn_from_under_the_condition_that_is_given() -> None:
    case = recipe_laws.case("cvae", n=5, dtype=F64)
    model = case.build(dropout=0.5).model.eval()
    given = Data(case.x, support="binary", c=case.c)
    apart = replace(given, c=case.c.roll(1, 1)), replace(given, c=None)
    known, *others = (log_likelihood(model, d, method="prior", k=7) for d in (given, *apart))
    for other in others:
        assert bool((known.per_datum != other.per_datum).all())


def test_marginal_holds_for_every_method() -> None:
    near = 0.3 * torch.randn(3, 3, generator=torch.Generator().manual_seed(0), dtype=F64)
    true = Linear(textbook().weight, textbook().mu, 0.25, near)
    model, eye = true.model(scale=tensor([0.4, 0.6])), torch.eye(3, dtype=F64)
    x = true.draw(20, c=eye[torch.arange(20) % 3])
    log_p = (torch.stack([true.log_prob(x, c) for c in eye]) - math.log(3)).logsumexp(0)
    for method in METHODS:
        found = log_likelihood(model, Data(x), method=method, marginal=(1, 1, 1))
        assert abs(found.value - float(log_p.mean())) < 4 * found.mc_stderr + 1e-2
        assert "log p(x)" in found.kind
        assert found.kind.endswith(" for each of 3 classes)")
    torch.testing.assert_close(found.per_datum, log_p, atol=1e-9, rtol=0)  # exact, the last
    assert found.mc_stderr == 0


@pytest.mark.usefixtures("hardly_tuned")
def test_evaluation_says_how_the_likelihood_was_found() -> None:
    true = textbook()
    model, x = true.model(), Data(true.draw(6))
    words = {
        "prior": "samples of the prior, k=1000",
        "annealed(temperatures=5, start=posterior)": "16 chains of 5 temperatures from the post",
        "exact": "closed form",
    }
    for method, said in words.items():
        found = evaluate(model, x, method=method)
        told = json.loads(json.dumps(found.to_json(), allow_nan=False))
        assert said in told["log_likelihood"]["kind"]
        names = [q.name for q in found.rows()]
        assert ("effective samples" in names) is (method != "exact")
        assert ("acceptance" in names) is method.startswith("annealed")
        assert {"ELBO", "rate", "distortion"} <= set(names)


IDLE = {"method": "importance"}, {"method": "exact"}, {"k": 5}


@pytest.mark.parametrize(
    ("name", "given", "sentence"),
    [
        *(("rae", given, "no effect on a deterministic autoencoder") for given in IDLE),
        *(("discrete_vae", given, "all values of its z are summed") for given in IDLE[::2]),
        ("discrete_vae", {"method": "foo"}, "Unknown method"),
    ],
)
def test_a_method_without_effect_is_refused(name: str, given: dict, sentence: str) -> None:
    few = {"latent": 1, "estimator": "exact"} if name == "discrete_vae" else {}
    case = recipe_laws.case(name, **few)
    model, data = case.build().model, Data(case.x, "binary")
    with pytest.raises(DiaboloError, match=sentence):
        evaluate(model, data, **given)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"method": "anealed"}, r"Unknown method: 'anealed'\. Did you mean 'annealed'"),
        ({"method": "annealed(k=3)"}, "'k' is no option of method 'annealed': give it by itself"),
        ({"method": "annealed(temperature=3)"}, "Did you mean 'temperatures'"),
        ({"method": "annealed(n=3)"}, r"Known: leapfrog, start, temperatures\."),
        ({"method": "exact(n=3)"}, r"Unknown option of method 'exact': 'n'\. Known: \w+"),
        ({"method": "annealed(temperatures=x)"}, "Option 'temperatures' of method 'annealed'"),
        ({"method": "annealed(start=q)"}, "Option 'start' of method 'annealed'"),
        ({"method": "prior(proposal=posterior)"}, "'proposal' is no option of method 'prior'"),
        ({"method": "exact", "k": 5}, "k has no effect on the method 'exact': leave it out"),
        ({"method": "exact", "precision": "bf16"}, "precision has no effect on the method 'exact'"),
        ({"method": "annealed", "compile": "on"}, "compile has no effect on the method 'annealed'"),
        ({"method": "annealed", "chunk": 5}, "chunk has no effect"),
        ({"method": "annealed("}, "Expected a name, or a name with options"),
        ({"k": 0}, "k is a whole number of 1 or more"),
        ({"method": 3}, "method is a word such as 'importance', but got 3"),
        ({"compile": "yes"}, r"Unknown value of compile: 'yes'\. Known: auto, off, on"),
    ],
)
def test_mistakes_are_told_in_one_sentence(options: dict[str, object], sentence: str) -> None:
    true = textbook()
    with pytest.raises(DiaboloError, match=sentence):
        log_likelihood(true.model(), Data(true.draw(2)), **options)


@pytest.mark.parametrize("method", ["importance", "importance(refine=20)", "prior"])
def test_progress_is_told_within_a_batch(method: str) -> None:
    """Many samples of one datum take long: how far they are is told, up to all of them."""
    true, parts = textbook(), []
    data = Data(true.draw(3))
    sizes = {"k": 400, "chunk": 10, "batch": 2}
    log_likelihood(true.model(), data, method=method, **sizes, progress=parts.append)
    assert parts == sorted(set(parts))
    assert parts[-1] == 1
    assert max(np.diff([0, *parts])) <= 0.15
