"""Laws of every recipe, whatever it is: each function takes a recipe's name.

Shapes: K posterior samples, B batch, E event, C condition width.
"""

from __future__ import annotations

import contextlib
import copy
import math
import typing
from dataclasses import dataclass, replace
from functools import cache
from inspect import Parameter
from typing import Any

import pytest
import safetensors.torch
import torch
from torch import Tensor, nn

from diabolo.config import TrainConfig
from diabolo.data import Data
from diabolo.distributions import REALS, default_family, families, space_of
from diabolo.errors import DiaboloError
from diabolo.model import Recipe, Trace
from diabolo.nets import NETS
from diabolo.noise import FRESH, MEAN, KeyedNoise, Noise
from diabolo.objectives import Schedule, Seen, declaration, elbo, terms
from diabolo.posteriors import POSTERIORS
from diabolo.priors import PRIORS
from diabolo.recipes import RECIPES, build
from diabolo.registry import keywords
from diabolo.spec import SUPPORTS, Spec
from diabolo.train import fit

SMALL = {
    "latent": 3,
    "top": 2,
    "width": 8,
    "pseudo_inputs": 6,
    "net": "mlp(hidden=(12,))",
    "inner": "mlp(hidden=(8,))",
}
BESIDE: dict[tuple[str, str], dict[str, Any]] = {  # what an option needs to have an effect
    ("beta_vae", "cycles"): {"warmup": 0.5},
    ("beta_vae", "per"): {"free_bits": 0.5},
    ("discrete_vae", "k"): {"estimator": "straight"},
    ("discrete_vae", "temperature"): {"estimator": "straight"},
    ("hierarchical", "k"): {"warmup": 0.0},
    ("rae", "jacobian"): {"penalty": "gradient"},
    ("sparse_ae", "active"): {"sparsity": "top_k"},
    ("sparse_ae", "target"): {"sparsity": "kl"},
}
LEVELS = {"byte": 5, "category": 3, "ordinal": 4}
KINDS = ("real", "count", "category:3", "positive", "ordinal:4", "unit")  # of mixed columns
B = 4


@dataclass(frozen=True)
class Case:
    """A recipe for some data, and a batch of them."""

    name: str
    spec: Spec
    x: Tensor
    c: Tensor | None
    options: dict[str, Any]

    def build(self, seed: int = 0, **options: Any) -> Recipe:
        torch.manual_seed(seed)
        recipe = build(self.name, self.spec, **{**self.options, **options})
        if self.x.dtype == torch.float64:
            recipe.model.double()
        return recipe

    def trace(
        self, recipe: Recipe, k: int | None = None, noise: Noise = FRESH, mask: Tensor | None = None
    ) -> Trace:
        """The trace of k samples, or, with none given, that of training."""
        if k is None:
            return recipe.trace(self.x, self.c, mask=mask, noise=noise)
        return recipe.model(self.x, self.c, k=k, mask=mask, noise=noise)


def data(support: str, shape: tuple[int, ...], levels: int | None) -> Tensor:
    """Values that lie in a support."""
    if support == "mixed":
        each = (kind.partition(":")[0] for kind in KINDS)
        return torch.cat([data(s, (*shape[:-1], 1), LEVELS.get(s)) for s in each], -1)
    if support == "binary":
        return torch.bernoulli(torch.full(shape, 0.4))
    if support == "byte":
        return torch.randint(levels or 2, shape) / ((levels or 2) - 1)
    if support in ("category", "ordinal"):
        return torch.randint(levels or 2, shape).float()
    if support == "unit":
        return torch.rand(shape) * 0.9 + 0.05
    if support == "positive":
        return torch.rand(shape) + 0.1
    if support == "count":
        return torch.poisson(torch.full(shape, 3.0))
    return torch.randn(shape) * 2 + 1


@cache
def width_of(name: str) -> int:
    """The width of the condition in a recipe's cases: 0 unless it asks for one."""
    try:
        _probe(name, 0)
    except DiaboloError:
        _probe(name, 2)
        return 2
    return 0


@cache
def classifies(name: str, width: int) -> bool:
    """Whether a recipe finds out the condition itself, which is a label then."""
    with contextlib.suppress(DiaboloError):  # it takes no condition
        return width > 0 and _probe(name, width).model.classifies
    return False


