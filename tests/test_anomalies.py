"""Anomalies: scores, p-values and flags, attribution, and what is refused."""

from __future__ import annotations

import io
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from scipy import stats
from sklearn.covariance import ledoit_wolf

import diabolo
from diabolo.errors import DiaboloError
from diabolo.evaluate import log_likelihood
from diabolo.noise import mix_seed
from diabolo.run import Run
from diabolo.tasks import SCORES, attribution, conformal_p_values, discoveries
from diabolo.tasks.scores import Subject
from diabolo.tasks.scores._subject import Normal
from diabolo.tasks.scores.typicality import LEARNING

SMALL: dict[str, Any] = {"net": "mlp(hidden=(16,))", "latent": 2, "batch_size": 32}
TABLES = sorted(set(SCORES.names()) - {"complexity"})
DETERMINISTIC = {"distortion", "excess", "latent_distance"}


def table(n: int = 400, seed: int = 0) -> np.ndarray:
    """Rows near a plane in five dimensions."""
    rng = np.random.default_rng(seed)
    z = rng.normal(size=(n, 2))
    x = z @ np.random.default_rng(9).normal(size=(2, 5)) + 0.1 * rng.normal(size=(n, 5))
    return x.astype(np.float32)


def strange(n: int = 40) -> np.ndarray:
    """Rows far from the others, and off their plane."""
    return (12 + np.random.default_rng(5).normal(size=(n, 5))).astype(np.float32)


def pictures(n: int = 60) -> np.ndarray:
    """Grey images of two blocks that move together."""
    rng = np.random.default_rng(0)
    x = rng.integers(0, 30, (n, 6, 5), dtype=np.uint8)
    x[np.arange(n), rng.integers(0, 6, n)] = 200
    return x


@pytest.fixture(scope="module")
def run() -> Run:
    return diabolo.fit(table(), epochs=15, learning_rate=1e-2, valid=0.25, **SMALL)


@pytest.fixture(scope="module")
def plain() -> Run:
    return diabolo.fit(table(), "ae", epochs=3, **SMALL)


@pytest.fixture(scope="module")
def images() -> Run:
    return diabolo.fit(pictures(), epochs=2, **SMALL)


# --- p-values and flags


def test_p_values_are_uniform_on_exchangeable_data() -> None:
    rng = np.random.default_rng(0)
    drawn = rng.standard_t(2, size=(4000, 20))  # whatever the law of the scores
    p = np.array([conformal_p_values(row[:1], row[1:])[0] for row in drawn])
    counts = np.bincount(np.rint(20 * p).astype(int), minlength=21)
    assert counts[0] == 0
    # One of 20 values each: at a fixed seed, and not rare under the law.
    assert stats.chisquare(counts[1:]).pvalue > 0.01


def test_p_values_are_never_too_small_where_scores_tie() -> None:
    rng = np.random.default_rng(0)
    drawn = rng.integers(0, 3, size=(4000, 20))
    p = np.array([conformal_p_values(row[:1], row[1:])[0] for row in drawn])
    for level in (0.1, 0.25, 0.5):
        assert (p <= level).mean() <= level + 3 * math.sqrt(level * (1 - level) / len(p))


def test_p_values_of_few_numbers() -> None:
    found = conformal_p_values([5.0, 2.0, 0.0], [1.0, 2.0, 3.0])
    np.testing.assert_allclose(found, [1 / 4, 3 / 4, 1])


@pytest.mark.parametrize("rate", [0.05, 0.2])
def test_false_discoveries_are_kept_at_their_rate(rate: float) -> None:
    rng = np.random.default_rng(0)
    false, power = [], []
    for _ in range(400):
        beside = rng.normal(size=1000)
        new = np.concatenate([rng.normal(size=180), rng.normal(4, 1, size=20)])
        flags = discoveries(conformal_p_values(new, beside), rate)
        false.append(flags[:180].sum() / max(1, flags.sum()))
        power.append(flags[180:].mean())
    error = 3 * np.std(false) / math.sqrt(len(false))
    assert np.mean(false) <= rate * 0.9 + error  # 0.9 of the rows are normal
    assert np.mean(false) >= rate * 0.9 - 0.02 - error  # what is asked for is used
    assert np.mean(power) > 0.5


