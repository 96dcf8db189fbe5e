"""Deterministic autoencoders against known answers, through the public recipes.

Shapes: B batch, E data, D elements of the code.
"""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from torch import nn

from diabolo.charges import Ridge
from diabolo.config import TrainConfig
from diabolo.data import Data
from diabolo.evaluate import hoyer, jacobian_norm
from diabolo.jacobians import columns, normals, product, rows, signs
from diabolo.model import Draw, Trace
from diabolo.noise import FRESH, KeyedNoise
from diabolo.objectives import elbo, sparse, terms
from diabolo.recipes import build
from diabolo.recipes.sparse_ae import largest, seldom
from diabolo.spec import Spec
from diabolo.train import fit
from laws import bounds, recipes

EXACT = 1e-10  # float64, sums of products of order one


@pytest.fixture(autouse=True)
def _doubles():
    torch.manual_seed(0)
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def orthonormal(rows: int, columns: int) -> torch.Tensor:
    return torch.linalg.qr(torch.randn(rows, columns)).Q


def linear(inputs: int, outputs: int, weight: torch.Tensor | None = None) -> bounds.Linear:
    weight = torch.randn(outputs, inputs) if weight is None else weight
    return bounds.Linear(weight.clone(), torch.zeros(outputs))


# What the laws of all recipes say of the members whose defaults are others.

VARIANTS = [
    ("sparse_ae", {"sparsity": "l1", "jacobian": "estimate"}),
    ("sparse_ae", {"sparsity": "kl"}),
    ("sparse_ae", {"sparsity": "top_k", "active": 2}),
    ("contractive_ae", {"jacobian": "estimate"}),
    ("rae", {"penalty": "gradient", "jacobian": "estimate"}),
    ("rae", {"penalty": "gradient", "jacobian": "exact"}),
]
LAWS = [
    recipes.trains_every_parameter,
    recipes.runs_without_gradients,
    recipes.rows_do_not_meet,
    recipes.compiles_to_the_same,
    recipes.saved_is_loaded,
    recipes.copies_stand_alone,
    recipes.terms_add_up,
    recipes.ignores_the_unseen,
    recipes.works_in_float64,
    recipes.takes_a_users_module,
]


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.__name__)
@pytest.mark.parametrize(("name", "options"), VARIANTS)
def test_every_kind_keeps_the_laws(name, options, law):
    missing = law is recipes.ignores_the_unseen
    law(recipes.case(name, dtype=torch.float64, missing=missing, **options))


@pytest.mark.parametrize(("name", "options"), VARIANTS)
@pytest.mark.parametrize("net", ["conv", "residual"])
def test_every_kind_takes_images(name, options, net):
    case = recipes.case(name, event=(2, 8, 7), dtype=torch.float64, net=net, **options)
    recipes.trains_every_parameter(case)


def test_options_without_effect_or_out_of_range_are_refused():
    bad = [
        ("sparse_ae", {"sparsity": "l2"}, "kl, l1, top_k"),
        ("sparse_ae", {"active": 2}, "active has no effect"),
        ("sparse_ae", {"target": 0.1}, "target has no effect"),
        ("sparse_ae", {"sparsity": "kl", "jacobian": "exact"}, "jacobian has no effect"),
        ("sparse_ae", {"sparsity": "kl", "target": 1.0}, "target is a part"),
        ("sparse_ae", {"sparsity": "top_k", "price": 1.0}, "price has no effect"),
        ("sparse_ae", {"sparsity": "top_k", "active": 9}, "active must be 1 to latent=3"),
        ("sparse_ae", {"price": 0.0}, "price must be above 0"),
        ("contractive_ae", {"price": -1.0}, "price must be above 0"),
        ("contractive_ae", {"jacobian": "exakt"}, "'exact'"),
        ("rae", {"beta": -1.0}, "beta"),
        ("rae", {"penalty": "weight"}, "'weights'"),
        ("rae", {"jacobian": "exact"}, "jacobian has no effect"),
    ]
    for name, options, words in bad:
        with pytest.raises(recipes.DiaboloError, match=words):
            recipes.case(name, **options).build()


def test_a_model_says_how_its_jacobian_is_found():
    for latent, told in ((8, "exact Jacobian"), (9, "estimated Jacobian")):
        assert told in str(recipes.case("contractive_ae", latent=latent).build().model.charge)


