"""How Sphinx builds the site: ``make docs``."""

import os
import shutil
from pathlib import Path

import liftnet

HERE = Path(__file__).parent
# A backend set for scripts would keep pictures out of the notebooks.
os.environ.pop("MPLBACKEND", None)

project = "liftnet"
author = "the liftnet developers"
copyright = "the liftnet developers"
release = liftnet.__version__
version = ".".join(release.split(".")[:2])

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.intersphinx",
    "sphinx.ext.mathjax",
    "sphinx_copybutton",
    "sphinx_design",
    "matplotlib.sphinxext.plot_directive",
    "myst_nb",
    "numpydoc",
]
templates_path = ["_templates"]
exclude_patterns = ["_build", "_templates", "**/.ipynb_checkpoints"]
nitpicky = True
# Classes of others, which resolve only where their inventories can be fetched, and the
# words of numpydoc's types.
nitpick_ignore_regex = [
    ("py:.*", r"(sklearn|scipy|numpy|np|torch|nn|matplotlib|onnx|os)\..*"),
    ("py:.*", r"(optional|array-like|ndarray|estimator instance|default.*)"),
]
online = os.environ.get("LIFTNET_DOCS_ONLINE") == "1"
intersphinx_mapping = {
    "python": ("https://docs.python.org/3", None),
    "numpy": ("https://numpy.org/doc/stable", None),
    "sklearn": ("https://scikit-learn.org/stable", None),
    "torch": ("https://docs.pytorch.org/docs/stable", None),
    "matplotlib": ("https://matplotlib.org/stable", None),
}
if not online:
    intersphinx_mapping = {}

autosummary_generate = True
autodoc_typehints = "none"
numpydoc_show_class_members = False
numpydoc_xref_param_type = False

myst_enable_extensions = ["amsmath", "colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3
myst_dmath_double_inline = True

# Executed once, and again where a notebook has changed. "off" leaves them as they are.
nb_execution_mode = os.environ.get("LIFTNET_DOCS_NOTEBOOKS", "cache")
nb_execution_cache_path = str(HERE / "_build" / "notebooks")
nb_execution_timeout = 600
nb_execution_raise_on_error = True
nb_merge_streams = True

plot_formats = [("png", 160)]
plot_html_show_formats = False
plot_html_show_source_link = False
plot_include_source = False

copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True

html_theme = "pydata_sphinx_theme"
html_title = "liftnet"
html_logo = "_static/logo.svg"
html_favicon = "_static/logo.svg"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_show_sourcelink = False
html_theme_options = {
    "logo": {"text": "liftnet"},
    "show_prev_next": True,
    "show_toc_level": 2,
    "navigation_with_keys": False,
    "header_links_before_dropdown": 6,
    "footer_start": ["copyright"],
    "footer_end": ["theme-version"],
    "pygments_light_style": "tango",
}
# Pages without siblings.
html_sidebars = {
    page: []
    for page in (
        *("install", "migration", "mathematics", "extending"),
        *("benchmarks", "defaults", "changelog"),
    )
}


def bring(folder, pattern):
    """Copy files from beside docs/ into it, where Sphinx reads: only what changed."""
    target = HERE / folder
    target.mkdir(exist_ok=True)
    sources = {path.name: path for path in (HERE.parent / folder).glob(pattern)}
    for path in target.glob(pattern):
        if path.name not in sources:
            path.unlink()
    for name, path in sources.items():
        copy = target / name
        if not copy.exists() or copy.read_bytes() != path.read_bytes():
            shutil.copyfile(path, copy)


bring("notebooks", "*.ipynb")


def skip_member(app, kind, name, member, skip, options):
    """Leave out what scikit-learn's base classes bring, but for what is documented."""
    module = getattr(member, "__module__", "") or ""
    return True if module.startswith(("sklearn", "torch")) else None


def setup(app):
    """Register what this file adds."""
    app.connect("autodoc-skip-member", skip_member)
