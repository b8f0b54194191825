# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an inventory is made of: which VMs and which of their properties, as plain values. Pure."""

from __future__ import annotations

import dataclasses
import fnmatch
import re
import typing as t

from .._connector import names
from .._errors import InvalidOption
from .._vsphere import markers

# An expression that names a variable or a property in it.
_NAMES = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*", re.ASCII)

# The properties that are a VM's name, which vCenter keeps with escapes.
NAMES = ("name", "config.name")

# The variable of a host that says what of this collection has made the VM.
ORIGIN = "vforge"


@dataclasses.dataclass(frozen=True)
class InventoryOptions:
    """Which VMs are read, and what of them.

    :ivar properties: property paths of VirtualMachine, such as ``config.hardware.numCPU``, or whole
        branches, such as ``guest``.
    :ivar search_paths: inventory paths of datacenters, folders, clusters, hosts, resource pools or
        vApps; empty: everywhere.
    :ivar property_filters: by property path, patterns of which one must fit, as in a
        shell, letters in either case.
    :ivar compute: whether the cluster and the ESXi host of each VM are read.
    :ivar origin: whether it is read what of this collection has made each VM.
    """

    properties: tuple[str, ...]
    search_paths: tuple[str, ...] = ()
    property_filters: t.Mapping[str, tuple[str, ...]] = dataclasses.field(default_factory=dict)
    compute: bool = False
    origin: bool = True

    def passes(self, values: t.Mapping[str, t.Any]) -> bool:
        """Whether a VM is wanted, by the values of the properties that are filtered by."""
        return all(_fits(values.get(path), patterns) for path, patterns in self.property_filters.items())


@dataclasses.dataclass(frozen=True)
class Machine:
    """A VM as the inventory has it.

    :ivar name: as in the vSphere Client.
    :ivar values: variables by name; the property ``config.hardware.numCPU`` is
        ``values["config"]["hardware"]["numCPU"]``.
    :ivar address: that VMware Tools report as the guest's, or empty.
    """

    moid: str
    name: str
    path: str
    values: dict[str, t.Any]
    address: str = ""


