# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""More ways to change something, for the tests that disturb modules: by the module, a comma, and the way."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import vforge_disks
from ansible_collections.vforge.vsphere.tests.unit.plugins.modules.endings import STORIES, Forked, Story
from vforge_ova import write_package

_GOLDEN = {"name": "golden-parent"}


def _guest(sim: Any) -> dict[str, str]:
    return {"guest_username": sim.guest_username, "guest_password": sim.guest_password}


def _clone(name: str, **more: Any) -> dict[str, Any]:
    return {"source": {"name": "server-00002"}, "disk_mode": "full", "name": name, **more}


def _make_level(sim: Any, number: int, folder: Path) -> None:
    """A clone that is to become a template, and runs."""
    assert Forked(sim, "linked_clone", folder).run(_clone(f"level-{number}", as_template=True)).code == 0
    # It is shut down by its Tools.
    sim.govc("vm.ip", "-wait", "20s", f"level-{number}")


def _plain_source(sim: Any, number: int, _folder: Path) -> None:
    sim.create_vm(f"source-{number}", on=False)


def _running_clones(sim: Any, number: int, folder: Path) -> None:
    for which in ("a", "b"):
        assert Forked(sim, "linked_clone", folder).run(_clone(f"vm-{number}-{which}", powered_on=True)).code == 0


def _used_parent(sim: Any, number: int, folder: Path) -> None:
    """A parent that runs and has delta disks."""
    params = {"parent": _GOLDEN, "name": f"used-{number}"}
    assert Forked(sim, "instant_clone", folder).run(params).code == 0


def _untracked(sim: Any, number: int, _folder: Path) -> None:
    sim.create_vm(f"vm-{number}", disks=[{"bytes": 2**22}])


def _children(sim: Any, number: int, folder: Path) -> None:
    params = {"parent": _GOLDEN, "state": "quiesced", "children": [{"name": f"child-{number}"}], **_guest(sim)}
    assert Forked(sim, "fork_parent", folder).run(params).code == 0


def _template(name: str, folder: Path, **more: Any) -> dict[str, Any]:
    return {
        "name": name,
        "datacenter": "DC0",
        "cluster": "DC0_C0",
        "default_network": "VM Network",
        "source": str(folder / "ova" / "tiny.ova"),
        "takeover_after": 1,
        "timeout": 40,
        **more,
    }


def _older_version(sim: Any, number: int, folder: Path) -> None:
    """A template of another package has the name."""
    older = _template(f"tpl-{number}", folder, source=str(write_package(folder / "older", "older").ova))
    assert Forked(sim, "cached_ovf_template", folder).run(older).code == 0


def _disk_file(_sim: Any, number: int, folder: Path) -> None:
    (folder / f"in-{number}.vmdk").write_bytes(vforge_disks.stream(1))


def _imported(sim: Any, number: int) -> None:
    assert not sim.govc("find", "/DC0/vm", "-name", "vforge-import-*")
    assert sim.open_leases() == 0
    made = [file.rpartition("/")[2] for file in sim.orphans() if f"/images-{number}/" in file]
    assert made == ["a-flat.vmdk", "a.vmdk", "a.vmdk.vforge"]
    assert not [file for file in sim.orphans() if "vforge-import" in file]


def _disk_that_is_off(sim: Any, number: int, _folder: Path) -> None:
    sim.create_vm(f"src-{number}", on=False, datastore="LocalDS_0", disks=[{"bytes": 2**22}])


def _described(sim: Any, number: int) -> None:
    """The descriptor is whole, since the VM starts, and nothing is left beside it."""
    sim.govc("vm.power", "-on", f"src-{number}")
    assert [file for file in sim.orphans() if f"/src-{number}/" in file] == []


WAYS = {
    "vmdk, imported": Story(
        lambda _sim, number, folder: {
            "state": "imported",
            "path": str(folder / f"in-{number}.vmdk"),
            "datastore_path": f"[LocalDS_0] images-{number}/a.vmdk",
            "timeout": 40,
        },
        flags=("--vms", "4", "--clone-time", "30ms", "--lease-timeout", "10s"),
        prepare=_disk_file,
        check=_imported,
        imports=True,
        images=True,
    ),
    "vmdk, copied": Story(
        lambda _sim, number, _folder: {
            "state": "copied",
            "datastore_path": f"[LocalDS_0] src-{number}/src-{number}.vmdk",
            "destination": f"[LocalDS_0] copies-{number}/a.vmdk",
            "timeout": 40,
        },
        prepare=_disk_that_is_off,
    ),
    "vmdk, described": Story(
        lambda _sim, number, _folder: {
            "state": "described",
            "vm": {"name": f"src-{number}"},
            "metadata": {"comment": "built"},
            "timeout": 40,
        },
        prepare=_disk_that_is_off,
        check=_described,
    ),
    "linked_clone, published": Story(
        lambda _sim, number, _folder: {"source": {"name": "server-00002"}, "name": f"level-{number}", "state": "published"},
        prepare=_make_level,
    ),
    "linked_clone, add_delta_disks": Story(
        lambda _sim, number, _folder: {
            "source": {"name": f"source-{number}"},
            "name": f"vm-{number}",
            "add_delta_disks": True,
        },
        prepare=_plain_source,
    ),
    "linked_clone, absent": Story(
        lambda _sim, number, _folder: {
            "source": {"name": "server-00002"},
            "state": "absent",
            "clones": [{"name": f"vm-{number}-a"}, {"name": f"vm-{number}-b"}],
        },
        prepare=_running_clones,
        removes=True,
    ),
    "instant_clone, customize": Story(
        lambda sim, number, _folder: {
            "parent": _GOLDEN,
            "name": f"vm-{number}",
            "customize": {"linux": {"timezone": "UTC"}, "nics": [{"ip": "dhcp"}]},
            **_guest(sim),
        },
    ),
    "instant_clone_parent, collapse": Story(
        lambda _sim, _number, _folder: {"parent": _GOLDEN, "state": "running", "collapse_deltas": True},
        prepare=_used_parent,
        # The snapshot of a run that failed does for the next one.
        resumes=True,
    ),
    "cbt_changed_areas, power_cycle": Story(
        lambda _sim, number, _folder: {"vm": {"name": f"vm-{number}"}, "state": "enabled", "activation": "power_cycle"},
        prepare=_untracked,
    ),
    "evc, cluster": Story(
        # Each attempt finds the mode of the one before.
        lambda _sim, number, _folder: {
            "cluster": "DC0_C0",
            "mode": ("intel-haswell", "intel-ivybridge")[number % 2],
            "timeout": 60,
            "shutdown_timeout": 40,
            "tools_timeout": 40,
        },
        flags=("--vms", "0", "--parents", "0"),
    ),
    "fork_parent, absent": Story(
        lambda _sim, number, _folder: {
            "parent": _GOLDEN,
            "children": [{"name": f"child-{number}", "state": "absent"}],
        },
        flags=STORIES["fork_parent"].flags,
        prepare=_children,
        removes=True,
    ),
    "cached_ovf_template, replace": Story(
        lambda _sim, number, folder: _template(f"tpl-{number}", folder, on_mismatch="replace", remove_old_versions=True),
        flags=STORIES["cached_ovf_template"].flags,
        prepare=_older_version,
        # The new version stays, and the old one is removed by the next run.
        resumes=True,
        removes=True,
    ),
}
