"""Tables whose columns are of several kinds, and counts, from the front door to a saved run."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

import diabolo
from diabolo import DiaboloError
from diabolo.__main__ import main
from diabolo.distributions import ProductFamily
from kinds import KINDS, table

SMALL: dict[str, Any] = {"latent": 2, "net": "mlp(hidden=(16,))"}


@pytest.fixture(scope="module")
def run() -> diabolo.Run:
    return diabolo.fit(
        table(), kinds=KINDS, epochs=60, batch_size=64, learning_rate=5e-3, missing="nan", **SMALL
    )


def test_a_mixed_table_is_fitted_and_sampled_in_its_kinds(run: diabolo.Run) -> None:
    assert run.spec.support == "mixed"
    assert run.spec.kinds == KINDS
    assert isinstance(run.model.likelihood.family, ProductFamily)
    x = pd.DataFrame(run.sample(2000), columns=run.schema.columns)
    data = table(5000, seed=1)
    for name, values in (("kind", {0, 1, 2}), ("grade", {0, 1, 2, 3}), ("member", {0, 1})):
        assert set(x[name].unique()) <= values
    assert bool((x.visits == x.visits.round()).all())
    assert float(x.visits.min()) >= 0
    assert float(x.price.min()) > 0
    # Learned on 540 rows: the means are right to some errors of such a sample.
    errors = (x.mean() - data.mean()).abs() / (data.std() / 540**0.5)
    assert float(errors.max()) < 6
    # And what goes together in the data goes together in samples.
    gap = (x.corr(method="spearman") - data.corr(method="spearman")).abs().to_numpy()
    assert gap.max() < 0.2


def test_a_mixed_row_is_filled_in(run: diabolo.Run) -> None:
    data = table(300, seed=2)
    hidden = data.astype(float)
    hidden["visits"] = np.nan
    hidden.loc[:, "kind"] = np.nan
    found = pd.DataFrame(run.reconstruct(hidden), columns=data.columns)
    plain = (data.visits - data.visits.mean()).abs().mean()
    assert float((found.visits - data.visits).abs().mean()) < 0.4 * float(plain)
    assert float((found.kind == data.kind).mean()) > 0.8  # 0.95 is the most there is


def test_a_mixed_table_is_measured(run: diabolo.Run) -> None:
    found = run.evaluate(table(200, seed=3), k=50)
    assert found.likelihood is not None
    assert found.bound is not None
    assert found.likelihood is not None
    assert found.bits_per_dimension is None  # densities have none
    scores = run.score(table(200, seed=3), k=50)
    assert float(np.mean(scores)) == pytest.approx(found.likelihood.value)
    # Better than columns that know nothing of each other, by the information between them.
    data, whole = table(200, seed=3), table()
    logs = np.log(whole.price)
    apart = [
        -0.5 * math.log(2 * math.pi * math.e * whole.weight.var()),
        -0.5 * math.log(2 * math.pi * math.e * logs.var()) - float(np.log(data.price).mean()),
    ]
    for name in ("kind", "visits", "grade", "member"):
        share = whole[name].value_counts(normalize=True)
        apart.append(float(np.log(data[name].map(share).fillna(1e-3)).mean()))
    assert float(np.mean(scores)) > sum(apart) + 1.0


def test_a_mixed_run_is_saved_and_loaded(run: diabolo.Run, tmp_path: Path) -> None:
    run.save(tmp_path / "run")
    again = diabolo.load(tmp_path / "run")
    assert again.spec.kinds == KINDS
    assert again.schema == run.schema
    np.testing.assert_array_equal(again.sample(20), run.sample(20))
    np.testing.assert_array_equal(again.encode(table(20)), run.encode(table(20)))


def test_columns_alike_are_saved_one_by_one(tmp_path: Path) -> None:
    data = table(80)
    twice = pd.concat([data, data.add_suffix("_too")], axis=1)
    run = diabolo.fit(twice, kinds=KINDS + KINDS, epochs=1, **SMALL)
    run.save(tmp_path / "run")
    again = diabolo.load(tmp_path / "run")
    np.testing.assert_array_equal(again.score(twice[:20], k=3), run.score(twice[:20], k=3))
    names = list(again.model.state_dict())
    assert "likelihood.family.columns.8.dispersion.raw" in names
    assert not any("blocks" in n for n in names)


def test_kinds_are_inferred_and_said() -> None:
    notes: list[Any] = []
    data = table(80)
    data["share"] = np.random.default_rng(0).random(80)
    data["grid"] = np.arange(80) % 5 / 4
    x = data.to_numpy(float)
    run = diabolo.fit(x, support="mixed", epochs=1, progress=notes.append, **SMALL)
    expected = ("real", "count", "count", "real", "count", "binary", "unit", "unit")
    assert run.spec.kinds == expected
    (said,) = [n for n in notes if isinstance(n, str) and n.startswith("Mixed data.")]
    assert "Columns 0, 3 as real; Columns 1, 2, 4 as count" in said


def test_densities_tell_the_kinds() -> None:
    call = "Product(columns=('StudentT', 'Categorical(levels=3)', 'NegativeBinomial'))"
    data = table(80)[["weight", "kind", "visits"]]
    run = diabolo.fit(data, likelihood=call, epochs=1, **SMALL)
    assert run.spec.kinds == ("real", "category:3", "count")
    names = [type(f).__name__ for f in run.model.likelihood.family.members]
    assert names == ["StandardizedFamily", "CategoricalFamily", "NegativeBinomialFamily"]


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"kinds": ("real", "count")}, "there are 2 kinds for data of shape"),
        ({"kinds": ("real", *KINDS[:5])}, "codes 0 to 2 .*column 'visits'"),
        ({"kinds": ("byte:4", *KINDS[1:])}, "cannot be 'byte:4' in mixed data"),
        ({"kinds": KINDS, "support": "real"}, "data.kinds is for mixed data"),
        ({"kinds": KINDS, "likelihood": "Normal"}, "Normal needs .* these data are 'mixed'"),
        ({"kinds": ("category", *KINDS[1:])}, "needs its levels"),
        ({"likelihood": "Product(columns='Normal')"}, "but got 'Normal' for columns"),
        ({"likelihood": "Product(columns=('Normal', 3))"}, "the density of each column.*, 3"),
        ({"likelihood": "Product(columns=(Normal, Poisson))"}, "brackets stand in quotes"),
    ],
)
def test_what_does_not_fit_is_refused(options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(DiaboloError, match=sentence):
        diabolo.fit(table(80), epochs=1, **SMALL, **options)


def test_a_value_outside_its_kind_is_named() -> None:
    data = table(80)
    data.loc[7, "kind"] = 3
    with pytest.raises(DiaboloError, match=r"codes 0 to 2 \(category\), but got 3 in row 7.*kind"):
        diabolo.fit(data, kinds=KINDS, epochs=1, **SMALL)
    with pytest.raises(DiaboloError, match="'weight' is constant"):
        diabolo.fit(table(80).assign(weight=2.5), kinds=KINDS, epochs=1, **SMALL)


def test_images_are_not_mixed() -> None:
    with pytest.raises(DiaboloError, match="a table with a kind for each column"):
        diabolo.fit(np.random.default_rng(0).random((20, 4, 4)), support="mixed", epochs=1, **SMALL)


def counts(n: int = 500) -> np.ndarray[Any, Any]:
    """Counts of two groups, of depths that differ twentyfold."""
    rng = np.random.default_rng(0)
    shares = rng.dirichlet(np.full(30, 0.5), 2)[rng.integers(0, 2, n)]
    return rng.poisson(np.exp(rng.uniform(3, 6, (n, 1))) * shares)


def test_counts_given_their_total_need_no_depth_of_the_code() -> None:
    call = "NegativeBinomial(exposure=total)"
    run = diabolo.fit(counts(), likelihood=call, epochs=15, learning_rate=3e-3, **SMALL)
    found = run.evaluate(counts()[:100], k=20)
    assert found.likelihood is not None
    assert "log p(x|total)" in found.likelihood.kind
    assert any("given its total" in note for note in found.notes)
    # A reconstruction has the total of its datum, a sample that of a mean datum.
    x = counts()[:50]
    np.testing.assert_allclose(run.reconstruct(x).sum(1), x.sum(1), rtol=1e-4)
    np.testing.assert_allclose(run.sample(5, mean=True).sum(1), counts().sum(1).mean(), rtol=0.1)


@pytest.mark.usefixtures("undrawn")
def test_the_command_line_fits_counts_and_mixed_tables(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.set_num_threads(1)
    table(200).to_csv(tmp_path / "mixed.csv", index=False)
    np.save(tmp_path / "counts.npy", counts(200))
    small = ["latent=2", "net=mlp(hidden=(8,))", "train.epochs=2"]
    kinds = f"kinds={KINDS}"
    for data, more in (
        ("mixed.csv", [kinds]),
        ("mixed.csv", ["support=mixed"]),
        ("counts.npy", ["likelihood=ZeroInflatedNegativeBinomial(exposure=total)"]),
    ):
        out = tmp_path / f"run-{more[0][:9]}"
        words = ["fit", str(tmp_path / data), "--set", *small, *more, "--k", "5", "--json"]
        assert main([*words, "--out", str(out)]) == 0
        told = json.loads(capsys.readouterr().out)
        assert told
        sample = ["sample", str(out), "-n", "5", "--out", str(out / "samples.csv")]
        assert main(sample) == 0
        assert len(pd.read_csv(out / "samples.csv")) == 5
        capsys.readouterr()
