"""The step as one graph does what the eager step does, for every recipe, optimiser and setting.

The fast tests run the traced graph operation by operation; the slow ones compile it.
"""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from diabolo.config import TrainConfig
from diabolo.data import Batch, Data
from diabolo.data.decode import Binarize, Scale
from diabolo.graph import NoGraph, Replay, compiler
from diabolo.model import Recipe
from diabolo.nets import NETS
from diabolo.priors import PRIORS
from diabolo.recipes import RECIPES
from diabolo.train import fit, graph
from diabolo.train.graph import GraphStep
from diabolo.train.optimizers import RULES
from diabolo.train.step import Step
from laws import recipes as laws

CONFIG = TrainConfig(
    epochs=2, batch_size=8, learning_rate=1e-2, compile="off", device="cpu", precision="float32"
)
CPU = torch.device("cpu")
DEVICES = ["cpu", "cuda"] if torch.cuda.is_available() else ["cpu"]


@pytest.fixture
def traced(monkeypatch):
    """Runs the traced graph by its operations, without Inductor."""
    monkeypatch.setattr(torch, "compile", lambda module, **_: module)


def take(
    kind: type[Step],
    recipe: Recipe,
    config: TrainConfig,
    groups: list[list[Batch]],
    device: str = "cpu",
) -> tuple[list[Tensor], Step]:
    recipe.model.train().to(device)
    if isinstance(recipe.objective, nn.Module):
        recipe.objective.to(device)
    step = kind(recipe, config, torch.device(device))
    groups = [[_moved(b, device) for b in group] for group in groups]
    found = []
    for i, group in enumerate(groups):
        torch.manual_seed(i)
        found.append(step(iter(group), config.learning_rate, 0.5))
    return found, step


def _moved(batch: Batch, device: str) -> Batch:
    return Batch(*(None if part is None else part.to(device) for part in batch))


def batches(case: laws.Case, n: int, accumulate: int = 1) -> list[list[Batch]]:
    """Steps of several batches, in which the rows stand in another order each time."""
    torch.manual_seed(3)
    found = []
    for _ in range(n * accumulate):
        rows = torch.randperm(len(case.x))
        found.append(Batch(case.x[rows], None if case.c is None else case.c[rows], None, rows))
    return [found[i : i + accumulate] for i in range(0, len(found), accumulate)]


def agree(
    case: laws.Case, config: TrainConfig, n: int = 3, accumulate: int = 1, device: str = "cpu"
) -> None:
    """Both kinds of step give the same parts, weights, moments, averages and buffers."""
    results = []
    for kind in (Step, GraphStep):
        recipe = laws.finish(case.build())
        found, step = take(kind, recipe, config, batches(case, n, accumulate), device)
        state = step.state()["optimizer"]["state"]
        moments = [state[i][name] for i in state for name in RULES[config.optimizer].states]
        done = float(state[0]["step"])
        if kind is GraphStep and device == "cuda":
            assert all(isinstance(replay, Replay) for replay in step.graphs.values())
        buffers = [b.clone() for b in recipe.model.buffers()]
        results.append((torch.cat(found), step.weights, moments, step.shadow, buffers, done))
    # Sums in another order, through a few steps of an optimiser that divides by small numbers.
    exact = case.x.dtype == torch.float64
    tolerance = {"rtol": 1e-8, "atol": 1e-9} if exact else {"rtol": 2e-3, "atol": 2e-4}
    eager, whole = results
    for a, b in zip(eager[:-1], whole[:-1], strict=True):
        torch.testing.assert_close(b, a, **tolerance)
    assert eager[-1] == whole[-1] == n


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("name", RECIPES.names())
def test_graph_equals_eager(name, device, traced):
    agree(laws.case(name, dtype=torch.float64), CONFIG, device=device)


@pytest.mark.parametrize("name", NETS.names())
def test_graph_equals_eager_for_every_net(name, traced):
    case = laws.case("vae", event=(1, 8, 8), net=name, dtype=torch.float64)
    agree(case, CONFIG, n=2)


@pytest.mark.parametrize("name", PRIORS.names())
def test_graph_equals_eager_for_every_prior(name, traced):
    beside = {"conditional": {"condition": 2}, "uniform_sphere": {"posterior": "vmf"}}
    options = {"prior": name, **beside.get(name, {})}
    agree(laws.case("vae", dtype=torch.float64, **options), CONFIG, n=2)


@pytest.mark.parametrize("name", RULES)
@pytest.mark.parametrize(
    "change",
    [{}, {"clip": None}, {"clip": 1e-3}, {"ema": 0.5}, {"accumulate": 2}],
    ids=lambda c: next(iter(c), "plain"),
)
def test_graph_equals_eager_for_every_optimiser(name, change, traced):
    decay = {"weight_decay": 0.1} if name == "adamw" else {}
    config = replace(CONFIG, optimizer=name, **change, **decay)
    agree(laws.case("vae", dtype=torch.float64), config, accumulate=config.accumulate)


