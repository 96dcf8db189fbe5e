"""The semi-supervised model against sums by hand, labels that are missing, and what it learns.

Shapes: K posterior samples, B batch, C classes, D elements of z.
"""

from __future__ import annotations

import csv
import json
import math

import numpy as np
import pandas as pd
import pytest
import torch

import diabolo
from diabolo.__main__ import main
from diabolo.config import DataConfig
from diabolo.data import Data, load
from diabolo.errors import DiaboloError
from diabolo.evaluate import accuracy, bound, evaluate, log_likelihood
from diabolo.evaluate.drawing import reconstructed
from diabolo.noise import KeyedNoise
from diabolo.objectives import elbo, iwae
from diabolo.panels import PANELS
from diabolo.panels._rows import rows
from diabolo.run.latents import Latents
from laws import recipes

F64 = torch.float64
SMALL = {"net": "mlp(hidden=(8,))", "inner": "mlp(hidden=(8,))", "latent": 2, "features": 6}
FAST = {"epochs": 1, "batch_size": 32, "device": "cpu"}


def generic(n=4, **options):
    """A model of 3 classes at a generic point, in float64, and data of which half have labels."""
    case = recipes.case("m2", dtype=F64, condition=3, n=n, **options)
    recipe = case.build()
    recipe.model.eval()
    with torch.no_grad():
        for p in recipe.model.parameters():
            p.add_(0.3 * torch.randn_like(p))
    return recipe, case


def by_hand(recipe, x, k=1):
    """L(x, y) of each class by its one sample of z, and log q(y | x), each (C, B), in loops."""
    model = recipe.model
    latent, view = model.latent, model.view(x)
    h = latent.features(view)
    log_q = latent.classifier(h).logits[..., 0].log_softmax(1).T  # (C, B)
    log_py = latent.logits[:, 0].log_softmax(0)
    count = len(log_q)
    eps = KeyedNoise(7, torch.arange(len(x)) + 3).normal((k * count, len(x), 3), x)
    bounds, weights = [], []
    for r in range(k):
        for y in range(count):
            hot = torch.zeros(len(x), count, dtype=F64)
            hot[:, y] = 1
            q = latent.posterior(h, hot)
            z = q.loc + q.log_scale.exp() * eps[r * count + y]
            px = model.likelihood(torch.cat([hot, z], 1))
            kl = 0.5 * (q.loc**2 + (2 * q.log_scale).exp() - 1 - 2 * q.log_scale).sum(1)
            log_px = px.log_prob(x)
            bounds.append(log_px + log_py[y] - kl)
            log_pz = torch.distributions.Normal(0.0, 1.0).log_prob(z).sum(1)
            log_qz = torch.distributions.Normal(q.loc, q.log_scale.exp()).log_prob(z).sum(1)
            weights.append(log_px + log_py[y] + log_pz - log_qz)
    return torch.stack(bounds), torch.stack(weights), log_q


@pytest.mark.parametrize("weights", ["equal", "learned"])
def test_objective_is_that_of_the_paper(weights):
    """Kingma et al., equations 6 to 9: L of a label, the sum over classes without, and a log q."""
    recipe, case = generic(weights=weights, price=1.7)
    found = recipe.objective(case.trace(recipe, noise=recipes.keyed()))
    each, _, log_q = by_hand(recipe, case.x)
    without = (log_q.exp() * (each - log_q)).sum(0)  # entropy of q(y | x) included
    for i, label in enumerate(case.c):
        expected = without[i]
        if bool(label.any()):
            y = int(label.argmax())
            expected = each[y, i] + 1.7 * log_q[y, i]
        assert torch.allclose(found[i], expected, atol=1e-10)  # float64
    assert bool(case.c.any(1).any())
    assert not bool(case.c.any(1).all())


