"""Pages made from the code: recipes and parts from the folders, the results from their JSON.

Nothing here is a list of members: a new file in `recipes/` or `priors/` appears by itself.
"""

from __future__ import annotations

import importlib
import inspect
import json
import re
import textwrap
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from docstring_parser.google import parse

SOURCE = Path(__file__).parents[1] / "src" / "diabolo"
ROOMS = (  # in reading order
    ("distributions", "Densities"),
    ("nets", "Networks"),
    ("model", "The model and its trace"),
    ("data", "Data"),
    ("objectives", "Objectives"),
    ("latents", "Latents"),
    ("priors", "Priors"),
    ("posteriors", "Posteriors"),
    ("views", "Views"),
    ("train", "Training"),
    ("recipes", "Recipes"),
    ("evaluate", "Evaluation"),
    ("run", "Runs"),
    ("tasks", "Jobs"),
    ("study", "Studies"),
    ("estimators", "Estimators of scikit-learn"),
    ("panels", "Figures"),
    ("reports", "Pages on runs"),
    ("config", "Configuration"),
    ("checkpoint", "Checkpoints"),
    ("spec", "Spec"),
    ("registry", "Registry"),
    ("noise", "Noise"),
    ("errors", "Errors"),
)


def heading(text: str, mark: str) -> str:
    """A heading in reStructuredText."""
    return f"{text}\n{mark * len(text)}\n"


def marked(text: str) -> str:
    """A docstring's marks in reStructuredText: `x` is code, and an asterisk is an asterisk."""
    lines, within = [], None
    for line in text.split("\n"):
        indent = len(line) - len(line.lstrip())
        if within is not None and line.strip() and indent <= within:
            within = None
        if line.strip().startswith(".. math::"):
            within = indent
        elif within is None:
            line = re.sub(r"(?<![`:])`([^`]+)`(?!`)", r"``\1``", line)
            line = re.sub(r"(`[^` ]+``)(?=\w)", r"\1\\ ", line)  # `unit`s
            pieces = re.split(r"(``.*?``|:\w+:`.*?`)", line)
            line = "".join(p if i % 2 else p.replace("*", r"\*") for i, p in enumerate(pieces))
        lines.append(line)
    return "\n".join(lines)


def literal(value: object) -> str:
    """A default value as it is typed."""
    return value.__name__ if inspect.isfunction(value) else repr(value)


def meanings(function: Callable[..., Any]) -> dict[str, str]:
    """What the docstring of a function (or of a class and its constructor) says of each option."""
    texts = [inspect.getdoc(function) or ""]
    if inspect.isclass(function):
        texts.append(inspect.getdoc(function.__init__) or "")
    found: dict[str, str] = {}
    for text in texts:
        for p in parse(text).params:
            found[p.arg_name] = " ".join((p.description or "").split())
    return found


def options_table(function: Callable[..., Any], elsewhere: dict[str, str], hide: set[str]) -> str:
    """The keyword options of a function with defaults and meanings, as a list table."""
    parameters = inspect.signature(function).parameters.values()
    options = [p for p in parameters if p.kind is p.KEYWORD_ONLY and p.name not in hide]
    if not options:
        return "No options.\n"
    own = meanings(function)
    rows = []
    for p in options:
        default = "required" if p.default is p.empty else f"``{literal(p.default)}``"
        said = own.get(p.name, elsewhere.get(p.name, ""))
        rows.append(f"   * - ``{p.name}``\n     - {default}\n     - {marked(said)}\n")
    head = ".. list-table::\n   :header-rows: 1\n   :widths: 18 22 60\n\n"
    return f"{head}   * - option\n     - default\n     - meaning\n{''.join(rows)}"


def recipe_pages(results: Path) -> dict[str, str]:
    """A page for each recipe, and the page that lists them, by file name."""
    from diabolo.recipes import RECIPES

    names = sorted(RECIPES.names(), key=lambda n: (n != "vae", n))
    elsewhere: dict[str, str] = {}
    for name in reversed(names):
        elsewhere |= meanings(RECIPES.load(name))
    record = json.loads((results / "recipes.json").read_text())
    papers = json.loads((results / "papers.json").read_text())
    rows = []
    for name in names:
        first = marked((inspect.getdoc(RECIPES.load(name)) or "").split("\n")[0])
        rows.append(f"   * - :doc:`{name} <recipes/{name}>`\n     - {first}\n")
    pages = {
        "recipes.rst": "\n".join(
            [
                heading("Recipes", "="),
                "A recipe is a model, an objective and a number of posterior samples. Options are "
                "given by name, in Python (``diabolo.fit(data, 'vae', latent=16)``) and on the "
                "command line (``diabolo fit DATA --recipe vae --set latent=16``). When to take "
                "which: :doc:`../how-to-choose`.\n",
                ".. list-table::\n   :widths: 22 78\n",
                "".join(rows),
                ".. toctree::\n   :hidden:\n",
                *(f"   recipes/{name}" for name in names),
                "",
            ]
        )
    }
    for name in names:
        function = RECIPES.load(name)
        module = inspect.getdoc(inspect.getmodule(function)) or ""
        pages[f"recipes/{name}.rst"] = "\n".join(
            [
                f".. _recipe-{name}:\n",
                heading(name, "="),
                _with_references(marked(module)),
                "",
                *_picture(name, results / "recipes" / f"{name}.png"),
                heading("Measured", "-"),
                *_measured(name, record),
                heading("Beside its paper", "-"),
                _beside_paper(papers.get(name, {"why_not": "Not tried yet."})),
                "",
                heading("Options", "-"),
                options_table(function, elsewhere, {"spec"}),
            ]
        )
    return pages


