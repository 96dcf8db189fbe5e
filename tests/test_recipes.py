"""Every recipe in the folder keeps every law; a new file is tested without a new test."""

from __future__ import annotations

import shutil

import pytest
import torch
import torch._inductor.config

from diabolo.config import TrainConfig
from diabolo.data import Data
from diabolo.errors import DiaboloError
from diabolo.recipes import build
from diabolo.train import fit
from diabolo.train.settings import settle
from laws import recipes as laws
from laws.latents import samples_and_densities_agree

every = pytest.mark.parametrize("name", laws.ALL)


@every
@pytest.mark.parametrize("support", laws.supports())
def test_recipe_trains_every_parameter_on_each_support(name, support):
    laws.trains_every_parameter(laws.case(name, support=support))


@every
@pytest.mark.parametrize("net", ["mlp(hidden=(8,))", *laws.IMAGES])
def test_recipe_trains_every_parameter_on_images(name, net):
    laws.trains_every_parameter(laws.case(name, event=(2, 8, 7), net=net))


@every
@pytest.mark.parametrize("k", [1, 3])
def test_traces_have_their_shapes(name, k):
    laws.traces_have_their_shapes(laws.case(name), k)


@every
def test_reads_a_condition(name):
    laws.reads_a_condition(laws.case(name, condition=2))


@every
def test_its_cost_is_estimated_without_a_trace(name):
    case = laws.case(name)
    recipe, data = case.build(), Data(case.x, c=case.c)
    before = [p.requires_grad for p in recipe.model.parameters()]
    config = TrainConfig(epochs=1, device="cpu")
    assert (config.precision, config.compile) == ("auto", "auto")
    found, _ = settle(recipe, data, config)
    assert (found.precision, found.compile) == ("float32", "off")  # one step is soon done
    assert [p.requires_grad for p in recipe.model.parameters()] == before


@every
def test_runs_without_gradients(name):
    laws.runs_without_gradients(laws.case(name))


@every
@pytest.mark.parametrize("event", [(6,), (1, 4, 3)])
def test_samples_and_codes_have_their_shapes(name, event):
    laws.samples_and_codes_have_their_shapes(laws.case(name, event=event))


@every
def test_decodes_what_it_encodes(name):
    laws.decodes_what_it_encodes(laws.case(name))


@every
def test_compiles_to_the_same(name):
    laws.compiles_to_the_same(laws.case(name))


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="a C++ compiler is not installed")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.filterwarnings("ignore:`torch._prims_common.check`:FutureWarning")
@every
def test_inductor_compiles_to_the_same(name):
    with torch._inductor.config.patch(fallback_random=True):
        laws.compiles_to_the_same(laws.case(name), backend="inductor")


@every
def test_rows_do_not_meet(name):
    laws.rows_do_not_meet(laws.case(name, dtype=torch.float64))


@every
def test_more_samples_change_none(name):
    laws.more_samples_change_none(laws.case(name, dtype=torch.float64))


@every
def test_saved_is_loaded(name):
    laws.saved_is_loaded(laws.case(name))


@every
def test_copies_stand_alone(name):
    laws.copies_stand_alone(laws.case(name))


@every
def test_honours_every_option(name):
    # Binary data have one likelihood, so that they say nothing of that option.
    laws.honours_every_option(laws.case(name, support="real"))


@every
def test_refuses_what_it_does_not_know(name):
    laws.refuses_what_it_does_not_know(laws.case(name))


@every
def test_terms_add_up(name):
    laws.terms_add_up(laws.case(name, dtype=torch.float64))


@every
@pytest.mark.parametrize("support", ["binary", "real", "mixed"])
def test_ignores_the_unseen(name, support):
    laws.ignores_the_unseen(laws.case(name, support=support, missing=True))


@every
def test_a_short_fit_helps(name):
    laws.a_short_fit_helps(laws.case(name, n=32))


@every
def test_works_in_float64(name):
    laws.works_in_float64(laws.case(name, dtype=torch.float64))


@every
def test_takes_a_users_module(name):
    laws.takes_a_users_module(laws.case(name))


@pytest.mark.parametrize("name", ["dreg", "cvae", "hierarchical"])
@pytest.mark.parametrize(("prior", "posterior"), laws.DENSITIES)
def test_every_prior_meets_every_posterior(name, prior, posterior):
    """In the recipe that stops gradients, that with a condition, and that with two groups."""
    case = laws.case(name, dtype=torch.float64, prior=prior, posterior=posterior)
    if not laws.builds_or_refuses(case):
        return
    laws.trains_every_parameter(case)
    laws.rows_do_not_meet(case)
    laws.more_samples_change_none(case)
    laws.saved_is_loaded(case)
    laws.copies_stand_alone(case)
    samples_and_densities_agree(case)


