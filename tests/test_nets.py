"""Laws over every network of the registry, for images and vectors of many shapes."""

from __future__ import annotations

from math import prod

import pytest
import torch
from torch import Tensor, nn

from diabolo import DiaboloError
from diabolo.distributions import family
from diabolo.model import Conditional
from diabolo.nets import NETS, set_start
from diabolo.nets._image import default_channels
from laws import nets as laws

IMAGES = [(1, 1, 1), (1, 1, 9), (3, 5, 7), (2, 4, 4), (1, 8, 8), (3, 13, 6), (1, 28, 28)]
LARGE = [(3, 64, 48), (1, 33, 65)]
OPTIONS = {  # one more way to build each; a new network runs with its defaults without an entry
    "mlp": ["mlp(hidden=(16,), activation=gated)", "mlp(hidden=())"],
    "conv": ["conv(channels=(4, 6, 8), hidden=12, kernel=5, activation=tanh)"],
    "residual": ["residual(channels=(4, 6), hidden=12, blocks=1, kernel=3, activation=gelu)"],
}
CALLS = [call for name in NETS.names() for call in (name, *OPTIONS.get(name, []))]


def takes_vectors(call: str) -> bool:
    """Whether the network maps vectors to vectors; one that does not says so in a sentence."""
    try:
        NETS.module(call, (4,), (5,))
    except DiaboloError:
        return False
    return True


def sides(image: tuple[int, ...]) -> list[tuple[tuple[int, ...], tuple[int, ...]]]:
    return [(image, (6,)), ((4,), image), ((4,), (2 * image[0], *image[1:]))]


CASES = [(call, i, o) for call in CALLS for image in IMAGES for i, o in sides(image)]
CASES += [(call, (4,), (5,)) for call in CALLS if takes_vectors(call)]
CASES += [(call, (2, 9, 6), (4, 7, 7)) for call in CALLS]
FEW = [(call, i, o) for call in CALLS for i, o in sides((3, 5, 7))[:2]]


def make(call: str, i: tuple[int, ...], o: tuple[int, ...], condition: int = 0) -> nn.Module:
    torch.manual_seed(0)
    return NETS.module(call, i, o, condition)


@pytest.mark.parametrize("condition", [0, 2])
@pytest.mark.parametrize(("call", "i", "o"), CASES)
def test_net_shape_and_gradients(call, i, o, condition):
    net = make(call, i, o, condition)
    h, c = laws.arguments(i, condition)
    laws.shape_is_as_asked(net, h, c, o)
    laws.every_parameter_learns(net, h, c)


@pytest.mark.parametrize("image", LARGE)
@pytest.mark.parametrize("call", CALLS)
def test_net_shape_of_large_images(call, image):
    with torch.no_grad():
        for i, o in sides(image)[:2]:
            net = make(call, i, o)
            assert net(torch.zeros(1, *i)).shape == (1, *o)


@pytest.mark.parametrize(("call", "i", "o"), FEW)
def test_net_every_input_counts(call, i, o):
    h, c = laws.arguments(i, 2)
    laws.input_has_an_effect(make(call, i, o, 2), h, c)


@pytest.mark.parametrize(("call", "i", "o"), FEW)
def test_net_condition_has_an_effect(call, i, o):
    h, c = laws.arguments(i, 2)
    laws.condition_has_an_effect(make(call, i, o, 2), h, c)


@pytest.mark.parametrize(("call", "i", "o"), FEW)
def test_net_condition_interacts_with_the_input(call, i, o):
    if call == "mlp(hidden=())":  # a linear map adds it, as it must
        with pytest.raises(AssertionError):
            laws.condition_interacts(make(call, i, o, 2), *laws.arguments(i, 2))
    else:
        laws.condition_interacts(make(call, i, o, 2), *laws.arguments(i, 2))


@pytest.mark.parametrize(("call", "i", "o"), FEW)
def test_net_is_deterministic_and_data_independent(call, i, o):
    net = make(call, i, o, 2)
    h, c = laws.arguments(i, 2)
    laws.deterministic(net, h, c)
    laws.data_are_independent(net, h, c)