def _probe(name: str, width: int) -> Recipe:
    spec = Spec(event=(2,), support="binary", examples=torch.eye(2), condition=width)
    with torch.random.fork_rng(devices=[]):  # or the first case of a recipe had other data
        return build(name, replace(spec, unlabelled=1, count=2) if width else spec)


def case(
    name: str,
    *,
    event: tuple[int, ...] = (6,),
    support: str = "binary",
    dtype: torch.dtype = torch.float32,
    condition: int | None = None,
    missing: bool = False,
    n: int = B,
    **options: Any,
) -> Case:
    """A small case of a recipe."""
    torch.manual_seed(1)
    levels = LEVELS.get(support)
    examples = data(support, (20, *event), levels)
    width = width_of(name) if condition is None else condition
    spec = Spec(
        event=event,
        support=support,  # type: ignore[arg-type]
        levels=levels,
        kinds=KINDS if support == "mixed" else (),
        condition=width,
        unlabelled=15 if width else None,
        count=20,
        mean=examples.mean(0),
        examples=examples,
        missing=missing,
    )
    known = keywords(RECIPES.load(name))
    small = {key: value for key, value in SMALL.items() if key in known}
    x = data(support, (n, *event), levels).to(dtype)
    c = torch.randn(n, width, dtype=dtype) if width else None
    if c is not None and classifies(name, width):
        c = torch.eye(width, dtype=dtype)[torch.arange(n) % width]
        c[::2] = 0  # data without a label
    return Case(name, spec, x, c, {**small, **options})


def supports() -> list[str]:
    """The supports that some likelihood takes by default."""

    def has_default(support: str) -> bool:
        try:
            default_family(support, KINDS)
        except DiaboloError:
            return False
        return True

    return [s for s in SUPPORTS if has_default(s)]


def keyed(n: int = B, **options: Any) -> KeyedNoise:
    return KeyedNoise(7, torch.arange(n) + 3, **options)


def trains_every_parameter(case: Case) -> None:
    """Each parameter has part in the objective: its gradient is there and is not all zero."""
    recipe = finish(case.build())
    with torch.no_grad():  # a generic point: some layers begin at zero on purpose
        for p in recipe.model.parameters():
            p.add_(0.02 * torch.randn_like(p))
    value = recipe.objective(case.trace(recipe))
    assert value.shape == (len(case.x),)
    assert bool(torch.isfinite(value).all())
    (-value.sum()).backward()
    for name, p in recipe.model.named_parameters():
        assert p.grad is not None, f"{name} has no gradient"
        assert bool(torch.isfinite(p.grad).all()), f"{name} has a gradient that is not finite"
        assert bool((p.grad != 0).any()), f"the gradient of {name} is zero"


def traces_have_their_shapes(case: Case, k: int) -> None:
    """Whatever the latent, leading axes are (K, B), and groups have the sizes they declare."""
    recipe = finish(case.build())
    t = case.trace(recipe, k)
    lead = (k, len(case.x))
    assert t.log_px.shape == lead
    assert t.log_weight.shape == lead
    assert t.penalty.shape in ((), (len(case.x),))
    assert t.px.mean.expand(*lead, *case.spec.event).shape == (*lead, *case.spec.event)
    assert len(t.draws) == len(recipe.model.groups)
    for d, size in zip(t.draws, recipe.model.groups, strict=True):
        assert d.z.shape[:2] == lead
        assert d.z[0, 0].numel() == size
        assert d.log_q.shape == d.log_p.shape == d.rate.shape == lead
        if d.rate_elements is not None:
            assert d.rate_elements.shape == d.z.shape
            total = d.rate_elements.flatten(2).sum(2)
            assert torch.allclose(total, d.rate, atol=1e-5)  # float32 sums in another order
    assert recipe.objective(case.trace(recipe, k * recipe.k)).shape == (len(case.x),)


def reads_a_condition(case: Case) -> None:
    """A model of data with a condition either refuses it or needs it and depends on it."""
    try:
        recipe = finish(case.build())
    except DiaboloError as error:
        if "condition" not in str(error):
            raise
        return
    model = recipe.model.eval()
    assert case.c is not None
    if model.unknown is None:
        with pytest.raises(DiaboloError, match="condition"):
            model(case.x)
    with pytest.raises(DiaboloError, match="condition"):
        model(case.x, case.c[:, :1])
    one, other = (model(case.x, c, noise=keyed()) for c in (case.c, _others(case.c, model)))
    assert not torch.allclose(one.log_px, other.log_px)
    traces_have_their_shapes(case, 3)


