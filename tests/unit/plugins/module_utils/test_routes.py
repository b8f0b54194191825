# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Routes of traversals hold with servers that look at neither the types of a route nor at where they have been.

vCenter does both (API reference, TraversalSpec), govmomi's simulator neither: a circle is its end.
"""

from __future__ import annotations

import importlib
import pkgutil

import pytest

from ansible_collections.vforge.vsphere.plugins import module_utils
from ansible_collections.vforge.vsphere.plugins.module_utils._connector.find import TO_VMS
from ansible_collections.vforge.vsphere.plugins.module_utils._connector.props import Route
from ansible_collections.vforge.vsphere.plugins.module_utils._connector.pyvmomi import vim
from ansible_collections.vforge.vsphere.plugins.module_utils._inventory import read
from ansible_collections.vforge.vsphere.plugins.module_utils._inventory.model import InventoryOptions

# Which types a property leads to, of each type.
_INVENTORY = {
    "Folder": {
        "parent": ("Folder", "Datacenter"),
        "childEntity": ("Folder", "Datacenter", "VM", "VApp", "Compute", "Datastore", "Network"),
    },
    "Datacenter": {
        "parent": ("Folder",),
        **dict.fromkeys(("vmFolder", "hostFolder", "datastoreFolder", "networkFolder"), ("Folder",)),
        "datastore": ("Datastore",),
        "network": ("Network",),
    },
    "Compute": {
        "parent": ("Folder",),
        "host": ("Host",),
        "resourcePool": ("Pool",),
        "datastore": ("Datastore",),
        "network": ("Network",),
    },
    "Host": {"parent": ("Compute",), "vm": ("VM",), "datastore": ("Datastore",), "network": ("Network",)},
    "Pool": {"parent": ("Pool", "Compute"), "resourcePool": ("Pool", "VApp"), "vm": ("VM",), "owner": ("Compute",)},
    "VApp": {
        "parent": ("Pool", "VApp"),
        "resourcePool": ("Pool", "VApp"),
        "vm": ("VM",),
        "owner": ("Compute",),
        "parentFolder": ("Folder",),
        "parentVApp": ("VApp",),
        "datastore": ("Datastore",),
        "network": ("Network",),
    },
    "VM": {
        "parent": ("Folder",),
        "parentVApp": ("VApp",),
        "runtime.host": ("Host",),
        "resourcePool": ("Pool",),
        "datastore": ("Datastore",),
        "network": ("Network",),
    },
    "Datastore": {"parent": ("Folder",), "vm": ("VM",)},
    "Network": {"parent": ("Folder",), "vm": ("VM",), "host": ("Host",), "config.distributedVirtualSwitch": ("Switch",)},
    "Switch": {"parent": ("Folder",)},
}

# What only leads up, or only down, comes to an end.
_UP = {"parent", "parentFolder", "parentVApp"}
_DOWN = ({"childEntity", "vmFolder"}, {"childEntity", "hostFolder", "datastoreFolder"}, {"resourcePool"})


def _all_routes():
    """The tuples of routes of all modules, and those of the inventory, by what calls them so."""
    found = {}
    for module in pkgutil.walk_packages(module_utils.__path__, f"{module_utils.__name__}."):
        for name, value in vars(importlib.import_module(module.name)).items():
            if isinstance(value, tuple) and value and all(isinstance(item, Route) for item in value):
                found.setdefault(value, f"{module.name.rpartition('module_utils.')[2]}.{name}")
    for path in ("/DC0/vm", "/DC0/host"):
        options = InventoryOptions((), search_paths=(path,), compute=True)
        found[tuple(read._routes(options, [vim.Folder("group-1")]))] = f"the inventory of {path}"
    return {name: routes for routes, name in found.items()}


def _followed(routes, begin):
    """Where routes lead from a type: (type, route that led there) -> {(property, such a pair)}."""
    by_name = {route.name: route for route in routes}
    led, due = {}, [(begin, None)]
    while due:
        here = due.pop()
        if here in led:
            continue
        kind, last = here
        names = by_name if last is None else [name for name in by_name[last].then if name in by_name]
        steps = [(by_name[name].path, name) for name in names]
        led[here] = {(path, (target, name)) for path, name in steps for target in _INVENTORY.get(kind, {}).get(path, ())}
        due += [there for _path, there in led[here]]
    return led


def _circle(led):
    """The properties of a circle that leads neither up nor down only; empty where there is none."""
    reached = {here: {here} for here in led}
    grown = True
    while grown:
        grown = False
        for here, steps in led.items():
            more = set().union(*(reached[there] for _path, there in steps)) if steps else set()
            grown = grown or not more <= reached[here]
            reached[here] |= more
    for here in led:
        within = {there for there in reached[here] if here in reached[there]}
        paths = {path for each in within for path, there in led[each] if there in within}
        if paths and not paths <= _UP and not any(paths <= down for down in _DOWN):
            return paths
    return set()


@pytest.mark.parametrize(("name", "routes"), sorted(_all_routes().items()), ids=sorted(_all_routes()))
def test_no_traversal_goes_round_in_circles(name, routes):
    circles = {begin: _circle(_followed(routes, begin)) for begin in _INVENTORY}
    assert not any(circles.values()), (name, circles)


def test_a_circle_is_seen():
    """As there once was one: networks led up to the datacenter, and from there down to the hosts again."""
    circle = (
        Route("parent", vim.ManagedEntity, "parent", ("parent", "hosts")),
        Route("hosts", vim.Datacenter, "hostFolder", ("children",)),
        Route("children", vim.Folder, "childEntity", ("children", "networks")),
        Route("networks", vim.ComputeResource, "network", ("parent",)),
    )
    assert {"parent", "network", "hostFolder"} <= _circle(_followed(circle, "Folder"))


@pytest.mark.parametrize("routes", [TO_VMS, tuple(read._routes(InventoryOptions(()), [vim.Folder("group-d1")]))])
def test_what_is_looked_for_below_folders_leads_from_no_vm_to_others(routes):
    """Of a pool with a thousand VMs that would be a million steps."""
    led = _followed(routes, "Folder")
    from_vms = {there for here, steps in led.items() if here[0] == "VM" for _path, there in steps}
    assert not {kind for kind, _route in from_vms} & {"Pool", "VM", "Datastore", "Network"}
