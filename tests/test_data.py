"""What values and axes mean, decoding and its noise, splits, conditions and the way back."""

from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd
import polars as pl
import pytest
import scipy.sparse
import torch

from diabolo.config import DataConfig
from diabolo.data import Data, Schema, load
from diabolo.errors import DiaboloError
from laws import data as laws

RNG = np.random.default_rng(0)
N = 40
BYTES = RNG.integers(0, 256, (N, 6, 5)).astype(np.uint8)
REALS = RNG.normal(3.0, 2.0, (N, 4))
ARRAYS = {
    "bits": (RNG.random((N, 6)) < 0.5, "binary", None),
    "zeros and ones": (RNG.integers(0, 2, (N, 6)), "binary", None),
    "bytes of bits": (RNG.integers(0, 2, (N, 6, 6)).astype(np.uint8), "binary", None),
    "bits as floats": (RNG.integers(0, 2, (N, 6)).astype(np.float32), "binary", None),
    "grey bytes": (BYTES, "byte", 256),
    "grey 17": (RNG.integers(0, 17, (N, 6)) / 16, "byte", 17),
    "grey 256": ((BYTES / 255).astype(np.float32), "byte", 256),
    "unit": (RNG.random((N, 7)), "unit", None),
    "counts": (RNG.poisson(3.0, (N, 5)), "count", None),
    "many counts": (RNG.integers(0, 900, (N, 5)).astype(np.uint16), "count", None),
    "counts as floats": (RNG.poisson(300.0, (N, 5)).astype(float), "count", None),
    "negative integers": (RNG.integers(-5, 5, (N, 5)), "real", None),
    "reals": (REALS, "real", None),
    "half reals": (REALS.astype(np.float16), "real", None),
    "channels last": (RNG.integers(0, 256, (N, 6, 5, 3)).astype(np.uint8), "byte", 256),
    "channels first": (RNG.integers(0, 256, (N, 3, 6, 5)).astype(np.uint8), "byte", 256),
    "one number a row": (REALS[:, 0], "real", None),
    "a constant column": (np.concatenate([REALS, np.full((N, 1), 7.0)], 1), "real", None),
}


@pytest.mark.parametrize("name", ARRAYS)
def test_array_is_read_by_its_values_and_given_back(name):
    x, support, levels = ARRAYS[name]
    found = load(x)
    assert (found.schema.support, found.schema.levels) == (support, levels)
    laws.values_lie_in_their_support(found)
    laws.types_are_small(found)
    laws.splits_are_disjoint(found)
    laws.restoring_inverts_reading(x, found)
    laws.a_schema_survives_json(found.schema)
    laws.a_seed_fixes_the_split(x)


def test_grid_of_levels_is_found_beyond_the_first_piece(monkeypatch):
    monkeypatch.setattr("diabolo.data.mapped.BLOCK", 64 * 8)
    coarse = RNG.integers(0, 5, 640) / 4
    fine = RNG.integers(0, 17, 640) / 16
    x = np.concatenate([coarse, fine]).reshape(-1, 8)
    assert load(x).schema.levels == 17
    assert load(np.concatenate([x, RNG.random((20, 8))])).schema.support == "unit"


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("levels", [3, 11, 17, 101, 256])
def test_grid_of_levels_is_found_in_any_type(dtype, levels):
    j = RNG.integers(0, levels, (N, 60))
    j[0, :2] = 1, levels - 2
    x = (j / (levels - 1)).astype(dtype)
    found = load(x)
    assert (found.schema.support, found.schema.levels) == ("byte", levels)
    assert np.array_equal(found.splits.train.x.numpy(), j[found.splits.train.rows])
    assert any("equally spaced" in note for note in found.notes)


def test_count_note_says_how_to_get_grey_levels():
    assert any("byte:17" in note for note in load(RNG.integers(0, 17, (N, 4)) * 1).notes)


@pytest.mark.parametrize(
    ("said", "x", "seen"),
    [
        ("byte:17", RNG.integers(0, 17, (N, 6)), np.float64(16)),
        ("byte:17", RNG.integers(0, 17, (N, 6)).astype(float), np.float64(16)),
        ("byte:17", RNG.integers(0, 17, (N, 6)) / 16, np.float64(1)),
        ("unit", BYTES, np.float64(255)),
        ("category:5", RNG.integers(0, 5, (N, 6)), None),
        ("ordinal:5", RNG.integers(0, 5, (N, 6)), None),
        ("count", BYTES, None),
        ("real", BYTES, None),
        ("positive", np.exp(REALS), None),
    ],
)
def test_support_can_be_said(said, x, seen):
    found = load(x, DataConfig(support=said))
    assert found.schema.support == said.partition(":")[0]
    batch = found.splits.train.batch(torch.arange(len(found.splits.train))).x.numpy()
    expected = x[found.splits.train.rows] / (1 if seen is None else seen)
    np.testing.assert_allclose(
        batch.reshape(expected.shape), expected, rtol=1e-6
    )  # float32 keeps 24 bits
    laws.restoring_inverts_reading(x, found)