def _others(c: Tensor, model: Any) -> Tensor:
    """Other conditions: all moved, or, of labels, all known and each another one."""
    if not model.classifies:
        return c + 1
    return torch.eye(c.shape[1], dtype=c.dtype)[(c.argmax(1) + 1) % c.shape[1]]


def builds_or_refuses(case: Case) -> bool:
    """What a recipe cannot serve is refused with a sentence.

    It names the prior or posterior; or, where one gives points of another space than R^D, that
    space. Those of two spaces are always refused.
    """
    posterior = POSTERIORS.build(case.options["posterior"], (6,), 3, net=SMALL["net"])
    spaces = {space_of(posterior)}
    told = [f"'{case.options[o].split('(')[0]}'" for o in ("prior", "posterior")]
    with contextlib.suppress(DiaboloError):  # it needs a condition, say
        prior = PRIORS.build(case.options["prior"], 3, posterior=posterior, spec=case.spec)
        spaces.add(space_of(prior))
    told += [f"{space}" for space in spaces - {REALS}]
    try:
        case.build()
    except DiaboloError as error:
        if not any(words in str(error) for words in told):
            raise
        return False
    assert len(spaces) == 1
    return True


def runs_without_gradients(case: Case) -> None:
    """Evaluation has no graph: an objective that hooks into one must know, and value the same."""
    recipe = finish(case.build())
    recipe.model.eval()
    with torch.no_grad():
        without = recipe.objective(case.trace(recipe, noise=keyed()))
    within = recipe.objective(case.trace(recipe, noise=keyed()))
    assert torch.equal(without, within.detach())


def samples_and_codes_have_their_shapes(case: Case) -> None:
    """Samples lie in the support; codes are (B, sum(groups)); without a prior there are none."""
    recipe = finish(case.build())
    model = recipe.model.eval()
    c = None if case.c is None else case.c[:1].expand(5, -1)
    mean, variance = model.encode(case.x, case.c)
    assert mean.shape == variance.shape == (len(case.x), sum(model.groups))
    assert bool((variance[~variance.isnan()] >= 0).all())
    if model.deterministic:
        assert bool((variance == 0).all())
    if not model.generates:
        with pytest.raises(DiaboloError, match="no prior"):
            model.sample(5, c)
        return
    x = model.sample(5, c).sample()
    assert x.shape == (5, *case.spec.event)
    if case.spec.support in ("binary", "byte", "unit"):
        assert bool(((x >= 0) & (x <= 1)).all())


def decodes_what_it_encodes(case: Case) -> None:
    """decode(encode(x)) is the likelihood of the pass without noise: no group is lost."""
    model = case.build().model.eval()
    t = model(case.x, case.c, noise=MEAN)
    px = model.decode(model.encode(case.x, case.c)[0], case.c)
    mean = px.mean.expand(len(case.x), *case.spec.event)
    # float32, folded (K, B) against (B,): the same sums in another order.
    assert torch.allclose(mean, t.px.mean.expand(1, *mean.shape)[0], atol=1e-5, rtol=1e-4)


def compiles_to_the_same(case: Case, backend: str = "aot_eager") -> None:
    """One graph without breaks, with eager's values and gradients at the same seed."""
    found = []
    for compiled in (False, True):
        torch.compiler.reset()
        recipe = finish(case.build())

        def value(x: Tensor, c: Tensor | None, recipe: Recipe = recipe) -> Tensor:
            return recipe.objective(recipe.trace(x, c))

        step = torch.compile(value, fullgraph=True, backend=backend) if compiled else value
        torch.manual_seed(5)
        out = step(case.x, case.c)
        out.sum().backward()
        grads = [p.grad for p in recipe.model.parameters() if p.grad is not None]
        found.append((out.detach(), grads))
    (eager, eager_grads), (graph, graph_grads) = found
    # aot_eager runs the same kernels, Inductor its own: both may add in another order.
    assert torch.allclose(eager, graph, rtol=1e-5, atol=1e-5)
    for a, b in zip(eager_grads, graph_grads, strict=True):
        assert torch.allclose(a, b, rtol=1e-4, atol=1e-5)