# Jacobians.


def sigmoid_layer(inputs: int = 5, outputs: int = 4) -> nn.Module:
    return nn.Sequential(nn.Linear(inputs, outputs), nn.Sigmoid())


@pytest.mark.oracle(25)
def test_jacobian_of_a_sigmoid_layer_has_its_closed_form():
    """sum_i [h_i (1 - h_i)]^2 sum_j W_ij^2 (Rifai et al., 2011, section 3.1)."""
    f, x = sigmoid_layer(), torch.randn(7, 5)
    h, weight = f(x), f[0].weight
    slope = h * (1 - h)
    expected = (slope.square() * weight.square().sum(1)).sum(1)
    assert torch.allclose(rows(f, x).square().sum(1), expected, atol=EXACT)
    assert torch.allclose(columns(f, x).square().sum(1), expected, atol=EXACT)
    each = torch.einsum("bi,ij->bij", slope, weight).norm(dim=1)
    assert torch.allclose(columns(f, x), each, atol=EXACT)


@pytest.mark.oracle(25)
def test_products_with_signs_have_the_mean_of_the_exact_sums():
    """Over all 2^O signs, each once: no sampling error."""
    f, x = sigmoid_layer(), torch.randn(3, 5)
    found = [
        product(f, x, lambda y, s=s: torch.tensor(s).expand_as(y)).square()
        for s in itertools.product((-1.0, 1.0), repeat=4)
    ]
    assert torch.allclose(torch.stack(found).mean(0), columns(f, x).square(), atol=EXACT)


def test_products_with_normal_numbers_tell_lengths_without_bias():
    f, x = sigmoid_layer(), torch.randn(1, 5)
    many = x.expand(40000, -1)
    found = math.sqrt(math.pi / 2) * product(f, many, lambda y: normals(y, FRESH)).abs()
    error = found.std(0) / 200
    assert bool(((found.mean(0) - columns(f, x)[0]).abs() < 5 * error).all())
    flips = signs(many, FRESH)
    assert flips.abs().min() == 1
    assert flips.mean().abs() < 5 / math.sqrt(flips.numel())


@pytest.mark.oracle(25)
@pytest.mark.parametrize("name", ["sparse_ae", "contractive_ae", "rae"])
def test_estimated_charges_have_the_mean_of_the_exact_ones(name):
    """Of one datum in many rows; two independent products do not correlate."""
    gradient = {"penalty": "gradient"} if name == "rae" else {}
    case = recipes.case(name, dtype=torch.float64, **gradient)
    case = recipes.replace(case, x=case.x[:1].expand(20000, -1))
    exact, estimate = (case.build(jacobian=j).model for j in ("exact", "estimate"))
    for one, other in zip(exact.parameters(), estimate.parameters(), strict=True):
        assert torch.equal(one, other)
    with torch.no_grad():
        truth, found = (m(case.x).penalty for m in (exact, estimate))
    assert truth.std() < 1e-12
    assert truth[0] > 1e-4  # or the test could not fail
    assert abs(found.mean() - truth[0]) < 5 * found.std() / math.sqrt(len(found))


def own(name: str, encoder: nn.Module, decoder: nn.Module, *, scale: float = 1.0, **options):
    """A recipe of real data with a user's linear networks."""
    size, latent = decoder.weight.shape
    recipe = build(
        name,
        Spec(event=(size,), support="real"),
        latent=latent,
        net=encoder,
        decoder=decoder,
        likelihood=f"Normal(scale={scale})",
        **options,
    )
    recipe.model.double()
    return recipe


@pytest.mark.parametrize("jacobian", ["exact", "estimate"])
def test_linear_contraction_is_the_squared_norm_of_the_weights(jacobian):
    """A linear decoder with orthonormal columns, as tied ones are, has gain 1."""
    weight = torch.randn(2, 6)
    recipe = own(
        "contractive_ae",
        linear(6, 2, weight),
        linear(2, 6, orthonormal(6, 2)),
        price=0.7,
        jacobian=jacobian,
    )
    x = torch.randn(30000, 6)
    with torch.no_grad():
        found = recipe.model(x).penalty
    expected = 0.7 * weight.square().sum().item()
    error = 5 * found.std().item() / math.sqrt(len(found)) + EXACT
    assert found.mean().item() == pytest.approx(expected, abs=error)