@pytest.mark.parametrize(
    ("said", "x", "match"),
    [
        ("byte:17", RNG.integers(0, 18, (N, 60)), r"grey levels 0 to 16.*17 in row"),
        ("byte:17", RNG.random((N, 6)), "17 equally spaced"),
        ("binary", BYTES, "0 or 1"),
        ("unit", REALS, r"values in \[0, 1\]"),
        ("count", REALS, "non-negative integers"),
        ("positive", REALS - 9, "above 0"),
        ("category:3", RNG.integers(0, 5, (N, 6)), "codes 0 to 2"),
        ("category", RNG.integers(0, 5, (N, 6)), "category:5"),
        ("byte:1", BYTES, "2 to 256 levels"),
        ("real:3", REALS, "Expected data.support"),
        ("byt", BYTES, "Did you mean 'byte'"),
        ("mixed", BYTES, "a table with a kind for each column"),
    ],
)
def test_wrong_support_is_refused(said, x, match):
    with pytest.raises(DiaboloError, match=match):
        load(x, DataConfig(support=said))


@pytest.mark.parametrize(
    ("shape", "layout", "event"),
    [
        ((N, 9), "vector", (9,)),
        ((N, 28, 28), "hw", (1, 28, 28)),
        ((N, 3, 8, 9), "chw", (3, 8, 9)),
        ((N, 8, 9, 3), "hwc", (3, 8, 9)),
        ((N, 8, 9, 1), "hwc", (1, 8, 9)),
        ((N, 2, 8, 9), "chw", (2, 8, 9)),
        ((N, 8, 9, 10), "chw", (8, 9, 10)),
        ((N, 10, 9, 8), "hwc", (8, 10, 9)),
    ],
)
def test_axes_are_read_by_the_stated_rule(shape, layout, event):
    schema = load(RNG.random(shape)).schema
    assert (schema.layout, schema.event) == (layout, event)


@pytest.mark.parametrize("shape", [(N, 3, 8, 3), (N, 1, 8, 4), (N, 8, 9, 8), (N, 4, 4, 4)])
def test_ambiguous_axes_follow_the_library_and_say_so(shape):
    x = RNG.random(shape)
    array, tensor = load(x), load(torch.as_tensor(x))
    assert (array.schema.layout, tensor.schema.layout) == ("hwc", "chw")
    assert any("channels last" in note for note in array.notes)
    assert any("channels first" in note for note in tensor.notes)


def test_five_axes_are_refused():
    with pytest.raises(DiaboloError, match="Reshape it"):
        load(RNG.random((N, 2, 3, 4, 5)))


@pytest.mark.parametrize(
    "x",
    [
        REALS.tolist(),
        torch.as_tensor(REALS),
        scipy.sparse.csr_matrix(REALS),
        torch.as_tensor(REALS).to_sparse(),
        np.ma.array(REALS),
    ],
    ids=["lists", "tensor", "sparse", "sparse tensor", "masked array without a mask"],
)
def test_any_container_is_read_alike(x):
    assert torch.equal(load(x).splits.train.x, load(REALS).splits.train.x)


@pytest.mark.parametrize(
    ("x", "match"),
    [
        (None, "^Expected the data as .* but got None"),
        ({"a": REALS}, "^Expected the data as .* but got a dict: give one of its values"),
        (3.0, "single value 3.0"),
        ([{"a": 1}] * 9, "Python objects such as {'a': 1}"),
    ],
)
def test_what_holds_no_rows_is_refused_in_a_sentence(x, match):
    with pytest.raises(DiaboloError, match=match) as caught:
        load(x)
    assert len(str(caught.value)) < 200


def test_data_do_not_change_with_the_users_array():
    x = BYTES.copy()
    found = load(x)
    before = found.splits.train.x.clone()
    x[:] = 0
    assert torch.equal(found.splits.train.x, before)


# Decoding.


