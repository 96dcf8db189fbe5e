"""What holds of every network `net(h, c)`, whatever its kind.

Shapes: N data, I the inputs' shape, O the outputs' shape, C the condition's width.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


def arguments(
    inputs: tuple[int, ...], condition: int, n: int = 3, dtype: torch.dtype = torch.float32
) -> tuple[Tensor, Tensor | None]:
    """Inputs (n, *I) and conditions (n, C), or None."""
    generator = torch.Generator().manual_seed(0)
    h = torch.randn(n, *inputs, generator=generator, dtype=torch.float64).to(dtype)
    if not condition:
        return h, None
    return h, torch.randn(n, condition, generator=generator, dtype=torch.float64).to(dtype)


def stir(net: nn.Module) -> None:
    """Moves every parameter a little, as a step would: branches that start at zero wake up."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for p in net.parameters():
            p.add_(0.05 * torch.randn(p.shape, generator=generator).to(p.dtype))


def shape_is_as_asked(net: nn.Module, h: Tensor, c: Tensor | None, outputs: tuple) -> None:
    """net(h, c) has the shape (N, *O), for one datum too, and is finite."""
    found = net(h, c)
    assert found.shape == (len(h), *outputs)
    assert bool(torch.isfinite(found).all())
    assert net(h[:1], None if c is None else c[:1]).shape == (1, *outputs)


def every_parameter_learns(net: nn.Module, h: Tensor, c: Tensor | None) -> None:
    """No parameter is idle: each has a gradient, and one that is not zero."""
    stir(net)
    net.zero_grad()
    out = net(h, c)
    weight = torch.randn(out.shape, generator=torch.Generator().manual_seed(2)).to(out.dtype)
    (weight * out).sum().backward()
    for name, p in net.named_parameters():
        assert p.grad is not None, name
        assert float(p.grad.abs().max()) > 0, name


@torch.no_grad()
def condition_has_an_effect(net: nn.Module, h: Tensor, c: Tensor) -> None:
    """The same h under another c gives another output, for every entry of c and every datum."""
    stir(net)
    base = net(h, c)
    for j in range(c.shape[1]):
        other = c.clone()
        other[:, j] += 1.0
        moved = (net(h, other) - base).flatten(1).abs().amax(1)
        assert float(moved.min()) > 0, f"entry {j} of the condition"


@torch.no_grad()
def condition_interacts(net: nn.Module, h: Tensor, c: Tensor) -> None:
    """c does not only shift the output: its effect depends on h."""
    stir(net)
    effect = (net(h, c + 1.0) - net(h, c)).flatten(1)
    spread = (effect[0] - effect[1]).abs().max()
    # An additive condition would give rounding, about 1e-7 of values near 1.
    assert float(spread) > 1e-5


def input_has_an_effect(net: nn.Module, h: Tensor, c: Tensor | None) -> None:
    """Every entry of h reaches the output."""
    stir(net)
    h = h.clone().requires_grad_()
    net(h, c).square().sum().backward()
    assert bool((h.grad != 0).all())


@torch.no_grad()
def deterministic(net: nn.Module, h: Tensor, c: Tensor | None) -> None:
    """Two passes give the same, in training and in evaluation: there is no dropout, no noise."""
    first = net.train()(h, c)
    assert torch.equal(first, net(h, c))
    assert torch.equal(first, net.eval()(h, c))
    net.train()


@torch.no_grad()
def data_are_independent(net: nn.Module, h: Tensor, c: Tensor | None) -> None:
    """The output of a datum does not depend on the rest of its batch."""
    stir(net)
    whole = net(h, c)
    for i in range(len(h)):
        alone = net(h[i : i + 1], None if c is None else c[i : i + 1])
        # float32 sums in another order: a few units of 1e-7 each, over some hundred terms.
        torch.testing.assert_close(alone, whole[i : i + 1], rtol=1e-5, atol=1e-5)


@torch.no_grad()
def compiled_equals_eager(net: nn.Module, h: Tensor, c: Tensor | None) -> None:
    """The network is one graph, and the graph computes the same."""
    torch.compiler.reset()
    graph = torch.compile(net, backend="aot_eager", fullgraph=True)
    # The same kernels run in the same order, up to decompositions of activations: some ulps.
    torch.testing.assert_close(graph(h, c), net(h, c), rtol=1e-5, atol=1e-5)


def signal_is_sane(net: nn.Module, h: Tensor, c: Tensor | None) -> None:
    """Standard normal inputs give outputs of a size near one, and gradients likewise."""
    h = h.clone().requires_grad_()
    out = net(h, c)
    assert 0.003 < float(out.detach().std()) < 3.0
    (out.square().mean() * len(h)).backward()
    assert float(h.grad.abs().max()) < 10.0