@pytest.mark.parametrize(("call", "i", "o"), FEW)
def test_net_computes_in_the_type_of_its_weights(call, i, o):
    net = make(call, i, o, 2)
    single = net(*laws.arguments(i, 2))
    double = net.double()(*laws.arguments(i, 2, dtype=torch.float64))
    assert single.dtype == torch.float32
    assert double.dtype == torch.float64
    # 1e-5: float32 rounding over some hundred terms of size one.
    torch.testing.assert_close(single, double.float(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("call", "i", "o"), FEW)
def test_net_runs_under_bfloat16_autocast(call, i, o):
    net = make(call, i, o, 2)
    h, c = laws.arguments(i, 2)
    exact = net(h, c)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rough = net(h, c)
    assert rough.shape == exact.shape
    rough.float().square().sum().backward()
    # bfloat16 has 8 bits: 0.4 % a rounding, and a few layers of them.
    torch.testing.assert_close(rough.float(), exact, rtol=0.1, atol=0.05)


@pytest.mark.parametrize(("call", "i", "o"), FEW)
def test_net_runs_in_channels_last(call, i, o):
    net = make(call, i, o, 2)
    h, c = laws.arguments(i, 2)
    expected = net(h, c)
    net = net.to(memory_format=torch.channels_last)
    if h.ndim == 4:
        h = h.contiguous(memory_format=torch.channels_last)
    # Other kernels sum in another order: float32 rounding.
    torch.testing.assert_close(net(h, c), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("call", "i", "o"), FEW)
def test_net_compiles_to_one_graph(call, i, o):
    net = make(call, i, o, 2)
    h, c = laws.arguments(i, 2)
    laws.compiled_equals_eager(net, h, c)


@pytest.mark.parametrize("image", [(1, 28, 28), (3, 13, 6)])
@pytest.mark.parametrize("call", CALLS)
def test_net_keeps_the_signal(call, image):
    for i, o in sides(image)[:2]:
        h, c = laws.arguments(i, 0, n=16)
        laws.signal_is_sane(make(call, i, o), h, c)


@pytest.mark.parametrize("call", CALLS)
def test_net_has_a_head_with_a_bias(call):
    for i, o in sides((3, 5, 7)):
        net = make(call, i, o)
        assert isinstance(net.head, nn.Linear | nn.Conv2d)
        before = net(torch.zeros(1, *i))
        with torch.no_grad():
            net.head.bias.add_(1.0)
        # The head is last: a bias of one more is an output of one more, up to float32 rounding.
        torch.testing.assert_close(net(torch.zeros(1, *i)), before + 1.0, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", NETS.names())
def test_net_default_size_is_sane(name):
    """Under 1.5 million weights a side on 28 x 28, and a condition adds few."""
    for i, o in sides((1, 28, 28)):
        plain = sum(p.numel() for p in make(name, i, o).parameters())
        wider = sum(p.numel() for p in make(name, i, o, 10).parameters())
        assert 100_000 < plain < 1_500_000
        assert 0 < wider - plain <= 10 * 512


@pytest.mark.parametrize("name", [n for n in NETS.names() if not takes_vectors(n)])
def test_image_net_refuses_vectors(name):
    with pytest.raises(DiaboloError, match=r"needs images .* map \(4,\) to \(5,\): use 'mlp'"):
        NETS.module(name, (4,), (5,))


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        ("mlp(activation=gelo)", "Unknown activation: 'gelo'. Did you mean 'gelu'"),
        ("mlp(hidden=64)", r"hidden must be positive whole numbers such as \(512, 512\), not 64"),
        ("mlp(hidden=(64, 0))", "hidden must be positive whole numbers"),
        ("mlp(hiden=(64,))", "Did you mean 'hidden'"),
        ("conv(activation=rely)", "Did you mean 'relu'"),
        ("conv(channels=())", "channels must be positive whole numbers"),
        ("conv(channels=32)", "channels must be positive whole numbers"),
        ("conv(hidden=0)", "hidden must be positive whole numbers"),
        ("conv(kernel=4)", "kernel must be an odd number"),
        ("residual(blocks=0)", "blocks must be positive whole numbers"),
        ("con", "Unknown network: 'con'. Did you mean 'conv'"),
    ],
)
def test_net_refuses_a_wrong_option_in_a_sentence(call, sentence):
    with pytest.raises(DiaboloError, match=sentence):
        NETS.module(call, (1, 8, 8), (3,))


@pytest.mark.parametrize(
    ("call", "other"),
    [
        ("mlp", "mlp(hidden=(32,))"),
        ("mlp", "mlp(activation=gated)"),
        ("conv", "conv(channels=(8,))"),
        ("conv", "conv(hidden=32)"),
        ("conv", "conv(kernel=5)"),
        ("conv", "conv(activation=tanh)"),
        ("residual", "residual(blocks=1)"),
        ("residual", "residual(channels=(8,))"),
        ("residual", "residual(hidden=32)"),
        ("residual", "residual(kernel=5)"),
        ("residual", "residual(activation=tanh)"),
    ],
)
def test_net_option_changes_the_net(call, other):
    h, _ = laws.arguments((1, 8, 8), 0)
    a, b = make(call, (1, 8, 8), (3,)), make(other, (1, 8, 8), (3,))
    laws.stir(a)
    laws.stir(b)
    assert not torch.allclose(a(h), b(h))


def test_residual_starts_as_a_sum_of_its_skips():
    """With the branches at zero, the number of blocks does not matter at the start."""
    one, three = (make(f"residual(blocks={b})", (1, 8, 8), (3,)) for b in (1, 3))
    shared = {k: v for k, v in three.state_dict().items() if "branch" not in k}
    match = {k: v for k, v in one.state_dict().items() if "branch" not in k}
    one.load_state_dict(dict(zip(match, shared.values(), strict=True)), strict=False)
    h, _ = laws.arguments((1, 8, 8), 0)
    torch.testing.assert_close(one(h), three(h))