def test_dynamic_bits_change_by_step_in_training_and_never_in_evaluation():
    found = load(BYTES, DataConfig(binarize="dynamic")).splits.train
    order = torch.Generator()
    first, second = (next(iter(found.batches(N, order.manual_seed(0)))) for _ in range(2))
    assert torch.equal(first.index, second.index)
    assert not torch.equal(first.x, second.x)
    laws.evaluation_sees_the_same_x_in_any_batch(found)
    grey = found.decoder.mean(found.x)
    drawn = torch.stack([found.batch(torch.arange(len(found)), fresh=True).x for _ in range(4000)])
    # 5 standard errors of a mean of 4000 bits are at most 0.04.
    assert float((drawn.mean(0) - grey).abs().max()) < 0.04


def test_static_bits_are_the_same_everywhere():
    dynamic = load(BYTES, DataConfig(binarize="dynamic")).splits.train
    found = load(BYTES, DataConfig(binarize="static")).splits.train
    batch = next(iter(found.batches(N, torch.Generator().manual_seed(0))))
    again = next(iter(found.batches(N, torch.Generator().manual_seed(0))))
    assert torch.equal(batch.x, again.x)
    everything = found.batch(torch.arange(len(found))).x
    assert torch.equal(everything, dynamic.batch(torch.arange(len(found))).x)
    assert found.digest() == dynamic.digest()
    laws.evaluation_sees_the_same_x_in_any_batch(found)


def test_bits_follow_the_seed():
    a, b = (load(BYTES, DataConfig(binarize="static", seed=s, valid=1)) for s in (0, 1))
    x = torch.as_tensor(BYTES[:5])
    assert not torch.equal(a.schema.data(x).x, b.schema.data(x).x)


def test_threshold_cuts_at_one_half():
    found = load(BYTES, DataConfig(binarize="threshold")).splits.train
    bits = found.batch(torch.arange(len(found)), fresh=True).x
    assert torch.equal(bits, (found.x > 127).float())


def test_floats_are_probabilities_of_bits_too():
    found = load(RNG.random((N, 5)), DataConfig(binarize="dynamic"))
    assert found.schema.support == "binary"
    laws.values_lie_in_their_support(found)


def test_dequantised_levels_fill_their_cells():
    found = load(BYTES, DataConfig(dequantize=True))
    data = found.splits.train
    assert data.dequantized
    assert data.support == "real"
    x = data.batch(torch.arange(len(data)), fresh=True).x
    again = data.batch(torch.arange(len(data)), fresh=True).x
    assert torch.equal(x.floor(), data.x.float())
    assert not torch.equal(x, again)
    laws.evaluation_sees_the_same_x_in_any_batch(data)
    laws.restoring_inverts_reading(BYTES, found)
    assert found.schema.standardize


@pytest.mark.parametrize(
    ("options", "x", "match"),
    [
        ({"binarize": "dynamic"}, REALS, "needs grey values"),
        ({"dequantize": True}, REALS, "needs grey levels"),
        ({"binarize": "static", "dequantize": True}, BYTES, "exclude each other"),
        ({"standardize": True}, BYTES, "for real data"),
        ({"valid": 0.0}, BYTES, "must be positive"),
        ({"valid": N}, BYTES, "nothing to learn from"),
        ({"valid": 1_000_000}, BYTES, "data.valid=1000000 leaves nothing"),
        ({"valid": 0.999}, BYTES, "data.valid=0.999 leaves nothing"),
        ({"valid": 1.5}, BYTES, "a part below 1 or a whole number"),
        ({"limit": 0}, BYTES, "limit must be positive"),
        ({"condition": "labels"}, BYTES, "needs labels"),
        ({"condition": "age"}, BYTES, "Unknown condition"),
    ],
)
def test_option_without_effect_is_refused(options, x, match):
    with pytest.raises(DiaboloError, match=match):
        load(x, DataConfig(**options))


# What a model knows of the data.


def test_moments_are_those_of_all_rows(monkeypatch):
    monkeypatch.setattr("diabolo.data.data.CHUNK", 12)  # three rows at once
    x = RNG.normal(1e4, 1.0, (N, 4))
    data = load(x, DataConfig(valid=1)).splits.train
    spec = data.spec(standardize=True, examples=3)
    seen = data.x.double()
    assert spec.examples.shape == (3, 4)
    # 1e4 in float32 has steps of 1e-3; the rows themselves were rounded to it.
    torch.testing.assert_close(spec.mean.double(), seen.mean(0), rtol=1e-7, atol=0)
    torch.testing.assert_close(spec.scale.double(), seen.std(0, correction=0), rtol=1e-3, atol=0)