@pytest.mark.parametrize(
    ("support", "channels"), [("real", 1), ("count", 1), ("category", 3), ("ordinal", 3)]
)
def test_contraction_is_by_values_that_were_seen(support, channels):
    """Of a linear encoder: weights of the mask have no part, nor have those of unseen entries."""
    weight, levels = torch.randn(2, 5 * (channels + 1)), 3 if channels > 1 else None
    spec = Spec(event=(5,), support=support, levels=levels, missing=True)
    options = {"latent": 2, "net": linear(len(weight[0]), 2, weight), "decoder": "mlp(hidden=())"}
    recipe = build("contractive_ae", spec, price=0.7, jacobian="exact", **options).model.double()
    x = recipes.data(support, (6, 5), levels).double()
    mask = torch.rand(6, 5) < 0.6
    z = recipe.encode(x, mask=mask)[0]
    gain = columns(lambda z: recipe.likelihood.net(z, None), z)  # (B, 2)
    of_value = weight[:, : 5 * channels].square().unflatten(1, (channels, 5)).sum(1)  # (2, 5)
    expected = 0.7 * (gain.square() * (mask.double() @ of_value.T)).sum(1)
    assert torch.allclose(recipe(x, mask=mask).penalty, expected, atol=EXACT)
    recipe.charge.exact = False
    many = (t[:1].expand(20000, -1) for t in (x, mask))
    with torch.no_grad():
        found = recipe(next(many), mask=next(many)).penalty
    assert abs(found.mean() - expected[0]) < 5 * found.std() / math.sqrt(len(found)) + EXACT
    assert recipe(x).penalty.min() > 0


def test_gradient_penalty_is_of_the_decoder_by_the_code():
    """Not of the sum of the reconstruction by x, which the encoder's weights would change."""
    for weight in (torch.randn(2, 6), torch.zeros(2, 6)):
        decoder = linear(2, 6)
        recipe = own("rae", linear(6, 2, weight), decoder, penalty="gradient", beta=0.5, price=0.3)
        x = torch.randn(4, 6)
        code = (x @ weight.T).square().sum(1)
        expected = 0.25 * code + 0.3 * decoder.weight.square().sum()
        assert torch.allclose(recipe.model(x).penalty, expected, atol=EXACT)


def test_weight_penalty_is_of_the_decoders_weights_alone():
    decoder = linear(2, 6)
    recipe = own("rae", linear(6, 2), decoder, beta=0.0, price=0.3)
    expected = 0.3 * decoder.weight.square().sum()
    assert torch.allclose(recipe.model(torch.randn(4, 6)).penalty, expected.expand(4), atol=EXACT)


# No charge is evaded by a small code and a decoder that enlarges it.


class Scaled(nn.Module):
    """A network whose input and output are multiplied, element by element."""

    def __init__(self, net: nn.Module, before=1.0, after=1.0) -> None:
        super().__init__()
        self.net, self.before, self.after = net, before, after

    def forward(self, h, c=None):
        return self.net(h * self.before, c) * self.after


def rescaled(case, a, **options):
    """The recipe with its code multiplied by a and its decoder reading it divided by a."""
    recipe = case.build(**options)
    model = recipe.model
    model.latent.posterior.net = Scaled(model.latent.posterior.net, after=a)
    model.likelihood.net = Scaled(model.likelihood.net, before=1 / a)
    return recipe


@pytest.mark.parametrize("net", ["mlp(hidden=(12, 12))", "conv", "residual"])
@pytest.mark.parametrize("jacobian", ["exact", "estimate"])
@pytest.mark.parametrize("name", ["sparse_ae", "contractive_ae"])
def test_rescaling_the_code_changes_no_charge(name, jacobian, net):
    case = recipes.case(
        name, event=(1, 8, 8), dtype=torch.float64, net=net, jacobian=jacobian, latent=5
    )
    plain, small = (rescaled(case, a) for a in (torch.ones(5), torch.tensor([1e-3, 2, 1, 9, 0.1])))
    t, other = (case.trace(r, noise=recipes.keyed()) for r in (plain, small))
    assert torch.allclose(t.log_px, other.log_px, atol=EXACT)
    assert t.penalty.min() > 1e-6  # or the test could not fail
    assert torch.allclose(t.penalty, other.penalty, rtol=1e-9)
    assert torch.allclose(plain.objective(t), small.objective(other), rtol=1e-9)
    # The textbook's charge would have fallen.
    one, two = (case.trace(rescaled(case, a)).draws[0].z.abs().sum() for a in (1.0, 1e-3))
    assert two.item() == pytest.approx(1e-3 * one.item())