def test_importance_bound_is_of_x_and_its_label_where_that_is_known():
    """A class that a label rules out has no part in log p(x, y), however large its weight is."""
    recipe, case = generic(price=0.0)
    k = 3
    t = recipe.model(case.x, case.c, k=k, noise=recipes.keyed(), every=True)
    _, weights, _ = by_hand(recipe, case.x, k)
    each = weights.unflatten(0, (k, -1))  # (K, C, B)
    for i, label in enumerate(case.c):
        expected = each[:, :, i].logsumexp((0, 1)) - math.log(k)
        if bool(label.any()):
            expected = each[:, int(label.argmax()), i].logsumexp(0) - math.log(k)
        assert torch.allclose(iwae(t)[i], expected, atol=1e-10)
    assert torch.allclose(t.share.sum(0), torch.ones(len(case.x), dtype=F64))


def test_evaluation_is_of_x_alone_whatever_labels_there_are():
    recipe, case = generic()
    model = recipe.model.eval()
    with_labels = Data(case.x, "binary", c=case.c)
    without = Data(case.x, "binary")
    for measure in (lambda d: log_likelihood(model, d, k=9), lambda d: bound(model, d).elbo):
        a, b = measure(with_labels), measure(without)
        assert torch.equal(a.per_datum, b.per_datum)
        assert a.kind == b.kind
        assert "log p(x)" in a.kind
        assert "|c" not in a.kind
    with pytest.raises(DiaboloError, match="sums over its classes itself"):
        log_likelihood(model, with_labels, marginal=(0.2, 0.3, 0.5))


def test_latents_are_measured_without_labels_whatever_labels_there_are():
    recipe, case = generic(n=8)
    with_labels, without = Data(case.x, "binary", c=case.c), Data(case.x, "binary")
    found, expected = (Latents.of(recipe.model, d) for d in (with_labels, without))
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_array_equal(a, b)
    shown = recipe.model.encode(case.x, case.c)[0].detach().numpy()  # or the test could not fail
    assert abs(shown.mean(0) - expected.mean).max() > 1e-3


def test_likelihood_is_exact_where_z_tells_nothing():
    """With q(z | x, y) = p(z) and a decoder blind to z: log p(x) = log sum_y p(y) p(x | y)."""
    recipe, case = generic()
    model = recipe.model.eval()
    with torch.no_grad():
        head = model.latent.posterior.net.head
        head.weight.zero_()
        head.bias.zero_()
        raw = model.latent.posterior(torch.zeros(1, 128, dtype=F64)[:, : _width(model)], case.c[:1])
        first = model.likelihood.net.body[0]
        first.weight[:, 3:] = 0
    # The scale's raw zero is near, not at, scale 1: weights average p / q, whose mean is 1.
    data = Data(case.x, "binary")
    code = torch.cat([torch.eye(3, dtype=F64), torch.zeros(3, 3, dtype=F64)], 1)
    px = model.likelihood(code[:, None])
    joint = px.log_prob(case.x) + model.latent.logits.log_softmax(0)
    truth = joint.logsumexp(0)
    assert raw.loc.abs().max() == 0
    found = log_likelihood(model, data, k=4000)
    away = (found.per_datum - truth).abs()
    assert bool((away < 5 * found.per_datum_stderr + 1e-6).all())
    assert float(found.per_datum_stderr.max()) < 0.02  # or the test could not fail


def _width(model):
    return model.latent.posterior.net.body[0].in_features - 3


def test_gradient_is_that_of_finite_differences():
    """Central differences in float64 at fixed noise, h = 1e-5; labels and none."""
    recipe, case = generic(weights="learned", price=0.9)

    def value():
        return recipe.objective(case.trace(recipe, noise=recipes.keyed())).sum()

    parameters = list(recipe.model.parameters())
    found = torch.autograd.grad(value(), parameters)
    g = torch.Generator().manual_seed(0)
    for p, grad in zip(parameters, found, strict=True):
        way = torch.randn(p.shape, generator=g, dtype=F64)
        ends = []
        for h in (1e-5, -1e-5):
            with torch.no_grad():
                p.add_(h * way)
                ends.append(value())
                p.sub_(h * way)
        assert torch.allclose((grad * way).sum(), (ends[0] - ends[1]) / 2e-5, rtol=1e-5, atol=1e-6)


