"""Discrete latents in use: their values are visited, and no axis is made of names."""

from __future__ import annotations

import json

import numpy as np
import pytest

import diabolo
from diabolo.__main__ import main
from diabolo.errors import DiaboloError
from diabolo.panels import PANELS, NotApplicable

TINY = {"net": "mlp(hidden=(8,))", "epochs": 1, "batch_size": 32, "device": "cpu"}


def pictures(n=90):
    """Small pictures of bits, and a class of each."""
    x = np.random.default_rng(0).random((n, 4, 4, 1)) < 0.5
    return x.astype(np.uint8), np.arange(n) % 3


@pytest.fixture(scope="module")
def classes():
    """A run of m2: element 0 is the class, beside two of z."""
    x, y = pictures()
    small = {"inner": "mlp(hidden=(8,))", "latent": 2, "features": 6, "labelled": 10}
    return diabolo.fit(x, "m2", labels=y, condition="labels", **small, **TINY)


@pytest.fixture(scope="module")
def names(tmp_path_factory):
    """A run with two discrete elements of four values, and nothing else."""
    out = tmp_path_factory.mktemp("names") / "run"
    return diabolo.fit(pictures()[0], "discrete_vae", latent=2, values=4, out=out, **TINY)


def test_a_traversal_visits_every_value_of_a_discrete_element_in_order(names):
    z = names.encode(pictures(1)[0])
    rows = names.traverse(z[0], dims=[1])
    each = np.repeat(z, 4, 0)
    each[:, 1] = range(4)
    np.testing.assert_allclose(rows[0], names.decode(each), atol=1e-6)
    assert names.traverse().shape[:2] == (2, 4)
    np.testing.assert_allclose(names.traverse(z[0], dims=[1], steps=3)[0], rows[0, :3], atol=1e-6)
    with pytest.raises(DiaboloError, match="span is for continuous elements"):
        names.traverse(span=2.0)


def test_a_traversal_visits_the_classes_where_none_is_given(classes):
    z = classes.encode(pictures(1)[0])
    each = np.repeat(z, 3, 0)
    each[:, 0] = range(3)
    expected = classes.decode(each)
    np.testing.assert_allclose(classes.traverse(z[0], dims=[0])[0], expected, atol=1e-6)
    rows = classes.traverse(z[0], span=2.0)  # beside those of z, which have 9 steps
    assert rows.shape[:2] == (3, 9)
    row = rows[classes.latents.order.index(0)]
    np.testing.assert_allclose(row[:3], expected, atol=1e-6)
    np.testing.assert_allclose(row[3:], expected[[2] * 6], atol=1e-6)


def test_a_class_that_is_given_has_no_row(classes):
    z = classes.encode(pictures(1)[0])
    assert classes.traverse(z[0], label=2).shape[:2] == (2, 9)
    with pytest.raises(DiaboloError, match="element 0 is the class"):
        classes.traverse(z[0], dims=[0], label=2)


def test_traversal_of_values_from_the_command_line(names, tmp_path, capsys):
    words = ["traverse", str(names.folder), "--out", str(tmp_path / "x.npz")]
    assert main([*words, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["dims"], found["steps"]) == (names.latents.order, 4)
    assert main([*words, "--span", "2"]) != 0


def words(figure):
    """The names of the axes and the text of a figure."""
    axes = [t for ax in figure.axes for t in (ax.get_xlabel(), ax.get_ylabel())]
    return axes, " ".join(t.get_text() for t in figure.texts)


def test_planes_have_no_axis_of_names(classes):
    axes, text = words(PANELS.load("manifold")(classes))
    assert sorted(a for a in axes if a) == ["$z_{1}$", "$z_{2}$"]
    assert "standard normal" in text  # the prior of what moves
    axes, _ = words(PANELS.load("latent_map")(classes))
    assert axes == ["$z_{1}$", "$z_{2}$"]


def test_columns_of_a_manifold_beside_a_class_differ(classes):
    page = PANELS.load("manifold")(classes, steps=2).axes[0].images[0].get_array()
    half = page.shape[1] // 2
    assert not np.array_equal(page[:, :half], page[:, -half:])


@pytest.mark.parametrize("panel", ["manifold", "latent_map"])
def test_planes_do_not_apply_to_names_alone(names, panel):
    with pytest.raises(NotApplicable, match="all discrete"):
        PANELS.load(panel)(names)