def test_rescaling_keeps_the_largest():
    case = recipes.case("sparse_ae", sparsity="top_k", active=1, dtype=torch.float64)
    values = [case.trace(rescaled(case, a)).log_px for a in (1.0, 1e-3)]
    assert torch.allclose(*values, atol=EXACT)


@pytest.mark.parametrize("penalty", ["weights", "gradient"])
def test_code_and_decoder_together_charge_for_every_scale(penalty):
    """A a^2 + B / a^2 is at least 2 sqrt(A B): neither small nor large codes are free."""
    weight, x = torch.randn(2, 6), torch.randn(1, 6)
    decoder = torch.randn(6, 2)

    def charge(a: float) -> float:
        recipe = own(
            "rae",
            linear(6, 2, a * weight),
            linear(2, 6, decoder / a),
            penalty=penalty,
            beta=0.8,
            price=0.3,
        )
        return recipe.model(x).penalty.item()

    code, smooth = 0.4 * (x @ weight.T).square().sum().item(), 0.3 * decoder.square().sum().item()
    for a in (1e-3, 0.1, 1.0, 10.0, 1e3):
        assert charge(a) == pytest.approx(code * a**2 + smooth / a**2)
    best = (smooth / code) ** 0.25
    assert charge(best) == pytest.approx(2 * math.sqrt(code * smooth))


def code_trace(z: torch.Tensor) -> Trace:
    """The trace of codes (B, D) that explain nothing and cost nothing."""
    zero = torch.zeros(1, len(z))
    return Trace(None, zero, (Draw(z[None], zero, zero),), zero[0, 0])


def test_elements_that_are_on_as_often_as_asked_for_cost_nothing():
    on = torch.eye(4).repeat(5, 1)  # each of 4 elements is on for a quarter of the data
    assert torch.allclose(sparse(code_trace(on), target=0.25), torch.zeros(20), atol=EXACT)
    half = torch.tensor([[1.0], [0.0]])
    # KL(1/4 || 1/2) is log 2 - H(1/4), paid for mean and activity.
    expected = 2 * (math.log(2) + 0.25 * math.log(0.25) + 0.75 * math.log(0.75))
    found = sparse(code_trace(half), target=0.25, price=3.0)
    assert torch.allclose(found, torch.full((2,), -3 * expected), atol=EXACT)


def test_codes_that_hardly_move_from_the_target_pay():
    """With the mean alone they would not: mean 1/4 throughout, and the decoder enlarges."""
    on = torch.eye(4).repeat(5, 1)
    costs = [
        -sparse(code_trace(0.25 + a * (on - 0.25)), target=0.25)[0].item()
        for a in (1.0, 0.5, 0.1, 0.01)
    ]
    assert costs[0] == pytest.approx(0.0, abs=EXACT)
    assert costs == sorted(costs)
    assert costs[-1] > 10


def test_elements_begin_on_as_often_as_asked_for():
    assert seldom(torch.zeros(2), 0.05).tolist() == pytest.approx([0.05, 0.05])


@pytest.mark.parametrize("value", [0.0, 1.0, 0.3])
def test_codes_that_are_all_alike_cost_a_finite_price(value):
    z = torch.full((3, 2), value, requires_grad=True)
    cost = sparse(code_trace(z), target=0.1)
    cost.sum().backward()
    assert bool(cost.isfinite().all())
    assert bool(z.grad.isfinite().all())


def test_the_largest_are_kept_with_their_gradient():
    z = torch.tensor([[0.3, -2.0, 0.9, 0.1], [-4.0, -1.0, -3.0, -2.0]], requires_grad=True)
    kept = largest(z, 2)
    assert kept.tolist() == [[0.3, 0.0, 0.9, 0.0], [0.0, -1.0, 0.0, -2.0]]
    kept.sum().backward()
    assert z.grad.tolist() == [[1.0, 0.0, 1.0, 0.0], [0.0, 1.0, 0.0, 1.0]]
    assert largest(torch.ones(1, 5), 2).sum() == 2  # of equals too
    case = recipes.case("sparse_ae", sparsity="top_k", latent=16, dtype=torch.float64)
    assert (case.trace(case.build()).draws[0].z != 0).sum(-1).unique().tolist() == [2]