def rows_do_not_meet(case: Case) -> None:
    """With keyed noise neither the order nor the size of a batch moves a datum's numbers."""
    recipe = finish(case.build())
    model = recipe.model.eval()
    k = 3 * recipe.k  # as an objective may take its samples in parts
    whole = model(case.x, case.c, k=k, noise=keyed(len(case.x)))
    for rows in (torch.tensor([2, 0, 3, 1]), torch.tensor([1])):
        c = None if case.c is None else case.c[rows]
        t = model(case.x[rows], c, k=k, noise=KeyedNoise(7, rows + 3))
        # float64; matrix products of other sizes add in another order.
        assert torch.allclose(t.log_weight, whole.log_weight[:, rows], rtol=1e-10, atol=1e-10)
        if not declaration(recipe.objective).batch_level:
            expected = recipe.objective(whole)[rows]
            assert torch.allclose(recipe.objective(t), expected, rtol=1e-10, atol=1e-10)


def more_samples_change_none(case: Case) -> None:
    """A larger k leaves the first samples as they were; chunks over k give the same samples."""
    model = case.build().model.eval()
    few, many = (case.trace(Recipe(model, elbo), k, keyed()) for k in (2, 5))
    rest = case.trace(Recipe(model, elbo), 3, keyed(start=2))
    for a, b, c in zip(few.draws, many.draws, rest.draws, strict=True):
        assert torch.allclose(a.z, b.z[:2], rtol=1e-10, atol=1e-12)  # float64, see above
        assert torch.allclose(c.z, b.z[2:], rtol=1e-10, atol=1e-12)
    assert torch.allclose(few.log_weight, many.log_weight[:2], rtol=1e-10, atol=1e-10)


def saved_is_loaded(case: Case) -> None:
    """Weights through safetensors (which refuses shared tensors) restore every number."""
    one, two = case.build(seed=0), case.build(seed=1)
    raw = safetensors.torch.save({k: v.contiguous() for k, v in one.model.state_dict().items()})
    two.model.load_state_dict(safetensors.torch.load(raw))
    if isinstance(one.objective, nn.Module):
        two.objective.load_state_dict(one.objective.state_dict())  # type: ignore[union-attr]
    one.model.eval()
    two.model.eval()
    a, b = (r.objective(case.trace(r, noise=keyed())) for r in (one, two))
    assert torch.equal(a, b)


def copies_stand_alone(case: Case) -> None:
    """A deep copy, as the moving average makes, holds nothing of the original."""
    model = case.build().model.eval()
    twin = copy.deepcopy(model)

    def numbers(m: Any) -> list[Tensor]:
        out = [m(case.x, case.c, noise=keyed()).log_weight]
        if m.generates:
            torch.manual_seed(3)
            out.append(m.sample(len(case.x), case.c).mean)
        return [o.detach().clone() for o in out]

    before = numbers(model)
    with torch.no_grad():
        for p in twin.parameters():
            p.add_(0.3)
    for a, b in zip(before, numbers(model), strict=True):
        assert torch.equal(a, b)
    for a, b in zip(before, numbers(twin), strict=True):
        assert not torch.allclose(a, b)


def alternatives(name: str, option: str, parameter: Parameter, spec: Spec) -> list[Any]:
    """Values of an option other than its default; fails for an option it cannot think of."""
    default = parameter.default
    literal = typing.get_args(parameter.annotation)
    if literal and all(isinstance(v, str) for v in literal):
        return [v for v in literal if v != default]
    if option in ("net", "decoder", "inner"):
        return ["mlp(hidden=(5,))"]
    if option == "likelihood":
        other = [n for n, f in families().items() if spec.support in f.supports]
        other = [n for n in other if n != default_family(spec.support, spec.kinds)]
        return other[:1] or ["Normal"]
    if option in ("prior", "posterior"):
        registry = PRIORS if option == "prior" else POSTERIORS
        return [n for n in registry.names() if n != default]
    if default is None:  # what it means depends on the rest: any number will do
        return [0.5 if float in literal else 2]
    if isinstance(default, bool):
        return [not default]
    if isinstance(default, int):
        return [default + 1, 2 * default]  # a number of parts may have to divide
    if isinstance(default, float):
        return [default / 2] if default else [0.5]
    raise AssertionError(f"recipe '{name}' has the option '{option}': say here how to change it")