def nested(values: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """Property paths and their values as mappings within each other.

    A whole branch and a leaf of it may both be asked for. The dots in a key, as in
    ``config.extraConfig["a.b"]``, part nothing.
    """
    found: dict[str, t.Any] = {}
    # A branch comes before its leaves, so that it cannot replace what they have put there.
    for path in sorted(values):
        here = found
        *above, last = parts(path)
        for part in above:
            below = here.get(part)
            if not isinstance(below, dict):
                below = here[part] = {}
            here = below
        here[last] = values[path]
    return found


def parts(path: str) -> list[str]:
    """The parts of a property path."""
    if "[" not in path:
        return path.split(".")
    found, here, inside = [], "", False
    for letter in path:
        inside = letter == "[" or (inside and letter != "]")
        if letter == "." and not inside:
            found.append(here)
            here = ""
        else:
            here += letter
    return [*found, here]


def named(variables: t.Mapping[str, t.Any], expression: t.Any) -> t.Any:
    """The text, number or truth that an expression names, where it does nothing else, as
    ``config.guestId`` does; or None.

    What Jinja would look at in another way, such as ``config.items``, a method of mappings, is left
    to Jinja.
    """
    if not isinstance(expression, str) or not _NAMES.fullmatch(expression):
        return None
    here: t.Any = variables
    for part in expression.split("."):
        if not isinstance(here, dict) or hasattr(here, part):
            return None
        here = here.get(part)
    return here if isinstance(here, (str, int, float)) else None


def snake_case(name: str) -> str:
    """``numCPU`` as ``num_cpu``: how ``sanitize_property_names`` writes the names of properties."""
    found = ""
    for at, letter in enumerate(name):
        if letter.isupper() and at:
            starts_word = not name[at - 1].isupper() or name[at + 1 : at + 2].islower()
            found += "_" if starts_word and not found.endswith("_") else ""
        found += letter.lower()
    return found


def in_snake_case(value: t.Any) -> t.Any:
    """A copy with the names of all properties in snake case."""
    if isinstance(value, dict):
        return {snake_case(str(name)): in_snake_case(below) for name, below in value.items()}
    return [in_snake_case(below) for below in value] if isinstance(value, list) else value


def flat(values: t.Mapping[str, t.Any], above: str = "") -> dict[str, t.Any]:
    """Mappings within each other as one, whose names are joined by dots."""
    found: dict[str, t.Any] = {}
    for name, value in values.items():
        path = f"{above}.{name}" if above else str(name)
        found.update(flat(value, path) if isinstance(value, dict) and value else {path: value})
    return found


def origin_of(name: str, pairs: t.Mapping[str, str], parents: t.Mapping[str, str]) -> dict[str, t.Any]:
    """What of this collection has made a VM, by the owner marks in its extraConfig; empty where
    nothing has.

    :param name: of the VM: a mark of another VM, which a clone has inherited, is none of its own.
    :param pairs: its marks, by key.
    :param parents: names of VMs by instance UUID, to name the parent.
    """
    found: dict[str, t.Any] = {}
    uuid = markers.parent_of(pairs.get(markers.MARKER_KEY, ""), name)
    if uuid:
        found["parent"] = {
            "instance_uuid": uuid,
            **({"name": parents[uuid]} if uuid in parents else {}),
        }
    fleet = markers.fleet_of(pairs.get(markers.FLEET_KEY, ""))
    # The clones of a fleet's parent inherit its mark, whose name is the parent's then.
    if fleet and (uuid or fleet[2] == name):
        found["fleet"] = {
            "name": fleet[0],
            "version": fleet[1],
            "role": "clone" if uuid else "parent",
        }
    template, digest = (
        pairs.get(markers.PACKAGE_NAME_KEY, ""),
        pairs.get(markers.PACKAGE_DIGEST_KEY, ""),
    )
    if template:
        found["template"] = {"name": template, "digest": digest}
    return found


def groups_of(origin: t.Mapping[str, t.Any]) -> list[tuple[str, ...]]:
    """The groups of a VM by what has made it, each from the widest to the one it is in."""
    found: list[tuple[str, ...]] = []
    if "fleet" in origin:
        fleet = f"vforge_fleet_{origin['fleet']['name']}"
        found.append((fleet, f"{fleet}_{origin['fleet']['role']}s"))
    if "parent" in origin:
        parent = origin["parent"]
        found.append((f"vforge_parent_{parent.get('name') or parent['instance_uuid']}",))
    if "template" in origin:
        template = f"vforge_template_{origin['template']['name']}"
        found.append((template, f"{template}_{origin['template']['digest'].rpartition(':')[2][:8]}"))
    return found


def path_groups(path: str, prefix: str) -> tuple[str, ...]:
    """The groups of a VM by its folders, from the datacenter on: ``DC0``, ``DC0_vm``,
    ``DC0_vm_web``.

    :param path: of the VM.
    """
    found, above = [], [prefix] if prefix else []
    for part in path.strip("/").split("/"):
        above = [*above, part]
        found.append("_".join(above))
    return tuple(found[:-1])


def options_from(params: t.Mapping[str, t.Any]) -> InventoryOptions:
    """The options of an inventory file.

    :raises InvalidOption: for filters that are no patterns.
    """
    filters: dict[str, tuple[str, ...]] = {}
    for path, wanted in (params.get("property_filters") or {}).items():
        listed = wanted if isinstance(wanted, list) else [wanted]
        if not listed or any(isinstance(each, (dict, list)) or each is None for each in listed):
            raise InvalidOption(
                f"The filter of {path} is no pattern and no list of patterns.",
                hint='Write it as in "runtime.powerState: poweredOn", or "name: [web-*, db-*]".',
                option="property_filters",
            )
        texts = tuple(_text(each) for each in listed)
        filters[str(path)] = tuple(map(names.unescape, texts)) if path in NAMES else texts
    return InventoryOptions(
        properties=tuple(dict.fromkeys(str(path).strip() for path in params.get("properties") or ())),
        search_paths=tuple(str(path) for path in params.get("search_paths") or ()),
        property_filters=filters,
        compute=bool(params.get("gather_compute_objects")),
        origin=bool(params.get("group_by_origin")),
    )


def _fits(value: t.Any, patterns: t.Sequence[str]) -> bool:
    text = _text(value).casefold()
    return any(fnmatch.fnmatchcase(text, pattern.casefold()) for pattern in patterns)


def _text(value: t.Any) -> str:
    if value is None:
        return ""
    return ("false", "true")[value] if isinstance(value, bool) else str(value)
