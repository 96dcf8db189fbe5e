"""A graph of a function: the same values, products by another kernel, and reasons where none is."""

from __future__ import annotations

import pytest
import torch

from diabolo import graph
from diabolo.graph import NoGraph, graph_of

SHAPES = [(64, 64, 64), (128, 784, 400), (784, 128, 400), (65, 100, 64), (64, 2000, 65)]


@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("shape", SHAPES)
def test_a_convolution_is_the_product(shape, transposed):
    n, i, o = shape
    torch.manual_seed(0)
    a, b = torch.randn(n, i), torch.randn(i, o)
    if transposed:
        a, b = a.t().contiguous().t(), b.t().contiguous().t()
    exact = (a.double() @ b.double()).float()
    # float32 over i terms of size 1: about i^0.5 roundings of 6e-8, in either order.
    torch.testing.assert_close(graph._product(a, b), exact, rtol=1e-5, atol=1e-4)


@pytest.fixture
def traced(monkeypatch):
    """Keeps the traced graph, and runs it by its operations, without Inductor."""
    kept = []
    monkeypatch.setattr(torch, "compile", lambda module, **_: kept.append(module) or module)
    return kept


def operations(module) -> set[str]:
    return {str(n.target) for n in module.graph.nodes if n.op == "call_function"}


@pytest.mark.parametrize("intel", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_wide_products_of_float32_alone_are_convolutions(dtype, intel, traced, monkeypatch):
    monkeypatch.setattr(graph, "intel", lambda: intel)
    x, w, b = (torch.randn(s, dtype=dtype) for s in ((80, 100), (70, 100), (70,)))
    _, found = graph_of(torch.nn.functional.linear, (x, w, b), "it")
    convolved = any("convolution" in name for name in operations(traced[0]))
    wanted = dtype == torch.float32 and torch.backends.mkl.is_available() and not intel
    assert convolved == wanted
    eager = torch.nn.functional.linear(x, w, b)
    torch.testing.assert_close(found, eager, rtol=1e-5, atol=1e-4)


def test_narrow_products_stay(traced):
    graph_of(torch.mm, (torch.randn(80, 20), torch.randn(20, 80)), "it")
    assert not any("convolution" in name for name in operations(traced[0]))


def test_changes_in_place_and_random_numbers_are_the_eager_ones(traced):
    def function(x, others):
        others[0].add_(torch.randn(3))
        return x + torch.rand(3)

    results = []
    for call in (function, lambda *given: graph_of(function, given, "it")[1]):
        torch.manual_seed(0)
        kept = torch.zeros(3)
        results.append((call(torch.ones(3), [kept, None]), kept))
    for a, b in zip(*results, strict=True):
        assert torch.equal(a, b)


def test_a_value_that_decides_cannot_be_traced():
    x = torch.ones(3)
    with pytest.raises(NoGraph, match=r"^the step cannot be traced \("):
        graph_of(lambda t: t if float(t.sum()) > 0 else -t, (x,), "the step")


def test_what_cannot_be_compiled_is_said_and_spent_memory_is_passed_on(monkeypatch):
    def broken(module, **_):
        def call(*_):
            raise RuntimeError(message)

        return call

    monkeypatch.setattr(torch, "compile", broken)
    message = "C++ compile error"
    with pytest.raises(NoGraph, match=r"it cannot be compiled \(RuntimeError: C\+\+ compile error"):
        graph_of(torch.sin, (torch.ones(3),), "it")
    message = "DefaultCPUAllocator: can't allocate memory"
    with pytest.raises(RuntimeError, match="can't allocate"):
        graph_of(torch.sin, (torch.ones(3),), "it")