def test_a_known_label_is_paid_by_its_probability_and_drawn_for_sure():
    recipe, case = generic(weights="learned")
    t = recipe.model(case.x, case.c, k=5, noise=recipes.keyed())
    known = case.c.any(1)
    y = t.draws[0]
    assert torch.equal(y.z[:, known, 0], case.c[known].argmax(1).to(F64).expand(5, -1))
    assert bool((y.log_q[:, known] == 0).all())
    log_py = recipe.model.latent.logits[:, 0].log_softmax(0)
    assert torch.allclose(y.rate[:, known], -log_py[case.c[known].argmax(1)].expand(5, -1))


def test_price_follows_the_number_of_labels():
    """a = 0.1 N for the mean over labelled data (Kingma et al., section 4), so for each a / n."""
    case = recipes.case("m2", condition=2)
    assert (case.spec.count, case.spec.unlabelled) == (20, 15)
    assert case.build().model.latent.price == 10  # 0.1 * 20 / 5 is too little
    many = recipes.replace(case.spec, count=50_000, unlabelled=49_900)
    assert recipes.replace(case, spec=many).build().model.latent.price == pytest.approx(50)


def test_numbers_that_are_no_label_are_refused():
    case = recipes.case("m2", condition=2)
    for change in ({"unlabelled": None}, {"condition": 0, "unlabelled": None}):
        other = recipes.replace(case, spec=recipes.replace(case.spec, **change))
        with pytest.raises(DiaboloError, match="one label"):
            other.build()
    with pytest.raises(DiaboloError, match="price"):
        case.build(price=-1.0)


# Labels that are missing.


def table(n=90, width=16, seed=0):
    """Three kinds of bits with flips, and the kind of each row."""
    g = np.random.default_rng(seed)
    kinds = np.random.default_rng(9).random((3, width)) < 0.5
    y = np.arange(n) % 3
    return (kinds[y] ^ (g.random((n, width)) < 0.05)).astype(np.uint8), y


SOME = {"condition": "labels", "labelled": "some"}
MISSING = [3, 10, 40]


def spoiled(kind):
    """Labels of which three are missing, as a user may write them."""
    _, y = table()
    if kind == "nan":
        out = y.astype(float)
        out[MISSING] = np.nan
    elif kind == "masked":
        out = np.ma.array(y, mask=np.isin(np.arange(len(y)), MISSING))
    else:
        values = [f"k{v}" for v in y] if "names" in kind else y.tolist()
        out = [None if i in MISSING else v for i, v in enumerate(values)]
        out = pd.array(out, dtype="string") if kind == "pandas' names" else out
    return out


@pytest.mark.parametrize("kind", ["nan", "none", "names", "pandas' names", "masked"])
def test_labels_may_be_missing_where_it_is_said(kind):
    x, y = table()
    found = load(x, DataConfig(**SOME), labels=spoiled(kind))
    names = ("k0", "k1", "k2") if "names" in kind else ("0", "1", "2")
    assert found.schema.conditions[0].classes == names
    for part in (found.splits.train, found.splits.valid):
        gone = torch.isin(part.rows, torch.tensor(MISSING))
        assert torch.equal(part.labels[gone], torch.full((int(gone.sum()),), -1))
        assert torch.equal(part.labels[~gone], torch.as_tensor(y)[part.rows][~gone])
        assert bool((part.c[gone] == 0).all())
        assert torch.equal(part.c[~gone].argmax(1), part.labels[~gone])
    with pytest.raises(DiaboloError, match=r"no value in row 3, and 3 .*labelled='some'"):
        load(x, DataConfig(condition="labels"), labels=spoiled(kind))


@pytest.mark.parametrize("word", ["labels", "kind"])
@pytest.mark.parametrize("ending", ["csv", "npz"])
def test_an_empty_text_is_a_missing_label(ending, word, tmp_path):
    x, _ = table()
    names = ["" if v is None else v for v in spoiled("names")]
    path = tmp_path / f"a.{ending}"
    if ending == "csv":
        lines = [",".join((*map(str, row), name)) for row, name in zip(x, names, strict=True)]
        path.write_text(
            "\n".join([",".join((*(f"x{i}" for i in range(x.shape[1])), "kind")), *lines])
        )
    else:
        np.savez(path, x=x, kind=np.array(names))
    config = {"condition": word} | ({"labels": "kind"} if word == "labels" else {})
    with pytest.raises(
        DiaboloError, match=r"'kind' has no value in row 3, and 3 .*labelled='some'"
    ):
        load(path, DataConfig(**config))
    found = load(path, DataConfig(**config, labelled="some"))
    assert found.schema.conditions[0].classes == ("k0", "k1", "k2")
    train = found.splits.train
    assert torch.equal(~train.c.any(1), torch.isin(train.rows, torch.tensor(MISSING)))


