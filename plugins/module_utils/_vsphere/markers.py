# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The marks that the collection leaves in extraConfig, and what they mean. Pure."""

from __future__ import annotations

import typing as t
import urllib.parse

# Kept in a clone's extraConfig: "<instance UUID of the parent> <name of the clone>". A clone of a
# clone inherits the pair, so it is valid only on the VM whose name it holds.
MARKER_KEY = "vforge.clone"

# Kept in a clone's extraConfig once its guest was customized: the name of the clone, for the same
# reason.
CUSTOMIZED_KEY = "vforge.customized"

# Kept in the extraConfig of a clone that its run removes again where something fails: which run
# that is. Another one may want a clone of the same name, and its clone is not to be removed.
RUN_KEY = "vforge.run"

# Kept in the extraConfig of a fleet's parent: "<fleet> <version of the golden VM> <name of the
# parent>". The clones of the parent inherit the pair, and so show of which version they are.
FLEET_KEY = "vforge.fleet"


# Kept in the extraConfig of a template that was made of a package: the name that was asked for, of
# which the template is one version, and the digest of the package. The clones of the template
# inherit both.
PACKAGE_NAME_KEY = "vforge.ovf.name"
PACKAGE_DIGEST_KEY = "vforge.ovf.digest"

# Kept in a linked clone that is to become a template: "<phase> <owner> <name of the clone>".
TEMPLATE_KEY = "vforge.template"

# Before the kind of data for cloud-init (``userdata``): a fingerprint of what was delivered, beside
# data that cloud-init overwrites once it has read them. It is outside guestinfo, where no guest can
# write.
CLOUD_DATA_MARK = "vforge.cloudinit."

# What cloud-init writes over them.
OVERWRITTEN = "---"

_CLOUD_DATA = {
    f"guestinfo.{kind}{ending}": kind for kind in ("metadata", "userdata", "vendordata") for ending in ("", ".encoding")
}


def is_redacted(value: str | None) -> bool:
    """Whether a value was there for cloud-init and was overwritten."""
    return value is not None and value.rstrip() == OVERWRITTEN


def differing(asked: t.Mapping[str, str], held: t.Mapping[str, str]) -> dict[str, str]:
    """The pairs of extraConfig that a VM does not have as they are asked for.

    Data that cloud-init has read and overwritten are there, where their fingerprint is that of the
    data asked for: written again, a secret that has done its work would be back.

    :param held: what the VM has.
    """
    return {key: value for key, value in asked.items() if held.get(key, "") != value and not _was_read(key, asked, held)}


def _was_read(key: str, asked: t.Mapping[str, str], held: t.Mapping[str, str]) -> bool:
    kind = _CLOUD_DATA.get(key)
    if kind is None or not is_redacted(held.get(f"guestinfo.{kind}")):
        return False
    mark = f"{CLOUD_DATA_MARK}{kind}"
    return bool(asked.get(mark)) and asked[mark] == held.get(mark)


def marker(parent_uuid: str, clone_name: str) -> str:
    """The value of the marker of a clone."""
    return f"{parent_uuid} {clone_name}"


def parent_of(value: str, vm_name: str) -> str | None:
    """Instance UUID of the parent that a marker names on a VM of this name, or None where it makes
    the VM no clone.
    """
    uuid, _space, name = value.partition(" ")
    return uuid if uuid and name == vm_name else None


def named_parent(value: str) -> str:
    """Instance UUID of the parent that a marker names, whatever VM it is on; empty where it names
    none.
    """
    return value.partition(" ")[0]


def fleet_mark(fleet: str, version: str, parent_name: str) -> str:
    """The value of the mark of a fleet's parent."""
    return f"{_word(fleet)} {_word(version)} {parent_name}"


def fleet_of(value: str) -> tuple[str, str, str] | None:
    """Fleet, version and parent's name of such a value, or None where it is none."""
    fleet, _space, rest = value.partition(" ")
    version, space, name = rest.partition(" ")
    return (urllib.parse.unquote(fleet), urllib.parse.unquote(version), name) if space else None


def level_mark(name: str, phase: str, owner: str) -> str:
    """The value of the mark of a clone that is to become a template."""
    return f"{phase} {_word(owner)} {name}"


def level_of(value: str, vm_name: str) -> tuple[str, str] | None:
    """Phase and owner of such a value on a VM of this name, or None where it is none: a clone of
    the template inherits it.
    """
    phase, _space, rest = value.partition(" ")
    owner, space, name = rest.partition(" ")
    return (phase, urllib.parse.unquote(owner)) if space and name == vm_name else None


def _word(text: str) -> str:
    return urllib.parse.quote(text, safe="/:.,;=+@#!~*()[]&'$")