def fingerprint(case: Case, recipe: Recipe) -> list[Any]:
    """What an option can change: the model's parts and values, k, the objective, its gradient."""
    if isinstance(recipe.objective, Schedule):  # a price on its way shows where it goes, how fast
        seen = Seen(torch.tensor(7.0), torch.tensor(4.0), torch.tensor(True))
        for _ in range(50):
            recipe.objective.advance(0.1, seen)
    torch.manual_seed(5)
    value = recipe.objective(case.trace(recipe))
    parameters = [p for p in recipe.model.parameters() if p.requires_grad]
    found = torch.autograd.grad(value.sum(), parameters, allow_unused=True)
    steep = sum(float(g.double().norm()) for g in found if g is not None)
    return [recipe.k, *(round(v, 4) for v in (*value.tolist(), steep))]


def honours_every_option(case: Case) -> None:
    """An option changes what is built, and its other values are refused: never silence."""
    function = RECIPES.load(case.name)
    hints = typing.get_type_hints(function)
    for option, parameter in keywords(function).items():
        parameter = parameter.replace(annotation=hints.get(option, parameter.annotation))
        beside = BESIDE.get((case.name, option), {})
        plain = replace(case, options={**case.options, **beside})
        plain.options.pop(option, None)
        base = fingerprint(plain, plain.build())
        moved, refused = {}, []
        for value in alternatives(case.name, option, parameter, case.spec):
            try:
                recipe = plain.build(**{option: value})
            except DiaboloError as error:
                refused.append(str(error))
                continue
            moved[str(value)] = fingerprint(plain, recipe) != base
        assert any(moved.values()), f"{option} has no effect on {list(moved)}; {refused}"
        if parameter.default == "auto":
            continue  # what it chooses here is what one of the others asks for
        assert all(moved.values()), f"{option}: one of {list(moved)} has no effect"


def refuses_what_it_does_not_know(case: Case) -> None:
    """A misspelt option is an error that names the nearest."""
    with pytest.raises(DiaboloError, match=r"'latnt'. Did you mean 'latent'\?"):
        case.build(latnt=3)


def finish(recipe: Recipe) -> Recipe:
    """The recipe as at the end of its training, where a rising price has risen."""
    if isinstance(recipe.objective, Schedule):
        recipe.objective.advance(1.0)
    return recipe


def terms_add_up(case: Case) -> None:
    """value = -distortion - sum(rate) - penalty, with each part what its name says.

    Samples are averaged by the derivatives of the value to their log p(x|z). The ELBO of a model
    that charges nothing has no penalty; an importance-weighted bound has at least the divergence
    of its weights from uniform ones, just that where they are those of all samples, and at most
    log K.
    """
    recipe = finish(case.build())
    recipe.model.eval()
    k = 3 * recipe.k
    t = case.trace(recipe, k, keyed())
    log_px = t.log_px.detach().requires_grad_()
    value = recipe.objective(t._replace(log_px=log_px))
    (weight,) = torch.autograd.grad(value.sum(), log_px)
    parts = terms(recipe.objective, t)
    total = -parts.distortion - parts.rate.sum(0) - parts.penalty
    assert torch.allclose(parts.value, total, atol=1e-10)  # float64
    assert torch.allclose(weight.sum(0), torch.ones_like(value), atol=1e-10)
    assert torch.allclose(parts.distortion, -(weight * t.log_px).sum(0), atol=1e-10)
    rest = parts.penalty - t.penalty
    importance = declaration(recipe.objective).importance
    if importance:
        divergence = (torch.xlogy(weight, weight) + weight * math.log(k)).sum(0)
        assert bool((rest >= divergence - 1e-10).all())
        assert bool((rest <= math.log(k) + 1e-10).all())
        assert importance is not True or torch.allclose(rest, divergence, atol=1e-10)
    elif recipe.objective is elbo:
        assert torch.allclose(rest, torch.zeros_like(rest), atol=1e-10)


def ignores_the_unseen(case: Case) -> None:
    """What stands at unseen entries, NaN included, moves neither values nor gradients."""
    mask = torch.rand(case.x.shape) < 0.7
    found = []
    for filler in (torch.nan, 0.0):
        recipe = finish(case.build())
        recipe.model.eval()
        x = torch.where(mask, case.x, filler)
        t = replace(case, x=x).trace(recipe, noise=keyed(), mask=mask)
        value = recipe.objective(t)
        value.sum().backward()
        grads = [p.grad for p in recipe.model.parameters()]
        found.append((value.detach(), grads))
    (value, grads), (other, others) = found
    assert bool(torch.isfinite(value).all())
    assert torch.equal(value, other)
    for a, b in zip(grads, others, strict=True):
        assert a is not None
        assert bool(torch.isfinite(a).all())
        assert torch.equal(a, b)