def test_discoveries_are_those_of_the_step_up_rule() -> None:
    # Benjamini & Hochberg: all up to the last that lies below its line, 0.005 i.
    p = [0.001, 0.012, 0.0145, 0.019, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7]
    assert discoveries(p, 0.05).tolist() == [True] * 4 + [False] * 6


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: conformal_p_values([1.0], []), "one at least"),
        (lambda: conformal_p_values([math.nan], [1.0]), "none NaN"),
        (lambda: discoveries([0.5], 1.0), "between 0 and 1"),
        (lambda: discoveries([1.5], 0.1), "each between 0 and 1"),
    ],
)
def test_bad_p_values_are_refused(call: Any, words: str) -> None:
    with pytest.raises(DiaboloError, match=words):
        call()


def test_flags_by_fdr_find_what_is_strange(run: Run) -> None:
    x = np.concatenate([table(150, seed=3), strange()])
    found = diabolo.anomalies(run, x, fdr=0.1, reference=table(600, seed=4))
    assert found.p_values is not None
    assert found.flags is not None
    assert found.flags[150:].all()
    assert found.flags[:150].mean() < 0.1
    assert set(found.order[:40]) == set(range(150, 190))
    assert found.threshold == found.scores[found.flags].min()


@pytest.mark.parametrize("score", ["log_likelihood(k=5)", "typicality(k=5)", "latent_distance"])
def test_p_values_of_a_run_are_uniform_on_new_rows(run: Run, score: str) -> None:
    found = diabolo.anomalies(run, table(600, 7), score=score, reference=table(1200, 8))
    assert found.p_values is not None
    assert found.flags is None
    # The p-values share the reference, of which 600 or 1200 rows are beside.
    error = 3.5 * math.sqrt(1 / 12 / 600 + 1 / 12 / 600)
    assert abs(found.p_values.mean() - 0.5) < error


def test_flags_by_contamination_are_the_strangest(run: Run) -> None:
    found = diabolo.anomalies(run, table(100, 2), contamination=0.07)
    assert found.flags is not None
    assert found.p_values is None
    assert found.flags.sum() == 7
    assert set(np.flatnonzero(found.flags)) == set(found.order[:7])


def test_without_a_threshold_nothing_is_flagged(run: Run) -> None:
    found = diabolo.anomalies(run, table(10, 2))
    assert found.flags is None
    assert found.threshold is None
    assert found.p_values is None
    assert found.score == "excess"
    assert found.to_json()["flagged"] is None


def test_few_normal_rows_are_told(run: Run) -> None:
    found = diabolo.anomalies(run, table(200, 2), score="bound", fdr=0.01, reference=table(50, 4))
    assert any("least p-value beside 50 normal rows" in note for note in found.notes)
    found = diabolo.anomalies(run, table(20, 2), fdr=0.2)
    assert any("validation data, which chose the weights" in note for note in found.notes)


# --- scores


@pytest.mark.parametrize("name", TABLES)
def test_strange_rows_score_higher(run: Run, name: str) -> None:
    x = np.concatenate([table(60, seed=3), strange()])
    found = diabolo.anomalies(run, x, score=name).scores
    assert found.shape == (100,)
    assert found.dtype == np.float64
    assert found[60:].min() > np.median(found[:60])


@pytest.mark.parametrize("name", TABLES)
def test_order_and_company_of_rows_do_not_matter(run: Run, name: str) -> None:
    data = run.schema.data(table(13, 2))
    whole = diabolo.anomalies(run, data, score=name).scores
    parts = torch.arange(13).flip(0).split(4)
    each = [diabolo.anomalies(run, data.take(rows), score=name).scores for rows in parts]
    # Products of another height round differently: float32 eps times the size of a score.
    np.testing.assert_allclose(np.concatenate(each)[::-1], whole, rtol=1e-4, atol=1e-4)


def test_bound_is_distortion_and_rate(run: Run) -> None:
    x = table(20, 2)
    parts = [diabolo.anomalies(run, x, score=s).scores for s in ("bound", "distortion", "rate")]
    np.testing.assert_allclose(parts[0], parts[1] + parts[2], rtol=1e-6)


def test_log_likelihood_is_that_of_the_run(run: Run) -> None:
    x = table(20, 2)
    found = diabolo.anomalies(run, x, score="log_likelihood(k=7)", seed=3).scores
    np.testing.assert_allclose(found, -run.score(x, k=7, seed=3), rtol=1e-6)


def test_typicality_is_the_distance_from_the_level_on_either_side(run: Run) -> None:
    x = np.concatenate([table(20, 2), strange(5)])
    log_px = run.score(x, k=5)
    found = diabolo.anomalies(run, x, score="typicality(k=5)").scores
    normal = run.data("valid")
    assert normal is not None
    level = log_likelihood(run.model, normal, k=5, seed=mix_seed(0, LEARNING)).value
    np.testing.assert_allclose(found, np.abs(log_px - level), rtol=1e-6)
    assert (log_px > level).any()
    assert (log_px < level).any()


