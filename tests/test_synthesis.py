"""What is said of synthetic rows, against laws whose answers are known."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import narwhals as nw
import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose
from scipy.stats import ks_2samp

import diabolo
from diabolo.__main__ import main
from diabolo.tasks.synthesis.baselines import BASELINES, copula
from diabolo.tasks.synthesis.coded import Coded, Distances, holes_of
from diabolo.tasks.synthesis.fidelity import dependence, marginals, utility
from diabolo.tasks.synthesis.leakage import membership
from diabolo.tasks.synthesis.report import REAL, judge
from diabolo.tasks.synthesis.synthesize import coded_rows

RHO = 0.8


def law(n: int, seed: int) -> Coded:
    """Two numbers of correlation RHO, a code that follows from the first, an unrelated code."""
    g = np.random.default_rng(seed)
    a = g.normal(size=n)
    b = RHO * a + np.sqrt(1 - RHO**2) * g.normal(size=n)
    x = np.stack([a, b, np.digitize(a, [-1.0, 0.5]), g.integers(0, 3, n)], axis=1)
    return Coded(x.astype(np.float64), ("a", "b", "cut", "any"), (False, False, True, True))


def test_marginal_distances_are_those_of_scipy_and_of_shares() -> None:
    one, two = law(400, 0), law(300, 1)
    found = marginals(one, two)
    assert found[0] == ks_2samp(one.x[:, 0], two.x[:, 0]).statistic
    shares = [[(t.x[:, 3] == v).mean() for v in range(3)] for t in (one, two)]
    assert found[3] == pytest.approx(np.abs(np.subtract(*shares)).sum() / 2)
    assert_allclose(marginals(one, one), 0)


def test_dependence_has_its_known_values() -> None:
    rows = law(4000, 0)
    found = dependence(rows)
    assert_allclose(found, found.T)
    # The rank correlation of a Gaussian pair is 6/pi asin(rho/2); its error here is 0.006.
    assert found[0, 1] == pytest.approx(6 / np.pi * np.arcsin(RHO / 2), abs=0.02)
    assert found[0, 3] < 0.06
    assert found[2, 3] < 0.06
    same = Coded(rows.x[:, [2, 2]], ("u", "v"), (True, True))
    assert dependence(same)[0, 1] == pytest.approx(1)
    ordered = Coded(
        np.stack([np.repeat([0.0, 5.0], 50), np.repeat([1.0, 0.0], 50)], 1),
        ("u", "v"),
        (False, True),
    )
    assert dependence(ordered)[0, 1] == pytest.approx(1)
    # Of ranks 1 to 12 in two halves, 108 of the sum of squares 143 lies between the halves.
    halves = Coded(np.stack([np.arange(12.0), np.repeat([0.0, 1.0], 6)], 1), "uv", (False, True))
    assert dependence(halves)[0, 1] == pytest.approx(np.sqrt(108 / 143))


@pytest.mark.parametrize("name", BASELINES)
def test_baselines_keep_the_marginals_and_no_more_than_they_promise(name: str) -> None:
    train = law(4000, 0)
    rows = BASELINES[name](train)(4000, np.random.default_rng(1))
    # 1.63 sqrt(2 / n) is passed by one in a hundred columns of one law.
    assert (marginals(train, rows) < 1.63 * np.sqrt(2 / 4000)).all()
    kept = dependence(rows)[0, 1]
    assert (
        kept == pytest.approx(dependence(train)[0, 1], abs=0.03)
        if name.startswith("G")
        else kept < 0.06
    )


def test_a_copula_is_the_law_where_the_law_is_one() -> None:
    train = law(4000, 0)
    gaussian = Coded(train.x[:, :2], ("a", "b"), (False, False))
    z = copula(gaussian)(20_000, np.random.default_rng(2)).x
    assert np.corrcoef(z.T)[0, 1] == pytest.approx(np.corrcoef(gaussian.x.T)[0, 1], abs=0.02)


def test_a_copula_reads_rows_with_holes() -> None:
    train = law(4000, 0)
    x = train.x.copy()
    x[np.random.default_rng(1).random(x.shape) < 0.3] = np.nan
    holed = Coded(x, train.names, train.codes)
    rows = copula(holed)(4000, np.random.default_rng(2))
    assert not np.isnan(rows.x).any()
    assert dependence(rows)[0, 1] == pytest.approx(dependence(train)[0, 1], abs=0.04)
    holes = np.isnan(holes_of(rows, holed, np.random.default_rng(3)).x).mean()
    assert holes == pytest.approx(0.3, abs=0.02)


def test_membership_is_told_of_copies_and_not_of_fresh_rows() -> None:
    train, others, fresh = law(500, 0), law(500, 1), law(500, 2)
    near = Distances(train)
    assert membership(near(train), near(others), near(train)).auc > 0.99
    found = membership(near(train), near(others), near(fresh))
    assert abs(found.auc - 0.5) < 3 * found.stderr
    # Under one law the variance of the area is (n + m + 1) / (12 n m).
    assert found.stderr == pytest.approx(np.sqrt(1001 / (12 * 500 * 500)), rel=0.05)


def test_the_error_of_membership_is_that_of_repeated_draws() -> None:
    # Hanley and McNeil's formula is exact where what is ranked is exponential.
    rng = np.random.default_rng(0)
    found = []
    for _ in range(300):
        rows = [30 - rng.exponential(mean, (n, 1)) for mean, n in ((4, 20), (1, 160))]
        found.append(membership(*rows, np.zeros((1, 1))))
    auc, error = np.array(found).T
    assert auc.mean() == pytest.approx(0.8, abs=0.02)
    assert error.mean() == pytest.approx(auc.std(), rel=0.12)  # 300 draws know it to 4 %


def test_distances_are_of_ranks_and_of_codes_that_differ() -> None:
    x = np.stack([np.arange(100.0) ** 3, np.arange(100) % 4], 1)
    train = Coded(x, ("a", "b"), (False, True))
    near = Distances(train)(train)
    assert near[:, 0].std() == pytest.approx(1, abs=0.01)
    assert np.linalg.norm(near[0, 1:] - near[1, 1:]) == pytest.approx(1)
    gone = Distances(train)(Coded(np.full((1, 2), np.nan), train.names, train.codes))
    assert_allclose(gone[0], near.mean(0), atol=1e-12)


def test_rows_are_compared_with_the_holes_of_real_ones() -> None:
    def holed(seed: int) -> Coded:
        rows = law(400, seed)
        gap = np.random.default_rng(seed).random(400) < 0.5
        return Coded(np.where(gap[:, None], np.nan, rows.x), rows.names, rows.codes)

    found = judge({"law": lambda n, g: law(n, 9)}, holed(0), holed(1), baselines=False)["law"]
    assert found.two_sample.p > 0.001


def test_utility_is_what_can_be_learned() -> None:
    train, test = law(2000, 0), law(2000, 1)
    found = utility(train, test, "b")
    # No predictor explains more than RHO^2 of b; the errors of 2000 rows are 0.02.
    assert RHO**2 - 0.1 < found.score < RHO**2 + 0.03
    assert utility(train, test, "cut").score > 0.97
    lost = Coded(np.where([False, False, True, False], 1.0, train.x), train.names, train.codes)
    assert utility(lost, test, "cut").score == pytest.approx((test.x[:, 2] == 1).mean())
    with pytest.raises(diabolo.DiaboloError, match="Did you mean 'cut'"):
        utility(train, test, "cuts")


def test_a_report_tells_the_law_the_thief_and_the_baselines_apart() -> None:
    train, test = law(1500, 0), law(1500, 1)
    report = judge(
        {"law": lambda n, g: law(n, int(g.integers(1 << 30))), "thief": lambda n, g: train},
        train,
        test,
        target="cut",
    )
    assert [j.name for j in report.judged] == ["law", "thief", *BASELINES, REAL]
    own, thief, alone = report["law"], report["thief"], report["independent columns"]
    assert own.two_sample.p > 0.001
    assert own.nearest is not None
    assert thief.nearest is not None
    assert own.nearest.p > 0.001 > thief.nearest.p
    assert own.membership is not None
    assert thief.membership is not None
    assert thief.membership.auc > 0.95 > own.membership.auc
    assert alone.two_sample.p < 1e-6
    assert alone.dependence > 3 * own.dependence
    assert alone.gain is not None
    assert alone.gain_stderr is not None
    assert alone.gain < -3 * alone.gain_stderr
    assert report.worst("law")[0] in train.names
    assert judge({}, train, test, baselines=False).judged[0].name == REAL


def test_a_table_of_one_column_has_no_pairs_to_compare() -> None:
    one, two = (Coded(law(100, i).x[:, :1], ("a",), (False,)) for i in (0, 1))
    found = judge({}, one, two, baselines=False)[REAL]
    assert np.isnan(found.dependence)
    assert found.to_json()["dependence"] is None


def test_a_report_of_too_few_rows_is_refused() -> None:
    with pytest.raises(diabolo.DiaboloError, match="40 training rows"):
        judge({}, law(39, 0), law(100, 1))


SMALL = {"latent": 2, "net": "mlp(hidden=(16,))", "epochs": 3}


@pytest.fixture(scope="module")
def table() -> Any:
    g = np.random.default_rng(0)
    kind = g.integers(0, 3, 400)
    return pd.DataFrame(
        {
            "weight": kind + g.normal(0, 0.3, 400),
            "breed": np.array(["cat", "dog", "pig"])[kind],
            "legs": np.where(g.random(400) < 0.2, np.nan, 4.0 + kind),
        }
    )


@pytest.fixture(scope="module")
def run(table: Any, tmp_path_factory: pytest.TempPathFactory) -> diabolo.Run:
    place = tmp_path_factory.mktemp("synthesis")
    table.to_csv(place / "animals.csv", index=False)
    return diabolo.fit(place / "animals.csv", "vae", out=place / "run", **SMALL)


def test_a_run_writes_tables_like_the_one_fitted(run: diabolo.Run, table: Any) -> None:
    found = diabolo.synthesize(run, 50, seed=1)
    rows = nw.from_native(found.data)
    assert rows.columns == list(table.columns)
    assert len(rows) == 50
    assert set(rows["breed"].to_list()) <= {"cat", "dog", "pig"}
    assert found.labels is None
    first = nw.from_native(diabolo.synthesize(run, 20, seed=1).data)
    assert first["weight"].to_list() == rows["weight"].to_list()[:20]
    assert len(diabolo.synthesize(run).data) == run.prints["train"]["count"]


def test_labels_are_drawn_as_often_as_they_came(table: Any) -> None:
    y = np.where(np.arange(400) % 4 == 0, "rare", "common")
    numbers = table[["weight"]].assign(more=table["weight"] ** 2).to_numpy()
    cvae = diabolo.fit(numbers, "cvae", labels=y, condition="labels", **SMALL)
    found = diabolo.synthesize(cvae, 2000)
    # The share of `rare` is 1/4 but for the rows held out; 4 standard errors are 0.04.
    assert (found.labels == "rare").mean() == pytest.approx(0.25, abs=0.06)
    report = diabolo.synthesis_report(cvae, target="labels")
    assert report.names == ("0", "1", "labels")
    with pytest.raises(diabolo.DiaboloError, match="give the data too"):
        diabolo.synthesis_report(cvae, labels=y)


def test_columns_keep_their_names(table: Any) -> None:
    odd = {"weight": "the 'big'", "legs": "column 'x'"}
    run = diabolo.fit(table[list(odd)].rename(columns=odd), **SMALL)
    rows = run.data("train")
    assert rows is not None
    assert coded_rows(run, rows).names == tuple(odd.values())


def test_a_report_reads_the_run_s_own_splits(run: diabolo.Run) -> None:
    report = diabolo.synthesis_report(diabolo.load(run.folder or ""), target="breed")
    assert report.names == ("weight", "breed", "legs")
    assert [j.name for j in report.judged] == ["vae", *BASELINES, REAL]
    # Holes are given to synthetic rows, so that they do not tell them apart.
    assert report["independent columns"].columns[2] < 0.2
    assert json.loads(json.dumps(report.to_json()))["target"] == "breed"


def test_the_command_writes_the_table_and_tells(
    run: diabolo.Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "made.csv"
    argv = ["synthesize", str(run.folder), "--out", str(out), "--n", "30"]
    assert main([*argv, "--report", "--target", "breed"]) == 0
    told = capsys.readouterr().out
    for word in ("30 synthetic rows", "copula", "two-sample", "membership", "utility"):
        assert word in told
    assert list(pd.read_csv(out).columns) == ["weight", "breed", "legs"]
    assert len(pd.read_csv(out)) == 30


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--out", "a.csv", "--target", "breed"], "add --report"),
        (["--out", "a.npz"], "A table is written as .csv"),
        (["--out", "a.csv", "--report", "--target", "bred"], "Did you mean 'breed'"),
        (["--out", "a.csv", "--n", "0"], "1 or more"),
    ],
)
def test_the_command_refuses(
    words: list[str],
    told: str,
    run: diabolo.Run,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["synthesize", str(run.folder), *words]) == 2
    assert told in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_images_are_no_table() -> None:
    digits = diabolo.fit("digits", latent=2, epochs=1, net="mlp(hidden=(8,))", limit=100)
    with pytest.raises(diabolo.DiaboloError, match="images are drawn by sample"):
        diabolo.synthesize(digits, 3)
