"""How good the samples of a model are, where these are data, copies of them or of another law."""

from __future__ import annotations

import json
import math
import re
from dataclasses import replace
from math import prod

import numpy as np
import pytest
import torch
from torch import Tensor

import diabolo
from diabolo.data import Data
from diabolo.data.decode import Binarize, Scale
from diabolo.errors import DiaboloError
from diabolo.evaluate import sample_quality
from diabolo.evaluate.drawing import drawn
from diabolo.evaluate.samples import quality
from diabolo.evaluate.samples.classifier import classifier
from laws import recipes


def blobs(seed: int, n: int = 200) -> Data:
    """Grey images of 8 x 8 with a spot in one of four corners, which is their label."""
    own = torch.Generator().manual_seed(seed)
    label = torch.randint(0, 4, (n,), generator=own)
    images = torch.randint(0, 60, (n, 1, 8, 8), generator=own)
    for i, at in enumerate(label.tolist()):
        top, left = 4 * (at // 2), 4 * (at % 2)
        images[i, 0, top + 1 : top + 3, left + 1 : left + 3] += 180
    levels = images.clamp(max=255).to(torch.uint8)
    decoder, names = Binarize(Scale(256)), tuple("abcd")
    index = 1000 * seed + torch.arange(n)
    return Data(
        levels, "binary", decoder=decoder, labels=label, classes=names, fixed=True, index=index
    )


@pytest.fixture
def vae():
    case = recipes.case("vae", event=(1, 8, 8), likelihood="Bernoulli")
    return case.build().model.eval()


def answer(monkeypatch, data: Data, mean: bool = False):
    """Makes these data the samples of any model, and its reconstructions."""
    x = data.decoder.mean(data.x) if mean else data.batch(torch.arange(len(data))).x
    monkeypatch.setattr("diabolo.evaluate.samples.quality.drawn", lambda *a, **k: x)
    monkeypatch.setattr("diabolo.evaluate.samples.quality.reconstructed", lambda *a, **k: x)


@pytest.mark.parametrize("mean", [False, True])
def test_samples_with_the_law_of_the_data_are_found_good(vae, monkeypatch, mean):
    """Means are compared with the grey values of bits, and draws with the bits."""
    answer(monkeypatch, blobs(2), mean)
    found = sample_quality(vae, blobs(0), blobs(1, 400), mean=mean, features="random")
    assert found.two_sample.p > 1e-3
    assert abs(found.kernel.value) < 4 * found.kernel.stderr
    assert abs(found.frechet.value - found.training.value) < 4 * found.frechet.stderr
    assert found.manifolds.coverage.value == pytest.approx(found.manifolds.coverage.same, abs=0.08)
    for near_one in (found.sharpness, found.reconstructions, found.nearest.ratio):
        assert abs(near_one.value - 1) < 4 * near_one.stderr
    assert not any("by heart" in note for note in found.notes)


def test_samples_that_are_training_data_are_said_to_be(vae, monkeypatch):
    answer(monkeypatch, blobs(1))
    found = sample_quality(vae, blobs(0), blobs(1), features="pca")
    assert found.nearest.ratio.value == 0
    assert found.nearest.copies == 200
    assert found.nearest.pairs[0].row == 1000 + found.nearest.pairs[0].sample
    assert any("200 of 200 samples are near copies" in note for note in found.notes)


def test_samples_of_another_law_are_found_out(vae):
    """An untrained model's, by every number, and the same ones for the same seed."""
    found = sample_quality(vae, blobs(0), blobs(1), features="random", seed=3)
    assert found.two_sample.p < 1e-6
    assert found.kernel.value > 4 * found.kernel.stderr
    assert found.frechet.value > found.training.value + 4 * found.frechet.stderr
    assert found.manifolds.coverage.value < 0.5
    again = sample_quality(vae, blobs(0), blobs(1), features="random", seed=3)
    assert replace(again, seconds=0.0).to_json()["frechet"] == found.frechet.to_json()
    other = sample_quality(vae, blobs(0), blobs(1), features="random", seed=4)
    assert other.frechet.value != found.frechet.value
    told = json.loads(json.dumps(found.to_json()))
    assert told["samples"] == "draws"
    assert {q.name for q in found.rows()} >= {"Frechet distance", "recall", "near copies"}
    assert "random convolutional network, seed 3" in found.rows()[0].how


def test_draws_are_those_of_a_run_and_keyed_by_row(vae):
    assert torch.equal(drawn(vae, 30, seed=5)[:7], drawn(vae, 7, seed=5))
    mean = drawn(vae, 7, seed=5, mean=True)
    assert bool(((mean > 0) & (mean < 1)).all())


def test_features_of_a_classifier_are_named_by_its_accuracy(vae, monkeypatch):
    monkeypatch.setattr("diabolo.evaluate.samples.classifier.STEPS", 60)
    answer(monkeypatch, blobs(2))
    parts: list[float] = []
    found = sample_quality(vae, blobs(0), blobs(1), progress=parts.append)
    told = re.search(r"features of a convolutional classifier with (.*)% accuracy", found.features)
    assert told is not None
    assert "% accuracy on 200 data, seed" in found.features
    assert float(told[1]) > 90
    assert parts == sorted(parts)
    assert parts[-1] == 1
    unlabelled = replace(blobs(1), labels=None, classes=())
    assert "random" in sample_quality(vae, blobs(0), unlabelled).features
    with pytest.raises(DiaboloError, match="need training data with labels"):
        sample_quality(vae, blobs(0), unlabelled, features="classifier")


def test_a_classifier_learns_and_repeats_exactly(monkeypatch):
    monkeypatch.setattr("diabolo.evaluate.samples.classifier.STEPS", 60)
    train, test = blobs(1), blobs(0)

    def seen(data: Data) -> Tensor:
        return data.batch(torch.arange(len(data))).x

    before = torch.get_rng_state()
    several = [classifier(seen(train), train.labels, 4, seed=s) for s in (0, 0, 1)]
    assert torch.equal(torch.get_rng_state(), before)
    assert several[0].accuracy(seen(test), test.labels) > 0.9  # some bits hide their spot
    a, b, c = (m.body(seen(test)) for m in several)
    assert torch.equal(a, b)
    assert not torch.equal(a, c)
    shuffled = train.labels[torch.randperm(200, generator=torch.Generator().manual_seed(0))]
    blind = classifier(seen(train), shuffled, 4)
    # Of 200 data a quarter, give or take 3 % a standard error.
    assert blind.accuracy(seen(test), test.labels) < 0.25 + 4 * 0.03


@pytest.mark.parametrize("name", ["cvae", "m2", "ladder", "wae", "vamp"])
def test_quality_of_other_recipes(name):
    """Conditional, classifying, hierarchical, deterministic with a prior: columns of numbers."""
    case = recipes.case(name, support="real", n=60)
    model = case.build().model.eval()
    c = None if case.c is None else torch.eye(case.c.shape[1])[torch.arange(60) % 2]
    data = Data(torch.randn(60, prod(case.spec.event)), "real", c=c)
    found = sample_quality(model, data, data.take(torch.arange(50)))
    assert found.sharpness is None
    assert any("Sharpness is of images" in note for note in found.notes)
    assert found.features == "6 values"
    assert all(math.isfinite(q.value) for q in found.rows())


@pytest.mark.parametrize("support", ["mixed", "category", "count", "unit"])
def test_quality_of_other_supports(support):
    case = recipes.case("vae", support=support, n=60)
    x = case.x if len(case.x) == 60 else case.spec.examples
    data = Data(x.repeat(3, 1), support, levels=case.spec.levels, kinds=case.spec.kinds)
    found = sample_quality(case.build().model.eval(), data)
    assert found.nearest is None
    assert any("no training data here" in note for note in found.notes)
    assert found.n == len(data)


def test_quality_is_refused_where_it_has_no_meaning(vae):
    deterministic = recipes.case("ae", event=(1, 8, 8)).build().model
    with pytest.raises(DiaboloError, match=r"no samples.*refit"):
        sample_quality(deterministic, blobs(0))
    hidden = replace(blobs(0), mask=torch.ones(200, 1, 8, 8, dtype=torch.bool))
    with pytest.raises(DiaboloError, match="whole data"):
        sample_quality(vae, hidden)
    with pytest.raises(DiaboloError, match="40 data at least, not 39"):
        sample_quality(vae, blobs(0, 39))
    with pytest.raises(DiaboloError, match=r"takes data of shape \(1, 8, 8\)"):
        sample_quality(vae, Data(torch.randn(50, 3)))
    with pytest.raises(DiaboloError, match="neighbours"):
        sample_quality(vae, blobs(0), neighbours=0)
    with pytest.raises(DiaboloError, match="Did you mean 'random'"):
        sample_quality(vae, blobs(0), features="randm")


def test_bits_that_hide_their_grey_values_are_said_to(vae):
    bits = blobs(0).drawn()
    found = sample_quality(vae, bits, mean=True, features="pca")
    assert any("means are grey" in note for note in found.notes)


def test_training_data_with_entries_missing_are_left_out(vae):
    hidden = replace(blobs(1), mask=torch.ones(200, 1, 8, 8, dtype=torch.bool))
    found = sample_quality(vae, blobs(0), hidden, features="pca")
    assert found.nearest is None
    assert found.training is None
    assert any("training data are missing" in note for note in found.notes)
    model, x = recipes.case("vae", support="real", n=60).build().model.eval(), torch.randn(60, 6)
    holes = torch.where(x > 1, torch.nan, x)
    missing = Data(holes, "real", mask=holes.isfinite())
    assert sample_quality(model, Data(x, "real"), missing).training is None


def test_samples_that_share_conditions_are_said_to():
    case = recipes.case("cvae", support="real", n=60)
    c = torch.eye(case.c.shape[1])[torch.arange(60) % 2]
    data = Data(torch.randn(60, prod(case.spec.event)), "real", c=c)
    found = sample_quality(case.build().model.eval(), data)
    assert any("has the condition of a datum" in note for note in found.notes)


def test_images_too_small_for_a_laplacian_have_no_sharpness():
    """Of 3 x 3 pixels one is within, whose variance is nothing."""
    case = recipes.case("vae", event=(1, 3, 3), likelihood="Bernoulli")
    data = Data((torch.rand(60, 1, 3, 3) > 0.5).float(), "binary")
    found = sample_quality(case.build().model.eval(), data)
    assert found.sharpness is None


def test_a_run_compares_samples_under_conditions_of_arrays():
    x, c = np.random.default_rng(0).normal(size=(60, 3)), np.linspace(0, 1, 60)
    run = diabolo.fit(x, condition=c, epochs=1, device="cpu")
    found = run.sample_quality(x, condition=c, features="pca", seed=2)
    assert (found.n, found.seed) == (60, 2)
    assert run.metrics["samples"]["split"] == "given"
    with pytest.raises(DiaboloError, match="belong to data"):
        run.sample_quality(condition=c)


def test_data_that_lie_in_an_order_are_compared_by_a_random_choice_of_them(vae, monkeypatch):
    """Of sorted classes the first data are one class: what is compared is of all, by the seed."""
    data = blobs(0, 400)
    data = data.take(data.labels.argsort())
    monkeypatch.setattr("diabolo.evaluate.samples.quality.MOST", 100)
    monkeypatch.setattr("diabolo.evaluate.samples.quality.ASKED", 40)
    seen: dict[str, list[Tensor]] = {}

    def look(name: str, at: int) -> None:
        module = f"diabolo.evaluate.samples.quality.{name}"
        real = getattr(quality, name)
        monkeypatch.setattr(
            module, lambda *a, **k: seen.setdefault(name, []).append(a[at]) or real(*a, **k)
        )

    def labels(images: Tensor) -> list[int]:
        corners = images.view(-1, 2, 4, 2, 4).mean((2, 4)).flatten(1)
        return corners.argmax(1).bincount(minlength=4).tolist()

    look("nearest_training", 0)
    look("read", 1)
    found = [sample_quality(vae, data, blobs(1, 50), features="pca", seed=s) for s in (0, 0, 1)]
    assert found[0].n == 100
    assert found[0].frechet == found[1].frechet
    assert found[0].frechet != found[2].frechet
    x, near = seen["read"][0], seen["nearest_training"][0]
    assert min(labels(x)) > 10  # of 100 in four classes; the first 100 would be of one or two
    assert min(labels(near)) > 2
    assert any("100 are compared, drawn by row" in note for note in found[0].notes)
    pair = found[0].nearest.pairs[0]
    assert 0 <= pair.sample < 100
