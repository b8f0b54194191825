# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which templates something of Cluster API still refers to. Pure.

In doubt a template is used: CAPV takes a name, a path or an instance UUID
(pkg/services/govmomi/template), and which template a name means depends on the datacenter. So
whatever ends in the name of a template refers to it. In files a template is named by values of
Helm, patches and variables of a ClusterClass, too, whose form nobody knows: there its name as a
text is enough.
"""

from __future__ import annotations

import dataclasses
import re
import typing as t

from .._connector import names
from .._errors import InvalidOption
from .documents import at, objects
from .model import PATTERN

# What names a template: the first for machines that are to come, the others for those that there
# are.
_KINDS = ("VSphereMachineTemplate", "VSphereMachine", "VSphereVM")

_GROUP = "infrastructure.cluster.x-k8s.io/"


@dataclasses.dataclass(frozen=True)
class Reference:
    """An object that names a template.

    :ivar template: as it names it.
    :ivar where: the object, and where it was found, for people.
    """

    template: str
    where: str


def references_in(documents: t.Iterable[t.Any], found_in: str) -> list[Reference]:
    """The references of objects, and of those in lists of objects.

    :param found_in: a file or a management cluster.
    """
    found: list[Reference] = []
    for document in objects(documents):
        template = _template(document)
        if template:
            called = "/".join(str(part) for key in ("namespace", "name") if (part := at(document, "metadata", key)))
            found.append(Reference(template, f"{document['kind']} {called or 'without a name'} in {found_in}"))
    return found


def _template(document: dict[str, t.Any]) -> str:
    kind, version = document.get("kind"), str(document.get("apiVersion") or "")
    if kind not in _KINDS or not version.startswith(_GROUP):
        return ""
    spec = at(document, "spec", "template", "spec") if kind == _KINDS[0] else at(document, "spec")
    return str(at(spec, "template") or "")


def mentions(text: str, templates: t.Iterable[t.Mapping[str, t.Any]], found_in: str) -> list[Reference]:
    """The templates whose name or instance UUID a text has, in any case of letters.

    A longer name is another one: ``node-1.34`` and ``my-node-1.3`` do not have ``node-1.3`` in
    them.

    :param found_in: the file that the text is in.
    """
    folded = text.casefold()
    named = [each for each in templates if _is_in(each, folded)]
    return [Reference(str(each["instance_uuid"]), f"the text of {found_in}") for each in named]


def _is_in(template: t.Mapping[str, t.Any], folded: str) -> bool:
    return any(_occurs(word, folded) for word in _words(template))


def _words(template: t.Mapping[str, t.Any]) -> set[str]:
    name = names.unescape(str(template["name"]))
    return {word.casefold() for word in (str(template["instance_uuid"]), name, names.escape(name))}


def _occurs(word: str, folded: str) -> bool:
    return word in folded and re.search(rf"(?<![\w-]){re.escape(word)}(?![\w-]|\.\d)", folded) is not None


def users(template: t.Mapping[str, t.Any], references: t.Iterable[Reference]) -> list[str]:
    """What refers to a template.

    :param template: with ``name`` and ``instance_uuid``, as
        ``cached_ovf_template_info`` returns it.
    """
    return [each.where for each in references if _means(each.template, template)]


def _means(text: str, template: t.Mapping[str, t.Any]) -> bool:
    if text.lower() == str(template["instance_uuid"]).lower():
        return True
    parts = names.split(text)
    if not parts:
        return False
    name = names.unescape(str(template["name"])).casefold()
    # All names that begin as a pattern does may be meant by it.
    start, *pattern = PATTERN.split(parts[-1].casefold(), maxsplit=1)
    return name.startswith(start) if pattern else name == start


def check_templates(templates: t.Sequence[t.Mapping[str, t.Any]]) -> None:
    """Make sure that they are entries of templates.

    :raises InvalidOption: one has no name or no instance UUID.
    """
    for template in templates:
        if not template.get("name") or not template.get("instance_uuid"):
            raise InvalidOption(
                "An entry of templates has no name or no instance_uuid.",
                hint="Give what cached_ovf_template_info has returned.",
                option="templates",
            )