@pytest.mark.parametrize("name", [n for n in NETS.names() if not takes_vectors(n)])
def test_image_net_has_no_checkerboard(name):
    """From a constant image inside, variance is the same at every phase of the grid."""
    totals = torch.zeros(4, 4)
    for seed in range(60):
        torch.manual_seed(seed)
        body = NETS.module(name, (4,), (8, 32, 32)).body
        with torch.no_grad():
            channels = next(m for m in body.modules() if isinstance(m, nn.ConvTranspose2d))
            small = (1, channels.in_channels, 8, 8)
            out = body(torch.ones(small))[0, :, 8:24, 8:24]  # away from the border
        totals += out.square().unflatten(1, (4, 4)).unflatten(3, (4, 4)).mean((0, 1, 3))
    # A kernel of 3 at stride 2 would give phases 1 : 2 : 4; 60 draws leave about 10 %.
    assert float(totals.max() / totals.min()) < 1.6


def test_default_channels_follow_the_size():
    assert default_channels((8, 8)) == (32,)
    assert default_channels((28, 28)) == (32, 64)
    assert default_channels((64, 48)) == (32, 64, 128)
    assert default_channels((1, 1)) == (32,)
    assert default_channels((256, 256)) == (32, 64, 128, 128, 128)


class Own(nn.Module):
    """A user's network: any module that takes (h, c)."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.layer = nn.Linear(inputs, outputs)

    def forward(self, h: Tensor, c: Tensor | None = None) -> Tensor:
        h = h.flatten(1)
        return self.layer(h if c is None else torch.cat([h, c], 1))


def test_own_module_plugs_in():
    own = Own(4 + 2, 2 * 6)
    assert NETS.module(own, (4,), (12,), 2) is own
    q = Conditional(NETS.module(own, (4,), (12,), 2), family("Normal"), (6,))
    assert q(torch.zeros(5, 3, 4), torch.zeros(3, 2)).mean.shape == (5, 3, 6)
    assert not set_start(own, family("Bernoulli").start, torch.full((12,), 0.5))


@pytest.mark.parametrize("call", CALLS)
def test_set_start_gives_the_data_mean(call):
    """With zero weights in the head, the likelihood's mean is the data's (by channel in images)."""
    event = (3, 5, 7)
    mean = torch.rand(event, generator=torch.Generator().manual_seed(0)) * 0.9 + 0.05
    net = make(call, (4,), event)
    nn.init.zeros_(net.head.weight)
    assert set_start(net, family("Bernoulli").start, mean)
    found = net(torch.randn(2, 4)).sigmoid()
    dense = isinstance(net.head, nn.Linear)
    expected = mean if dense else mean.mean((1, 2), keepdim=True)
    # logit and sigmoid in float32: 1e-6.
    torch.testing.assert_close(found, expected.expand(2, *event), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("call", CALLS)
def test_set_start_keeps_width_before_channel(call):
    """Raw output is (width, *E): each width's start lands in its own channels."""
    event = (2, 4, 4)

    def start(mean: Tensor) -> Tensor:
        return torch.stack([mean, mean + 10.0])

    mean = torch.tensor([1.0, 2.0]).view(2, 1, 1).expand(event)
    net = make(call, (4,), (2 * event[0], *event[1:]))
    nn.init.zeros_(net.head.weight)
    assert set_start(net, start, mean)
    raw = net(torch.zeros(1, 4)).unflatten(1, (2, 2))
    torch.testing.assert_close(raw[0], start(mean))


@pytest.mark.parametrize("call", CALLS)
def test_set_start_leaves_what_does_not_fit(call):
    net = make(call, (4,), (3, 5, 7))
    before = net.head.bias.clone()
    assert not set_start(net, lambda mean: None, torch.zeros(3, 5, 7))
    assert not set_start(net, lambda mean: mean[None, :2], torch.zeros(3, 5, 7))
    assert torch.equal(net.head.bias, before)


def test_gated_layer_keeps_the_size_of_its_input():
    h, _ = laws.arguments((256,), 0, n=1000)  # not from the generator of the weights
    net = make("mlp(hidden=(256, 256, 256, 256), activation=gated)", (256,), (4,))
    # 1000 x 256 entries, but 4 random matrices: a few percent each.
    assert float(net.body(h).detach().std()) == pytest.approx(1.0, abs=0.15)


def test_net_shapes_may_have_any_axes_for_mlp():
    assert make("mlp", (2, 3), (4, 5)).forward(torch.zeros(1, 2, 3)).shape == (1, 4, 5)
    assert prod((4, 5)) == make("mlp", (2, 3), (4, 5)).head.out_features
