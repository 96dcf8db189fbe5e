"""A run in NumPy: layouts, noise keyed by row, conditions by name, and sentences."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
import pytest
import torch

import diabolo
from diabolo.data import Data
from diabolo.errors import DiaboloError
from diabolo.evaluate import drawing
from diabolo.run import Codes, Run

NET = "mlp(hidden=(16,))"
SMALL: dict[str, Any] = {"net": NET, "latent": 2, "epochs": 2, "batch_size": 32}


def table(n: int = 60, width: int = 5) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(n, width)).astype(np.float32)


def pictures(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (60, *shape), dtype=np.uint8)


@pytest.fixture(scope="module")
def run() -> Run:
    return diabolo.fit(table(), **SMALL)


@pytest.fixture(scope="module")
def labelled() -> Run:
    names = np.array(["cat", "dog", "owl"])[np.arange(60) % 3]
    return diabolo.fit(table(), labels=names, condition="labels", **SMALL)


LAYOUTS = {
    "vector": table(),
    "float64": table().astype(np.float64),
    "bits": (table() > 0).astype(np.uint8),
    "bool": table() > 0,
    "grey": pictures(6, 5),
    "grey floats": (pictures(6, 5) // 16 / 15.0).astype(np.float32),
    "colour last": pictures(6, 5, 3),
    "colour first": pictures(3, 6, 5),
}


@pytest.mark.parametrize("x", LAYOUTS.values(), ids=LAYOUTS)
def test_outputs_have_the_users_layout(x: np.ndarray) -> None:
    found = diabolo.fit(x, **SMALL)
    for out in (found.reconstruct(x[:3]), found.sample(3), found.decode(np.zeros((3, 2)))):
        assert out.shape == (3, *x.shape[1:])
    assert found.sample(3).dtype == x.dtype
    assert found.traverse(steps=4).shape == (2, 4, *x.shape[1:])
    assert found.interpolate(x[0], x[1], steps=5).shape == (5, *x.shape[1:])
    assert found.encode(x[:3]).shape == (3, 2)
    assert found.score(x[:3], k=2).shape == (3,)


def test_outputs_are_in_the_units_of_the_data() -> None:
    # One pattern, nearly always: a fitted model gives it back to within its own spread.
    x = table(400) * np.float32(0.1) + np.array([100, -50, 0, 7, 3], dtype=np.float32)
    found = diabolo.fit(x, **{**SMALL, "epochs": 5})
    mean = found.reconstruct(x[:50]).mean(0)
    np.testing.assert_allclose(mean, x.mean(0), atol=0.5)  # scale of the data: 0.1
    np.testing.assert_allclose(found.sample(200).mean(0), x.mean(0), atol=0.5)


def test_tensors_and_frames_are_read_like_arrays(run: Run) -> None:
    x = table(4)
    np.testing.assert_array_equal(run.encode(torch.as_tensor(x)), run.encode(x))
    np.testing.assert_array_equal(run.encode(x.tolist()), run.encode(x))
    frame = pl.DataFrame(table(), schema=[f"f{i}" for i in range(5)])
    found = diabolo.fit(frame, **SMALL)
    shuffled = frame.select(sorted(frame.columns, reverse=True))
    np.testing.assert_array_equal(found.encode(shuffled), found.encode(frame))


def test_batch_size_changes_nothing(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    x = table(13)

    def answers() -> list[np.ndarray]:
        return [
            run.sample(13),
            run.sample(13, mean=True),
            run.encode(x),
            run.reconstruct(x),
            run.reconstruct(x, mean=False),
            run.decode(run.encode(x), mean=False),
            run.score(x, k=3),
        ]

    whole = answers()
    monkeypatch.setattr(drawing, "MOST", 4)
    for a, b in zip(whole, answers(), strict=True):
        # Matrix products of another height round differently: float32 eps times their size.
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5)


def test_networks_in_bfloat16_change_digits_only(run: Run) -> None:
    x = table(13)
    for name, given in (
        ("sample", (13,)),
        ("encode", (x,)),
        ("decode", (run.encode(x),)),
        ("reconstruct", (x,)),
        ("score", (x,)),
    ):
        whole, low = getattr(run, name)(*given), getattr(run, name)(*given, precision="bf16")
        assert whole.dtype == low.dtype
        assert not np.array_equal(whole, low)
        # Each of three layers rounds values of about 1 to 8 bits.
        np.testing.assert_allclose(low, whole, rtol=0.05, atol=0.05)
        with pytest.raises(DiaboloError, match="precision is 'float32' or 'bf16'"):
            getattr(run, name)(*given, precision="fp8")


def test_codes_and_their_variances_are_told_apart(run: Run) -> None:
    x = table(13)
    found = run.encode(x, variance=True)
    np.testing.assert_array_equal(found.mean, run.encode(x))
    with torch.no_grad():
        seen = run.schema.data(x).batch(torch.arange(13)).x.to(run.device)
        mean, variance = run.model.encode(seen)
    # One batch here as there, so that nothing rounds otherwise.
    np.testing.assert_array_equal(found.mean, mean.cpu().numpy())
    np.testing.assert_array_equal(found.variance, variance.cpu().numpy())


def test_more_samples_begin_with_the_same_ones(run: Run) -> None:
    np.testing.assert_allclose(run.sample(3), run.sample(9)[:3], rtol=1e-5, atol=1e-6)
    assert not np.allclose(run.sample(3), run.sample(3, seed=1))


def test_uses_leave_the_callers_generator_alone(run: Run) -> None:
    before = torch.get_rng_state()
    run.sample(3)
    run.reconstruct(table(3), mean=False)
    diabolo.fit(table(), **SMALL)
    assert torch.equal(before, torch.get_rng_state())


def test_data_of_another_support_are_refused_by_each_use(run: Run) -> None:
    bits = Data((torch.as_tensor(table(50)) > 0).float(), support="binary")
    for use in (run.encode, run.reconstruct, run.score, run.evaluate, run.sample_quality):
        with pytest.raises(DiaboloError, match="scores 'real' x, but these data are 'binary'"):
            use(bits)


def test_encode_gives_mean_and_variance_of_the_posterior(run: Run) -> None:
    codes = run.encode(table(4), variance=True)
    assert isinstance(codes, Codes)
    x = torch.as_tensor(table(4)).to(run.device)
    with torch.no_grad():
        q = run.model.latent.posterior(run.model.view(x))
    np.testing.assert_allclose(codes.mean, q.mean.cpu(), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(codes.variance, q.variance.cpu(), rtol=1e-5)


def test_reconstruction_is_the_decoded_mean_code(run: Run) -> None:
    x = table(4)
    np.testing.assert_allclose(run.reconstruct(x), run.decode(run.encode(x)), rtol=1e-5, atol=1e-6)


def test_interpolation_is_a_straight_line_of_codes(run: Run) -> None:
    x = table(4)
    a, b = run.encode(x)[:2]
    line = run.interpolate(x[0], x[1], steps=3)
    np.testing.assert_allclose(line[[0, 2]], run.reconstruct(x[:2]), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(line[1:2], run.decode([(a + b) / 2]), rtol=1e-4, atol=1e-5)
    # Data encoded one at a time and together differ by rounding.
    np.testing.assert_allclose(run.interpolate(a, b, steps=3), line, rtol=1e-5, atol=1e-6)


def test_traversal_moves_one_element_in_the_order_of_rate(run: Run) -> None:
    found = run.latents
    order = found.order
    assert found.rate[order[0]] == found.rate.max()
    rows = run.traverse(steps=3, span=2.0)
    z = found.mean.copy()
    z[order[0]] += 2.0 * found.scale[order[0]]
    np.testing.assert_allclose(rows[0, 2], run.decode([z])[0], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(rows[:, 1], run.decode([found.mean] * 2), rtol=1e-4, atol=1e-5)
    other = run.traverse(table(1)[0], dims=[1], steps=3)
    assert other.shape == (1, 3, 5)


def test_rates_of_elements_sum_to_the_rate(run: Run) -> None:
    best = run.history.best
    assert best is not None
    # The history samples z once, but the rate of a normal posterior is in closed form.
    np.testing.assert_allclose(run.latents.rate.sum(), sum(best.valid_rate), rtol=1e-5)


def test_elements_reach_as_far_as_the_codes_of_all_data_together(run: Run) -> None:
    codes = run.encode(run.data("valid"), variance=True)
    spread = codes.mean.var(0) + codes.variance.mean(0)
    np.testing.assert_allclose(run.latents.scale, np.sqrt(spread), rtol=1e-4)


def test_score_is_the_likelihood_that_evaluate_reports(run: Run) -> None:
    valid = run.data("valid")
    found = run.evaluate(valid, k=5)
    assert found.likelihood is not None
    np.testing.assert_allclose(run.score(valid, k=5).mean(), found.likelihood.value, rtol=1e-9)
    assert run.metrics["evaluation"]["log_likelihood"]["value"] == found.likelihood.value


def test_labels_are_known_by_name_and_by_code(labelled: Run) -> None:
    by_name = labelled.sample(4, label="dog")
    np.testing.assert_array_equal(by_name, labelled.sample(4, label=1))
    np.testing.assert_array_equal(by_name, labelled.sample(4, label=["dog"] * 4))
    mixed = labelled.sample(4, label=["owl", "dog", "cat", "dog"])
    np.testing.assert_allclose(mixed[1], by_name[1], rtol=1e-5, atol=1e-6)
    assert not np.allclose(mixed[0], by_name[0])
    x = table(3)
    names = ["cat", "owl", "cat"]
    np.testing.assert_array_equal(
        labelled.encode(x, labels=names), labelled.encode(x, labels=[0, 2, 0])
    )
    assert labelled.score(x, k=2, labels=names).shape == (3,)
    assert labelled.interpolate(x[0], x[1], label="owl").shape == (8, 5)
    assert labelled.traverse(x[0], label="owl").shape == (2, 9, 5)
    assert labelled.evaluate(k=2).n == 6


def test_data_of_a_fitted_run_are_its_splits(run: Run) -> None:
    train, valid = run.data("train"), run.data("valid")
    assert train is not None
    assert valid is not None
    assert len(train) + len(valid) == 60
    assert run.data("test") is None
    assert not set(train.rows.tolist()) & set(valid.rows.tolist())


MISTAKES = {
    "unknown label": (lambda r, c: c.sample(label="dgo"), "Did you mean 'dog'"),
    "no label": (lambda r, c: c.sample(), "conditional: give label=, of cat, dog, owl"),
    "no labels": (lambda r, c: c.encode(table(2)), "conditional: give labels="),
    "too few labels": (lambda r, c: c.encode(table(2), labels=["cat"]), "2"),
    "too many labels": (lambda r, c: c.sample(3, label=["cat"] * 2), "one condition or 3"),
    "both": (lambda r, c: c.sample(label="cat", condition="cat"), "not both"),
    "label unwanted": (lambda r, c: r.sample(label="cat"), "takes no condition"),
    "labels unwanted": (lambda r, c: r.encode(table(2), labels=[0, 1]), "takes no condition"),
    "wrong width": (lambda r, c: r.encode(table(2, 4)), r"\(n, 5\)"),
    "one datum": (lambda r, c: r.encode(table(2)[0]), r"\(n, 5\)"),
    "words": (lambda r, c: r.encode(["a", "b"]), "numbers"),
    "NaN": (lambda r, c: r.encode(np.full((2, 5), np.nan)), "NaN"),
    "masked": (lambda r, c: r.encode(np.ma.masked_less(table(2), 0.0)), "masked"),
    "one masked datum": (
        lambda r, c: r.traverse(np.ma.array(table(1)[0], mask=[1, 0, 0, 0, 0])),
        "masked",
    ),
    "infinity": (lambda r, c: r.score(np.full((2, 5), np.inf)), "infinite"),
    "code width": (lambda r, c: r.decode(np.zeros((2, 3))), r"\(n, 2\)"),
    "one code": (lambda r, c: r.decode(np.zeros(2)), r"\(n, 2\)"),
    "no codes": (lambda r, c: r.decode(np.zeros((0, 2))), "no code"),
    "NaN codes": (lambda r, c: r.decode(np.full((1, 2), np.nan)), "finite"),
    "no samples": (lambda r, c: r.sample(0), "whole number of 1 or more"),
    "one step": (lambda r, c: r.interpolate(np.zeros(2), np.ones(2), steps=1), "2 steps"),
    "short walk": (lambda r, c: r.traverse(steps=1), "2 steps"),
    "no such element": (lambda r, c: r.traverse(dims=[2]), "0 to 1, but got 2"),
    "neither": (lambda r, c: r.interpolate(np.zeros(3), np.zeros(3)), "shape"),
    "two data": (lambda r, c: r.interpolate(table(2), table(2)), "one datum or one code"),
    "split": (lambda r, c: r.data("tset"), "Did you mean 'test'"),
    "no folder": (lambda r, c: r.save(), "no folder yet"),
}


@pytest.mark.parametrize(("use", "told"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_is_told_in_a_sentence(run: Run, labelled: Run, use: Any, told: str) -> None:
    with pytest.raises(DiaboloError, match=told) as caught:
        use(run, labelled)
    assert "\n" not in str(caught.value)


def test_a_deterministic_model_has_codes_but_no_samples_and_no_likelihood() -> None:
    found = diabolo.fit(table(), "ae", **SMALL)
    x = table(3)
    assert (found.encode(x, variance=True).variance == 0).all()
    assert found.reconstruct(x).shape == x.shape
    assert found.traverse(steps=3).shape == (2, 3, 5)
    with pytest.raises(DiaboloError, match="no prior to sample"):
        found.sample()
    with pytest.raises(DiaboloError, match="deterministic"):
        found.score(x)
    assert found.evaluate().likelihood is None


def test_conditional_data_are_measured_with_their_labels_and_without(labelled: Run) -> None:
    x, names = table(), np.array(["cat", "dog", "owl"])[np.arange(60) % 3]
    given = labelled.evaluate(x, labels=names, k=5)
    assert given.likelihood is not None
    assert np.array_equal(given.likelihood.per_datum.numpy(), labelled.score(x, labels=names, k=5))
    assert "log p(x|c)" in given.likelihood.kind
    alone = labelled.evaluate(x, k=5, marginal=True)
    assert alone.likelihood is not None
    assert alone.bound is None
    assert "log p(x) " in alone.likelihood.kind
    assert np.array_equal(alone.likelihood.per_datum.numpy(), labelled.score(x, k=5, marginal=True))


def test_marginal_takes_the_class_frequencies_of_the_training_data() -> None:
    names = np.array(["cat", "dog"])[(np.arange(60) % 4 == 0).astype(int)]
    run = diabolo.fit(table(), labels=names, condition="labels", **SMALL)
    assert run.splits is not None
    assert run.splits.train.c is not None
    counts = run.splits.train.c.sum(0).tolist()
    assert run.prints["train"]["classes"] == counts
    assert counts[0] != counts[1]
    known = run.score(table(), k=3, marginal=True)
    assert np.array_equal(known, run.score(table(), k=3, marginal=counts))
    assert not np.array_equal(known, run.score(table(), k=3, marginal=(1, 1)))
    only = run.score(table(), k=3, marginal=(1, 0), labels=names)  # the labels have no part in it
    assert np.array_equal(only, run.score(table(), k=3, marginal=(1, 0)))


def test_marginal_without_frequencies_is_refused(run: Run, labelled: Run) -> None:
    with pytest.raises(DiaboloError, match="takes no condition: leave marginal out"):
        run.score(table(), marginal=True)
    values = diabolo.fit(table(), condition=np.linspace(0, 1, 60), **SMALL)
    with pytest.raises(DiaboloError, match=r"not known for this run.*marginal=\(p1"):
        values.evaluate(marginal=True, k=2)
    with pytest.raises(DiaboloError, match="True, False or the frequencies of the classes"):
        labelled.score(table(), marginal="all")
    with pytest.raises(DiaboloError, match="belong to data"):
        labelled.evaluate(labels=["cat"], k=2)


@pytest.mark.parametrize("verb", ["score", "evaluate"])
@pytest.mark.parametrize("wrong", [{"k": 2.5}, {"k": 0}, {"k": True}, {"seed": "a"}, {"seed": 1.0}])
def test_counts_and_seeds_of_another_type_are_sentences(run: Run, verb: str, wrong: Any) -> None:
    name = next(iter(wrong))
    with pytest.raises(DiaboloError, match=f"^{name} is a whole number"):
        getattr(run, verb)(table(), **{"k": 2, **wrong})
    same = run.score(table(), k=np.int64(2), seed=np.int64(3))
    assert np.array_equal(same, run.score(table(), k=2, seed=3))
