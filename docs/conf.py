"""The site: ``python -m sphinx -W --keep-going docs build/site`` (``nox -s docs``). Nothing is fetched while it is built.

A new page is a markdown file in one of the folders, and is found by the list in the folder's ``index.md``. A new example is a file
``examples/plot_*.py`` whose docstring begins with a title; it is run, and its pictures are shown, unless `NOT_RUN` names it.
"""

import os
import shutil
import warnings
from pathlib import Path

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("MPLBACKEND", "Agg")

import dualib  # after the above, which NumPy and matplotlib read once

HERE = Path(__file__).resolve().parent
# minutes, or an extra: a line of theirs names a picture in docs/images
NOT_RUN = ("plot_digits", "plot_next_letter", "plot_cross_fit", "plot_information_plane", "plot_variational_dualib")

project = "dualib"
author = "The dualib developers"
project_copyright = "The dualib developers, BSD-3-Clause"
release = version = dualib.__version__

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "numpydoc",
    "myst_parser",
    "sphinx_gallery.gen_gallery",
    "sphinxcontrib.bibtex",
]
exclude_patterns = ["_examples", "auto_examples/**/*.ipynb", "auto_examples/**/*.py", "sg_execution_times.rst", "gallery.rst"]
templates_path = ["_templates"]
default_role = "py:obj"
myst_heading_anchors = 4
myst_enable_extensions = ["attrs_block"]
suppress_warnings = ["config.cache"]  # the gallery's options hold a class
bibtex_bibfiles = ["references.bib"]
bibtex_default_style = "plain"

autosummary_generate = True
autodoc_mock_imports = ["torch"]
autodoc_typehints = "none"  # numpydoc states them
numpydoc_show_class_members = False  # the template of classes lists them

html_theme = "pydata_sphinx_theme"
html_title = f"dualib {release}"
html_theme_options = {
    "show_toc_level": 2,
    "navigation_with_keys": False,
    "secondary_sidebar_items": ["page-toc"],
    "footer_start": ["copyright"],
    "footer_end": ["theme-version"],
}
html_sidebars = {"index": [], "known-answers": []}
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_show_sourcelink = False
html_copy_source = False


def copied_examples() -> str:
    """A copy of the examples, in which they leave their pictures; `sphinx_gallery` runs a file where it lies."""
    copy = HERE / "_examples"
    shutil.rmtree(copy, ignore_errors=True)
    copy.mkdir()
    for example in sorted((HERE.parent / "examples").glob("plot_*.py")):
        shutil.copy(example, copy)
    shutil.copy(HERE / "gallery.rst", copy / "GALLERY_HEADER.rst")
    return str(copy)


sphinx_gallery_conf = {
    "examples_dirs": [copied_examples()],
    "gallery_dirs": ["auto_examples"],
    "filename_pattern": r"plot_(?!" + "|".join(name.removeprefix("plot_") + r"\.py" for name in NOT_RUN) + ")",
    "within_subsection_order": "FileNameSortKey",
    "abort_on_example_error": True,
    "show_memory": False,
    "show_signature": False,
    "remove_config_comments": True,
    "thumbnail_size": (480, 336),
    "image_scrapers": ("matplotlib",),
    "download_all_examples": False,
    "write_computation_times": False,
}

warnings.filterwarnings("error", category=dualib.DualibWarning)
