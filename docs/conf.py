"""The documentation's site: Sphinx reads docs/, runs the tutorial and the program's own help.

Built by ``make docs``. Nothing is fetched, neither while building nor by a reader's browser.
"""

from __future__ import annotations

from pathlib import Path

from sphinx.application import Sphinx

import dormant

project = "Dormant"
author = "the Dormant contributors"
release = version = dormant.__version__
html_title = f"Dormant {version}"

extensions = [
    "myst_nb",  # Markdown, and notebooks that are executed
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",  # docstrings in Google's style
    "sphinx.ext.viewcode",
    "sphinx_copybutton",
]
exclude_patterns = ["**/.ipynb_checkpoints"]

# Markdown
smartquotes = False  # --option is no dash
myst_enable_extensions = ["attrs_inline", "colon_fence", "deflist"]
myst_heading_anchors = 4
# Code without a language is as often shell as it is output.
highlight_language = "none"
suppress_warnings = [
    # JSON, CSV and TOML in examples hold "…" where something is left out.
    "misc.highlighting_failure",
]

# Notebooks: executed at every build, away from the tree, and an error fails the build.
nb_execution_mode = "force"
nb_execution_in_temp = True
nb_execution_raise_on_error = True
nb_execution_timeout = 300
nb_merge_streams = True
nb_output_stderr = "remove"  # progress bars

# Reference. Single backticks in docstrings name objects, where there is one of that name.
default_role = "py:obj"
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_default_options = {"members": True, "exclude-members": "model_config, model_post_init"}
autodoc_preserve_defaults = True
napoleon_use_ivar = True
napoleon_use_rtype = False
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 88
add_module_names = False
toc_object_entries_show_parents = "hide"

# Looks: system fonts and the report's colours.
html_theme = "furo"
html_static_path = ["static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sphinx = False
html_show_copyright = False
copybutton_prompt_text = "$ "
_SANS = 'ui-sans-serif, system-ui, -apple-system, "Segoe UI", Roboto, "Liberation Sans", sans-serif'
html_theme_options = {
    "sidebar_hide_name": False,
    "light_css_variables": {
        "font-stack": _SANS,
        "color-brand-primary": "#2856a3",
        "color-brand-content": "#2856a3",
        "color-background-primary": "#fdfcfa",
        "color-background-secondary": "#f6f4ee",
    },
    "dark_css_variables": {
        "color-brand-primary": "#8db4f4",
        "color-brand-content": "#8db4f4",
    },
}


def _write_commands(app: Sphinx) -> None:
    """Write the page of commands from the program itself, so that it can't go stale."""
    import typer.main
    from typer.cli import get_docs_for_click

    from dormant.cli import build

    group = typer.main.get_command(build())
    context = typer.Context(group, info_name="dormant")
    text = get_docs_for_click(obj=group, ctx=context, name="dormant", title="Commands")
    page = Path(app.srcdir) / "generated" / "commands.md"
    page.parent.mkdir(exist_ok=True)
    # Left alone where it says the same, so that an incremental build stays one.
    if not page.exists() or page.read_text("utf-8") != text:
        page.write_text(text, "utf-8")


def _keep_colons(
    app: Sphinx, what: str, name: str, thing: object, options: object, lines: list[str]
) -> None:
    """Keep Napoleon from reading "What it is: how" beside an attribute as a type and a text."""
    if what in ("attribute", "data", "property") and lines:
        lines.insert(0, "")


def setup(app: Sphinx) -> None:
    """Hook in what this site does on its own."""
    app.connect("builder-inited", _write_commands)
    app.connect("autodoc-process-docstring", _keep_colons, priority=400)  # Napoleon's is 500
