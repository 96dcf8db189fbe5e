"""Estimators obey scikit-learn's own laws, and say what the run says."""

from __future__ import annotations

import inspect
import pickle
import pickletools
from typing import Any

import narwhals as nw
import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.compose import ColumnTransformer
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

import diabolo
import diabolo.estimators as est

QUICK = {"latent": 2, "epochs": 2, "random_state": 0}
ESTIMATORS = [getattr(est, name)(**QUICK) for name in est.__all__]


@parametrize_with_checks(ESTIMATORS)
def test_estimators_obey_the_laws_of_scikit_learn(estimator: Any, check: Any) -> None:
    check(estimator)


UNFITTED = [
    (estimator, name)
    for estimator in ESTIMATORS
    for name in dir(type(estimator))
    if not name.startswith(("_", "fit", "set_", "get_params", "get_metadata_routing"))
    and inspect.isfunction(getattr(type(estimator), name))
]


@pytest.mark.parametrize(("estimator", "name"), UNFITTED)
def test_what_is_not_fitted_is_refused_as_scikit_learn_does(estimator: Any, name: str) -> None:
    method = getattr(clone(estimator), name)
    needed = [p for p in inspect.signature(method).parameters.values() if p.default is p.empty]
    with pytest.raises(NotFittedError, match=type(estimator).__name__):
        method(*[np.zeros((3, 2))] * len(needed))


@pytest.fixture(scope="module")
def wine() -> Any:
    from sklearn.datasets import load_wine

    return load_wine(return_X_y=True, as_frame=True)


@pytest.fixture(scope="module")
def fitted(wine: Any) -> est.Autoencoder:
    return est.Autoencoder(latent=3, epochs=3, random_state=0, k=20).fit(wine[0].to_numpy())


def test_estimators_say_what_their_run_says(fitted: est.Autoencoder, wine: Any) -> None:
    X = wine[0].to_numpy()
    codes = fitted.transform(X)
    assert_allclose(codes, fitted.run_.encode(X), rtol=1e-12)
    assert_allclose(fitted.inverse_transform(codes), fitted.run_.decode(codes), rtol=1e-12)
    codes.flags.writeable = False  # as what pandas gives
    assert_allclose(fitted.inverse_transform(codes), fitted.run_.decode(codes), rtol=1e-12)
    # The same density, other draws: the difference is noise of both estimates.
    ours, theirs = fitted.score(X), fitted.run_.score(X, k=20).mean()
    assert abs(ours - theirs) < 0.2
    assert fitted.score(X) == pytest.approx(fitted.score_samples(X).mean())
    more = est.Autoencoder(latent=3, epochs=3, random_state=0, k=400)
    more.run_, more.n_features_in_ = fitted.run_, fitted.n_features_in_
    assert more.score(X) > ours  # the bound rises with k
    assert_array_equal(fitted.sample(4, random_state=1), fitted.sample(6, random_state=1)[:4])


def test_a_pickle_holds_the_files_of_the_run_and_nothing_of_torch(
    fitted: est.Autoencoder, wine: Any, tmp_path: Any
) -> None:
    data = pickle.dumps(fitted)
    modules = {arg.split(" ")[0] for op, arg, _ in pickletools.genops(data) if op.name == "GLOBAL"}
    words = {a for op, a, _ in pickletools.genops(data) if "UNICODE" in op.name}
    assert not any(w.startswith("torch") for w in modules | words)
    again = pickle.loads(data)
    X = wine[0].to_numpy()
    assert_array_equal(again.transform(X), fitted.transform(X))
    assert_array_equal(again.score_samples(X), fitted.score_samples(X))
    for name, content in fitted.__getstate__()["run_files_"].items():
        (tmp_path / name).write_bytes(content)
    assert diabolo.load(tmp_path).latent == 3