def test_moments_pass_over_what_was_not_seen(monkeypatch):
    monkeypatch.setattr("diabolo.data.data.CHUNK", 12)
    x = REALS.copy()
    x[RNG.random(x.shape) < 0.4] = np.nan
    data = load(x, DataConfig(missing="nan", valid=1)).splits.train
    spec = data.spec(standardize=True)
    rows = data.rows.numpy()
    # Sums of float32 values in another order.
    np.testing.assert_allclose(spec.mean, np.nanmean(x[rows], 0), rtol=1e-5)
    np.testing.assert_allclose(spec.scale, np.nanstd(x[rows], 0), rtol=1e-5)
    assert spec.missing
    # Zeros would widen the range of pseudo-inputs, and that of salt and pepper.
    np.testing.assert_allclose(spec.examples, x[rows], rtol=1e-6)  # float32


@pytest.mark.parametrize("how", ["dynamic", "static"])
def test_mean_of_bits_is_near_the_mean_of_grey(how):
    data = load(np.repeat(BYTES, 50, 0), DataConfig(binarize=how)).splits.train
    grey = BYTES.mean(0) / 255
    # Dynamic bits are known exactly up to the split; static ones were drawn, 1800 of each.
    assert np.abs(data.spec().mean[0].numpy() - grey).max() < (0.02 if how == "dynamic" else 0.06)


def test_dequantised_scale_counts_the_noise():
    data = load(BYTES, DataConfig(dequantize=True, valid=1)).splits.train
    spec = data.spec(standardize=True)
    j = data.x.double()
    # Means and variances of sums of float32.
    torch.testing.assert_close(spec.mean.double(), j.mean(0) + 0.5, rtol=1e-6, atol=0)
    variance = j.var(0, correction=0) + 1 / 12
    torch.testing.assert_close(spec.scale.double(), variance.sqrt(), rtol=1e-5, atol=0)


@pytest.mark.parametrize(
    ("x", "standardized"), [(REALS, True), (BYTES, False), (RNG.random((N, 4)), False)]
)
def test_real_tables_are_standardised_unless_said(x, standardized):
    assert load(x).schema.standardize == standardized
    assert not load(x, DataConfig(standardize=False)).schema.standardize


# Constant columns.


def test_constant_columns_are_left_out_and_put_back():
    frame = pd.DataFrame(REALS, columns=list("abcd"))
    frame["year"] = 2024
    frame["never"] = np.nan
    found = load(frame, DataConfig(missing="nan"))
    assert found.schema.event == (4,)
    assert "Column 'never' has no value: left out" in " ".join(found.notes)
    assert "Column 'year' is constant: left out" in " ".join(found.notes)
    back = found.schema.restore(found.splits.train.x)
    assert (back["year"] == 2024).all()
    assert back["never"].isna().all()
    assert (back.dtypes == frame.dtypes).all()
    laws.a_schema_survives_json(found.schema)
    with pytest.raises(DiaboloError, match=r"Column 'year' was always 2024 .* row 3"):
        found.schema.data(frame.assign(year=[*[2024] * 3, 2025, *[2024] * (N - 4)]))


def test_column_that_float32_cannot_tell_apart_is_constant():
    x = np.concatenate([REALS, 1e9 + RNG.random((N, 1))], 1)
    assert load(x).schema.event == (4,)


def test_column_whose_variation_float32_loses_is_told_apart_from_a_constant():
    x = np.concatenate([REALS, 1e7 + 1e-3 * REALS[:, :1], np.full((N, 1), 3.5)], 1)
    found = load(x)
    assert found.schema.event == (4,)
    assert any(n.startswith("Column 5 is constant") for n in found.notes)
    assert any(n.startswith("Column 4 varies by less than float32") for n in found.notes)
    with pytest.raises(DiaboloError, match=r"vary by less than float32.*subtract an offset"):
        load(x[:, 4:5])
    assert load(x[:, 4] - 1e7).schema.event == (1,)