def test_graph_keeps_a_running_scale(traced):
    case = laws.case("vae", support="real", likelihood="Normal(scale=optimal)", dtype=torch.float64)
    agree(case, CONFIG)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_graph_skips_what_is_not_finite(bad, traced):
    case = laws.case("vae", support="real", dtype=torch.float64)
    groups = batches(case, 3)
    x = groups[1][0].x.clone()
    x[0, 0] = bad
    groups[1] = [groups[1][0]._replace(x=x)]
    for kind in (Step, GraphStep):
        recipe = laws.finish(case.build())
        found, step = take(kind, recipe, replace(CONFIG, ema=0.5), groups)
        assert [float(f[0, -1]) for f in found] == [0, 1, 0]
        _, other = take(kind, laws.finish(case.build()), replace(CONFIG, ema=0.5), groups[:1])
        torch.manual_seed(2)
        other(iter(groups[2]), CONFIG.learning_rate, 0.5)
        for a, b in zip(
            (*step.weights, *step.shadow), (*other.weights, *other.shadow), strict=True
        ):
            assert torch.equal(a, b)


def test_either_kind_goes_on_with_the_state_of_the_other(traced):
    case = laws.case("vae", dtype=torch.float64)
    groups = batches(case, 4)
    expected = take(Step, case.build(), CONFIG, groups)[1].weights
    for first, second in ((Step, GraphStep), (GraphStep, Step)):
        recipe = case.build()
        _, step = take(first, recipe, CONFIG, groups[:2])
        state = step.state()
        other = second(recipe, CONFIG, CPU)
        other.load(state)
        for i, group in enumerate(groups[2:]):
            torch.manual_seed(i + 2)
            other(iter(group), CONFIG.learning_rate, 0.5)
        torch.testing.assert_close(other.weights, expected, rtol=1e-8, atol=1e-9)


def test_a_rule_is_that_of_torch():
    """Against the optimisers that are not fused, in float64, over many steps."""
    for name, rule in RULES.items():
        decay = 0.1 if name == "adamw" else 0.0
        torch.manual_seed(0)
        p = torch.randn(50, dtype=torch.float64, requires_grad=True)
        reference = rule.kind([p], lr=0.01, weight_decay=decay)
        w, m, v = p.detach().clone(), torch.zeros_like(p), torch.zeros_like(p)
        for t in range(1, 200):
            g = torch.randn(50, dtype=torch.float64) * (torch.arange(50) % 7 > 0)
            p.grad = g
            reference.step()
            c1, c2 = (torch.tensor(1 - b**t, dtype=torch.float64) for b in (0.9, 0.999))
            w, m, v = rule.update(
                w, g, m, v, torch.tensor(0.01, dtype=torch.float64), c1, c2, decay
            )
        torch.testing.assert_close(w, p.detach(), rtol=1e-10, atol=1e-12)


def decides(out: Tensor) -> Tensor:
    """A network whose numbers decide what comes next cannot be one graph."""
    return out if float(out.detach().sum()) > -1e9 else -out


def fitted(recipe: Recipe, data: Data, config: TrainConfig) -> tuple[list[str], object]:
    notes: list[str] = []
    return notes, fit(recipe, data, data, config, on_note=notes.append)


def test_what_cannot_be_traced_is_trained_eagerly_and_told():
    case = laws.case("vae", n=32)
    data = Data(case.x, "binary")
    plain = case.build()
    _, expected = fitted(plain, data, CONFIG)
    recipe = case.build()
    net = recipe.model.likelihood.net
    forward = net.forward
    net.forward = lambda h, c=None: decides(forward(h, c))
    notes, history = fitted(recipe, data, replace(CONFIG, compile="on"))
    (note,) = notes
    assert note.startswith("Training goes on without compilation, since the step cannot be traced")
    assert not history.computing["compile"]
    assert [r.valid_elbo for r in history.rows] == [r.valid_elbo for r in expected.rows]


def test_a_training_that_fell_back_draws_and_goes_on_as_an_eager_one(tmp_path):
    """Grey levels are drawn as bits in each step, before the step is tried as a graph."""
    x = torch.randint(0, 256, (32, 6), generator=torch.Generator().manual_seed(0))
    data = Data(x.to(torch.uint8), support="binary", decoder=Binarize(Scale()))
    case = laws.case("vae", n=32)

    def make() -> Recipe:
        recipe = case.build()
        net = recipe.model.likelihood.net
        forward = net.forward
        net.forward = lambda h, c=None: decides(forward(h, c))
        return recipe

    _, expected = fitted(make(), data, CONFIG)
    config = replace(CONFIG, compile="on", checkpoint_minutes=1e-9)
    path = tmp_path / "state.pt"

    def leave(row):
        raise KeyboardInterrupt

    fit(make(), data, data, config, checkpoint=path, on_epoch=leave)
    history = fit(make(), data, data, config, resume=path)
    assert [r.valid_elbo for r in history.rows] == [r.valid_elbo for r in expected.rows]