def test_a_damaged_pickle_is_refused_with_a_sentence(fitted: est.Autoencoder) -> None:
    state = fitted.__getstate__()
    files = dict(state["run_files_"])
    files["weights.safetensors"] = files["weights.safetensors"][:-8]
    with pytest.raises(diabolo.DiaboloError, match="damaged"):
        est.Autoencoder().__setstate__({**state, "run_files_": files})
    with pytest.raises(diabolo.DiaboloError, match="pickled run has the files"):
        est.Autoencoder().__setstate__({**state, "run_files_": {"../x": b""}})


def test_estimators_work_in_pipelines_grids_and_column_transformers(wine: Any) -> None:
    X, y = wine
    codes = est.Autoencoder(latent=2, epochs=2, random_state=0)
    pipe = make_pipeline(StandardScaler(), codes, LogisticRegression())
    grid = GridSearchCV(pipe, {"autoencoder__latent": [2, 3]}, cv=2).fit(X, y)
    assert grid.best_estimator_[1].run_.latent == grid.best_params_["autoencoder__latent"]
    by_likelihood = GridSearchCV(clone(codes), {"latent": [1, 2]}, cv=2).fit(X.to_numpy())
    assert np.isfinite(by_likelihood.best_score_)
    some = list(X.columns[:5])
    both = ColumnTransformer([("codes", codes, some)], remainder="passthrough")
    assert both.fit_transform(X).shape == (len(X), 2 + X.shape[1] - 5)


def test_names_of_codes_and_frames_out(wine: Any) -> None:
    X = wine[0]
    codes = est.Autoencoder(latent=2, epochs=1, random_state=0).set_output(transform="pandas")
    found = codes.fit_transform(X)
    assert list(found.columns) == ["autoencoder0", "autoencoder1"]
    assert list(found.index) == list(X.index)
    assert list(codes.feature_names_in_) == list(X.columns)
    with pytest.raises(ValueError, match="feature names"):
        codes.transform(X.rename(columns={"ash": "cinders"}))


@pytest.mark.parametrize("shape", [(8, 8), (8, 8, 3)])
def test_images_are_taken_as_they_are(shape: tuple[int, ...]) -> None:
    X = np.random.default_rng(0).integers(0, 256, (40, *shape), np.uint8)
    codes = est.Autoencoder(latent=2, epochs=1, random_state=0, options={"net": "mlp(hidden=(8,))"})
    assert codes.fit_transform(X).shape == (40, 2)
    assert codes.inverse_transform(codes.transform(X)).shape == X.shape
    assert codes.sample(3).shape == (3, *shape)


def test_missing_entries_are_used_as_missing(wine: Any) -> None:
    X = wine[0].to_numpy().copy()
    X[np.random.default_rng(0).random(X.shape) < 0.2] = np.nan
    codes = est.Autoencoder(latent=2, epochs=1, random_state=0).fit(X)
    assert codes.run_.spec.missing
    assert np.isfinite(codes.transform(X)).all()
    assert np.isfinite(codes.score_samples(X)).all()


@pytest.mark.parametrize("library", ["pandas", "polars", "pyarrow"])
def test_frames_of_mixed_columns_go_in_and_come_out(wine: Any, library: str) -> None:
    frame = wine[0][["alcohol", "proline"]].assign(grower=np.array(["a", "b", "c"])[wine[1]])
    mixed = nw.from_dict({c: list(frame[c]) for c in frame.columns}, backend=library).to_native()
    codes = est.Autoencoder(latent=2, epochs=2, random_state=0).fit(mixed)
    assert codes.run_.spec.kinds[2] == "category:3"
    again = nw.from_native(codes.inverse_transform(codes.transform(mixed)))
    assert again.columns == list(frame.columns)
    assert set(again["grower"].to_list()) <= {"a", "b", "c"}
    narrow = codes.inverse_transform(codes.transform(mixed).astype(np.float32))
    assert nw.from_native(narrow).columns == list(frame.columns)
    numbers = nw.from_native(mixed).select("alcohol", "proline").to_native()
    plain = est.Autoencoder(latent=2, epochs=2, random_state=0)
    matrix = clone(plain).fit_transform(frame[["alcohol", "proline"]].to_numpy())
    assert_array_equal(plain.fit_transform(numbers), matrix)