@pytest.mark.parametrize(
    ("column", "noted"),
    [
        (1e5 + 0.01 * REALS[:, 0], True),
        (1e5 + REALS[:, 0].round() - 0.5, False),  # float32 rounds none of them
        (1e5 + 100 * REALS[:, 0], False),
        ((1e5 + 0.01 * REALS[:, 0]).astype(np.float32), False),  # the user's own precision
        (np.where(REALS[:, 0] > 3, np.nan, 1e5 + REALS[:, 0].round() - 0.5), False),
    ],
    ids=["rounded", "halves", "wide", "float32", "missing"],
)
def test_digits_that_float32_rounds_away_are_noted(column, noted):
    notes = load(column[:, None], DataConfig(missing="nan")).notes
    assert any("subtract an offset" in n for n in notes) == noted


@pytest.mark.parametrize("power", [-100, 100])
def test_scales_of_any_size_are_those_of_the_data(power):
    """By a power of two, so that every float32 is scaled exactly: means and scales too."""
    plain, scaled = (load(x).splits.train for x in (REALS, REALS * 2.0**power))
    a, b = (d.spec(standardize=True) for d in (plain, scaled))
    assert torch.equal(b.scale, a.scale * 2.0**power)
    assert torch.equal(b.mean, a.mean * 2.0**power)
    assert bool(torch.isfinite(b.scale.log()).all())


@pytest.mark.parametrize(
    ("factor", "match"),
    [
        (1e300, "too large for float32: rescale"),
        (1e38, "Column 0 has values from .* cannot standardise: rescale it"),
        (1e-40, "Column 0 has values from .* cannot standardise: rescale it"),
        (1e-60, "less than float32 can tell.*rescale"),
    ],
)
def test_scales_beyond_float32_are_refused(factor, match):
    with pytest.raises(DiaboloError, match=match):
        load(np.clip(REALS - 3.0, -2.5, 2.5) * factor)


def test_too_few_rows_to_vary_are_told_apart_from_constants():
    with pytest.raises(DiaboloError, match=r"Of 2 rows only 1 is left .* nothing to learn: give"):
        load(REALS[:2])
    few = DataConfig(limit=2)
    x = np.full((9, 3), 1.5)
    x[load(REALS[:9], few).splits.valid.rows] = 0.5
    with pytest.raises(DiaboloError, match=r"Of 9 rows only 2 are left .* varies in them"):
        load(x, few)


def test_constant_pixels_and_bits_stay():
    x = BYTES.copy()
    x[:, 0, 0] = 0
    assert load(x).schema.event == (1, 6, 5)
    assert load((x > 99).reshape(N, -1)).schema.event == (30,)


@pytest.mark.parametrize(
    "x",
    [
        np.full((N, 3), 0.3),
        np.zeros((N, 4, 4), np.uint8),
        np.full((N, 3), np.nan),
        [[1.0, 2.0]] * N,
    ],
    ids=["floats", "pixels", "missing", "columns"],
)
def test_all_columns_constant_are_refused(x):
    with pytest.raises(DiaboloError, match="nothing to learn"):
        load(x, DataConfig(missing="nan", support="real"))


def test_constant_column_that_moves_in_test_is_told():
    x = np.concatenate([REALS, np.full((N, 1), 7.0)], 1)
    found = load(x, test=x + np.eye(5)[4])
    assert any("Of the test data: column 4 was always 7" in note for note in found.notes)


# Splits.


def test_what_is_fitted_follows_from_the_fitted_rows_alone():
    """Held-out rows may be anything: constants, condition, mean, scale and steps stay."""
    x = np.concatenate([REALS, np.full((N, 1), 7.0)], 1)
    c = RNG.normal(size=N)
    first = load(x, condition=c)
    held = first.splits.valid.rows.numpy()
    y, d = x.copy(), c.copy()
    y[held], d[held] = 100.0 + RNG.normal(size=(len(held), 5)), 1e6
    second = load(y, condition=d)
    assert second.schema == first.schema
    assert torch.equal(first.splits.train.spec().mean, second.splits.train.spec().mean)
    (note,) = set(second.notes) - set(first.notes)
    assert note.startswith("Of the validation data: column 4 was always 7 in training")


def test_valid_is_a_part_or_a_number():
    assert len(load(REALS, DataConfig(valid=0.25)).splits.valid) == 10
    assert len(load(REALS, DataConfig(valid=7)).splits.valid) == 7
    assert load(REALS).splits.test is None


@pytest.mark.parametrize(("valid", "expected"), [(0.2, (10, 2)), (5, (10, 5))])
def test_limit_is_the_number_of_training_rows(valid, expected):
    splits = load(REALS, DataConfig(limit=10, valid=valid)).splits
    assert (len(splits.train), len(splits.valid)) == expected
    assert not set(splits.train.rows.tolist()) & set(splits.valid.rows.tolist())