# Optima that theory gives.


class Free(nn.Module):
    """An encoder that may say of each datum what it likes."""

    def __init__(self, start: torch.Tensor) -> None:
        super().__init__()
        self.code = nn.Parameter(start)

    def forward(self, h, c=None):
        return self.code


@pytest.mark.oracle(27)
@pytest.mark.parametrize("length", [1.0, 0.2])
def test_l1_with_an_orthonormal_decoder_is_a_soft_threshold(length):
    """min |x - D h|^2 + price |h|_1 is h = soft(D' x, price / 2), however long D's columns are.

    A code of 0 or more has an element for either sign.
    """
    turn, price = orthonormal(6, 3), 0.8
    x = torch.randn(5, 6)
    decoder = linear(6, 6, length * torch.cat([turn, -turn], 1)).requires_grad_(False)
    recipe = own(
        "sparse_ae",
        Free(torch.full((5, 6), 0.5 / length)),
        decoder,
        scale=math.sqrt(0.5),
        price=price,
    )
    optimizer = torch.optim.SGD(recipe.model.latent.parameters(), lr=0.1 / length**2)
    for _ in range(1000):
        optimizer.zero_grad()
        (-recipe.objective(recipe.model(x)).sum()).backward()
        optimizer.step()
    code = recipe.model.encode(x)[0]
    along = x @ turn
    expected = along.sign() * (along.abs() - price / 2).relu()
    found = length * (code[:, :3] - code[:, 3:]).detach()
    assert torch.allclose(found, expected, atol=1e-6)  # gradient ascent converges linearly
    assert bool((expected == 0).any())
    assert bool((code[:, :3] * code[:, 3:] == 0).all())


def climb(recipe, x, noise=FRESH, steps: int = 500):
    """Maximises a recipe's objective over all rows."""
    optimizer = torch.optim.LBFGS(
        recipe.model.parameters(),
        max_iter=steps,
        history_size=30,
        tolerance_grad=1e-10,
        tolerance_change=1e-15,
        line_search_fn="strong_wolfe",
    )

    def closure():
        optimizer.zero_grad()
        loss = -recipe.objective(recipe.model(x, noise=noise)).mean()
        loss.backward()
        return loss

    optimizer.step(closure)
    return recipe.model.eval()


def spread(n: int = 64) -> tuple[torch.Tensor, torch.Tensor]:
    """Rows whose mean is 0 and whose covariance is exact, and that covariance."""
    values = torch.tensor([4.0, 2.0, 1.0, 0.5, 0.25])
    white = torch.randn(n, 5)
    white = torch.linalg.qr(white - white.mean(0)).Q * math.sqrt(n)
    turn = orthonormal(5, 5)
    return white * values.sqrt() @ turn.T, turn @ values.diag() @ turn.T


def through(model) -> torch.Tensor:
    """The matrix of a linear reconstruction, (E, E)."""
    one = torch.eye(5)
    both = torch.cat([one, torch.zeros(1, 5)])
    out = model.decode(model.encode(both)[0]).mean
    return (out[:-1] - out[-1]).T


@pytest.mark.oracle(26)
def test_linear_denoiser_is_the_optimal_one():
    """W = S (S + s^2 I)^-1 (Vincent et al., 2010), with the noise's expectation taken exactly."""
    x, covariance = spread()
    level, size = 0.6, x.shape[1]
    k, points = bounds.cubature(size)  # means of quadratics of the noise are exact
    noisy = bounds.Points(points.values.repeat(1, len(x), 1).reshape(1, -1, size))
    every = x.repeat_interleave(k, 0)
    noisy.values = points.values[:, 0].repeat(len(x), 1)[None]
    recipe = own("denoising_ae", linear(5, 5), linear(5, 5), noise="gaussian", level=level)
    recipe.model.train()
    found = through(climb(recipe, every, noisy))
    expected = covariance @ torch.linalg.inv(covariance + level**2 * torch.eye(size))
    assert torch.allclose(found, expected, atol=1e-5)