def test_latent_distance_of_known_codes(run: Run) -> None:
    codes = run.encode(run.data("train"), variance=True)
    mean, variance = codes.mean.astype(np.float64), codes.variance.astype(np.float64)
    spread = ledoit_wolf(mean)[0] + np.diag(variance.mean(0))
    away = mean - mean.mean(0)
    wanted = np.sqrt(np.einsum("ni,ij,nj->n", away, np.linalg.inv(spread), away))
    found = diabolo.anomalies(run, run.data("train"), score="latent_distance").scores
    # The variance is a hundredth of the spread; codes are float32.
    np.testing.assert_allclose(found, wanted, rtol=1e-4)


@pytest.mark.parametrize(
    ("of", "names"),
    [
        ("density", ("log_likelihood(k=64)", "margins")),
        ("code", ("distortion(k=64)", "latent_distance")),
    ],
)
def test_excess_is_made_of_its_parts(run: Run, of: str, names: tuple[str, ...]) -> None:
    x = np.concatenate([table(60, seed=3), strange()])
    whole, *parts = (
        diabolo.anomalies(run, x, score=name).scores for name in (f"excess(of={of})", *names)
    )
    design = np.stack([*parts, np.ones(len(x))], 1)
    weights, left, *_ = np.linalg.lstsq(design, whole)
    assert (weights[:2] > 0).all()
    np.testing.assert_allclose(design @ weights, whole, rtol=1e-5, atol=1e-5)
    assert left.size
    # Of the training data the median of each part is 0 and its upper quartile 1.
    trained = run.data("train")
    for name, weight in zip(names, weights[:2], strict=True):
        low, high = np.quantile(diabolo.anomalies(run, trained, score=name).scores, [0.5, 0.75])
        assert weight == pytest.approx(1 / (high - low), rel=0.1)  # other draws of z
    assert abs(np.median(whole[:60])) < 2


def test_margins_are_the_likelihood_where_columns_are_independent() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(300, 4)).astype(np.float32)
    run = diabolo.fit(x, epochs=1, likelihood="Normal(scale=column)", **SMALL)
    with torch.no_grad():  # a decoder that does not read the code
        run.model.likelihood.net.head.weight.zero_()
    found = diabolo.anomalies(run, x[:20], score="margins").scores
    code = diabolo.anomalies(run, x[:20], score="distortion").scores
    np.testing.assert_allclose(found, code, rtol=1e-5)


def test_margins_know_no_dependence_and_what_is_missing_adds_nothing() -> None:
    x = np.random.default_rng(0).normal(size=(400, 1)) * np.ones((1, 2))
    x = (x + 0.05 * np.random.default_rng(1).normal(size=x.shape)).astype(np.float32)
    x[::5, 1] = np.nan
    run = diabolo.fit(x, epochs=40, learning_rate=1e-2, missing="nan", **SMALL)
    new = np.array([[1, 1], [1, -1], [1, np.nan], [np.nan, -1]], np.float32)
    by = {
        name: diabolo.anomalies(run, new, score=name).scores
        for name in ("margins", "log_likelihood")
    }
    assert by["log_likelihood"][1] > by["log_likelihood"][0] + 5  # the columns move together
    assert abs(by["margins"][1] - by["margins"][0]) < 1
    np.testing.assert_allclose(by["margins"][1], by["margins"][2:].sum(), rtol=1e-5)


def test_a_score_that_learns_judges_by_the_other_half() -> None:
    data = diabolo.fit(table(40), epochs=1, **SMALL).schema.data(table(11))
    normal = Normal(lambda: data, halved=True)
    assert len(normal.beside()) == 11  # nothing was learned
    learned, beside = normal.learn(), normal.beside()
    assert sorted([*learned.rows.tolist(), *beside.rows.tolist()]) == list(range(11))
    assert len(Normal(lambda: data).learn()) == 11
    trained = Normal(lambda: data, lambda: data.take(torch.arange(5)), halved=True)
    assert len(trained.many()) == 5
    assert len(trained.beside()) == 11  # of those that it was trained on, nothing is beside


def test_complexity_adds_the_length_of_a_png(images: Run) -> None:
    from diabolo.tasks.scores.complexity import lengths

    x = pictures(12)
    flat = np.full_like(x, 7)
    both = np.concatenate([x, flat])
    nats = lengths(images.schema.data(both), images.schema).numpy()
    file = io.BytesIO()
    Image.fromarray(x[0]).save(file, "PNG", optimize=True)
    assert nats[0] == pytest.approx(8 * math.log(2) * len(file.getvalue()))
    assert nats[12:].max() < nats[:12].min()  # a plain image takes less
    found = diabolo.anomalies(images, both, score="complexity(k=3)").scores
    np.testing.assert_allclose(found, -images.score(both, k=3) - nats, rtol=1e-6)