def test_parts_can_be_given():
    y = np.arange(N) % 3
    found = load(
        REALS,
        DataConfig(condition="labels"),
        labels=y,
        valid=(REALS[:5] + 1, y[:5]),
        test=(REALS[:4] + 2, y[:4]),
    )
    assert [len(d) for d in found.splits] == [N, 5, 4]
    assert torch.equal(found.splits.test.c, torch.eye(3)[torch.as_tensor(y[:4])])


# Conditions.


def test_labels_are_one_hot_and_keep_their_names():
    y = np.array(["cat", "dog", "bee"])[np.arange(N) % 3]
    found = load(REALS, DataConfig(condition="labels"), labels=y)
    schema, train = found.schema, found.splits.train
    assert schema.classes == ("bee", "cat", "dog")
    assert schema.width == 3
    assert [schema.classes[i] for i in train.labels] == y[train.rows].tolist()
    assert torch.equal(train.c.argmax(1), train.labels)
    assert torch.equal(schema.condition("cat"), torch.tensor([[0.0, 1.0, 0.0]]))
    assert torch.equal(schema.condition(["dog", "bee"]).argmax(1), torch.tensor([2, 0]))
    assert torch.equal(schema.condition([2, 0]), schema.condition(["dog", "bee"]))
    with pytest.raises(DiaboloError, match="Did you mean 'dog'"):
        schema.condition("dogg")


def test_integer_labels_are_meant_by_their_value():
    schema = load(REALS, DataConfig(condition="labels"), labels=np.arange(N) % 3 + 5).schema
    assert schema.classes == ("5", "6", "7")
    for value in (6, "6", 6.0, np.int64(6), torch.tensor(6)):
        assert schema.condition(value).argmax() == 1
    with pytest.raises(DiaboloError, match="Unknown value of 'labels': '0'"):
        schema.condition(0)


def test_labels_without_condition_are_kept_for_colours():
    found = load(REALS, labels=np.arange(N) % 3)
    assert found.splits.train.c is None
    assert found.schema.width == 0
    assert found.splits.train.labels is not None
    assert load(REALS, DataConfig(labels="none"), labels=np.arange(N)).splits.train.labels is None


def test_several_columns_are_joined():
    age = RNG.normal(40.0, 9.0, N)
    kind = np.array(["a", "b"])[np.arange(N) % 2]
    found = load(REALS, condition={"kind": kind, "age": age})
    c = found.splits.train.c
    rows = found.splits.train.rows
    assert found.schema.width == 3
    expected = (age - age[rows].mean()) / age[rows].std()
    np.testing.assert_allclose(c[:, 2], expected[rows], rtol=1e-5)  # float32
    one = found.schema.condition({"kind": "b", "age": age[rows].mean()})
    assert torch.equal(one, torch.tensor([[0.0, 1.0, 0.0]]))
    assert torch.equal(found.schema.condition([("b", age[rows].mean())]), one)
    assert torch.equal(found.schema.condition(["b", age[rows].mean()]), one)
    new = found.schema.data(REALS[:2], condition={"kind": ["a", "b"], "age": [40.0, 41.0]})
    assert new.c.shape == (2, 3)
    laws.a_schema_survives_json(found.schema)


@pytest.mark.parametrize(
    ("value", "match"),
    [
        ({"kind": "b"}, "'age' is lacking"),
        ({"kind": "b", "agee": 1.0}, "Did you mean 'age'"),
        ({"kind": "b", "age": "old"}, "is a number, but got 'old'"),
        ({"kind": "b", "age": np.nan}, "no value in row 0"),
        ({"kind": ["a", "b", "a"], "age": [1.0, 2.0]}, "as many values"),
        ([("b", 1.0, 2.0)], "2 values a row"),
    ],
)
def test_wrong_condition_is_refused(value, match):
    schema = load(
        REALS, condition={"kind": np.array(["a", "b"])[np.arange(N) % 2], "age": REALS[:, 0]}
    ).schema
    with pytest.raises(DiaboloError, match=match):
        schema.condition(value)


def test_columns_of_numbers_and_of_labels_are_told_apart():
    values = np.stack([np.arange(N) % 2, np.arange(N) % 3], 1)
    assert load(REALS, condition=values).schema.width == 5
    assert load(REALS, condition=values + 0.5).schema.width == 2
    assert load(REALS, condition=torch.as_tensor(REALS[:, :1])).schema.width == 1
    assert load(REALS, condition=np.arange(1000)[:N] * 1).schema.width == N  # at most 50 labels


