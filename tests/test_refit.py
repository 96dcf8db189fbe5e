"""A prior that is fitted afterwards: what it changes, what it leaves, and what it refuses."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from sklearn.mixture import GaussianMixture

import diabolo
from diabolo.__main__ import main
from diabolo.data import Data
from diabolo.distributions import MultivariateNormal
from diabolo.distributions.bernoulli import BernoulliFamily
from diabolo.errors import DiaboloError
from diabolo.evaluate import bound, difference, log_likelihood
from diabolo.latents import Amortized
from diabolo.model import Conditional, Recipe
from diabolo.noise import KeyedNoise, mix_seed
from diabolo.panels import PANELS, QUICK, NotApplicable
from diabolo.recipes import build
from diabolo.recipes._refit import of_codes, with_prior
from diabolo.run import Run
from diabolo.run import folder as folders
from diabolo.run.refit import _codes
from diabolo.spec import Spec
from laws import bounds, recipes
from laws.latents import samples_follow_the_prior_that_is_charged, weights_average_to_one

SMALL: dict[str, Any] = {"net": "mlp(hidden=(16,))", "latent": 3, "epochs": 2, "batch_size": 32}
STEPS = {"epochs": 2, "batch_size": 64}
VAE = "vae(latent=2, net='mlp(hidden=(8,))')"
PRIORS = {
    "gaussian": {},
    "mixture(components=3)": {},
    "flow(transforms=2, hidden=(8,))": STEPS,
    "conditional(hidden=(8,))": STEPS,
    VAE: STEPS,
}
every_prior = pytest.mark.parametrize("prior", PRIORS)


def table(n: int = 80) -> np.ndarray:
    """Rows in two clusters, so that no normal density fits them."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(n, 5)) @ rng.normal(size=(5, 5)) + 4 * (np.arange(n) % 2)[:, None]
    return x.astype(np.float32)


def labels(n: int = 80) -> np.ndarray:
    return np.arange(n) % 2


def refit(base: Recipe, prior: str) -> Recipe:
    """The recipe with another prior, whose weights are still to be found."""
    return with_prior(base, of_codes(base.model, prior))


def density(run: Run) -> Any:
    """The density of codes that a run was refitted with."""
    latent = run.model.latent
    model = latent.prior if run.model.deterministic else run.model
    return model.latent.prior(None)


@pytest.fixture(scope="module")
def runs() -> Any:
    made: dict[str, Run] = {}

    def get(name: str) -> Run:
        if name not in made:
            recipe, _, given = name.partition(" ")
            own = {"labels": labels(), "condition": "labels"} if given or recipe == "cvae" else {}
            if given == "dropout":
                own["dropout"] = 0.3
            made[name] = diabolo.fit(table(), recipe, **own, **SMALL)
        return made[name]

    return get


RUNS = ("ae", "vae", "denoising_ae", "cvae", "cvae dropout", "ae conditional", "vamp")
REFUSED = {
    (run, "conditional(hidden=(8,))"): "has none" for run in ("ae", "vae", "denoising_ae", "vamp")
}
HELD = {  # recipes whose latent takes no other prior at all
    "discrete_vae": "no prior that can be fitted afterwards",
    "hyperspherical_vae": "any vector of real numbers, which this model's may not",
    "ladder": "no prior that can be fitted afterwards",
    "m2": "no prior that can be fitted afterwards",
}