def a_short_fit_helps(case: Case) -> None:
    """A few steps of the one loop raise the objective on what it is trained on."""
    recipe = finish(case.build())
    data = Data(case.x, case.spec.support, case.spec.levels, c=case.c)

    def score() -> float:
        recipe.model.eval()
        finish(recipe)
        with torch.no_grad():
            return float(recipe.objective(case.trace(recipe, noise=keyed(len(case.x)))).mean())

    before = score()
    config = TrainConfig(epochs=12, batch_size=8, learning_rate=1e-2, compile="off", device="cpu")
    history = fit(recipe, data, data, config)
    assert score() > before
    assert len(history.rows) == 12
    assert len(history.rows[0].rate) == len(recipe.model.groups)


def units_only_shift_the_bound(case: Case) -> None:
    """x in other units, standardised by the model, has the same bound but for the log-volume."""
    torch.manual_seed(2)
    scale = torch.rand(case.spec.event) + 0.5
    spec = replace(case.spec, scale=scale)
    factor, shift = 10.0, 3.0
    values = []
    for unit, origin in ((1.0, 0.0), (factor, shift)):
        assert spec.mean is not None
        assert spec.examples is not None
        other = replace(
            case,
            spec=replace(
                spec,
                mean=spec.mean * unit + origin,
                scale=scale * unit,
                examples=spec.examples * unit + origin,
            ),
            x=case.x * unit + origin,
        )
        recipe = finish(other.build())
        recipe.model.eval()
        values.append(recipe.objective(other.trace(recipe, noise=keyed())))
    volume = torch.tensor(factor).log() * scale.numel()
    # The buffers of mean and scale were rounded to float32 in each of the units.
    assert torch.allclose(values[0] - volume, values[1], rtol=1e-4, atol=1e-3)


def works_in_float64(case: Case) -> None:
    """A model moved to float64 computes in float64 from end to end."""
    recipe = finish(case.build())
    t = case.trace(recipe)
    value = recipe.objective(t)
    assert value.dtype == t.log_weight.dtype == torch.float64
    assert all(d.z.dtype == torch.float64 for d in t.draws)


def takes_a_users_module(case: Case) -> None:
    """A user's own modules plug in as networks, and one module cannot be both."""

    class Own(nn.Module):
        def __init__(self, inputs: int, shape: tuple[int, ...]) -> None:
            super().__init__()
            self.linear, self.shape = nn.LazyLinear(inputs), shape

        def forward(self, h: Tensor, c: Tensor | None = None) -> Tensor:
            h = h.flatten(1) if c is None else torch.cat([h.flatten(1), c], 1)
            return self.linear(h).unflatten(1, self.shape)

    shapes = _output_shapes(case, case.build())
    nets = [Own(torch.Size(s).numel(), s) for s in (shapes[0], shapes[-1])]
    recipe = case.build(net=nets[0], decoder=nets[1])
    recipe.objective(case.trace(recipe)).sum().backward()
    assert all(n.linear.weight.grad is not None for n in nets)
    with pytest.raises(DiaboloError, match="give the decoder too"):
        case.build(net=nets[0])


def _output_shapes(case: Case, recipe: Recipe) -> list[tuple[int, ...]]:
    """What the networks put out in the order of their calls: the encoder first, x last."""
    kind = type(recipe.model.likelihood.net)
    shapes: list[tuple[int, ...]] = []
    for module in recipe.model.modules():
        if type(module) is kind:
            module.register_forward_hook(lambda m, i, out: shapes.append(tuple(out.shape[1:])))
    inferred, c = recipe.model.infer(case.x, case.c)  # a pass without charges
    recipe.model.likelihood(inferred.code, c)
    return shapes


ALL = RECIPES.names()
FEW = {"vamp": "vamp(count=4)"}  # 500 pseudo-inputs through a flow are a minute's work
DENSITIES = [(FEW.get(p, p), q) for p in PRIORS.names() for q in POSTERIORS.names()]
IMAGES = [n for n in NETS.names() if n != "mlp"]