def test_an_autoencoder_without_a_density_says_so(wine: Any) -> None:
    plain = est.Autoencoder("ae", latent=2, epochs=1, random_state=0).fit(wine[0].to_numpy())
    with pytest.raises(diabolo.DiaboloError, match="likelihood"):
        plain.score_samples(wine[0].to_numpy())
    with pytest.raises(diabolo.DiaboloError, match="prior"):
        plain.sample(2)


def test_an_imputer_fills_holes_and_leaves_the_rest(wine: Any) -> None:
    X = wine[0].to_numpy()
    holes = np.random.default_rng(0).random(X.shape) < 0.2
    holed = np.where(holes, np.nan, X)
    imputer = est.Imputer(latent=4, epochs=60, random_state=0)
    filled = imputer.fit_transform(holed)
    assert_array_equal(filled[~holes], X[~holes])
    scale = X.std(0)
    error = np.sqrt(np.square((filled - X) / scale)[holes].mean())
    means = np.sqrt(np.square((np.nanmean(holed, 0) - X) / scale)[holes].mean())
    assert error < 0.9 * means
    # A row's holes are filled in alike, whatever rows are beside it.
    assert_allclose(imputer.transform(holed[5:8]), filled[5:8], rtol=1e-9)
    assert_array_equal(pickle.loads(pickle.dumps(imputer)).transform(holed), filled)


def test_a_row_of_a_frame_is_filled_in_alike_whatever_stands_beside_it(wine: Any) -> None:
    frame = wine[0][["alcohol", "ash"]].assign(grower=np.array(["Ada", "Ben"])[wine[1] % 2])
    frame = frame.mask(np.random.default_rng(0).random(frame.shape) < 0.3)
    imputer = est.Imputer(epochs=1, random_state=0, options={"net": "mlp(hidden=(8,))"})
    filled = imputer.fit_transform(frame)
    part = imputer.transform(frame.iloc[90:120])
    assert part.equals(filled.iloc[90:120])
    assert filled[frame.notna()].equals(frame)


def test_an_imputer_fits_tables_for_their_holes_unless_told_otherwise(wine: Any) -> None:
    X = np.where(np.random.default_rng(0).random(wine[0].shape) < 0.2, np.nan, wine[0].to_numpy())
    run = est.Imputer(epochs=1, random_state=0).fit(X).run_
    assert run.config.recipe == "iwae"
    told = {"k": 5, "posterior": "experts", "likelihood": "Normal(scale=column)"}
    assert told.items() <= dict(run.config.options).items()
    said = {"posterior": "normal", "decoder": "mlp(hidden=(9,))", "train.learning_rate": 3e-3}
    own = est.Imputer(epochs=1, latent=3, options=said).fit(X).run_.config
    assert (own.options["latent"], own.options["posterior"]) == (3, "normal")
    assert own.options["decoder"] == "mlp(hidden=(9,))"
    assert own.train.learning_rate == 3e-3
    assert est.Imputer("vae", epochs=1).fit(X).run_.config.recipe == "vae"
    mixed = wine[0][["alcohol", "ash"]].mask(np.isnan(X[:, :2])).assign(grower=["a", "b"] * 89)
    likelihood = est.Imputer(epochs=1).fit(mixed).run_.config.options["likelihood"]
    assert likelihood == {"real": "Normal(scale=column)"}
    images = np.random.default_rng(0).random((20, 4, 4))
    images[:, 0, 0] = np.nan
    assert est.Imputer(epochs=1, latent=2).fit(images).run_.config.recipe == "vae"


def test_an_imputer_keeps_the_decoder_whose_bound_is_higher() -> None:
    rng = np.random.default_rng(0)
    z = rng.normal(size=(120, 2))
    linear = z @ rng.normal(size=(2, 8)) + 0.1 * rng.normal(size=(120, 8))
    angle = rng.uniform(0, 2 * np.pi, 400)
    circle = np.column_stack([f(k * angle) for k in (1, 2, 3) for f in (np.sin, np.cos)])
    circle += 0.05 * rng.normal(size=circle.shape)
    kept = []
    for x in (linear, circle):
        x[rng.random(x.shape) < 0.2] = np.nan
        own = {"epochs": 60, "learning_rate": 1e-2, "random_state": np.random.RandomState(0)}
        run = est.Imputer(**own).fit(x).run_
        kept.append("decoder" in run.config.options)
    assert kept == [True, False]