@every_prior
@pytest.mark.parametrize("name", RUNS)
def test_refit_is_loaded_or_refused(name: str, prior: str, runs: Any, tmp_path: Path) -> None:
    """Samples at a seed, codes, reconstructions and numbers come back from the folder alone."""
    run = runs(name)
    if (name, prior) in REFUSED:
        with pytest.raises(DiaboloError, match=REFUSED[name, prior]):
            run.refit(prior=prior, **PRIORS[prior])
        return
    before = {k: v.clone() for k, v in run.model.state_dict().items()}
    new = run.refit(prior=prior, out=tmp_path / "run", **PRIORS[prior])
    again = diabolo.load(tmp_path / "run")
    assert again.config == new.config
    assert again.config.name == f"refit({run.config.recipe}, {prior})"
    assert again.metrics == new.metrics
    one = {"label": 1} if run.spec.condition else {}
    many = {"labels": labels()[:6]} if run.spec.condition else {}
    np.testing.assert_array_equal(new.sample(7, seed=3, **one), again.sample(7, seed=3, **one))
    assert new.sample(7, **one).shape == (7, 5)
    x = table()[:6]
    for kept in (run.reconstruct(x, **many), again.reconstruct(x, **many)):
        np.testing.assert_array_equal(kept, new.reconstruct(x, **many))
    np.testing.assert_array_equal(run.encode(x, **many), new.encode(x, **many)[:, :3])
    assert np.isfinite(new.interpolate(x[0], x[1], **one)).all()
    assert np.isfinite(new.traverse(steps=3, **one)).all()
    if run.model.deterministic:
        assert new.model.deterministic
        assert new.metrics["valid"]["elbo"] == pytest.approx(run.metrics["valid"]["elbo"])
        assert new.metrics["valid"]["rate"] == [0.0]  # a point charges nothing
        with pytest.raises(DiaboloError, match="no likelihood of x"):
            new.score(x, k=2, **many)
        assert new.evaluate().likelihood is None
    else:
        np.testing.assert_array_equal(new.score(x, k=2, **many), again.score(x, k=2, **many))
    for key, value in run.model.state_dict().items():  # the former run is as it was
        assert torch.equal(value, before[key])


@every_prior
@pytest.mark.parametrize("name", recipes.ALL)
def test_every_recipe_takes_another_prior_or_says_why_not(name: str, prior: str) -> None:
    """The prior is normalised and sampled as it is charged; nothing else learns or moves."""
    case = recipes.case(name, dtype=torch.float64)
    base = case.build()
    codes = base.model.encode(case.x, case.c)[0]
    told = HELD.get(name)
    if told is None and prior.startswith("conditional") and case.c is None:
        told = "reads a condition, but this model has none"
    if told is not None:
        with pytest.raises(DiaboloError, match=told):
            refit(case.build(), prior)
        return
    made = refit(case.build(), prior)
    made.model.double().eval()
    free = {n for n, p in made.model.named_parameters() if p.requires_grad}
    assert free
    assert all("prior." in n for n in free)
    size = codes.shape[1]
    torch.testing.assert_close(made.model.encode(case.x, case.c)[0][:, :size], codes)
    c = None if case.c is None else case.c[:1].expand(4, -1)
    assert made.model.generates
    assert made.model.sample(4, c).sample().shape == (4, *case.spec.event)
    assert made.model.deterministic == base.model.deterministic
    raw = safetensors.torch.save(made.model.state_dict())
    other = refit(case.build(seed=1), prior).model.double().eval()
    other.load_state_dict(safetensors.torch.load(raw))
    noise = KeyedNoise(2, torch.arange(4), lead=1)
    left = made.model.sample(4, c, noise=noise).mean
    right = other.sample(4, c, noise=KeyedNoise(2, torch.arange(4), lead=1)).mean
    torch.testing.assert_close(left, right, rtol=0, atol=0)
    if made.model.deterministic:
        assert all(float(d.rate.abs().max()) == 0 for d in case.trace(made, 1).draws)


class Refitted(recipes.Case):
    """A case whose recipe has another prior."""

    def build(self, seed: int = 0, **options: Any) -> Any:
        prior = self.options["refit"]
        plain = replace(self, options={k: v for k, v in self.options.items() if k != "refit"})
        made = refit(recipes.Case.build(plain, seed, **options), prior)
        made.model.double()
        return made


@pytest.mark.parametrize("name", ["vae", "hierarchical", "cvae"])
@pytest.mark.parametrize("prior", ["gaussian", "mixture(components=3)", VAE])
def test_refitted_prior_is_normalised_and_sampled_as_it_is_charged(name: str, prior: str) -> None:
    case = recipes.case(name, dtype=torch.float64)
    made = Refitted(case.name, case.spec, case.x, case.c, {**case.options, "refit": prior})
    weights_average_to_one(made)
    samples_follow_the_prior_that_is_charged(made)


