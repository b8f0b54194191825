# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A Sphinx extension: what the reference links to in the repository is a page of this site, where the site has one.

ansible-doc shows the links of modules as they are, so these are addresses of guides and roles in the repository. Whoever reads
the site stays in it.
"""

from __future__ import annotations

import re

from docutils import nodes
from sphinx.application import Sphinx

_IN_REPOSITORY = re.compile(
    r"https://github\.com/vforge/vforge\.vsphere/blob/main/(?:docs/docsite/rst/(\w+)\.rst|roles/(\w+)/README\.md)"
)


def page_of(address: str) -> str | None:
    """The page of the site, as its name ends there, for the address of a guide or a role; None for any other address."""
    found = _IN_REPOSITORY.fullmatch(address)
    if found is None:
        return None
    return f"docsite/{found[1]}" if found[1] else f"{found[2]}_role"


def _resolve(app: Sphinx, tree: nodes.document, name: str) -> None:
    """Make links of one page, called name, local."""
    for link in tree.findall(nodes.reference):
        page = page_of(link.get("refuri", ""))
        there = next((each for each in app.env.found_docs if page and each.endswith(page)), None)
        if there:
            link["refuri"] = app.builder.get_relative_uri(name, there)
            link["internal"] = True


def setup(app: Sphinx) -> dict[str, bool]:
    """Called by Sphinx."""
    app.connect("doctree-resolved", _resolve)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
