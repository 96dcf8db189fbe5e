"""Importing the package is quick: names are resolved on use."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import diabolo

HEAVY = ("torch", "sklearn", "scipy", "numpy", "pandas", "pyarrow", "PIL", "zuko", "matplotlib")
PLAIN = ["DiaboloError", "DataConfig", "TrainConfig", "RunConfig", "Spec"]  # need no tensors


def run(code: str) -> str:
    """What a fresh interpreter prints."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def imported(code: str) -> str:
    return run(f"import sys\n{code}\nprint([m for m in {HEAVY!r} if m in sys.modules])")


def test_import_brings_nothing_heavy() -> None:
    assert imported("import diabolo; dir(diabolo)") == "[]"


def test_configuration_and_errors_bring_nothing_heavy() -> None:
    code = "import diabolo\n" + "\n".join(f"diabolo.{name}" for name in PLAIN)
    assert imported(code) == "[]"


def test_every_name_resolves_to_what_its_module_holds() -> None:
    for name in diabolo.__all__:
        value = getattr(diabolo, name)
        assert getattr(value, "__name__", name).rpartition(".")[2] == name
    assert set(diabolo.__all__) <= set(dir(diabolo))


def test_names_for_the_type_checker_are_those_resolved_on_use() -> None:
    tree = ast.parse(Path(str(diabolo.__file__)).read_text())
    block = next(n for n in tree.body if isinstance(n, ast.If))
    seen = {a.name for n in block.body if isinstance(n, ast.ImportFrom) for a in n.names}
    assert seen == set(diabolo.__all__)
    assert list(diabolo.__all__) == sorted(diabolo.__all__)


def test_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'foo'"):
        _ = diabolo.foo  # type: ignore[attr-defined]


def test_version_is_that_of_the_package() -> None:
    from importlib.metadata import version

    assert diabolo.__version__ == version("diabolo")


def test_flows_leave_the_validation_of_torch_distributions_alone() -> None:
    # zuko sets torch.distributions' global default when it is imported.
    code = """
import torch
import torch.distributions as d
before = d.Distribution._validate_args
import diabolo
from diabolo.spec import Spec
from diabolo.priors import PRIORS
if "flow" in PRIORS.names():
    diabolo.build("vae", Spec(event=(3,)), latent=2, net="mlp(hidden=(4,))", prior="flow")
else:
    diabolo.build("vae", Spec(event=(3,)), latent=2, net="mlp(hidden=(4,))")
print(d.Distribution._validate_args == before)
"""
    assert run(code) == "True"
