"""How Sphinx makes a site of the Markdown pages: `make docs`.

Sphinx, because it reads the pages where they lie, in the root, in `cluster` and here, so that their
links hold in a checkout as they hold on the site, and because it takes each link and anchor that
leads nowhere for an error. Nothing is fetched.
"""

from pathlib import Path

from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx

from fleetgen import __version__

project = "fleetgen"
version = release = __version__
copyright = "fleetgen contributors"
root_doc = "README"
extensions = ["myst_parser"]

CONTENTS = {
    "Using it": """
        examples/README docs/concepts docs/layout docs/loading docs/data-dictionary docs/rul
        docs/s3 docs/reproducibility docs/troubleshooting""",
    "On a cluster": """
        cluster/README cluster/hand/README cluster/ssh/README cluster/slurm/README
        cluster/kubernetes/README cluster/compose/README""",
    "What is simulated": "docs/physics docs/parameters docs/fidelity",
    "How it is made": """
        ARCHITECTURE docs/extending CONTRIBUTING CHANGELOG docs/decisions/README
        benchmarks/RESULTS tests/data/README""",
}
"""Pages by chapter; a page that no chapter has stops the build."""

include_patterns = [
    *("*.md", "benchmarks/*.md", "cluster/**.md", "docs/**.md", "examples/*.md"),
    "tests/data/README.md",
]

myst_heading_anchors = 6  # the anchors of a forge
highlight_language = "none"
smartquotes = False
suppress_warnings = ["misc.highlighting_failure"]  # a fence may be in a language of its own

html_theme = "alabaster"
html_theme_options = {
    "description": "Synthetic telemetry of a battery fleet",
    "fixed_sidebar": True,
    "font_family": "system-ui, sans-serif",
    "head_font_family": "system-ui, sans-serif",
    "page_width": "1200px",
    "show_powered_by": False,
    "sidebar_width": "260px",
}
html_sidebars = {"**": ["about.html", "searchbox.html", "navigation.html"]}
html_static_path = ["site.css"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sourcelink = False
html_use_index = False


def add_contents(app: Sphinx, page: str, source: list[str]) -> None:
    """Give the front page, and that of decisions, the pages below them."""
    if page == root_doc:
        for chapter, pages in CONTENTS.items():
            source[0] += toctree(pages.split(), caption=chapter)
    elif page == "docs/decisions/README":
        source[0] += toctree(["[0-9]*"], glob="")


def toctree(pages: list[str], **options: str) -> str:
    """Pages as a part of the contents, not shown in the text."""
    told = "".join(f":{name}: {value}\n" for name, value in {"hidden": "", **options}.items())
    return "\n\n```{toctree}\n" + told + "\n" + "\n".join(pages) + "\n```\n"


def unlink_directories(app: Sphinx, page: nodes.document) -> None:
    """Keep the words alone of a link to a directory, which a site has no page of."""
    here = Path(app.env.doc2path(app.env.docname)).parent
    for link in list(page.findall(addnodes.pending_xref)):
        if link["reftype"] == "myst" and link["reftarget"] and (here / link["reftarget"]).is_dir():
            link.replace_self(link.children)


def lead_in(app: Sphinx, fault: Exception | None) -> None:
    """Lead whoever opens the directory to the front page."""
    if fault is None:
        there = f'<meta http-equiv="refresh" content="0; url={root_doc}.html">'
        (Path(app.outdir) / "index.html").write_text(
            f'<!doctype html><html lang="en"><title>{project}</title>{there}</html>\n', "utf-8"
        )


def setup(app: Sphinx) -> None:
    """Called by Sphinx."""
    app.connect("source-read", add_contents)
    app.connect("doctree-read", unlink_directories)
    app.connect("build-finished", lead_in)