def test_images_are_judged_by_a_score_that_survives_the_trap(images: Run) -> None:
    found = diabolo.anomalies(images, pictures(4))
    assert found.score == "complexity"
    assert not found.notes
    assert diabolo.anomalies(images, pictures(4), score="bound").score == "bound"
    for x, recipe, more in (
        (pictures(), "ae", {}),
        (np.random.default_rng(0).normal(size=(40, 4, 5, 1)), "vae", {"support": "real"}),
    ):
        other = diabolo.fit(x, recipe, epochs=1, **SMALL, **more)
        told = diabolo.anomalies(other, x[:4])
        assert told.score == "excess"
        assert any("foreign images" in note for note in told.notes)
        assert not diabolo.anomalies(other, x[:4], score="distortion").notes


@pytest.mark.parametrize("options", [{"binarize": "threshold"}, {"dequantize": True}], ids=str)
def test_complexity_reads_bits_and_dequantised_levels(options: dict[str, Any]) -> None:
    from diabolo.tasks.scores.complexity import _levels, lengths

    run = diabolo.fit(pictures(), epochs=1, **SMALL, **options)
    data = run.schema.data(pictures(5))
    x = data.batch(torch.arange(5)).x
    levels = _levels(x, run.schema)[:, 0].numpy()
    wanted = pictures(5)
    if "binarize" in options:
        wanted = (wanted > 127).astype(np.uint8)
    np.testing.assert_array_equal(levels, wanted)
    assert bool((lengths(data, run.schema) > 0).all())


# --- attribution


LIKELIHOODS = {
    "real": (table(80), {}),
    "heavy tails": (table(80), {"likelihood": "StudentT(scale=column)"}),
    "counts": (np.random.default_rng(0).poisson(3, (80, 4)), {"support": "count"}),
    "bits": ((table(80) > 0).astype(np.uint8), {}),
    "images": (pictures(), {}),
    "colour": (np.random.default_rng(0).integers(0, 256, (40, 4, 5, 3), dtype=np.uint8), {}),
    "mixed": (
        np.stack([table(80)[:, 0], np.arange(80) % 3], 1),
        {"kinds": ("real", "category:3"), "support": "mixed"},
    ),
    "missing": (np.where(table(80) > 1.5, np.nan, table(80)), {"missing": "nan"}),
    "constant": (np.insert(table(80), 1, 4.0, axis=1), {}),
}


@pytest.mark.parametrize("case", LIKELIHOODS)
@pytest.mark.parametrize("recipe", ["vae", "ae"])
def test_attribution_sums_to_the_distortion(case: str, recipe: str) -> None:
    x, options = LIKELIHOODS[case]
    run = diabolo.fit(x, recipe, epochs=1, **SMALL, **options)
    found = diabolo.anomalies(run, x[:30], score="distortion", attribution=True)
    assert found.attribution is not None
    assert found.attribution.shape == x[:30].shape
    total = np.nansum(found.attribution.reshape(30, -1), 1)
    np.testing.assert_allclose(total, found.scores, rtol=2e-5, atol=2e-4)  # float32 sums
    unseen = np.isnan(x[:30]) if case == "missing" else np.zeros(x[:30].shape, bool)
    np.testing.assert_array_equal(np.isnan(found.attribution), unseen)
    if case == "constant":
        assert (found.attribution[:, 1] == 0).all()


def test_attribution_names_the_column_that_is_strange(run: Run) -> None:
    x = table(30, 2)
    x[:, 3] += 8
    found = diabolo.anomalies(run, x, attribution=True).attribution
    assert found is not None
    usual = diabolo.anomalies(run, table(30, 2), attribution=True).attribution
    assert ((found - usual).argmax(1) == 3).mean() > 0.8


def test_attribution_over_all_values_of_a_discrete_code() -> None:
    run = diabolo.fit(table(80), "discrete_vae", epochs=1, net="mlp(hidden=(8,))")
    data = run.schema.data(table(9))
    parts = attribution(run.model, data)
    whole = diabolo.anomalies(run, data, score="distortion").scores
    np.testing.assert_allclose(parts.sum(1).numpy(), whole, rtol=1e-5)


# --- what is refused


@pytest.mark.parametrize("name", sorted(set(SCORES.names()) - DETERMINISTIC))
def test_a_deterministic_model_has_no_densities(plain: Run, name: str) -> None:
    with pytest.raises(DiaboloError, match="deterministic"):
        diabolo.anomalies(plain, table(5), score=name)


