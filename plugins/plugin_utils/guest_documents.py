# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Metadata and user data of many VMs, from templates and from what is given for each VM, checked
for all of them.

No message quotes the data.
"""

from __future__ import annotations

import collections
import dataclasses
import typing as t

from ansible_collections.vforge.vsphere.plugins.module_utils._cloudinit import bundle, checks, documents, encoding, payload
from ansible_collections.vforge.vsphere.plugins.module_utils._connector import names
from ansible_collections.vforge.vsphere.plugins.module_utils._errors import InvalidOption, VforgeError
from ansible_collections.vforge.vsphere.plugins.plugin_utils.templates import NotRendered, Template

# So many mistakes are listed at once.
_MOST = 10


@dataclasses.dataclass(frozen=True)
class Options:
    """What the user says of all VMs.

    :ivar in_advance: whether VMs are made with their data, before anything is known of them: the
        instance-id is then derived from the name, and the data come as pairs of extraConfig.
    :ivar report: whether the script goes with them that reports when cloud-init has finished.
    """

    in_advance: bool
    report: bool


@dataclasses.dataclass
class Made:
    """What the VMs are given, by name. It holds secrets.

    :ivar documents: metadata and user data, as options of ``cloud_init_guestinfo``.
    :ivar clone_options: the same as pairs of extraConfig, where they are wanted
        in advance: options of a clone.
    :ivar failures: entries with ``name``, ``error_code`` and ``msg``.
    :ivar warnings: of what is delivered in advance; of anything else
        the module of the delivery warns.
    """

    documents: dict[str, dict[str, t.Any]] = dataclasses.field(default_factory=dict, repr=False)
    clone_options: dict[str, dict[str, dict[str, str]]] = dataclasses.field(default_factory=dict, repr=False)
    failures: list[dict[str, str]] = dataclasses.field(default_factory=list)
    warnings: list[str] = dataclasses.field(default_factory=list)

    @property
    def message(self) -> str:
        """What is wrong, for a person; empty where nothing is."""
        said = list(dict.fromkeys(failure["msg"] for failure in self.failures))
        more = f" And {len(said) - _MOST} more of this sort." if len(said) > _MOST else ""
        return " ".join(said[:_MOST]) + more


def make(
    guests: t.Sequence[t.Mapping[str, t.Any]],
    metadata: Template,
    userdata: Template,
    content: checks.Content,
    options: Options,
) -> Made:
    """The data of all VMs, checked as the module of the delivery will check them.

    :param guests: each with ``name``, and at will ``metadata``, over those of the template,
        and ``userdata``, in their place.
    """
    made = Made()
    for guest in guests:
        name = str(guest["name"])
        try:
            document = _document(guest, name, metadata, userdata, options)
            if options.in_advance:
                pairs = bundle.packed(document, encoding.AUTO, report=options.report, content=content, where=name)
                made.clone_options[name] = {"extra_config": pairs}
            made.warnings += _checked(document, name, content, options)
            made.documents[name] = document
        except VforgeError as error:
            made.failures.append({"name": name, "error_code": error.error_code, "msg": str(error)})
    return made


def _document(
    guest: t.Mapping[str, t.Any], name: str, metadata: Template, userdata: Template, options: Options
) -> dict[str, t.Any]:
    try:
        text = metadata.rendered(guest=guest)
        found = documents.load(text, f"{name}: {metadata.name}", as_ansible=True) if isinstance(text, str) else text
        own = guest.get("userdata")
        users = own if own is not None else userdata.rendered(guest=guest)
    except NotRendered as why:
        raise InvalidOption(f"{name}: {why}", option="template") from why
    if not isinstance(found, dict):
        raise InvalidOption(f"{name}: {metadata.name} is no mapping of YAML.", option="metadata")
    identity = {"instance_id": f"auto:{name}" if options.in_advance else "auto"}
    return {"metadata": {**identity, **_merged(found, guest.get("metadata") or {})}, "userdata": users}


def _checked(document: dict[str, t.Any], name: str, content: checks.Content, options: Options) -> list[str]:
    """Look at all of it before anything is made.

    :returns: warnings, where nobody warns of it later.
    """
    data = payload.build(document, {}, name, mend=False, report=options.report)
    content.check(data, name)
    checks.check_guestinfo(data, encoding.AUTO, name)
    return list(data.warnings) if options.in_advance else []


def _merged(below: t.Mapping[str, t.Any], above: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """Mappings merged key by key, at every depth; what is no mapping is replaced."""
    found = dict(below)
    for key, value in above.items():
        old = found.get(key)
        found[key] = _merged(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
    return found


def check_names(guests: t.Sequence[t.Mapping[str, t.Any]]) -> None:
    """Make sure that each VM has a name of its own, by which results will have it, too.

    :raises InvalidOption: naming those that several have, and one in another spelling.
    """
    counts = collections.Counter(str(guest.get("name") or "") for guest in guests)
    if counts[""]:
        raise InvalidOption("An entry of guests has no name.", hint="Give each VM a name.", option="guests")
    twice = sorted(name for name, count in counts.items() if count > 1)
    if twice:
        raise InvalidOption(f"Several VMs have the name {names.listing(twice)}.", option="guests")
    for name in counts:
        if names.unescape(name) != name:
            raise InvalidOption(
                f"An entry of guests has the name {name}, which is how vCenter keeps {names.unescape(name)}.",
                hint=f"Write {names.unescape(name)}.",
                option="guests",
            )
