"""The documentation runs: every Python block of the README and the pages, and an example."""

from __future__ import annotations

import re
import runpy
import shlex
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from diabolo.run.presets import PRESETS

ROOT = Path(__file__).parents[1]
PAGES = sorted([ROOT / "README.md", ROOT / "CHANGELOG.md", *ROOT.glob("docs/**/*.md")])
PAGES = [p for p in PAGES if not {"_build", "gallery", "generated"} & set(p.parts)]
EXAMPLES = sorted((ROOT / "examples").glob("plot_*.py"))


def blocks(page: Path, language: str = "python") -> list[str]:
    """The code blocks of one language in a page, in order."""
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(), re.DOTALL | re.MULTILINE)


WITH_CODE = [p for p in PAGES if blocks(p) and p.name != "adding-things.md"]


def shorter(code: str) -> str:
    """The same code with one epoch for several: what is tested is that it runs."""
    return re.sub(r"\bepochs=\d+", "epochs=1", code)


@pytest.mark.parametrize("page", WITH_CODE, ids=lambda p: p.name)
def test_a_page_runs(
    page: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    request: pytest.FixtureRequest,
) -> None:
    monkeypatch.chdir(tmp_path)
    # A smaller network where a page leaves it to the preset; the commands below take the preset's.
    small = replace(PRESETS["digits"], recipe={"latent": 10, "net": "mlp(hidden=(64,))"})
    monkeypatch.setitem(PRESETS, "digits", small)
    if page.name == "trackers.md":
        shutil.copy(request.getfixturevalue("mlflow_database"), "mlflow.db")
    code = shorter("\n".join(blocks(page)))
    exec(compile(code, str(page), "exec"), {"__name__": "page"})
    if page.name == "README.md":
        assert "Did you mean 'latent'?" in capsys.readouterr().out


def test_readme_is_twenty_lines_of_code() -> None:
    (code,) = blocks(ROOT / "README.md")
    assert len([line for line in code.splitlines() if line.strip()]) <= 20


def test_added_things_work(tmp_path: Path) -> None:
    """Each file of `adding-things` is written where it says; the page's other code then holds."""
    package = tmp_path / "diabolo"
    shutil.copytree(ROOT / "src" / "diabolo", package, ignore=shutil.ignore_patterns("__pycache__"))
    checks, files = [], 0
    for block in blocks(ROOT / "docs" / "adding-things.md"):
        first, _, rest = block.partition("\n")
        if not first.startswith("# src/diabolo/"):
            checks.append(block)
            continue
        file = package / first.removeprefix("# src/diabolo/")
        assert not file.exists(), f"{file.name} is in the package: show another one"
        file.write_text(rest)
        files += 1
    assert files == 5
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", shorter("\n".join(checks))],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda p: p.stem)
def test_an_example_compiles_and_has_a_title(path: Path) -> None:
    code = path.read_text()
    compile(code, str(path), "exec")
    assert re.match(r'"""\n.+\n=+\n\n', code), "begin with a title underlined with ="


def test_an_example_runs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="matplotlib is not installed")
    monkeypatch.setenv("MPLBACKEND", "agg")
    script = tmp_path / "plot_4_condition.py"
    script.write_text(shorter((ROOT / "examples" / "plot_4_condition.py").read_text()))
    import matplotlib.pyplot as plt

    found = runpy.run_path(str(script))
    assert len(found["axes"]) == 5
    plt.close("all")


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_links_within_lead_somewhere(page: Path) -> None:
    text = re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", text):
        if "://" in target or target.startswith("generated/"):
            continue
        assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_the_table_of_likelihoods_is_that_of_the_code() -> None:
    from diabolo.distributions import DEFAULTS, families

    page = (ROOT / "docs" / "theory" / "latent-variables.md").read_text()
    rows = re.findall(r"^\| `(\w+)` \|[^|]*\| `([^`]+)` \|(.*)\|$", page, re.MULTILINE)
    assert {support: default for support, default, _ in rows} == DEFAULTS
    for support, default, others in rows:
        named = {default.partition("(")[0], *re.findall(r"`(\w+)`", others)}
        assert named == {n for n, f in families().items() if support in f.supports}


def test_the_table_of_what_a_likelihood_is_for_is_that_of_the_code() -> None:
    from diabolo.distributions import families

    page = (ROOT / "docs" / "theory" / "latent-variables.md").read_text()
    rows = re.findall(r"^\| `(\w+)` \| (`[^|]+`) \| ([a-z ]+) \| .+ \|$", page, re.MULTILINE)
    discrete, continuous = {"binary", "byte", "count", "category", "ordinal"}, {"real", "unit"}
    found = {}
    for name, supports, kind in rows:
        found[name] = set(re.findall(r"`(\w+)`", supports))
        both = found[name] == {"mixed"}
        mass, density = found[name] <= discrete, found[name] <= {*continuous, "positive"}
        assert {"mass": mass, "density": density, "mass or density": both}[kind], name
    assert [name for name, *_ in rows] == sorted(families())
    assert found == {n: set(f.supports) for n, f in families().items()}


def commands(page: Path) -> list[str]:
    """The `diabolo ...` lines of a page's shell blocks."""
    lines = "\n".join(blocks(page, "sh")).splitlines()
    return [line.split("  #")[0].strip() for line in lines if line.startswith("diabolo ")]


@pytest.mark.parametrize("page", [p for p in PAGES if commands(p)], ids=lambda p: p.name)
def test_commands_of_a_page_run(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from diabolo.__main__ import main

    monkeypatch.chdir(tmp_path)
    for line in commands(page):
        words = shlex.split(shorter(line))[1:]
        if words[0] in {"fit", "evaluate"}:
            words += ["--k", "5"]
        assert main(words) == 0, line


def test_goals_of_the_pages_exist() -> None:
    makefile = (ROOT / "Makefile").read_text()
    for page in PAGES:
        for goal in re.findall(r"(?:`|^|&& )make ([a-z-]+)\b", page.read_text(), re.MULTILINE):
            assert re.search(rf"^{goal}:", makefile, re.MULTILINE), f"{page.name}: make {goal}"
