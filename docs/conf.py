"""Sphinx configuration. Build with `make docs`; every warning is an error."""

from importlib.metadata import version as installed_version

project = "moestat"
author = "The moestat developers"
copyright = "2026, The moestat developers"
version = release = installed_version("moestat")

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.mathjax",
    "numpydoc",
]
templates_path = ["_templates"]
exclude_patterns = ["_build"]

# Pages are MyST. They are not executed yet: the examples are short, and the tests run the same calls.
myst_enable_extensions = ["amsmath", "colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3
nb_execution_mode = "off"

# The reference follows the code: a module's page lists its __all__, or else what it defines.
autosummary_generate = True
autosummary_ignore_module_all = False
autodoc_typehints = "none"
numpydoc_show_class_members = False

html_theme = "pydata_sphinx_theme"
html_title = f"moestat {release}"
html_theme_options = {"show_prev_next": False, "secondary_sidebar_items": ["page-toc"]}
html_show_sourcelink = False
