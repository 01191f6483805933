"""The documentation: `sphinx-build -W -b html docs build/docs`."""

import os
import pathlib
import sys

HERE = pathlib.Path(__file__).parent
sys.path.insert(0, str(HERE / "_ext"))
os.environ.setdefault("JAX_PLATFORMS", "cpu")  # for the tutorials, whose kernels inherit it
os.environ.pop("MPLBACKEND", None)  # or the kernels would draw nothing

import snnax  # noqa: E402

project = "snnax"
author = "The snnax authors"
copyright = author
version = release = snnax.__version__

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.intersphinx",
    "myst_nb",
    "sphinx_copybutton",
    "docstrings",
    "links",
    "mathml",
]
exclude_patterns = ["_ext", "figures", "inventories", "jupyter_execute"]
language = "en-GB"
highlight_language = "text"  # of tables that a program prints; docstrings are in Python

html_theme = "furo"
html_title = "snnax"
html_static_path = ["_static", "../logo"]
html_css_files = ["snnax.css"]
html_theme_options = {"light_logo": "snnax.svg", "dark_logo": "snnax.svg", "sidebar_hide_name": True}
html_math_renderer = "mathml"
html_show_copyright = False

# The docstrings are the only source of what is said of a name. Types are in the words of the arguments.
# What a class has from a base that is not public is shown with it, for it is nowhere else: all but that of these.
BASES = ["StatefulLayer", "SpikingLayer", "Container", "Composite", "Nest", "AbstractSurrogate", "AbstractReset"]
BASES += ["AbstractPlan", "AbstractMerge", "AbstractCollector", "AbstractDiscretisation", "Module"]
autodoc_default_options = {
    "members": True,
    "member-order": "bysource",
    "special-members": "__call__",
    "inherited-members": ",".join([*BASES, "BaseException", "tuple", "object"]),
}
autodoc_class_signature = "mixed"
autoclass_content = "both"
autodoc_typehints = "none"
autodoc_inherit_docstrings = False
autodoc_preserve_defaults = True

# The names of other libraries that are mentioned here, kept in the repository: a build without a network makes the
# same links as one with it, and no build depends on a site that may be down.
intersphinx_mapping = {
    "jax": ("https://docs.jax.dev/en/latest/", "inventories/jax.inv"),
    "equinox": ("https://docs.kidger.site/equinox/", "inventories/equinox.inv"),
    "optax": ("https://optax.readthedocs.io/en/latest/", "inventories/optax.inv"),
}

myst_enable_extensions = ["dollarmath", "amsmath", "colon_fence", "deflist"]
myst_heading_anchors = 3

# Tutorials are Markdown with a `kernelspec`. They run in every build, so that none shows what the code no longer gives.
nb_execution_mode = "force"
nb_execution_raise_on_error = True
nb_execution_timeout = 300
nb_execution_excludepatterns = []
nb_merge_streams = True

copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True