def test_continuous_labels_have_no_classes():
    found = load(REALS, DataConfig(condition="labels"), labels=REALS[:, 0])
    assert found.schema.classes == ()
    assert found.schema.width == 1
    assert found.splits.train.labels.dtype == torch.float32


@pytest.mark.parametrize(
    ("labels", "match"),
    [
        (np.arange(N - 1), f"Expected {N} values of 'labels', one a row, but got {N - 1}"),
        (np.zeros((N, 2)), "one value of 'labels' a row"),
        ([None, *["a"] * (N - 1)], "no value in row 0"),
        (np.r_[np.zeros(N - 1), np.nan], f"no value in row {N - 1}"),
    ],
)
def test_wrong_labels_are_refused(labels, match):
    with pytest.raises(DiaboloError, match=match):
        load(REALS, labels=labels)


def test_schema_without_condition_refuses_one():
    with pytest.raises(DiaboloError, match="have no condition"):
        load(REALS).schema.condition(3)


# New data.


def test_new_data_of_another_shape_are_refused():
    schema = load(BYTES).schema
    with pytest.raises(DiaboloError, match=r"shape \(n, 6, 5\) as in training, but got \(6, 5\)"):
        schema.data(BYTES[0])
    with pytest.raises(DiaboloError, match=r"shape \(n, 6, 5\)"):
        schema.data(BYTES[:, None])
    with pytest.raises(DiaboloError, match="at least one row"):
        schema.data(BYTES[:0])


@pytest.mark.parametrize(
    ("x", "new", "match"),
    [
        (BYTES, BYTES / 255, "grey levels 0 to 255"),
        (BYTES, BYTES.astype(int) + 1, "grey levels 0 to 255"),
        (BYTES / 255, BYTES, "equally spaced values in"),
        (ARRAYS["bits"][0], ARRAYS["bits"][0] * 2, r"0 or 1.*row"),
        (ARRAYS["counts"][0], ARRAYS["counts"][0] - 9, "non-negative integers"),
        (ARRAYS["unit"][0], ARRAYS["unit"][0] + 1, r"values in \[0, 1\]"),
        (REALS, np.full((2, 4), -np.inf), "infinite values, the first in row 0, column 0"),
        (REALS, np.where(REALS > 3, np.nan, REALS), "missing='nan'"),
        (REALS, np.array([["a"] * 4]), "hold '<U1'"),
        (REALS, [[1.0, 2.0], [3.0]], "different shapes"),
        (REALS, 1e300 * REALS, "too large for float32"),
    ],
)
def test_new_data_outside_their_support_are_refused(x, new, match):
    schema = load(x).schema
    with pytest.raises(DiaboloError, match=match):
        schema.data(new)


@pytest.mark.parametrize("library", [pd, pl])
def test_frames_are_read_by_name(library):
    columns = {n: REALS[:, i] for i, n in enumerate("abcd")}
    kind = np.array(["x", "y"])[np.arange(N) % 2].tolist()
    frame = library.DataFrame({**columns, "kind": kind})
    found = load(frame, DataConfig(labels="kind", condition="labels"))
    schema = found.schema
    assert schema.columns == tuple("abcd")
    assert schema.classes == ("x", "y")
    assert schema.width == 2
    turned = library.DataFrame({"kind": kind, **dict(reversed(columns.items()))})
    again = schema.data(turned)
    rows = found.splits.train.rows
    assert torch.equal(again.x[rows], found.splits.train.x)
    assert torch.equal(again.c[rows], found.splits.train.c)
    short = {n: v for n, v in columns.items() if n != "c"}
    with pytest.raises(DiaboloError, match="lacks the column 'c'"):
        schema.data(library.DataFrame(short))
    assert load(frame).schema.kinds == ("real",) * 4 + ("category:2",)
    with pytest.raises(DiaboloError, match=r"Column 'kind' is not numeric.*labels='kind'"):
        load(frame, DataConfig(support="real"))
    with pytest.raises(DiaboloError, match="Did you mean 'kind'"):
        load(frame, DataConfig(labels="knd"))


def test_frame_names_the_column_of_a_missing_value():
    frame = pd.DataFrame(REALS, columns=["pH", "b", "c", "d"])
    frame.loc[3, "pH"] = np.nan
    with pytest.raises(DiaboloError, match="row 3, column 'pH'"):
        load(frame, DataConfig(missing="refuse"))