def _picture(name: str, file: Path) -> list[str]:
    """The picture of a recipe's run on digits, where there is one."""
    if not file.exists():
        return []
    alt = f"Samples or reconstructions of {name} on digits"
    return [
        f".. image:: ../../results/recipes/{name}.png",
        f"   :alt: {alt}",
        "   :width: 70%\n",
        f"{alt[:-10]}, trained on scikit-learn's digits for the table below.\n",
    ]


def _measured(name: str, record: dict[str, Any]) -> list[str]:
    """The rows of one recipe in the table of results."""
    heads = ("data", "rate", "distortion", "ELBO", "log-likelihood", "k", "active", "seconds")
    lines = [".. list-table::\n   :header-rows: 1\n"]
    rows: list[list[str]] = [list(heads)]
    for part in record["sets"]:
        rows += [[part["data"], *_cells(r)] for r in part["rows"] if r["recipe"] == name]
    lines += ["   * - " + "\n     - ".join(cell or " " for cell in row) for row in rows]
    return [
        *lines,
        "",
        "Nats per datum of the test data, short runs; how: :doc:`../results`.\n",
    ]


def _beside_paper(found: dict[str, Any]) -> str:
    """What a paper has and what was measured here, or why there is nothing to compare."""
    if "why_not" in found:
        return f"No published number is reproduced here. {found['why_not']}\n"
    gap = found["value"] - found["published"]
    within = "within" if abs(gap) <= found["tolerance"] else "**not within**"
    better = " (better)" if gap > found["tolerance"] else ""
    return (
        f"Published: {found['published']:.2f} nats ({found['of']}). Here: "
        f"**{found['value']:.2f}** ± {found['data_stderr']:.2f} (mc {found['mc_stderr']:.3f}, "
        f"k = {found['k']}), {within} the tolerance of {found['tolerance']:g} that was set "
        f"before{better}; {found['seconds'] / 60:.0f} minutes of training.\n\n"
        f"Settings: ``{found['settings']}``. {found['machine']} Repeat it with "
        "``python benchmarks/papers.py``.\n"
    )


def _with_references(text: str) -> str:
    """A module docstring whose references become a heading and a line block."""
    body, _, references = text.partition("References:\n")
    return f"{body}.. rubric:: References\n\n{textwrap.dedent(references)}"


def parts_page() -> str:
    """Likelihoods, networks, priors, posteriors and data sets with their options."""
    from diabolo.data.sets import SETS
    from diabolo.distributions import families
    from diabolo.nets import NETS
    from diabolo.posteriors import POSTERIORS
    from diabolo.priors import PRIORS

    given = {"levels", "support", "net", "spec", "posterior"}  # by the recipe, not by the user
    likelihoods = {n: f for n, f in families().items() if f.supports}
    kinds: tuple[tuple[str, str, Iterable[tuple[str, Any]]], ...] = (
        ("Likelihoods", "``likelihood='Normal(scale=shared)'``", likelihoods.items()),
        ("Networks", "``net='mlp(hidden=(512, 512))'``", _loaded(NETS)),
        ("Priors", "``prior='flow(transforms=8)'``", _loaded(PRIORS)),
        ("Posteriors", "``posterior='normal'``", _loaded(POSTERIORS)),
    )
    pages = [
        heading("Parts", "="),
        "Parts of recipes, named in options as a call in Python is. A bare word in a call is a "
        "string.\n",
    ]
    for title, example, members in kinds:
        pages += [heading(title, "-"), f"For example {example}.\n"]
        for name, member in members:
            first = marked((inspect.getdoc(member) or "").split("\n")[0])
            pages += [heading(name, "^"), f"{first}\n"]
            if inspect.isclass(member):
                pages.append(f"For {', '.join(sorted(member.supports))} data.\n")
            pages.append(options_table(member, {}, given))
    pages += [heading("Named data sets", "-")]
    for name in SETS.names():
        module = importlib.import_module(f"{SETS.package}.{name}")
        pages.append(f"- ``{name}``: {(inspect.getdoc(module) or '').splitlines()[0]}")
    return "\n".join(pages) + "\n"


def _loaded(registry: Any) -> list[tuple[str, Any]]:
    return [(n, registry.load(n)) for n in registry.names()]