def test_a_weight_without_effect_is_left_alone(traced):
    config = replace(CONFIG, optimizer="adamw", weight_decay=0.1)
    case = laws.case("vae", dtype=torch.float64)
    for kind in (Step, GraphStep):
        recipe = case.build()
        recipe.model.idle = torch.nn.Parameter(torch.ones(3, dtype=torch.float64))
        take(kind, recipe, config, batches(case, 2))
        assert torch.equal(recipe.model.idle.detach(), torch.ones(3, dtype=torch.float64))


@pytest.mark.parametrize("kind", [Step, GraphStep])
def test_a_skipped_step_leaves_the_running_scale(kind, traced):
    case = laws.case("vae", support="real", likelihood="Normal(scale=optimal)", dtype=torch.float64)
    (good,), (bad,) = batches(case, 2)
    spoiled = bad._replace(x=bad.x * math.inf)
    recipe = case.build()
    take(kind, recipe, CONFIG, [[good]])
    family = recipe.model.likelihood.family
    before = {n: b.clone() for n, b in family.named_buffers()}
    assert float(dict(family.named_buffers())["running"][1]) > 0
    found, _ = take(kind, recipe, CONFIG, [[spoiled]])
    assert float(found[0][0, -1]) == 1
    for name, b in family.named_buffers():
        assert torch.equal(b, before[name]), name


def test_without_a_working_compiler_training_is_eager_and_told(monkeypatch):
    def broken(*_, **__):
        raise NoGraph("the step cannot be compiled (no g++)")

    monkeypatch.setattr(graph, "graph_of", broken)
    case = laws.case("vae", n=32)
    notes, history = fitted(case.build(), Data(case.x, "binary"), replace(CONFIG, compile="on"))
    assert notes == [
        "Training goes on without compilation, since the step cannot be compiled (no g++)."
    ]
    assert not history.computing["compile"]


@pytest.mark.slow
@pytest.mark.skipif(compiler() is None, reason="a C++ compiler is not installed")
@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("name", RECIPES.names())
def test_compiled_equals_eager(name, device):
    agree(laws.case(name), CONFIG, device=device)


@pytest.mark.slow
@pytest.mark.skipif(compiler() is None, reason="a C++ compiler is not installed")
@pytest.mark.parametrize("name", ["vae", "cvae", "ladder"])
def test_compiled_training_in_bfloat16_raises_the_bound(name):
    """The whole loop, compiled, in bfloat16: it stays near the eager one in float32."""
    case = laws.case(name, n=64)
    data = Data(case.x, case.spec.support, case.spec.levels, c=case.c)
    config = replace(CONFIG, epochs=20, learning_rate=3e-3)
    eager = fit(laws.finish(case.build()), data, data, config).rows
    other = replace(config, compile="on", precision="bf16")
    history = fit(laws.finish(case.build()), data, data, other)
    assert history.computing["compile"]
    gain = eager[-1].valid_elbo - eager[0].valid_elbo
    assert gain > 0
    # bfloat16 keeps eight binary digits; the paths part, but by far less than what is learned.
    assert abs(history.rows[-1].valid_elbo - eager[-1].valid_elbo) < 0.1 * gain


@pytest.mark.slow
@pytest.mark.skipif(compiler() is None, reason="a C++ compiler is not installed")
@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("net", ["mlp(hidden=(70,))", "conv"])
def test_a_compiled_training_is_gone_on_with_bit_for_bit(net, device, tmp_path):
    case = laws.case("vae", event=(1, 8, 8), net=net, n=64)
    data = Data(case.x, "binary")
    config = replace(CONFIG, epochs=4, compile="on", precision="bf16", ema=0.9, device=device)
    config = replace(config, checkpoint_minutes=1e-9)
    path = tmp_path / "state.pt"
    whole = case.build()
    expected = fit(whole, data, data, config)

    def leave(row):
        if row.epoch == 2:
            raise KeyboardInterrupt

    fit(case.build(), data, data, config, checkpoint=path, on_epoch=leave)
    again = case.build(seed=9)
    found = fit(again, data, data, config, resume=path)
    assert [replace(r, seconds=0) for r in found.rows] == [
        replace(r, seconds=0) for r in expected.rows
    ]
    for a, b in zip(again.model.parameters(), whole.model.parameters(), strict=True):
        assert torch.equal(a, b)


def test_convolutions_are_laid_out_for_the_kernels_and_back(traced):
    case = laws.case("vae", event=(1, 8, 8), net="conv", n=32)
    data = Data(case.x, "binary")
    recipe = case.build()
    strides = [p.stride() for p in recipe.model.parameters()]
    step = GraphStep(recipe, CONFIG, CPU)
    assert any(p.stride() != s for p, s in zip(recipe.model.parameters(), strides, strict=True))
    assert all(
        w.data_ptr() == p.data_ptr() for w, p in zip(step.weights, step.parameters, strict=True)
    )
    _, history = fitted(recipe, data, replace(CONFIG, compile="on"))
    assert history.computing["compile"]
    assert [p.stride() for p in recipe.model.parameters()] == strides
