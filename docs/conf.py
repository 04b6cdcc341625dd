"""Sphinx's settings. Nothing here needs the network, and a warning is an error (``make docs``)."""

from pygments.lexers.special import TextLexer

from peewee_multidb import __version__

project = "peewee_multidb"
author = "The peewee_multidb authors"
project_copyright = "The peewee_multidb authors, MIT licence"
release = version = __version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["_build"]
myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3

html_theme = "furo"
html_title = "peewee_multidb"
html_static_path = ["_static"]
html_css_files = ["manual.css"]
html_copy_source = False
html_show_sphinx = False

# Docstrings put public names in single backquotes.
default_role = "py:obj"
autodoc_member_order = "bysource"
autodoc_typehints = "none"
autodoc_preserve_defaults = True
napoleon_numpy_docstring = False


class OutputLexer(TextLexer):
    """What a block prints; the tests compare it with what it really prints."""

    name = "Output"
    aliases = ["output"]


def setup(app):
    app.add_lexer("output", OutputLexer)
