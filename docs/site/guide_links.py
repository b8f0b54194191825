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
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment

_IN_REPOSITORY = re.compile(
    r"https://github\.com/vforge/vforge\.vsphere/blob/main/(?:docs/docsite/rst/(\w+)\.rst|roles/(\w+)/README\.md)"
)

_ANSIBLE = "https://docs.ansible.com/ansible/latest"
_BUILTIN = re.compile(r"ansible_collections\.ansible\.builtin\.(\w+)")
_OF_ANSIBLE = {
    "action_plugins": "plugins/action.html#action-plugins",
    "ansible_configuration_settings": "reference_appendices/config.html#ansible-configuration-settings",
    "common_return_values": "reference_appendices/common_return_values.html#common-return-values",
}


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


def _without_contents(_app: Sphinx, tree: nodes.document) -> None:
    """Take the list of a page's sections out: the theme has it beside the page, and complains of a second one."""
    for topic in [topic for topic in tree.findall(nodes.topic) if "contents" in topic["classes"]]:
        topic.parent.remove(topic)
    # Headings lead back to that list.
    for title in tree.findall(nodes.title):
        title.attributes.pop("refid", None)


def address_of(label: str) -> str | None:
    """Where Ansible's own documentation has a label that antsibull-docs refers to; None for any other."""
    if label in _OF_ANSIBLE:
        return f"{_ANSIBLE}/{_OF_ANSIBLE[label]}"
    found = _BUILTIN.fullmatch(label)
    return f"{_ANSIBLE}/collections/ansible/builtin/{found[1]}.html" if found else None


def _elsewhere(
    _app: Sphinx, _env: BuildEnvironment, wanted: pending_xref, content: nodes.TextElement
) -> nodes.reference | None:
    """A link to Ansible's own documentation. What is found nowhere stays a warning, which ends the build."""
    address = address_of(wanted["reftarget"])
    return nodes.reference("", "", content, refuri=address, internal=False) if address else None


def setup(app: Sphinx) -> dict[str, bool]:
    """Called by Sphinx."""
    app.connect("doctree-read", _without_contents)
    app.connect("doctree-resolved", _resolve)
    app.connect("missing-reference", _elsewhere)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
