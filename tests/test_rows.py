"""What is told of each row: the numbers of `Run` and `evaluate`, whatever rows stand beside."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal

import diabolo
from diabolo import evaluate
from diabolo.panels import PANELS, NotApplicable
from diabolo.panels._rows import plane, rows
from diabolo.run.asked import OutOfReach, held_out

TINY = {"net": "mlp(hidden=(8,))", "epochs": 1, "device": "cpu"}
X = np.random.default_rng(0).normal(size=(60, 5)).astype(np.float32) * [1, 2, 3, 4, 5]
KINDS = {
    "vae": ("vae", {"latent": 4}),
    "point": ("ae", {"latent": 3}),
    "names": ("discrete_vae", {}),
    "groups": ("hierarchical", {}),
    "sphere": ("hyperspherical_vae", {"latent": 3}),
    "class": ("m2", {"latent": 2, "condition": "labels"}),
    "condition": ("cvae", {"latent": 1, "condition": "labels"}),
}


@pytest.fixture(scope="module")
def run():
    made = {}

    def get(kind):
        if kind not in made:
            recipe, options = KINDS[kind]
            labels = [("left", "right")[i % 2] for i in range(60)]
            made[kind] = diabolo.fit(X, recipe, labels=labels, **TINY, **options)
        return made[kind]

    return get


@pytest.mark.parametrize("kind", KINDS)
def test_rows_tell_what_run_and_evaluate_tell(run, kind):
    fitted = run(kind)
    found = rows(fitted, likelihood=3)
    model, n, d = fitted.model, len(found), fitted.latent
    assert n == len(fitted.data("test") or fitted.data("valid"))
    assert_array_equal(found.codes, fitted.encode(found.data))
    if model.deterministic:
        assert found.rate is None
        assert found.bound is None
        assert found.variance is None
        assert found.log_likelihood is None
        assert_array_equal(found.distortion, evaluate.distortion(model, found.data).per_datum)
        return
    parts = evaluate.bound(model, found.data)
    assert_array_equal(found.bound, parts.elbo.per_datum)
    assert_allclose(found.bound, -found.distortion - found.rate, rtol=1e-5, atol=1e-5)
    known = ~np.isnan(found.per_latent_rate)
    if known.all():  # the rate is a sum over elements
        assert_allclose(found.per_latent_rate.sum(), found.rate.mean(), rtol=1e-5)
    assert found.per_latent_rate.shape == (d,)
    assert_array_equal(
        found.log_likelihood, evaluate.log_likelihood(model, found.data, k=3).per_datum
    )
    assert {found.classes[i] for i in found.labels} <= {"left", "right"}


@pytest.mark.parametrize("kind", [k for k in KINDS if k != "point"])
def test_a_row_does_not_depend_on_those_beside(run, kind):
    fitted = run(kind)
    whole = rows(fitted)
    few = rows(fitted, whole.data.take(torch.tensor([4, 1])))
    for name in ("codes", "rate", "distortion", "bound"):
        assert_allclose(getattr(few, name), getattr(whole, name)[[4, 1]], rtol=1e-4, atol=1e-4)


def test_rows_of_given_data(run):
    fitted = run("vae")
    found = rows(fitted, X[:7], n=5)
    assert_array_equal(found.codes, fitted.encode(X[:5]))
    assert found.labels is None
    with pytest.raises(diabolo.DiaboloError, match="labels"):
        rows(run("condition"), X[:7])
    assert len(rows(run("condition"), X[:3], labels=["left", "left", "right"])) == 3
    with pytest.raises(diabolo.DiaboloError, match="give the data too"):
        rows(fitted, labels=["left"])
    with pytest.raises(diabolo.DiaboloError, match="leave it out"):
        rows(fitted, X[:7], split="test")


@pytest.mark.parametrize("kind", [k for k in KINDS if k != "names"])
def test_plane_is_linear_in_codes(run, kind):
    fitted = run(kind)
    found = rows(fitted)
    flat = plane(found)
    shown = [i for i, n in enumerate(fitted.model.levels) if not n]
    assert flat.elements == tuple(shown)
    linear = (found.codes - flat.mean) @ flat.axes.T
    last = 2 if len(shown) > 1 else 1  # the height of one element is random
    assert_allclose(flat.points[:, :last], linear[:, :last], atol=1e-4)
    assert_allclose((flat.axes**2).sum(1)[:last], 1, rtol=1e-5)
    others = [i for i in range(fitted.latent) if i not in shown]
    assert not flat.axes[:, others].any()
    assert all(
        m in range(fitted.model.levels[i]) for i, m in zip(others, flat.mean[others], strict=True)
    )
    # A place of the plane is decoded to: mean + u axes.
    assert fitted.decode(flat.mean[None], label="left" if kind == "condition" else None).shape


def test_figure_draws_the_plane(run):
    fitted = run("vae")
    points = PANELS.load("latent_map")(fitted).axes[0].collections[0].get_offsets()
    assert_array_equal(np.asarray(points, dtype=np.float32), plane(rows(fitted, n=5000)).points)


def test_no_plane_of_names_or_of_two(run):
    with pytest.raises(NotApplicable, match="discrete"):
        plane(rows(run("names")))
    with pytest.raises(NotApplicable, match="three data"):
        plane(rows(run("vae"), X[:2]))


@pytest.mark.parametrize(("source", "told"), [("memory", "in memory"), ("a.csv", "of 'a.csv'")])
def test_data_that_are_gone_are_told_by_where_they_were(source: str, told: str) -> None:
    run: Any = SimpleNamespace(data=lambda _: None, prints={"train": {"source": source}})
    with pytest.raises(OutOfReach, match=told):
        held_out(run, "train")
