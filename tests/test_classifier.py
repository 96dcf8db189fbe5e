"""Classifiers from few labels: probes, fine-tuning, and what they refuse."""

from __future__ import annotations

import csv
import json
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import diabolo
from diabolo import DiaboloError
from diabolo.__main__ import main
from diabolo.errors import DiaboloWarning
from diabolo.tasks import _encoder
from diabolo.tasks import classifier as make
from diabolo.tasks._classes import classes_of
from diabolo.tasks.classifier import _strength

FAST: dict[str, Any] = {"epochs": 8, "batch_size": 50, "learning_rate": 3e-3, "compile": "off"}
NET = "mlp(hidden=(32,))"
CENTRES = np.random.default_rng(7).normal(size=(3, 6)) * 2


def table(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Three kinds of rows with six columns."""
    rng = np.random.default_rng(seed)
    y = rng.integers(3, size=n)
    return (CENTRES[y] + rng.normal(size=(n, 6))).astype(np.float32), y


@pytest.fixture(scope="module")
def run() -> diabolo.Run:
    x, _ = table(500, 0)
    return diabolo.fit(x, "vae", latent=4, net=NET, **FAST)


@pytest.fixture(scope="module")
def few() -> tuple[np.ndarray, np.ndarray]:
    x, y = table(300, 1)
    rows = np.concatenate([np.flatnonzero(y == c)[:6] for c in range(3)])
    return x[rows], np.array(["ash", "elm", "oak"])[y[rows]]


def test_what_a_probe_is_said_to_tell_right_is_of_labels_held_out():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(60, 80)), rng.integers(2, size=60)  # nothing to learn, and room for it
    _, nats, right = _strength(x, classes_of(y), 0)
    assert nats > 0.5
    assert 0.3 < right < 0.7


def test_a_probe_is_the_logistic_regression_of_standardised_codes(run, few):
    found = make(run, *few, features="code")
    own = make_pipeline(StandardScaler(), LogisticRegression(C=found.strength, max_iter=1000))
    own.fit(run.encode(few[0]).astype(np.float64), few[1])
    x, _ = table(40, 2)
    q = found.predict_proba(x)
    # float32 networks; both regressions stop at scikit-learn's tolerance
    np.testing.assert_allclose(q, own.predict_proba(run.encode(x)), atol=2e-4)
    np.testing.assert_array_equal(found.predict(x), own.predict(run.encode(x)))
    np.testing.assert_allclose(q.sum(1), 1, rtol=1e-6)
    assert found.classes == ("ash", "elm", "oak")
    assert found.counts == (6, 6, 6)


def test_two_classes_have_the_probabilities_of_scikit_learn(run, few):
    x, y = few[0][:12], few[1][:12]
    found = make(run, x, y, features="code")
    own = make_pipeline(StandardScaler(), LogisticRegression(C=found.strength, max_iter=1000))
    own.fit(run.encode(x).astype(np.float64), y)
    other, _ = table(20, 3)
    np.testing.assert_allclose(
        found.predict_proba(other), own.predict_proba(run.encode(other)), atol=2e-4
    )


def test_hidden_features_are_what_the_last_layer_reads(run, few):
    data = run.schema.data(few[0])
    hidden = _encoder.features_of(run.model, run.model, data, "hidden")
    code = _encoder.features_of(run.model, run.model, data, "code")
    head = run.model.latent.posterior.net.head
    with torch.no_grad():
        raw = head(hidden.float().to(run.device)).cpu()
    assert hidden.shape == (18, 32)
    torch.testing.assert_close(raw[:, :4].double(), code)
    np.testing.assert_allclose(code.numpy(), run.encode(few[0]), rtol=1e-5)


@pytest.mark.parametrize("how", ["probe", "finetune", "scratch"])
def test_few_labels_are_enough_and_the_run_stays_as_it_was(run, few, how):
    before = {k: v.clone() for k, v in run.model.state_dict().items()}
    grads = [p.requires_grad for p in run.model.parameters()]
    found = make(run, *few, how=how)
    x, y = table(300, 4)
    assert (found.predict(x) == np.array(["ash", "elm", "oak"])[y]).mean() > 0.85
    assert all(torch.equal(v, before[k]) for k, v in run.model.state_dict().items())
    assert [p.requires_grad for p in run.model.parameters()] == grads
    np.testing.assert_array_equal(found.predict_proba(x), make(run, *few, how=how).predict_proba(x))
    assert (found.strength is None) == (how == "scratch")


def test_fine_tuning_begins_as_the_probe(run, few, monkeypatch):
    import importlib

    module = importlib.import_module("diabolo.tasks.classifier")
    monkeypatch.setattr(module, "STEPS", 1)
    monkeypatch.setitem(module.RATES, "finetune", 1e-12)
    x, _ = table(30, 5)
    probe, tuned = make(run, *few), make(run, *few, how="finetune")
    np.testing.assert_allclose(tuned.predict_proba(x), probe.predict_proba(x), atol=1e-5)
    assert tuned.features == probe.features


@pytest.mark.parametrize("features", ["code", "hidden"])
def test_fine_tuning_moves_the_encoder(run, few, features):
    found = make(run, *few, how="finetune", features=features)
    own = run.model.latent.posterior.net.body[0].weight
    net = found.net.encoder.net if features == "hidden" else found.net.encoder.latent.posterior.net
    assert not torch.equal(net.body[0].weight, own)


def test_missing_labels_are_passed_over(run, few):
    x, y = few
    more, _ = table(5, 6)
    both = np.concatenate([x, more])
    labels = np.array([*y, *[None] * 5], dtype=object)
    other, _ = table(10, 7)
    np.testing.assert_array_equal(
        make(run, both, labels).predict_proba(other), make(run, x, y).predict_proba(other)
    )


def test_labels_come_back_as_they_were_given(run, few):
    codes = np.unique(few[1], return_inverse=True)[1] + 5
    assert set(make(run, few[0], codes).predict(few[0])) <= {5, 6, 7}
    assert set(make(run, few[0], codes > 5).predict(few[0])) <= {True, False}


def test_one_label_a_class_is_a_probe_without_cross_validation(run, few):
    found = make(run, few[0][::6], few[1][::6])
    assert found.held_out is None
    assert found.counts == (1, 1, 1)


def test_grey_values_are_read_where_bits_are_drawn():
    """A classifier needs no noise: two readings of one image are one."""
    run = diabolo.fit("digits", "vae", latent=3, net=NET, binarize="dynamic", epochs=1)
    data = run.data("valid")
    seen = torch.cat(list(_encoder.read(run.model, data)))
    torch.testing.assert_close(seen.cpu(), data.decoder.mean(data.x))


@pytest.mark.parametrize("recipe", ["discrete_vae", "hierarchical"])
def test_other_latents_have_probes_on_codes(recipe, few):
    x, _ = table(100, 0)
    options = {"latent": 3, "values": 4} if recipe == "discrete_vae" else {}
    found = diabolo.fit(x, recipe, net=NET, epochs=1, **options)
    assert make(found, *few).features == "code"
    if recipe == "discrete_vae":
        assert make(found, *few).net.head.in_features == 12  # one of four, three times
        with pytest.raises(DiaboloError, match="no gradient"):
            make(found, *few, how="finetune")
    else:
        make(found, *few, how="finetune")


@pytest.mark.parametrize("how", ["probe", "finetune", "scratch"])
def test_a_saved_classifier_is_the_same(run, few, how, tmp_path):
    found = make(run, *few, how=how)
    again = diabolo.Classifier.load(found.save(tmp_path / "trees.safetensors"), run)
    x, _ = table(30, 9)
    np.testing.assert_array_equal(again.predict_proba(x), found.predict_proba(x))
    np.testing.assert_array_equal(again.predict(x), found.predict(x))
    assert repr(again) == repr(found)
    assert (again.strength, again.held_out) == (found.strength, found.held_out)


def test_a_saved_classifier_belongs_to_its_run(run, few, tmp_path):
    file = make(run, *few).save(tmp_path / "trees.safetensors")
    other = diabolo.fit(table(60, 0)[0], "vae", latent=4, net=NET, epochs=1)
    with pytest.raises(DiaboloError, match="was made with another run"):
        diabolo.Classifier.load(file, other)
    run.save(tmp_path / "run")
    with pytest.raises(DiaboloError, match="no classifier that"):
        diabolo.Classifier.load(tmp_path / "run" / "weights.safetensors", run)
    file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(DiaboloError, match="Cannot read the classifier"):
        diabolo.Classifier.load(file, run)
    with pytest.raises(DiaboloError, match="Cannot read the classifier"):
        diabolo.Classifier.load(tmp_path / "none", run)
    with pytest.raises(DiaboloError, match="Cannot write"):
        make(run, *few).save(file / "within")  # a file is no folder


def test_what_it_refuses(run, few):
    x, y = few
    with pytest.raises(DiaboloError, match="way to make a classifier: 'svm'"):
        make(run, x, y, how="svm")
    with pytest.raises(DiaboloError, match="same value of 'labels', ash"):
        make(run, x, ["ash"] * 18)
    with pytest.raises(DiaboloError, match=r"numbers such as 0\.5: cut them into classes"):
        make(run, x, np.arange(18) / 2)
    with pytest.raises(DiaboloError, match="All labels are missing"):
        make(run, x, [None] * 18)
    with pytest.raises(DiaboloError, match="Expected 18 values of 'labels'"):
        make(run, x, y[:5])
    with pytest.raises(DiaboloError, match="shape"):
        make(run, x[:, :3], y)
    labels = {"labels": y, "condition": "labels"}
    chosen = diabolo.fit(x, "cvae", latent=2, net=NET, epochs=1, **labels)
    with pytest.raises(DiaboloError, match="reads a condition"):
        make(chosen, x, y)
    own = diabolo.fit(x, "m2", latent=2, net=NET, epochs=1, **labels)
    with pytest.raises(DiaboloError, match="classes of its own"):
        make(own, x, y)


def test_one_label_of_each_class_is_no_warning(run, few):
    many = [f"tree {i}" for i in range(36)]
    assert make(run, np.concatenate([few[0], few[0]]), many).counts == (1,) * 36


def test_from_the_command_line(run, few, tmp_path, capsys):
    place, out = tmp_path / "run", tmp_path / "y.csv"
    run.save(place)
    frame = pd.DataFrame(few[0], columns=[f"a{i}" for i in range(6)])
    frame["tree"] = [None if i % 3 == 2 else t for i, t in enumerate(few[1])]
    frame.to_csv(tmp_path / "few.csv", index=False)
    x, y = table(50, 8)
    np.save(tmp_path / "x.npy", x)
    argv = ["classify", str(place), str(tmp_path / "few.csv"), "--out", str(out)]
    assert main([*argv, "--labels", "tree", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["n"], told["labels"], told["how"]) == (18, 12, "probe")
    assert list(csv.DictReader(out.read_text().splitlines()))[2]["class"] in ("ash", "elm", "oak")
    argv[2] = str(tmp_path / "x.npy")
    words = ["--labelled", str(tmp_path / "few.csv"), "--labels", "tree", "--how", "finetune"]
    assert main([*argv, *words]) == 0
    assert "finetune on" in capsys.readouterr().out
    rows = list(csv.DictReader(out.read_text().splitlines()))
    right = [row["class"] == ("ash", "elm", "oak")[k] for row, k in zip(rows, y, strict=True)]
    assert np.mean(right) > 0.6  # four labels of each; a third by chance
    assert main(argv) == 2
    assert "--labels COLUMN" in capsys.readouterr().err
    frame.assign(tree=[f"t{i}" for i in range(18)]).to_csv(tmp_path / "many.csv", index=False)
    words = ["--labelled", str(tmp_path / "many.csv"), "--labels", "tree"]
    assert main([*argv, *words]) == 0
    assert "of t0, t1, t10, t11, t12, t13, t14, t15, t16, t17 and 8 more" in capsys.readouterr().out
    frame.assign(tree="ash").to_csv(tmp_path / "many.csv", index=False)
    assert main([*argv, *words]) == 2
    assert "All 18 rows have the same value of 'tree', ash" in capsys.readouterr().err
    assert main([*argv, "--labels", "shrub", "--labelled", str(tmp_path / "few.csv")]) == 2
    assert "shrub" in capsys.readouterr().err


def test_a_run_that_reads_the_labels_is_told_on(few, tmp_path, capsys):
    frame = pd.DataFrame(few[0], columns=[f"a{i}" for i in range(6)]).assign(tree=few[1])
    frame.to_csv(tmp_path / "few.csv", index=False)
    for kinds, told in (({}, True), ({"tree": "skip"}, False)):
        made = diabolo.fit(frame, "vae", kinds=kinds, latent=2, net=NET, epochs=1)
        made.save(tmp_path / str(told))
        words = [str(tmp_path / str(told)), str(tmp_path / "few.csv"), "--labels", "tree"]
        assert main(["classify", *words, "--out", str(tmp_path / "y.csv")]) == 0
        assert ("The run itself reads 'tree'" in capsys.readouterr().err) == told


def test_columns_that_are_copies_of_the_labels_are_warned_of(run, few):
    frame = pd.DataFrame(few[0], columns=[f"a{i}" for i in range(6)]).assign(tree=few[1])
    made = diabolo.fit(frame, "vae", latent=2, net=NET, epochs=1)
    with pytest.warns(DiaboloWarning, match=r"reads column 'tree', which is a copy of the labels"):
        make(made, frame, frame["tree"].str.upper())
    make(made, frame[::3], frame["tree"][::3])  # of six labels a column may be one by chance
    other = np.where(np.arange(18) < 17, frame["tree"], "ash")
    make(made, frame, other)
    make(run, *few)