@pytest.mark.parametrize("name", ["ae", "vae"])
def test_gaussian_refit_is_the_mean_and_covariance_of_the_codes(name: str, runs: Any) -> None:
    run = runs(name)
    new = run.refit(prior="gaussian")
    run.to("cpu")
    p = density(new.to("cpu"))
    assert isinstance(p, MultivariateNormal)
    if name == "ae":  # the codes are those that anybody gets
        z = run.encode(run.data("train")).astype(np.float64)
        held = torch.as_tensor(run.encode(run.data("valid"))).double()
        known = torch.distributions.MultivariateNormal(
            torch.tensor(z.mean(0)), torch.tensor(np.cov(z.T, bias=True))
        )
        found = new.metrics["refit"]["held_out"]
        assert found["n"] == len(held)
        assert found["log_pz"] == pytest.approx(float(known.log_prob(held).mean()), rel=1e-4)
        plain = torch.distributions.Normal(0.0, 1.0).log_prob(held).sum(1).mean()
        assert found["standard_normal"] == pytest.approx(float(plain), rel=1e-5)
    else:
        k = new.metrics["refit"]["codes"] // 72
        z = np.asarray(_codes(run.model, run.data("train"), k, mix_seed(0, 5)).x.double())
    np.testing.assert_allclose(p.mean.detach(), z.mean(0), rtol=1e-5, atol=1e-6)
    cov = np.cov(z.T, bias=True)
    factor = p.scale_tril.detach()
    np.testing.assert_allclose(factor @ factor.T, cov, rtol=1e-4, atol=1e-5 * cov.max())
    drawn = p.sample((20_000,)).numpy()
    np.testing.assert_allclose(np.cov(drawn.T), cov, atol=0.06 * cov.max())  # 1 / sqrt(20,000)


def test_codes_in_a_plane_have_a_gaussian_too() -> None:
    """A covariance without an inverse is widened by a millionth, and by no more."""
    prior = diabolo.priors.PRIORS.build("gaussian", 3, posterior=None, spec=None)
    z = torch.randn(500, 2) @ torch.randn(2, 3)
    prior.fit(z, 0)
    p = prior(None)
    assert bool(p.log_prob(z).isfinite().all())
    factor = p.scale_tril
    torch.testing.assert_close(
        factor @ factor.T, torch.cov(z.T, correction=0), rtol=1e-4, atol=1e-4
    )


