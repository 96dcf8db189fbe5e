"""What encoders read: shapes, masks, corruptions, and no NaN in any gradient."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from diabolo import DiaboloError
from diabolo.noise import FRESH, MEAN, KeyedNoise
from diabolo.spec import Spec
from diabolo.views import CORRUPTIONS, Corrupted, Log1p, OneHot, View, corrupted, default_view

EVENTS = [(5,), (2, 3, 4), (1, 1, 1)]


def codes(event: tuple[int, ...], n: int = 6) -> Tensor:
    return torch.randint(0, 3, (n, *event)).float()


def views(event: tuple[int, ...], mask: bool) -> dict[str, nn.Module]:
    scale = torch.full(event, 2.0)
    plain = {
        "View": View(event, mask=mask),
        "View(standardised)": View(event, mask=mask, loc=torch.ones(event), scale=scale),
        "OneHot": OneHot(event, 3, mask=mask),
        "Log1p": Log1p(event, mask=mask),
        "Log1p(unit)": Log1p(event, unit=scale, mask=mask),
    }
    spoiled = {
        f"Corrupted({name}, {kind})": Corrupted(view, kind, 0.4, high=2.0)
        for name, view in plain.items()
        for kind in CORRUPTIONS
        if not (kind == "gaussian" and name.startswith("Log1p"))
    }
    return {**plain, **spoiled}


CASES = [
    (event, mask, name) for event in EVENTS for mask in (False, True) for name in views((1,), False)
]


@pytest.mark.parametrize(("event", "mask", "name"), CASES)
def test_view_has_its_shape(event, mask, name):
    view = views(event, mask)[name]
    x = codes(event)
    for noise in (FRESH, MEAN, KeyedNoise(0, torch.arange(len(x)))):
        for seen in (None, torch.rand(x.shape) < 0.5):
            found = view(x, seen, noise)
            assert found.shape == (len(x), *view.shape)
            assert found.dtype == torch.float32
            assert bool(torch.isfinite(found).all())


@pytest.mark.parametrize(("event", "mask", "name"), CASES)
def test_view_ignores_what_was_not_seen(event, mask, name):
    """NaN, inf or a number at an unseen entry: the same view, and a gradient without NaN."""
    view = views(event, mask)[name]
    x = codes(event)
    seen = torch.rand(x.shape) < 0.5
    found = []
    for junk in (0.0, math.nan, math.inf, -5.0):
        spoiled = torch.where(seen, x, junk).requires_grad_()
        out = view(spoiled, seen, KeyedNoise(0, torch.arange(len(x))))
        out.sum().backward()
        assert bool(torch.isfinite(spoiled.grad).all())
        assert bool((spoiled.grad[~seen] == 0).all())
        found.append(out.detach())
    for other in found[1:]:
        assert torch.equal(found[0], other)


@pytest.mark.parametrize(("event", "mask", "name"), CASES)
def test_view_with_all_seen_is_the_view_without_mask(event, mask, name):
    view = views(event, mask)[name].eval()
    x = codes(event)
    assert torch.equal(view(x), view(x, torch.ones_like(x, dtype=torch.bool)))


@pytest.mark.parametrize(("event", "mask", "name"), CASES)
def test_view_shows_unseen_as_zero_and_appends_the_mask(event, mask, name):
    view = views(event, mask)[name].eval()
    x = codes(event)
    seen = torch.rand(x.shape) < 0.5
    found = view(x, seen)
    channels = view.shape[0] // event[0]  # numbers for each element: codes first, then the mask
    found = found.unflatten(1, (channels, event[0]))
    assert bool((found.transpose(1, 2).movedim(2, -1)[~seen] == 0).all())
    if mask:
        assert torch.equal(found[:, -1], seen.float())


@pytest.mark.parametrize("mask", [False, True])
@pytest.mark.parametrize("event", EVENTS)
def test_values_are_where_what_is_read_moves_with_seen_ones(event, mask):
    """Found by moving each entry, in every way that a code can be, and reading again."""
    x, seen = codes(event, 8), torch.rand(1, *event) < 0.6
    for name, view in views(event, mask).items():
        view.eval()
        moved = torch.zeros(view.shape, dtype=torch.bool)
        for entry in torch.eye(math.prod(event)).view(-1, *event):
            for value in range(3):
                other = torch.where(entry > 0, float(value), x)
                with_mask = seen.expand_as(x)
                away = view(other, with_mask, MEAN) != view(x, with_mask, MEAN)
                moved |= away.any(0)
        assert torch.equal(view.values(seen)[0], moved), name


def test_values_of_mixed_columns_are_those_of_each_kind():
    kinds = ("real", "category:3", "real", "count")
    spec = Spec(event=(4,), support="mixed", kinds=kinds, missing=True)
    view = default_view(spec)
    # By kind: three channels of the category and its mask, the count and its, two reals and theirs.
    found = view.values(torch.tensor([[True, True, False, True]]))[0].int().tolist()
    assert found == [1, 1, 1, 0, 1, 0, 1, 0, 0, 0]
    assert len(found) == view.shape[0]


@pytest.mark.parametrize("name", views((1,), False))
def test_view_is_one_graph(name):
    torch.compiler.reset()
    view = views((2, 3, 4), True)[name].eval()
    x = codes((2, 3, 4))
    seen = torch.rand(x.shape) < 0.5
    graph = torch.compile(view, backend="aot_eager", fullgraph=True)
    assert torch.equal(graph(x, seen), view(x, seen))


@pytest.mark.parametrize("kind", CORRUPTIONS)
def test_corruption_compiles_in_training(kind):
    torch.compiler.reset()
    view = Corrupted(View((4,), mask=True), kind, 0.5)
    x, noise = torch.rand(3, 4), MEAN
    graph = torch.compile(view, backend="aot_eager", fullgraph=True)
    assert torch.equal(graph(x, None, noise), view(x, None, noise))


@pytest.mark.parametrize("name", views((1,), False))
def test_view_computes_in_double(name):
    view = views((5,), True)[name].double().eval()
    x = codes((5,)).double()
    assert view(x, torch.rand(x.shape) < 0.5).dtype == torch.float64


def test_one_hot_is_torch_one_hot():
    x = codes((2, 3, 4))
    expected = nn.functional.one_hot(x.long(), 3).movedim(-1, 1).flatten(1, 2).float()
    assert torch.equal(OneHot((2, 3, 4), 3)(x), expected)


def test_one_hot_is_linear_between_codes():
    x = torch.tensor([[1.25]], requires_grad=True)
    found = OneHot((1,), 3)(x)
    torch.testing.assert_close(found.detach(), torch.tensor([[0.0, 0.75, 0.25]]))
    found[0, 2].backward()
    assert float(x.grad) == 1.0


def test_log1p_is_numpys():
    x = torch.tensor([[0.0, 3.0, 1e6]])
    # float32 rounding of the logarithm.
    torch.testing.assert_close(Log1p((3,), unit=2.0)(x), torch.log1p(x / 2.0))
    assert float(Log1p((1,))(torch.zeros(1, 1))) == 0.0


@pytest.mark.parametrize("kind", CORRUPTIONS)
def test_corruption_only_in_training_and_of_its_level(kind):
    view = Corrupted(View((1000,)), kind, 0.3)
    x = torch.rand(50, 1000) * 0.8 + 0.1
    assert torch.equal(view.eval()(x), x)
    found = view.train()(x)
    # 50,000 entries: a fraction of 0.3 has standard error 0.002, a deviation 0.001; 5 of them.
    if kind == "gaussian":
        assert float((found - x).std()) == pytest.approx(0.3, abs=0.005)
        assert float((found - x).mean()) == pytest.approx(0.0, abs=0.007)
    else:
        touched = found != x
        assert float(touched.float().mean()) == pytest.approx(0.3, abs=0.01)
        values = {"masking": {0.0}, "salt_pepper": {0.0, 1.0}}[kind]
        assert set(found[touched].tolist()) == values
        if kind == "salt_pepper":
            assert float(found[touched].mean()) == pytest.approx(0.5, abs=0.02)


@pytest.mark.parametrize("kind", CORRUPTIONS)
def test_corruption_of_level_zero_is_none_and_noise_is_the_arguments(kind):
    x = torch.rand(6, 5)
    assert torch.equal(Corrupted(View((5,)), kind, 0.0)(x), x)
    view = Corrupted(View((5,)), kind, 0.5)
    index = torch.arange(6)
    whole = view(x, None, KeyedNoise(0, index))
    assert torch.equal(whole, view(x, None, KeyedNoise(0, index)))
    assert torch.equal(whole[2:4], view(x[2:4], None, KeyedNoise(0, index[2:4])))
    assert not torch.equal(whole, view(x, None, KeyedNoise(1, index)))


def test_masking_shows_the_entry_as_unseen():
    view = Corrupted(View((400,), mask=True, loc=5.0), "masking", 0.5)
    found = view(torch.full((1, 400), 7.0))
    value, flag = found[0, :400], found[0, 400:]
    assert torch.equal(value, 2.0 * flag)
    assert 0 < float(flag.sum()) < 400


def test_corruption_composes_with_corruption():
    inner = Corrupted(View((400,)), "masking", 0.5)
    view = Corrupted(inner, "salt_pepper", 0.5, low=2.0, high=3.0)
    assert set(view(torch.ones(1, 400))[0].tolist()) == {0.0, 1.0, 2.0, 3.0}
    assert set(view.eval()(torch.ones(1, 400))[0].tolist()) == {1.0}


def test_gaussian_corruption_is_in_units_of_the_scale():
    scale = torch.tensor([1.0, 100.0])
    spec = Spec(event=(2,), mean=torch.tensor([0.0, 50.0]), scale=scale)
    view = corrupted(spec, "gaussian", 0.5)
    spread = view(spec.mean.expand(20_000, 2)).std(0)
    # 20,000 draws: the standard error of a standard deviation of 0.5 is 0.0025.
    torch.testing.assert_close(spread, torch.full((2,), 0.5), rtol=0, atol=0.0125)


@pytest.mark.parametrize(
    ("spec", "ends"),
    [
        (Spec(event=(3,), support="binary"), (0.0, 1.0)),
        (Spec(event=(3,), support="byte", levels=17), (0.0, 1.0)),
        (Spec(event=(3,), support="ordinal", levels=5), (0.0, 4.0)),
        (
            Spec(event=(2,), examples=torch.tensor([[-1.0, 1000.0], [1.0, -1000.0]])),
            ([-1.0, -1000.0], [1.0, 1000.0]),
        ),
        (
            Spec(event=(3,), examples=torch.tensor([[3.0, torch.nan, torch.nan]] * 2)),
            ([3.0, 0.0, 0.0], [3.0, 1.0, 1.0]),
        ),
        (
            Spec(event=(2, 1, 2), examples=torch.tensor([[[[-1.0, 1.0]], [[5.0, 7.0]]]])),
            ([[[-1.0]], [[5.0]]], [[[1.0]], [[7.0]]]),
        ),
    ],
)
def test_salt_and_pepper_are_the_ends_of_each_element(spec, ends):
    """Of each channel, for images: their pixels are alike."""
    view = corrupted(spec, "salt_pepper", 1.0)
    assert (view.low.tolist(), view.high.tolist()) == ends
    plain = Corrupted(View(spec.event), "salt_pepper", 1.0, low=view.low, high=view.high)
    x = plain(torch.full((200, *spec.event), 0.5))
    low, high = (torch.as_tensor(e).expand(spec.event) for e in ends)
    assert torch.equal(x.amin(0), low)
    assert torch.equal(x.amax(0), high)


@pytest.mark.parametrize(
    ("spec", "cls", "shape"),
    [
        (Spec(event=(4,), support="real"), View, (4,)),
        (Spec(event=(1, 8, 8), support="binary", missing=True), View, (2, 8, 8)),
        (Spec(event=(4,), support="category", levels=3), OneHot, (12,)),
        (Spec(event=(2, 3, 3), support="ordinal", levels=3, missing=True), OneHot, (8, 3, 3)),
        (Spec(event=(4,), support="count"), Log1p, (4,)),
        (Spec(event=(4,), support="positive", mean=torch.ones(4), missing=True), Log1p, (8,)),
        (Spec(event=(4,), support="count", scale=torch.ones(4)), View, (4,)),
    ],
)
def test_default_view_follows_the_spec(spec, cls, shape):
    view = default_view(spec)
    assert type(view) is cls
    assert view.shape == shape


def test_default_view_standardises():
    loc, scale = torch.tensor([1.0, -2.0]), torch.tensor([0.5, 3.0])
    view = default_view(Spec(event=(2,), mean=loc, scale=scale))
    assert torch.equal(view(loc[None]), torch.zeros(1, 2))
    assert torch.equal(view((loc + scale)[None]), torch.ones(1, 2))


def test_views_keep_their_settings_in_the_weights():
    """Loc, scale and unit come back with the model."""
    first = Corrupted(Log1p((2,), unit=3.0), "masking", 0.1)
    second = Corrupted(Log1p((2,)), "masking", 0.1)
    second.load_state_dict(first.state_dict())
    assert float(second.view.unit) == 3.0


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: Corrupted(View((2,)), "gausian", 0.1), "Did you mean 'gaussian'"),
        (lambda: Corrupted(View((2,)), "masking", 1.5), "a part of the entries, 0 to 1, not 1.5"),
        (lambda: Corrupted(View((2,)), "gaussian", -1.0), "at least 0, not -1.0"),
        (lambda: Corrupted(View((2,)), "masking", math.nan), "0 to 1, not nan"),
        (lambda: corrupted(Spec(event=(2,), support="count"), "gaussian", 0.1), "use 'masking'"),
        (lambda: corrupted(Spec(event=(2,)), "salt_pepper", 0.1), "use 'gaussian' or 'masking'"),
        (lambda: default_view(Spec(event=(2,), support="category")), "number of levels"),
    ],
)
def test_view_refuses_in_a_sentence(make, sentence):
    with pytest.raises(DiaboloError, match=sentence):
        make()