@pytest.mark.parametrize(
    ("config", "labels", "match"),
    [
        ({"labelled": "some"}, spoiled("nan"), "condition='labels'"),
        (SOME, np.full(90, np.nan), "not all of them missing"),
        (SOME, np.linspace(0, 1, 90), "one label"),
        ({**SOME, "labelled": 0}, table()[1], "positive number"),
        ({**SOME, "labelled": 40}, table()[1], "asks for more labels"),
    ],
)
def test_labels_that_cannot_be_missing_are_refused(config, labels, match):
    with pytest.raises(DiaboloError, match=match):
        load(table()[0], DataConfig(**config), labels=labels)


def test_other_recipes_refuse_data_without_labels():
    x, _ = table()
    with pytest.raises(DiaboloError, match=r"training data have no label.*'m2'"):
        diabolo.fit(x, "cvae", labels=spoiled("nan"), **SOME, latent=2, **FAST)


def test_a_number_hides_the_labels_of_the_rest():
    x, y = table()
    few, more = (
        load(x, DataConfig(condition="labels", labelled=n), labels=y).splits for n in (2, 5)
    )
    known = [torch.nonzero(s.train.c.any(1))[:, 0] for s in (few, more)]
    assert [len(k) for k in known] == [6, 15]
    assert set(known[0].tolist()) < set(known[1].tolist())
    assert torch.equal(few.train.c.sum(0), torch.full((3,), 2.0))
    assert torch.equal(few.train.labels >= 0, few.train.c.any(1))
    assert bool(few.valid.c.any(1).all())  # what selects nothing may keep its labels


def test_a_table_with_blanks_through_the_front_door(tmp_path):
    """A column of labels with empty cells: fit, save, load, and everything a run can do."""
    x, y = table()
    frame = pd.DataFrame(x, columns=[f"a{i}" for i in range(16)])
    frame["kind"] = [None if i % 3 else f"k{v}" for i, v in enumerate(y.tolist())]
    frame.loc[1, "kind"], frame.loc[2, "kind"] = "k1", "k2"
    frame.to_csv(tmp_path / "x.csv", index=False)
    run = diabolo.fit(tmp_path / "x.csv", "m2", labels="kind", **SOME, **SMALL, **FAST)
    assert run.spec.unlabelled == int((~run.data("train").c.any(1)).sum()) > 30
    run.save(tmp_path / "run")
    again = diabolo.load(tmp_path / "run")
    assert again.spec.unlabelled == run.spec.unlabelled
    assert again.schema == run.schema
    q = run.classify(x)
    assert q.shape == (90, 3)
    np.testing.assert_allclose(q.sum(1), 1, rtol=1e-5)
    np.testing.assert_array_equal(again.classify(x), q)
    assert run.encode(x).shape == (90, 1 + 2)
    np.testing.assert_array_equal(run.encode(x)[:, 0], q.argmax(1))
    assert run.score(x, k=3).shape == (90,)
    assert run.sample(4).shape == (4, 16)
    assert run.sample(4, label="k2").shape == (4, 16)
    told = run.encode(x[:4], labels=["k2", None, "k0", None])[:, 0]
    assert (told[0], told[2]) == (2, 0)
    assert told[1] == q[1].argmax()
    names = [row.name for row in run.evaluate(x, labels=[f"k{v}" for v in y], k=3).rows()]
    assert "accuracy" in names
    assert "accuracy" not in [row.name for row in run.evaluate(x, k=3).rows()]


# What it learns.


@pytest.fixture(scope="module")
def taught():
    """A run on three kinds, with two labels of each."""
    x, y = table(600)
    options = {**SMALL, **FAST, "epochs": 40, "learning_rate": 5e-3}
    return diabolo.fit(x, "m2", labels=y, condition="labels", labelled=2, **options)