def test_frame_with_two_columns_of_a_name_is_refused():
    with pytest.raises(DiaboloError, match="Column 'a' occurs twice"):
        load(pd.DataFrame(REALS, columns=list("aabc")))
    schema = load(pd.DataFrame(REALS, columns=list("abcd"))).schema
    with pytest.raises(DiaboloError, match="Column 'a' occurs 3 times"):
        schema.data(pd.DataFrame(REALS, columns=list("aaab")))


def test_frame_with_its_row_numbers_leaves_them_out():
    frame = pd.DataFrame(REALS, columns=list("abcd"))
    numbered = pd.concat([pd.Series(range(N), name="Unnamed: 0"), frame], axis=1)
    found = load(numbered)
    assert found.schema.columns == tuple("abcd")
    assert found.notes


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.int64, np.uint8])
def test_masked_entries_are_missing(dtype):
    """What lies under the mask, even if infinite or NaN, is not looked at."""
    x = np.arange(N * 4).reshape(N, 4).astype(dtype)
    hidden = RNG.random(x.shape) < 0.3
    hidden[5, 2] = True
    if x.dtype.kind == "f":
        x[5, 2] = np.inf
    with pytest.raises(DiaboloError, match=rf"{hidden.sum()} missing values.*missing='nan'"):
        load(np.ma.array(x, mask=hidden))
    found = load(np.ma.array(x, mask=hidden), DataConfig(missing="nan"))
    train = found.splits.train
    assert np.array_equal(train.mask.numpy(), ~hidden[train.rows])
    changed = np.ma.array(np.where(hidden, 7, x), mask=hidden)
    assert torch.equal(found.schema.data(changed).x[train.rows], train.x)
    assert torch.equal(load(changed, DataConfig(missing="nan")).splits.train.x, train.x)


@pytest.mark.parametrize("columns", [1, 2])
def test_masked_labels_and_conditions_are_missing(columns):
    y = np.ma.array(np.arange(N) % 3, mask=np.arange(N) == 4)
    with pytest.raises(DiaboloError, match="no value in row 4"):
        load(REALS, labels=y)
    condition = np.ma.stack([y] * columns, axis=1)
    with pytest.raises(DiaboloError, match="no value in row 4"):
        load(REALS, condition=condition)


def test_missing_entries_become_a_mask():
    x = np.where(REALS > 3, np.nan, REALS)
    found = load(x, DataConfig(missing="nan"))
    train = found.splits.train
    assert np.array_equal(train.mask.numpy(), ~np.isnan(x[train.rows]))
    assert bool(torch.isfinite(train.x).all())
    assert found.schema.data(REALS).mask is not None


def test_data_say_where_they_come_from():
    found = load(REALS).splits.valid
    data = found.take(torch.tensor([2, 0]))
    assert data.rows.tolist() == found.rows[[2, 0]].tolist()
    assert {f.name for f in dataclasses.fields(Data)} >= {"x", "support", "decoder", "c", "mask"}


def test_schema_that_is_not_one_is_refused():
    good = load(REALS).schema.to_json()
    with pytest.raises(DiaboloError, match="part of the schema"):
        Schema.from_json({**good, "shap": 1})
    with pytest.raises(DiaboloError, match="lacks 'shape'"):
        Schema.from_json({k: v for k, v in good.items() if k != "shape"})


@pytest.mark.parametrize(
    ("name", "values", "dtype"),
    [
        ("bits", 0.3, np.float32),
        ("bits", 1.0, np.bool_),
        ("counts", 2.5, np.float32),
        ("counts", 2.0, np.int64),
        ("grey bytes", 0.301, np.uint8),
        ("grey 256", 0.3, np.float32),
        ("reals", 0.3, np.float64),
    ],
)
def test_restored_means_are_not_cut(name, values, dtype):
    schema = load(ARRAYS[name][0]).schema
    back = schema.restore(torch.full((2, *schema.event), values))
    assert back.dtype == dtype
    # Grey bytes are rounded to a level, 76.755 up.
    assert float(back.max()) == pytest.approx(77 if name == "grey bytes" else values, rel=1e-6)


def test_restored_values_have_a_span():
    assert load(BYTES).schema.span == (0.0, 255.0)
    assert load(BYTES, DataConfig(binarize="dynamic")).schema.span == (0.0, 255.0)
    assert load(BYTES / 255).schema.span == (0.0, 1.0)
    assert load(REALS).schema.span is None