@pytest.mark.parametrize("name", sorted(DETERMINISTIC))
def test_a_deterministic_model_has_distortion_and_distance(plain: Run, name: str) -> None:
    x = np.concatenate([table(40, 2), strange()])
    found = diabolo.anomalies(plain, x, score=name).scores
    assert np.median(found[40:]) > np.median(found[:40])
    assert diabolo.anomalies(plain, x).score == "excess"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"contamination": 0.1, "fdr": 0.1}, "one of them"),
        ({"contamination": 0.0}, "above 0 and at most 0.5"),
        ({"contamination": 0.6}, "at most 0.5"),
        ({"contamination": "auto"}, "contamination is a number"),
        ({"fdr": 1.0}, "fdr is a number above 0 and below 1"),
        ({"fdr": True}, "fdr is a number"),
        ({"score": "likelihood"}, "Unknown score"),
        ({"score": "bound(n=3)"}, "option of score 'bound'"),
        ({"score": "excess(of=rate)"}, "'density' or 'code'"),
        ({"score": "bound(k=0)"}, "k is a whole number of 1 or more"),
        ({"score": "complexity"}, "these data are a table"),
        ({"precision": "fp8"}, "precision"),
        ({"labels": [1]}, "takes no condition"),
        ({"reference": np.zeros((3, 2))}, "Expected data of shape"),
        ({"reference": table(1), "score": "latent_distance"}, "2 rows at least"),
        ({"reference": table(2), "score": "latent_distance"}, "2 data at least"),
        ({"seed": 1.5}, "seed is a whole number"),
    ],
    ids=str,
)
def test_bad_options_are_refused(run: Run, options: dict[str, Any], words: str) -> None:
    with pytest.raises(DiaboloError, match=words):
        diabolo.anomalies(run, table(5), **options)


def test_missing_values_follow_the_schema(run: Run) -> None:
    x = table(20, 2)
    x[3, 1] = np.nan
    with pytest.raises(DiaboloError, match="missing"):
        diabolo.anomalies(run, x)
    holes = np.where(table(80) > 1.5, np.nan, table(80))
    seen = diabolo.fit(holes, epochs=1, missing="nan", **SMALL)
    assert np.isfinite(diabolo.anomalies(seen, x).scores).all()


@pytest.mark.parametrize("score", ["typicality", "latent_distance", "margins", "excess"])
def test_normal_data_that_are_gone_are_asked_for(tmp_path: Path, score: str) -> None:
    diabolo.fit(table(60), epochs=1, out=tmp_path / "run", **SMALL)
    loaded = diabolo.load(tmp_path / "run")
    assert diabolo.anomalies(loaded, table(5), score="bound").scores.shape == (5,)
    for options in ({"score": score}, {"score": "bound", "fdr": 0.1}):
        with pytest.raises(DiaboloError, match="give reference="):
            diabolo.anomalies(loaded, table(5), **options)
    found = diabolo.anomalies(loaded, table(5), score=score, reference=table(30))
    assert found.p_values is not None


def test_codes_without_distances_are_refused() -> None:
    round_codes = diabolo.fit(table(60), "hyperspherical_vae", epochs=1, **SMALL)
    with pytest.raises(DiaboloError, match="straight lines"):
        diabolo.anomalies(round_codes, table(5), score="latent_distance")
    discrete = diabolo.fit(table(60), "discrete_vae", epochs=1, net="mlp(hidden=(8,))")
    with pytest.raises(DiaboloError, match="numbers are names"):
        diabolo.anomalies(discrete, table(5), score="latent_distance")


def test_a_conditional_model_judges_given_the_label() -> None:
    names = np.array(["cat", "dog"])[np.arange(60) % 2]
    run = diabolo.fit(table(60), labels=names, condition="labels", epochs=1, **SMALL)
    given = diabolo.anomalies(
        run,
        table(6),
        score="log_likelihood",
        labels=names[:6],
        fdr=0.2,
        reference=(table(30), names[:30]),
    )
    np.testing.assert_allclose(given.scores, -run.score(table(6), labels=names[:6]), rtol=1e-6)
    with pytest.raises(DiaboloError, match="conditional: give labels="):
        diabolo.anomalies(run, table(6))


def test_subject_is_what_the_registry_builds_with(run: Run) -> None:
    subject = Subject(run.model, run.schema, Normal(lambda: run.data("valid")))
    for name in TABLES:
        judge = SCORES.build(name, subject)
        assert judge(run.schema.data(table(3)), 0).dtype == torch.float64