def test_a_detector_finds_rows_that_are_strange(wine: Any) -> None:
    X = wine[0].to_numpy()
    strange = X[:8] + 6 * X.std(0)
    detector = est.AnomalyDetector(latent=2, epochs=20, contamination=0.05, random_state=0).fit(X)
    assert (detector.predict(strange) == -1).all()
    assert (detector.predict(X) == -1).mean() == pytest.approx(0.05, abs=0.01)
    assert detector.score_samples(strange).max() < detector.score_samples(X).mean()
    both = est.AnomalyDetector("ae", latent=2, epochs=5, anomaly="distortion", random_state=0)
    assert both.fit(X).score_samples(strange).mean() < both.score_samples(X).mean()


def test_a_detector_fits_tables_robustly_unless_told_otherwise(wine: Any) -> None:
    X = wine[0].to_numpy()
    run = est.AnomalyDetector(epochs=1, random_state=0).fit(X).run_
    assert run.config.recipe == "beta_vae"
    told = {"beta": 1.0, "trim": 0.1, "latent": 2, "likelihood": "StudentT(scale=column)"}
    assert told.items() <= dict(run.config.options).items()
    own = est.AnomalyDetector(epochs=1, latent=3, options={"likelihood": "Normal", "trim": 0.2})
    options = dict(own.fit(X).run_.config.options)
    assert (options["latent"], options["likelihood"], options["trim"]) == (3, "Normal", 0.2)
    assert est.AnomalyDetector("iwae", epochs=1).fit(X).run_.config.recipe == "iwae"
    counts = est.AnomalyDetector(epochs=1).fit(np.arange(60).reshape(20, 3) % 7)
    assert "likelihood" not in dict(counts.run_.config.options)  # which no heavy tail would fit
    images = np.random.default_rng(0).integers(0, 256, (20, 4, 4), dtype=np.uint8)
    pictures = est.AnomalyDetector(epochs=1, latent=2).fit(images)
    assert pictures.run_.config.recipe == "vae"
    assert pictures.score_samples(images).shape == (20,)


def test_a_detector_takes_1500_steps_of_a_table() -> None:
    X = np.random.default_rng(0).normal(size=(600, 2))
    detector = est.AnomalyDetector(batch_size=180)
    assert detector._usual(X)["epochs"] == 500  # of three batches
    assert detector._usual(X[:, :, None])["epochs"] == 50


def test_a_detector_of_a_frame_knows_its_columns_by_name(wine: Any) -> None:
    """No warning of scikit-learn's comes when it is fitted, nor when it is asked again."""
    detector = est.AnomalyDetector(**QUICK).fit(wine[0])
    again = pickle.loads(pickle.dumps(detector))
    assert_array_equal(again.score_samples(wine[0]), detector.score_samples(wine[0]))


@pytest.mark.parametrize("contamination", [0.0, 0.7, "auto"])
def test_an_impossible_contamination_is_refused(wine: Any, contamination: Any) -> None:
    with pytest.raises(diabolo.DiaboloError, match=r"contamination is a number above 0"):
        est.AnomalyDetector(contamination=contamination).fit(wine[0].to_numpy())


def test_a_frame_of_numbers_with_holes_is_filled_in_without_a_warning() -> None:
    frame = pd.DataFrame(np.random.default_rng(0).normal(size=(60, 3)), columns=["a", "b", "c"])
    frame.iloc[::7, 1] = np.nan
    found = est.Imputer(latent=2, epochs=1, random_state=0).fit_transform(frame)
    np.testing.assert_array_equal(found[:, 0], frame["a"])
    assert not np.isnan(found).any()