@pytest.mark.oracle(28)
def test_linear_autoencoder_spans_the_principal_subspace():
    x, covariance = spread()
    recipe = own("ae", linear(5, 2, 0.3 * torch.randn(2, 5)), linear(2, 5, 0.3 * torch.randn(5, 2)))
    model = climb(recipe, x)
    values, vectors = torch.linalg.eigh(covariance)
    basis = torch.linalg.qr(model.likelihood.net.weight.detach()).Q
    sines = basis - vectors[:, -2:] @ (vectors[:, -2:].T @ basis)  # accurate where cosines are not
    assert torch.linalg.svdvals(sines).max().item() < 1e-3
    error = (x - model.decode(model.encode(x)[0]).mean).square().sum(1).mean().item()
    assert error == pytest.approx(values[:3].sum().item(), abs=1e-6)


@pytest.mark.parametrize(
    ("name", "options", "copies"),
    [
        ("ae", {}, True),
        ("denoising_ae", {"noise": "gaussian", "level": 0.5}, False),
        ("sparse_ae", {"price": 0.5}, False),
        ("contractive_ae", {"price": 0.05, "jacobian": "exact"}, False),
        ("rae", {"beta": 0.1, "price": 0.1}, False),
    ],
)
def test_an_overcomplete_code_copies_unless_something_forbids_it(name, options, copies):
    """8 elements for 5 numbers: without a charge or noise, what comes out is what went in."""
    x, _ = spread()
    recipe = own(
        name,
        linear(5, 8, 0.3 * torch.randn(8, 5)),
        linear(8, 5, 0.3 * torch.randn(5, 8)),
        **options,
    )
    recipe.model.latent.posterior.net.bias.data += 0.5  # some elements are on at first
    model = climb(recipe, x, KeyedNoise(0, torch.arange(len(x))))
    off = torch.linalg.matrix_norm(through(model) - torch.eye(5), 2).item()
    assert off < 1e-4 if copies else off > 0.02


# Short trainings do what is said of them.


def strokes(n: int) -> Data:
    """Images of 6 x 6 bits in which each of 12 lines is there for a tenth of the data."""
    generator = torch.Generator().manual_seed(0)
    there = (torch.rand(n, 12, generator=generator) < 0.1).double()
    image = (there[:, :6, None] + there[:, None, 6:]).clamp(max=1)
    return Data(image.flatten(1).float(), "binary", labels=there[:, 0].long())


def trained(name: str, epochs: int = 30, **options):
    data = strokes(1000)
    torch.set_default_dtype(torch.float32)
    recipe = build(name, data.spec(), latent=16, net="mlp(hidden=(64,))", **options)
    config = TrainConfig(
        epochs=epochs,
        batch_size=250,
        learning_rate=1e-2,
        compile="off",
        device="cpu",
        schedule="cosine",
    )
    fit(recipe, data, data, config)
    model = recipe.model.eval()
    with torch.no_grad():
        return model, data, model.encode(data.x)[0]


def test_mean_activation_comes_to_its_target():
    """Within a tenth of it, and not by standing still, for which the activity would be 1."""
    _, _, z = trained("sparse_ae", epochs=150, sparsity="kl", target=0.1, price=8.0)
    mean = z.mean(0)
    assert mean.mean().item() == pytest.approx(0.1, rel=0.1)
    activity = mean.square() / z.square().mean(0)
    assert activity.mean().item() < 0.3


def test_codes_are_the_sparser_the_dearer_they_are():
    found = []
    for price in (0.03, 0.3, 1.0):
        _, _, z = trained("sparse_ae", price=price)
        found.append(hoyer(z).nanmean().item())
    assert found == sorted(found)
    assert found[-1] > found[0] + 0.1


def test_contraction_steadies_the_code():
    """Beside its own spread, which a charge on a bare Jacobian would shrink instead."""
    relative = []
    for price in (0.01, 1.0):
        model, data, z = trained("contractive_ae", price=price)
        relative.append(jacobian_norm(model, data).mean() / z.var(0).sum().sqrt())
    assert relative[1] < 0.9 * relative[0]


def test_charges_are_told_as_penalties():
    case = recipes.case("rae", dtype=torch.float64)
    recipe = case.build()
    assert isinstance(recipe.model.charge, Ridge)
    parts = terms(recipe.objective, case.trace(recipe))
    assert recipe.objective is elbo
    assert bool((parts.penalty > 0).all())
    assert parts.rate.abs().max() == 0