def clusters(n: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Codes of three clusters, with the clusters' centres and scales."""
    torch.manual_seed(0)
    centres = torch.tensor([[0.0, 0.0], [6.0, 0.0], [0.0, 9.0]])
    scale = torch.tensor([0.5, 1.0, 0.2])
    which = torch.arange(n) % 3
    return centres[which] + scale[which, None] * torch.randn(n, 2), centres, scale


def test_mixture_refit_finds_the_clusters() -> None:
    z, centres, scale = clusters(3000)
    prior = diabolo.priors.PRIORS.build("mixture(components=3)", 2, posterior=None, spec=None)
    prior.fit(z, 0)
    p = prior(None)
    order = torch.cdist(centres, p.components.loc).argmin(1)
    torch.testing.assert_close(p.components.loc[order], centres, rtol=0, atol=0.15)
    torch.testing.assert_close(p.components.log_scale.exp()[order, 0], scale, rtol=0.1, atol=0.0)
    torch.testing.assert_close(p.logits.softmax(0), torch.full((3,), 1 / 3), rtol=0, atol=0.01)
    with pytest.raises(DiaboloError, match="3 components needs as many codes"):
        prior.fit(z[:2], 0)


@pytest.mark.parametrize("name", ["ae", "vae"])
def test_too_few_data_for_a_prior_are_refused(name: str, runs: Any) -> None:
    """Ten codes of one datum, as a VAE gives them, are no ten data."""
    with pytest.raises(DiaboloError, match="needs codes of 300 data at least, but there are 72"):
        runs(name).refit(prior="mixture(components=30)")
    with pytest.raises(DiaboloError, match="needs codes of 5 data at least, but there are 4"):
        runs(name).refit(table(5), prior="gaussian")


def test_mixture_has_the_likelihood_that_scikit_learn_finds(runs: Any) -> None:
    """In the codes' own units: standardising them first is undone by the density."""
    z = 50 + 1e-2 * clusters(3000)[0]  # far away and narrow, as an encoder may have it
    base = recipes.case("ae", latent=2).build()
    second = of_codes(base.model, "mixture(components=3)", z)
    prior = second.model.latent.prior
    prior.fit(z, 0)
    em = GaussianMixture(3, covariance_type="diag", random_state=0, reg_covar=1e-12)
    known = torch.as_tensor(em.fit(z.double().numpy()).score_samples(z.double().numpy()))
    found = prior(None).log_prob(z).detach().double()
    assert float(found.mean()) == pytest.approx(float(known.mean()), abs=1e-3)
    torch.testing.assert_close(found, known, rtol=0, atol=0.1)


def linear(n: int, seed: int) -> tuple[torch.Tensor, Any]:
    """Data of a linear Gaussian model, and the model with its own posterior: q(z) = N(0, I)."""
    generator = torch.Generator().manual_seed(3)
    weight = torch.randn(4, 2, generator=generator, dtype=torch.float64)
    weight, _ = bounds.rotated(weight)
    mean, scale = torch.randn(4, generator=generator, dtype=torch.float64), 0.7
    _, covariance = bounds.posterior(weight, scale)
    net = bounds.encoder(weight, mean, scale, covariance.diagonal())
    recipe = bounds.linear_gaussian(weight, mean, scale, net)
    draws = torch.Generator().manual_seed(seed)
    z = torch.randn(n, 2, generator=draws, dtype=torch.float64)
    noise = torch.randn(n, 4, generator=draws, dtype=torch.float64)
    return z @ weight.T + mean + scale * noise, (recipe, weight, mean, scale)


def gaussian_of(recipe: Any, x: torch.Tensor) -> Any:
    """The recipe with a Gaussian fitted to codes of x."""
    codes = _codes(recipe.model, Data(x, "real"), 4, 0).x
    made = refit(recipe, "gaussian")
    made.model.double().eval()
    made.model.latent.prior.fit(codes, 0)
    return made


def test_a_prior_that_was_right_stays_and_the_bound_with_it() -> None:
    """The aggregate posterior is N(0, I) already: the bound moves by less than its error."""
    x, (recipe, *_) = linear(40_000, 0)
    held = Data(linear(2000, 1)[0], "real")
    before = bound(recipe.model, held).elbo
    after = bound(gaussian_of(recipe, x).model, held).elbo
    assert before.mc_stderr is not None
    # Two moments of 40,000 data with 5 numbers: the loss is 5 / (2 * 40,000) nats in the mean.
    assert abs(after.value - before.value) < before.mc_stderr


@pytest.mark.parametrize(("loc", "scale"), [(0.2, 0.6), (-1.0, 1.5)])
def test_no_bound_of_a_refitted_model_exceeds_its_likelihood(loc: float, scale: float) -> None:
    """With p(z) = N(m, v) in place of N(0, 1), log p(x) is that of N(m, v + 1), and known."""
    recipe = bounds.toy(loc=loc, scale=scale, slope=0.6)
    x = torch.linspace(-2, 3, 40, dtype=torch.float64)[:, None]
    made = gaussian_of(recipe, x)
    p = made.model.latent.prior(None).detach()
    truth = torch.distributions.Normal(p.mean, (p.variance + 1).sqrt()).log_prob(x).mean()
    data = Data(x.repeat(100, 1), "real")
    found = [bound(made.model, data, samples=400).elbo]
    found += [log_likelihood(made.model, data, k=k) for k in (10, 400)]
    values = [e.value for e in found]
    for e in found:
        assert e.mc_stderr is not None
        assert e.value < float(truth) + 4 * e.mc_stderr
    assert values == sorted(values)
    assert values[-1] == pytest.approx(float(truth), abs=0.02)  # k = 400 is near it


def test_bound_of_digits_rises_with_the_prior() -> None:
    """The rate falls by KL(q(z) || p(z)), and the distortion is the same to the bit."""
    run = diabolo.fit("digits", latent=8, net="mlp(hidden=(64,))", epochs=15, device="cpu")
    held = run.data("test")
    before = bound(run.model, held)
    for prior in ("gaussian", "mixture(components=10)", "flow(transforms=4)"):
        new = run.refit(prior=prior, **({"epochs": 8} if "flow" in prior else {}))
        after = bound(new.model, held)
        assert after.distortion.value == before.distortion.value
        gain = difference(after.elbo, before.elbo)
        assert gain.data_stderr is not None
        assert gain.value > 5 * gain.data_stderr
        facts = new.metrics["refit"]["held_out"]
        assert facts["log_pz"] > facts["standard_normal"]
        assert not facts["bound"]
        assert new.metrics["valid"]["elbo"] > run.metrics["valid"]["elbo"]


def test_two_stage_samples_have_the_clusters_of_the_data() -> None:
    """Codes in two clusters: a normal density also draws what lies between, and N(0, I) more."""
    x = np.concatenate([table(400)[::2] * 0.1 - 3, table(400)[::2] * 0.1 + 3])
    run = diabolo.fit(x, "ae", standardize=True, **{**SMALL, "latent": 2, "epochs": 40})
    edge = min(abs(x[:200].mean()), abs(x[200:].mean())) / 2

    def apart(drawn: np.ndarray) -> float:
        return float(np.mean(np.abs(drawn.mean(1)) > edge))

    settings: dict[str, Any] = {"epochs": 60, "batch_size": 100, "learning_rate": 5e-3}
    two = run.refit(prior="vae(net='mlp(hidden=(32, 32))')", patience=60, **settings)
    one = run.refit(prior="gaussian")
    drawn = two.sample(400, mean=True)
    assert apart(drawn) > 0.85  # 0.91 here: a decoder is continuous
    assert 0.35 < np.mean(drawn.mean(1) > 0) < 0.65
    assert apart(one.sample(400, mean=True)) < 0.75  # 0.66
    assert apart(run.decode(np.random.default_rng(0).normal(size=(400, 2)))) < 0.5  # 0.36
    bound, exact = (r.metrics["refit"]["held_out"]["log_pz"] for r in (two, one))
    assert bound > exact + 1  # a lower bound, and yet above the best normal density


def test_two_stages_of_a_vae_are_a_hierarchy(runs: Any) -> None:
    new = runs("vae").refit(prior=VAE, **STEPS)
    assert new.model.groups == (3, 2)
    assert len(new.metrics["valid"]["rate"]) == 2
    assert new.metrics["refit"]["held_out"]["bound"]
    assert runs("vae").refit(prior="vae", **STEPS).model.groups == (3, 3)
    assert runs("hierarchical").refit(prior=VAE, **STEPS).model.groups == (3, 32, 2)


def test_a_refit_is_not_refitted_or_resumed(runs: Any, tmp_path: Path) -> None:
    new = runs("ae").refit(prior="gaussian", out=tmp_path / "run")
    with pytest.raises(DiaboloError, match="refit the run that it came from"):
        diabolo.load(tmp_path / "run").refit(table(), prior="gaussian")
    with pytest.raises(DiaboloError, match="nothing to resume"):
        diabolo.resume(tmp_path / "run")
    with pytest.raises(DiaboloError, match="holds a run already"):
        runs("ae").refit(prior="gaussian", out=tmp_path / "run")
    same = runs("ae").refit(prior="gaussian", out=tmp_path / "run", force=True)
    np.testing.assert_array_equal(same.sample(3), new.sample(3))


def test_an_interrupted_refit_leaves_what_was_there(runs: Any, tmp_path: Path) -> None:
    place = tmp_path / "run"
    runs("ae").refit(prior="gaussian", out=place)
    before = {p: p.read_bytes() for p in place.iterdir() if p.is_file()}

    def stop(event: object) -> None:
        raise KeyboardInterrupt

    for out in (place, tmp_path / "new"):
        with pytest.raises(KeyboardInterrupt):
            runs("ae").refit(prior="flow", out=out, force=True, progress=stop, **STEPS)
    assert all(p.read_bytes() == kept for p, kept in before.items())
    assert [p.name for p in tmp_path.iterdir() if p.is_dir()] == ["run"]


def test_data_are_found_again_or_asked_for(tmp_path: Path, runs: Any) -> None:
    run = diabolo.fit("digits", "ae", out=tmp_path / "named", **SMALL)
    again = diabolo.load(tmp_path / "named").refit(prior="gaussian")
    np.testing.assert_array_equal(again.sample(3), run.refit(prior="gaussian").sample(3))
    np.testing.assert_array_equal(
        again.sample(3),
        diabolo.load(tmp_path / "named").refit("digits", prior="gaussian").sample(3),
    )
    runs("ae").save(tmp_path / "memory")
    loaded = diabolo.load(tmp_path / "memory")
    with pytest.raises(DiaboloError, match="give the training data again"):
        loaded.refit(prior="gaussian")
    same = loaded.refit(table(), prior="gaussian")
    again = runs("ae").refit(prior="gaussian").sample(3)
    exact = same.device.type == "cpu"  # a GPU's sums are rounded in any order
    np.testing.assert_allclose(same.sample(3), again, rtol=0 if exact else 1e-5)
    with pytest.raises(DiaboloError, match="not like those"):
        loaded.refit("digits", prior="gaussian")
    np.save(tmp_path / "x.npy", table())
    np.testing.assert_array_equal(
        loaded.refit(tmp_path / "x.npy", prior="gaussian").sample(3), same.sample(3)
    )


def test_prior_of_a_conditional_autoencoder_reads_the_condition(runs: Any) -> None:
    """The code of an autoencoder may tell the class; a flow then draws the codes of a class."""
    run = runs("ae conditional")
    new = diabolo.refit(run, prior="conditional(hidden=(16,))", epochs=200, batch_size=100)
    x, c = run.data("train").x, run.data("train").c
    z = torch.as_tensor(run.encode(run.data("train")))
    for kind in (0, 1):
        one = torch.nn.functional.one_hot(torch.tensor([kind]), 2).float()
        rows = c[:, kind] > 0
        found = new.to("cpu").model.latent.prior.latent.prior(one).mean[0].detach()
        error = 5 * z[rows].std(0) / len(rows) ** 0.5
        assert bool(((found - z[rows].mean(0)).abs() < error + 0.1 * z.std(0)).all())
    assert len(x) == len(c)


MISTAKES: dict[str, tuple[str, dict[str, Any], str]] = {
    "no parameters": ("vae", {"prior": "normal"}, "nothing that could be fitted"),
    "unknown": ("vae", {"prior": "mixtur"}, "Did you mean 'mixture'"),
    "code": ("vae", {"prior": "os:system"}, "Expected a name"),
    "an import": ("vae", {"prior": "__import__('os')"}, "Expected a name"),
    "option of the prior": ("vae", {"prior": "flow(trasforms=2)"}, "Did you mean 'transforms'"),
    "option of a recipe": ("vae", {"prior": "vae(latnt=2)"}, "Did you mean 'latent'"),
    "option of training": ("vae", {"prior": "flow", "epoch": 2}, "Did you mean 'epochs'"),
    "its full name": ("vae", {"prior": "flow", "train.epoch": 2}, "Did you mean 'epochs'"),
    "two names": (
        "vae",
        {"prior": "flow", "epochs": 2, "train.epochs": 3},
        "'epochs' and 'train.epochs' are the same option",
    ),
    "no effect": ("vae", {"prior": "gaussian", "epochs": 2}, "epochs has no effect"),
    "none either": ("ae", {"prior": "mixture(components=2)", "epochs": 2}, "epochs has no effect"),
    "pseudo-inputs": ("vae", {"prior": "vamp"}, "learns them with its model"),
    "sphere": ("hyperspherical_vae", {"prior": "gaussian"}, "vector of real numbers"),
    "value": ("vae", {"prior": "flow", "epochs": 0}, "must be positive"),
    "autoencoder": ("vae", {"prior": "ae"}, "no density of codes"),
    "ladder": ("ladder", {"prior": "gaussian"}, "can be fitted afterwards: refit a model"),
    "labels alone": ("vae", {"prior": "gaussian", "labels": [0, 1]}, "give the data too"),
}


@pytest.mark.parametrize(("name", "options", "told"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_is_told_in_a_sentence(
    name: str, options: dict[str, Any], told: str, runs: Any
) -> None:
    with pytest.raises(DiaboloError, match=told) as caught:
        runs(name).refit(**options)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("prior", "told"),
    [("os:system", "Expected a name"), ("posixpath", "Unknown prior"), ("flow", "do not fit")],
)
def test_a_folder_that_names_another_prior_is_refused(
    prior: str, told: str, runs: Any, tmp_path: Path
) -> None:
    """Whoever changes the name has to forge the digest of the weights too, and runs no code."""
    new = runs("ae").refit(prior="gaussian", out=tmp_path / "run")
    path = tmp_path / "run" / folders.RUN
    facts = json.loads(path.read_text())
    facts["config"]["refit"]["prior"] = prior
    del facts["sha256"]
    path.write_text(json.dumps(facts))
    with pytest.raises(DiaboloError, match="does not belong"):
        diabolo.load(tmp_path / "run")
    stored = folders.Stored(
        {**facts, "versions": facts["versions"]},
        {f"model.{k}": v for k, v in new.model.state_dict().items()},
        [],
    )
    folders.write(tmp_path / "run", stored)
    with pytest.raises(DiaboloError, match=told):
        diabolo.load(tmp_path / "run")


@pytest.mark.parametrize(
    ("refitted", "told"), [({"prio": "flow"}, "'prior'"), ({"prior": 3}, "refit.prior")]
)
def test_a_damaged_refit_is_refused(refitted: Any, told: str) -> None:
    from diabolo.config import parse

    with pytest.raises(DiaboloError, match=told):
        parse({"refit": refitted})


def test_training_does_not_start_from_a_refitted_run(runs: Any) -> None:
    with pytest.raises(DiaboloError, match="start from the run"):
        diabolo.fit(table(), start=runs("vae").refit(prior="gaussian"), **SMALL)


def test_only_codes_of_real_numbers_are_fitted() -> None:
    """Codes that are bits have no density of real numbers."""
    base = recipes.case("vae").build()
    net = torch.nn.Identity()
    posterior = Conditional(net, BernoulliFamily(), (3,))
    base.model.latent = Amortized(posterior, base.model.latent.prior, 3)
    with pytest.raises(DiaboloError, match="vector of real numbers"):
        refit(base, "gaussian")


def test_figures_show_what_an_autoencoder_makes_up(runs: Any, tmp_path: Path) -> None:
    x = np.random.default_rng(0).integers(0, 256, (60, 8, 8), dtype=np.uint8)
    run = diabolo.fit(x, "ae", **SMALL)
    with pytest.raises(NotApplicable, match="refit"):
        PANELS.load("samples")(run)
    new = run.refit(prior="mixture(components=2)")
    drawn, left_out = diabolo.panels.draw_all(new, tmp_path)
    assert left_out == {}
    assert set(drawn) == set(QUICK)
    caption = PANELS.load("learning_curve")(new).get_supxlabel()
    assert "fitted to codes after" in caption.replace("\n", " ")
    with pytest.raises(DiaboloError, match=r"run.refit\(prior='mixture'\)"):
        run.sample()


def test_the_command_line_refits(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def call(*argv: object) -> int:
        return main([str(a) for a in argv])

    small = ["--set", "latent=3", "net=mlp(hidden=(16,))", "train.epochs=2", "data.limit=300"]
    place = tmp_path / "run"
    assert call("fit", "digits", "--recipe", "ae", *small, "--out", place) == 0
    assert not (place / "figures" / "samples.png").exists()
    capsys.readouterr()
    assert call("sample", place, "--out", tmp_path / "x.png") == 2
    assert "Fit one to its codes, diabolo refit RUN --prior mixture, or" in capsys.readouterr().err
    for argv in (
        ("evaluate", place, "--method", "exact"),
        ("evaluate", place, "--k", 10),
        ("refit", place, "--prior", "gaussian", "--k", 10),
    ):
        assert call(*argv) == 2
        told = capsys.readouterr().err
        assert "no effect on a deterministic autoencoder" in told
        assert "measuring by" not in told
    assert call("refit", place, "--prior", "gaussian", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["recipe"] == "refit(ae, gaussian)"
    assert Path(found["run"]) == tmp_path / "run-gaussian"
    assert Path(found["figures"]["samples"]).exists()
    monkeypatch.setattr("diabolo.cli.refit.draw", lambda run: {})  # once is enough: it takes long
    out = tmp_path / "flow"
    flow = [
        "--prior",
        "flow(transforms=2)",
        "--set",
        "train.epochs=2",
        "batch_size=64",
        "--out",
        out,
    ]
    assert call("refit", place, *flow) == 0
    trained = diabolo.load(out).config.refit.train
    assert (trained.epochs, trained.batch_size) == (2, 64)
    told = capsys.readouterr().out
    assert "held-out codes log p(z) is" in told
    assert "refit(ae, flow(transforms=2)) on" in told
    assert call("refit", place, *flow) == 2  # there is a run already
    assert "holds a run already" in capsys.readouterr().err
    assert call("refit", place, *flow, "--force") == 0
    assert call("sample", out, "--out", tmp_path / "x.png") == 0
    assert call("refit", place, "--prior", "gaussian", "--out", place, "--force") == 2
    assert "a folder of its own" in capsys.readouterr().err
    assert call("list", "priors") == 0
    assert "diabolo refit RUN" in capsys.readouterr().out


def test_a_gaussian_prior_can_be_trained_with_the_model() -> None:
    recipe = build("vae", Spec(event=(4,), support="real"), latent=2, prior="gaussian")
    assert {n for n, _ in recipe.model.latent.prior.named_parameters()} == {"loc", "raw"}