@every
def test_units_only_shift_the_bound(name):
    laws.units_only_shift_the_bound(laws.case(name, support="real", dtype=torch.float64))


def test_cvae_predicts_a_picture_from_a_picture():
    """Structured output (Doersch, 2016, section 3): x is the lower part, c the upper one."""
    torch.manual_seed(0)
    c = torch.bernoulli(torch.full((256, 6), 0.5))
    x = c.flip(1).reshape(256, 1, 2, 3)
    data = Data(x, "binary", c=c)
    recipe = build("cvae", data.spec(), latent=2, net="mlp(hidden=(32,))")
    config = TrainConfig(epochs=15, batch_size=32, learning_rate=2e-2, device="cpu", compile="off")
    fit(recipe, data, data, config)
    drawn = recipe.model.sample(256, c).mean
    # The likelihood is free to be exact: all but a few pixels must follow the condition.
    assert ((drawn > 0.5) == (x > 0.5)).float().mean().item() > 0.98


def test_options_out_of_range_are_refused():
    """Each with a sentence that names the option."""
    bad = [
        ("vae", {"latent": 0}, "latent"),
        ("vae", {"k": 0}, "k must"),
        ("stl", {"k": 0}, "k must"),
        ("miwae", {"k": 10}, "bounds must divide k=10"),
        ("piwae", {"bounds": 0}, "bounds"),
        ("ciwae", {"k": 1}, "k must be at least 2"),
        ("ciwae", {"beta": 1.5}, "part of the ELBO"),
        ("capacity_vae", {"capacity": 0.0}, "capacity"),
        ("capacity_vae", {"gamma": 0.0}, "gamma"),
        ("capacity_vae", {"warmup": 2.0}, "part of training"),
        ("geco", {"target": 0.0}, "target"),
        ("geco", {"speed": 0.0}, "speed"),
        ("geco", {"of": "rat"}, "'rate'"),
        ("beta_tc", {"beta": -1.0}, "beta must"),
        ("beta_tc", {"sampling": "stratifed"}, "'stratified'"),
        ("beta_tc", {"posterior": "flow"}, "beta_tc needs a posterior whose elements are indep"),
        ("beta_tc", {"posterior": "full"}, "posterior='normal' or 'laplace'"),
        ("info_vae", {"alpha": 1.5}, "alpha is the part"),
        ("info_vae", {"price": 0.0}, "price must"),
        ("info_vae", {"kernel": "rfb"}, "'rbf'"),
        ("info_vae", {"prior": "mixture"}, "prior"),
        ("wae", {"width": 0.0}, "width must"),
        ("wae", {"kernel": "gauss"}, "imq, rbf"),
        ("dip_vae", {"kind": "III"}, "'II'"),
        ("dip_vae", {"price": 0.0}, "price must"),
        ("dip_vae", {"diagonal": -1.0}, "diagonal must"),
        ("dip_vae", {"posterior": "full"}, "dip_vae needs a posterior whose elements are indep"),
        ("dip_vae", {"prior": "laplace"}, "'prior'"),
        ("iwae", {"k": 0}, "k must"),
        ("dreg", {"k": 0}, "k must"),
        ("beta_vae", {"beta": -1.0}, "beta"),
        ("beta_vae", {"warmup": 1.5}, "warmup"),
        ("beta_vae", {"cycles": 4}, "warmup above 0"),
        ("beta_vae", {"cycles": 0, "warmup": 0.5}, "cycles"),
        ("beta_vae", {"per": "group"}, "free_bits"),
        ("beta_vae", {"trim": 1.5}, "trim is a part"),
        ("beta_vae", {"trim": 0.1, "free_bits": 0.1}, "neither free_bits"),
        ("beta_vae", {"per": "grup", "free_bits": 0.1}, "'group'"),
        ("denoising_ae", {"level": 0.0}, "level"),
        ("denoising_ae", {"level": 1.5}, "level"),
        ("denoising_ae", {"noise": "maskin"}, "masking"),
        ("cvae", {"dropout": 1.0}, "dropout"),
        ("ladder", {"layers": 0}, "layers"),
        ("hierarchical", {"top": 0}, "top"),
        ("vamp", {"pseudo_inputs": 0}, "pseudo_inputs"),
        ("vae", {"likelihood": "Normal"}, "binary"),
    ]
    for name, options, words in bad:
        with pytest.raises(DiaboloError, match=words):
            laws.case(name, **options).build()
