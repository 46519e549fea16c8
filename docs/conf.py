"""Configuration of the documentation. Building it needs no network."""

import re
import shutil
from importlib import import_module
from importlib.metadata import version as installed_version
from pathlib import Path
from types import ModuleType

from sphinx.util.logging import getLogger

DOCS = Path(__file__).resolve().parent
REPOSITORY = DOCS.parent

project = "cellprism"
author = "the cellprism developers"
project_copyright = "2026, the cellprism developers"
release = installed_version("cellprism")
version = release

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.mathjax",
    "sphinx.ext.viewcode",
    "myst_nb",
    "numpydoc",
    "sphinx_copybutton",
    "sphinxcontrib.bibtex",
]
templates_path = ["_templates"]
exclude_patterns = ["_build", "**.ipynb_checkpoints", "jupyter_execute"]

html_theme = "sphinx_book_theme"
html_title = "cellprism"
html_theme_options = {"show_toc_level": 2, "use_download_button": False}

autosummary_generate = True
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 100
numpydoc_show_class_members = False
numpydoc_xref_param_type = False

bibtex_bibfiles = ["references.bib"]
bibtex_default_style = "unsrt"
bibtex_reference_style = "author_year"

myst_enable_extensions = ["colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3
nb_execution_mode = "off"
suppress_warnings = ["mystnb.unknown_mime_type"]  # notebooks carry widget outputs

nitpicky = True
# Signatures name types of other packages, whose documentation is not fetched, and types of the engine, which
# have no page. Shapes carry the bare name of the array that they describe.
OTHER_PACKAGES = (
    "anndata|argparse|collections|h5py|jaxtyping|lightning|matplotlib|mudata|np|numpy|pandas|pathlib|pd|scipy|scvi"
    "|skimage|sklearn|sparse|torch|types|typing"
)
BARE_NAMES = (
    r"AnnData|Array|ArrayLike|Axes|Batch|ClassifierMixin|DataArray|DataFrame|DataTree|Figure|MuData|Outputs|Path"
    r"|Series|Sliceable|SpatialData|Tensor|ndarray|tuple\[\w+"
)
ENGINE = (
    r"cellprism\.(_record|data|module|nn|training)\..*|cellprism\.modalities\._\w+\.\w+Coder"
    r"|cellprism\.models\._base\..*"
)
nitpick_ignore_regex = [(r"py:.*", rf"({OTHER_PACKAGES})(\..*)?|{BARE_NAMES}|{ENGINE}")]


def copy_tutorials() -> None:
    """Put the executed notebooks of the repository where Sphinx finds them."""
    target = DOCS / "tutorials"
    target.mkdir(exist_ok=True)
    sources = {path.name: path for path in (REPOSITORY / "tutorials").glob("*.ipynb")}
    for stale in {path.name for path in target.glob("*.ipynb")} - sources.keys():
        (target / stale).unlink()
    for name, path in sources.items():
        shutil.copy2(path, target / name)


def public_names(namespace: str) -> set[str]:
    """Full names of what a namespace exports, those of the namespaces within it included."""
    module = import_module(namespace)
    names = set()
    for name in module.__all__:
        path = f"{namespace}.{name}"
        if name.startswith("__"):
            continue
        names |= public_names(path) if isinstance(getattr(module, name), ModuleType) else {path}
    return names


def listed_names() -> set[str]:
    """Full names in the lists of the API page."""
    module, names = "", set()
    for line in (DOCS / "api.md").read_text().splitlines():
        if line.startswith(".. currentmodule::"):
            module = line.split()[-1]
        elif re.fullmatch(r"   \w+", line):
            names.add(f"{module}.{line.strip()}")
    return names


def check_api_page(_app) -> None:
    """Warn of public names that the API page leaves out, and of those it lists that are not public."""
    public, listed = public_names(project), listed_names()
    for path in sorted(public - listed):
        getLogger(__name__).warning("docs/api.md does not list %s", path)
    for path in sorted(listed - public):
        getLogger(__name__).warning("docs/api.md lists %s, which its namespace does not export", path)


def is_own(member: object) -> bool:
    """Whether this package wrote a class member, a method or property, and not as the base of its records."""
    for wrapped in ("fget", "func", "__func__"):
        member = getattr(member, wrapped, member)
    module = getattr(member, "__module__", None) if callable(member) else None
    return isinstance(module, str) and module.split(".")[0] == project and module != f"{project}._record"


def skip_foreign_members(_app, _what, _name, member, skip, _options):
    """Leave out of a class page what the class inherits from other packages, and its plain fields.

    ``None`` leaves the choice to Sphinx, which leaves out private members; ``False`` would keep them.
    """
    return True if skip or not is_own(member) else None


def resolve_private_path(app, env, node, contnode):
    """Link ``cellprism.latents._layout.Block`` to the public page of ``Block``."""
    target = node.get("reftarget", "")
    if node.get("refdomain") != "py" or not target.startswith(f"{project}."):
        return None
    domain = env.domains.python_domain
    name = target.rsplit(".", 1)[-1]
    public = [path for path in domain.objects if path.rsplit(".", 1)[-1] == name and "._" not in path]
    if target in public or len(public) != 1:
        return None
    return domain.resolve_xref(env, node["refdoc"], app.builder, "obj", public[0], node, contnode)


def setup(app) -> None:
    """Connect the handlers above."""
    copy_tutorials()
    app.connect("builder-inited", check_api_page)
    app.connect("autodoc-skip-member", skip_foreign_members)
    app.connect("missing-reference", resolve_private_path)