def test_two_labels_a_class_are_enough_for_kinds_that_differ(taught):
    x, y = table(300, seed=1)
    found = taught.evaluate(x, labels=y, k=5)
    assert found.accuracy.value > 0.95
    assert found.accuracy.n == 300
    assert found.accuracy.value == pytest.approx((taught.classify(x).argmax(1) == y).mean())
    row = next(r for r in found.rows() if r.name == "accuracy")
    assert row.how == "the most probable class of q(c|x) is the label, of 300 labelled data"
    # The standard error of a part, with n - 1.
    p = found.accuracy.value
    assert row.data_stderr == pytest.approx(math.sqrt(p * (1 - p) / 299))
    assert json.loads(json.dumps(found.to_json()))["accuracy"]["n"] == 300


def test_panels_show_what_the_model_finds_without_labels(taught, monkeypatch):
    data = taught.data("valid")
    assert data.c is not None
    np.testing.assert_array_equal(rows(taught).codes, taught.encode(data.x.float()))
    asked = []

    def watched(model, d):
        asked.append(d.c)
        return reconstructed(model, d)

    monkeypatch.setattr("diabolo.panels.reconstructions.reconstructed", watched)
    PANELS.load("reconstructions")(taught)
    assert asked == [None]


def test_samples_are_of_the_class_asked_for(taught):
    kinds = np.random.default_rng(9).random((3, 16)) < 0.5
    for y in range(3):
        drawn = taught.sample(200, label=y)
        nearest = (drawn[:, None] != kinds).sum(2).argmin(1)
        assert (nearest == y).mean() > 0.6  # by chance a third; z may tell the kind as well


def test_a_class_given_replaces_that_of_a_code(taught):
    x, y = table(6)
    z = taught.encode(x)
    assert np.array_equal(z[:, 0], y)
    other = taught.decode(z, label=[2] * 6)
    z[:, 0] = 2
    np.testing.assert_allclose(taught.decode(z), other, atol=1e-6)


def test_accuracy_is_none_where_nothing_is_classified():
    recipe, case = generic()
    assert accuracy(recipe.model, Data(case.x, "binary")) is None
    assert accuracy(recipe.model, Data(case.x, "binary", c=torch.zeros(4, 3))) is None
    plain = recipes.case("cvae")
    data = Data(plain.x, "binary", c=plain.c)
    assert accuracy(plain.build().model, data) is None
    assert evaluate(plain.build().model, data, k=2).accuracy is None
    with pytest.raises(DiaboloError, match="recipe 'm2'"):
        plain.build().model.classify(plain.x)


@pytest.mark.usefixtures("undrawn")
def test_from_the_command_line(tmp_path, capsys):
    """fit with few labels, evaluate with the accuracy, classes of a file, samples of a class."""
    place = tmp_path / "run"
    small = [f"{k}={v}" for k, v in {**SMALL, "labelled": 3, "epochs": 2}.items()]
    words = ["fit", "digits", "--recipe", "m2", "--condition", "labels", "--k", "3"]
    assert main([*words, "--set", *small, "--out", str(place)]) == 0
    assert "accuracy" in capsys.readouterr().out
    assert main(["evaluate", str(place), "--k", "3", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert 0 <= found["accuracy"]["value"] <= 1
    np.save(tmp_path / "x.npy", np.zeros((5, 8, 8), np.uint8))
    out = tmp_path / "y.csv"
    assert main(["classify", str(place), str(tmp_path / "x.npy"), "--out", str(out)]) == 0
    rows = list(csv.DictReader(out.read_text().splitlines()))
    assert len(rows) == 5
    assert list(rows[0]) == ["row", "class", *[f"q({d})" for d in range(10)]]
    assert main(["sample", str(place), "-n", "2", "--label", "7", "--out", str(out)]) == 0


def test_elbo_of_unlabelled_data_is_below_the_likelihood(taught):
    x, _ = table(50, seed=2)
    found = taught.evaluate(x, k=500)
    assert found.bound.elbo.value < found.likelihood.value
    assert "lower bound" in found.likelihood.kind
    assert taught.recipe.objective is elbo
