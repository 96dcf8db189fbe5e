"""Sphinx: the pages here, the gallery from `examples/`, tables from the folders of members."""

from __future__ import annotations

import importlib
import sys
from importlib.metadata import version as installed
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

project = "Diabolo"
release = version = installed("diabolo")
copyright = "the Diabolo authors"
extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.mathjax",
    "sphinx-mathjax-offline",  # formulas without a network
    "sphinx.ext.viewcode",
    "myst_parser",
    "sphinx_design",
    "sphinx_copybutton",
    "sphinx_gallery.gen_gallery",
]
exclude_patterns = ["_build", "results", "**/README*", "README*"]
nitpicky = False

html_theme = "pydata_sphinx_theme"
html_title = "Diabolo"
html_static_path = ["_static"]
# The pages lie side by side: only those with pages of their own below have a section to show.
html_sidebars = {"[!gt]*": [], "generated/*": []}
html_theme_options = {
    "navigation_with_keys": False,
    "show_toc_level": 2,
    "secondary_sidebar_items": ["page-toc"],
}
html_show_sourcelink = False

myst_enable_extensions = ["amsmath", "dollarmath", "deflist", "colon_fence"]
myst_heading_anchors = 3

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_default_options = {"members": True, "show-inheritance": False}
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True
napoleon_use_rtype = False

sphinx_gallery_conf = {
    "examples_dirs": "../examples",
    "gallery_dirs": "gallery",
    "filename_pattern": r"plot_",
    "ignore_pattern": r"(experiment|handwriting|sprites)\.py",
    "image_scrapers": ("generate.scrape_figures",),
    "within_subsection_order": "FileNameSortKey",
    "reset_modules": ("generate.reset",),
    "abort_on_example_error": True,
    "remove_config_comments": True,
    "show_memory": False,
    "download_all_examples": False,
    "min_reported_time": 0,
    "plot_gallery": True,
}


def _skip(app: object, what: str, name: str, member: object, skip: bool, options: object) -> bool:
    """Leaves out fields of named tuples, which their class describes, and what sklearn adds."""
    added = str(getattr(member, "__module__", "")).startswith("sklearn.")
    return skip or added or str(getattr(member, "__doc__", "")).startswith("Alias for field number")


def _marks(
    app: object, what: str, name: str, obj: object, options: object, lines: list[str]
) -> None:
    """Reads docstrings as they are written: `code` in single marks, shapes with asterisks."""
    import generate

    lines[:] = generate.marked("\n".join(lines)).split("\n")


def setup(app: object) -> None:
    """Writes the generated pages before Sphinx reads its sources."""
    import generate

    generate.write(HERE / "generated", HERE / "results")
    for file in sorted(HERE.glob("*_pages.py")):  # what pages include of committed measurements
        importlib.import_module(file.stem).write(HERE / "generated", HERE / "results")
    app.connect("autodoc-skip-member", _skip)  # type: ignore[attr-defined]
    app.connect("autodoc-process-docstring", _marks, priority=0)  # type: ignore[attr-defined]