def api_page() -> str:
    """Every public module, room by room."""
    parts = [heading("Interface", "=")]
    for room, title in ROOMS:
        folder = SOURCE / room
        files = sorted(folder.rglob("*.py")) if folder.is_dir() else [SOURCE / f"{room}.py"]
        if not any(f.exists() for f in files):
            continue
        parts.append(heading(f"{title}: diabolo.{room}", "-"))
        for file in files:
            names = file.relative_to(SOURCE).with_suffix("").parts
            if names[-1] == "__init__":
                names = names[:-1]
            if any(n.startswith("_") for n in names):
                continue
            own = "   :ignore-module-all:\n" if file.stem == "__init__" else ""
            parts.append(f".. automodule:: diabolo.{'.'.join(names)}\n{own}")
    return "\n".join(parts)


def results_page(file: Path) -> str:
    """The table of recipes on data sets, from what `benchmarks/recipes.py` wrote."""
    record = json.loads(file.read_text())
    lines = [
        "# Results",
        "",
        "Every recipe trained on real data, short runs with each recipe's defaults: they show "
        "that each one works and what it trades, not the best it can do. All numbers are in nats "
        "per datum of the test data, at the plain ELBO (price 1, no free bits), with the error "
        "that another test set would make. Made by `benchmarks/recipes.py`.",
        "",
    ]
    for part in record["sets"]:
        lines += [f"## {part['data']}", "", part["about"], "", part["machine"], ""]
        lines += [
            "| recipe | rate | distortion | ELBO | log-likelihood | k | active | seconds |",
            "|---|--:|--:|--:|--:|--:|--:|--:|",
        ]
        for row in part["rows"]:
            lines.append(_result(row))
        lines.append("")
    lines += [
        "A recipe without a likelihood (a deterministic autoencoder) has a distortion only. "
        "A conditional recipe's numbers are of log p(x|c), marked *, and are not comparable with "
        "those of log p(x).",
        "",
    ]
    return "\n".join(lines)


def _result(row: dict[str, Any]) -> str:
    star = "*" if row["conditional"] else ""
    cells = [f"[{row['recipe']}](recipes/{row['recipe']}.rst){star}", *_cells(row)]
    return f"| {' | '.join(cells)} |"


def _cells(row: dict[str, Any]) -> list[str]:
    """The figures of one row of the table."""

    def number(name: str) -> str:
        value = row.get(name)
        if value is None:
            return ""
        return f"{value:.2f}" + (
            f" ± {row[name + '_stderr']:.2f}" if name + "_stderr" in row else ""
        )

    return [
        number("rate"),
        number("distortion"),
        number("elbo"),
        number("log_likelihood"),
        str(row.get("k") or ""),
        f"{row['active']}/{row['latents']}",
        f"{row['seconds']:.0f}",
    ]


def behaviours_table(record: dict[str, Any]) -> str:
    """What each autoencoder's code is like, from what `benchmarks/behaviours.py` wrote."""
    heads = {
        "distortion": "distortion",
        "hoyer": "sparsity (Hoyer)",
        "zeros": "elements that are 0",
        "jacobian": "Jacobian norm",
        "jacobian_over_spread": "over the spread",
        "accuracy_0": "linear probe",
        "accuracy_0.2": "noise 0.2",
        "accuracy_0.4": "noise 0.4",
    }
    lines = [
        f"{record['about']} {record['machine']}",
        "",
        f"| recipe | {' | '.join(heads.values())} |",
        f"|---|{'--:|' * len(heads)}",
    ]
    for row in record["rows"]:
        told = " ".join(f"{k}={v}" for k, v in row["options"].items())
        cells = (
            f"{row[n]:.3g} ± {row[n + '_std']:.2g}" if row[n + "_std"] else f"{row[n]:.3g}"
            for n in heads
        )
        lines.append(f"| `{row['recipe']}` {told} | {' | '.join(cells)} |")
    return "\n".join([*lines, ""])


def write(folder: Path, results: Path) -> None:
    """Writes the generated pages; a page that has not changed is left alone."""
    (folder / "recipes").mkdir(parents=True, exist_ok=True)
    pages = {
        **recipe_pages(results),
        "parts.rst": parts_page(),
        "api.rst": api_page(),
        "results.md": results_page(results / "recipes.json"),
        "behaviours.inc": behaviours_table(json.loads((results / "behaviours.json").read_text())),
    }
    for name, text in pages.items():
        file = folder / name
        if not file.exists() or file.read_text() != text:
            file.write_text(text)


def scrape_figures(block: Any, variables: dict[str, Any], conf: Any) -> str:
    """Saves the matplotlib figures that a gallery block made, whoever drew them."""
    from matplotlib.figure import Figure
    from sphinx_gallery.scrapers import figure_rst

    seen = variables.setdefault("_seen_figures", [])
    paths = []
    for value in list(variables["example_globals"].values()):
        if isinstance(value, Figure) and not any(value is s for s in seen):
            seen.append(value)
            path = next(variables["image_path_iterator"])
            value.savefig(path, dpi=120, bbox_inches="tight")
            paths.append(path)
    return figure_rst(paths, conf["src_dir"])


def reset(conf: Any, name: str) -> None:
    """Starts each example of the gallery from the same state."""
    import matplotlib.pyplot as plt
    import torch

    plt.close("all")
    torch.manual_seed(0)
    torch.set_default_dtype(torch.float32)
    torch.set_num_threads(1)  # tiny models: more threads only wait for each other
