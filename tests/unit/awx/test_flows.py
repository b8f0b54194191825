# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Each flow as a job: its result, what it hands on, its lines of progress, and no secret in what it leaves.

`make awx` (VFORGE_AWX=1) plays all of them; `make test` slices, and one that has two vCenters.
"""

from __future__ import annotations

import dataclasses
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import vforge_surveys as surveys
from ansible_collections.vforge.vsphere.tests.unit.awx.jobs import Done, Job
from ansible_collections.vforge.vsphere.tests.unit.awx.stand_in import ROOT
from ansible_collections.vforge.vsphere.tests.unit.awx.test_jobs import no_secret_is_left
from ansible_collections.vforge.vsphere.tests.unit.plugins.module_utils.capv.clusters import (
    CERTIFICATE,
    OPTIONS,
    PASSWORD,
    SEAL,
    repository,
)
from vforge_ova import write_package

_MIB = 2**20
_WHOLE = bool(os.environ.get("VFORGE_AWX"))


@dataclasses.dataclass(frozen=True)
class Flow:
    """What a job of a flow is given, and what comes of it.

    :ivar ready: makes what the simulator is to have, and gives the job its answers.
    :ivar handed: what the flow hands on, without what differs from run to run.
    :ivar module: a module with a result in the events.
    :ivar flags: of the simulator.
    :ivar images: whether disks are read, for which the programs of Debian are needed.
    """

    ready: Callable[[Any, Path, Job], Job]
    handed: dict[str, Any]
    module: str
    flags: tuple[str, ...] = ("--vms", "2", "--clone-time", "1ms")
    images: bool = False


def _vmfork(sim: Any, _folder: Path, job: Job) -> Job:
    sim.create_vm("golden", on=False)
    asked = {"golden": {"path": "/DC0/vm/golden"}, "golden_version": "1", "clusters": ["DC0_C0"], "folder": "DC0_F0"}
    return job.guest().answers(name="awx-##", count=2, **asked)


def _linked(_sim: Any, folder: Path, job: Job) -> Job:
    place = {"cluster": "DC0_C0", "default_network": "VM Network", "folder": "DC0_F0", "template_folder": "/DC0/vm"}
    return job.answers(template="tiny", source=str(write_package(folder / "ova").ova), clones=[{"name": "awx-1"}], **place)


def _cloud_init(sim: Any, _folder: Path, job: Job) -> Job:
    sim.create_vm("source", on=False)
    sim.govc("snapshot.create", "-vm", "/DC0/vm/source", "-m=false", "ready")
    guests = [{"name": "awx-1"}, {"name": "awx-2"}]
    given = {"source": {"path": "/DC0/vm/source"}, "snapshot": {"name": "ready"}, "guests": guests}
    return job.answers(folder="DC0_F0", **given)


def _nodes(_sim: Any, folder: Path, job: Job) -> Job:
    place = {"cluster": "DC0_C0", "default_network": "VM Network", "folder": "/DC0/vm/DC0_F0"}
    return job.answers(name="node", source=str(write_package(folder / "ova").ova), **place)


def _cluster(_sim: Any, folder: Path, job: Job) -> Job:
    kubeseal = folder / "kubeseal"
    kubeseal.write_text(f"#!{sys.executable}\n{SEAL}", encoding="utf-8")
    kubeseal.chmod(0o700)
    inputs = {"username": "capv@vsphere.local", "password": PASSWORD, "certificate": CERTIFICATE}
    job.credential("Sealed credentials of Cluster API", **inputs)
    machines = {"template": "node", "datastore": "LocalDS_0", "networks": [{"name": "n"}]}
    given = {name: OPTIONS[name] for name in ("vcenter", "control_plane", "workers", "endpoint", "argocd", "addons")}
    asked = {"path": str(repository(folder / "tree")), "name": "prod", "kubernetes_version": "v1.34.2"}
    return job.answers(machines=machines, **given, **asked)


def _changed(_sim: Any, folder: Path, job: Job) -> Job:
    files = {"state_file": str(folder / "state.json"), "path": str(folder / "report.html")}
    return job.inventory({"nightly": ["server-00001", "server-00002"]}).answers(group="nightly", **files)


def _audit(_sim: Any, folder: Path, job: Job) -> Job:
    return job.answers(path=str(folder / "disks.html"))


def _evc(_sim: Any, _folder: Path, job: Job) -> Job:
    return job.answers(cluster="DC0_C0")


def _clone_backup(_sim: Any, _folder: Path, job: Job) -> Job:
    return job.answers(vms=[{"name": "server-00001"}], folder="/DC0/vm/DC0_F0")


def _to_be_backed_up(sim: Any, folder: Path, names: list[str]) -> dict[str, Any]:
    for name in names:
        sim.create_vm(name, disks=[{"bytes": _MIB}], on=True)
        sim.write_disk(name, offset=0, length=65_536)
    (folder / "repository").mkdir(mode=0o700)
    return {"group": "nightly", "repository": str(folder / "repository"), "transport": "export"}


def _backed_up(sim: Any, folder: Path) -> str:
    """A repository with a backup of the VM web-1, by a job of its own."""
    (folder / "first").mkdir()
    job = Job(sim, folder / "first", "cbt_backup").vcenter().inventory({"nightly": ["web-1"]})
    done = job.answers(**_to_be_backed_up(sim, folder, ["web-1"])).run()
    assert done.status == "successful", done.output
    (folder / "packages").mkdir(mode=0o700)
    return str(folder / "repository")


def _restored(sim: Any, folder: Path, job: Job) -> Job:
    place = {"dest": str(folder / "packages"), "default_network": "VM Network"}
    return job.answers(repository=_backed_up(sim, folder), vm="web-1", name="again", **place)


def _drilled(sim: Any, folder: Path, job: Job) -> Job:
    place = {"dest": str(folder / "packages"), "network": "VM Network", "datastore": "LocalDS_0"}
    job.guest().answers(repository=_backed_up(sim, folder), vms=["web-1"], **place)
    return job.answers(command=["/bin/true"])


FLOWS = {
    "vmfork_fleet": Flow(
        _vmfork,
        {"state": "present", "children": ["awx-01", "awx-02"]},
        "fork_parent",
        flags=("--vms", "2", "--api-version", "6.5", "--clone-time", "1ms"),
    ),
    "ovf_linked_clones": Flow(
        _linked, {"state": "present", "template": "/DC0/vm/tiny", "clones": ["awx-1"]}, "cached_ovf_template"
    ),
    "guest_cloud_init": Flow(_cloud_init, {"state": "present", "vms": ["awx-1", "awx-2"]}, "cloud_init_guestinfo"),
    "capv_node_template": Flow(_nodes, {"name": "node", "template": "/DC0/vm/DC0_F0/node", "unused": []}, "capv_template"),
    "capv_cluster": Flow(_cluster, {"name": "prod", "state": "present", "changed": True}, "capv_manifests"),
    "changed_areas_report": Flow(_changed, {"vms": ["server-00001", "server-00002"], "failures": []}, "cbt_changed_areas"),
    "fcd_audit": Flow(_audit, {"orphans": [], "orphan_snapshots": []}, "first_class_disk_info"),
    "evc_baseline": Flow(_evc, {"cluster": "/DC0/host/DC0_C0", "applied": False}, "evc"),
    "vm_clone_backup": Flow(_clone_backup, {"state": "backed_up", "vms": ["server-00001"]}, "backup_clone"),
    "vm_restore": Flow(_restored, {"name": "again"}, "vm_restore", flags=("--vms", "1", "--clusters", "1"), images=True),
    "restore_drill": Flow(_drilled, {}, "vm_guest_check", flags=("--vms", "1", "--clusters", "1"), images=True),
}


def nothing_is_null(value: Any) -> bool:
    """Whether there is no null in it: AWX and Ansible add statistics up, and two nulls end ansible-playbook."""
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return value is not None and all(nothing_is_null(each) for each in inner)


def documented(flow: str) -> set[str]:
    """What the guide names of what a flow hands on."""
    guide = (ROOT / "docs" / "docsite" / "rst" / "guide_awx.rst").read_text(encoding="utf-8")
    (row,) = re.findall(rf"^   \* - ``{flow}``\n((?:     .*\n)+)", guide, re.MULTILINE)
    return set(re.findall(r"``(\w+)``", row))


def holds(done: Done, flow: str, handed: dict[str, Any]) -> None:
    """A job succeeded, and handed on what it should."""
    assert done.status == "successful", done.output
    found = done.stats[flow]
    assert {name: found[name] for name in handed} == handed
    assert nothing_is_null(found)
    assert set(found) <= documented(flow)


# Those that other tests of this folder play: as slices, to two vCenters, and by credentials of each type.
_ELSEWHERE = {"cbt_backup", "vmdk_migrate", "instant_clone_fleet"}


def test_each_job_template_is_played_as_a_job():
    assert sorted([*FLOWS, *_ELSEWHERE]) == sorted(each["flow"] for each in surveys.flows())


if _WHOLE:

    @pytest.mark.parametrize("flow", sorted(FLOWS))
    def test_a_flow_as_a_job(flow, make_sim, tmp_path, request):
        known = FLOWS[flow]
        if known.images:
            request.getfixturevalue("programs")
        sim = make_sim(*known.flags)
        done = known.ready(sim, tmp_path, Job(sim, tmp_path, flow).vcenter()).run()
        holds(done, flow, known.handed)
        assert done.results(known.module)
        assert "is not verified" not in done.output
        no_secret_is_left(done, [sim.password, sim.guest_password])
        # Of credentials that come as variables: the file that AWX's injector writes has them, and nothing else.
        assert [path for path in done.holding([PASSWORD]) if not path.startswith("env/")] == []


@pytest.mark.usefixtures("programs")
def test_slices_at_once_do_what_one_job_does(make_sim, tmp_path):
    """AWX gives each slice every N-th host of the inventory, and all of them the same variables."""
    slices = 4 if _WHOLE else 2
    sim = make_sim("--vms", "0")
    names = [f"awx-{number}" for number in range(2 * slices)]
    asked = _to_be_backed_up(sim, tmp_path, names)
    jobs = []
    for number in range(slices):
        folder = tmp_path / f"slice-{number}"
        folder.mkdir()
        job = Job(sim, folder, "cbt_backup").vcenter().inventory({"nightly": names[number::slices]})
        jobs.append(job.answers(**asked))
    started = [(job, job.start()) for job in jobs]
    ended = [job.end(process) for job, process in started]
    for done in ended:
        holds(done, "cbt_backup", {"backed_up": 2, "failed": 0, "unchanged": 0})

    # One job over all of them finds that each has its backup.
    (tmp_path / "one").mkdir()
    one = Job(sim, tmp_path / "one", "cbt_backup").vcenter().inventory({"nightly": names})
    done = one.answers(**{**asked, "fresh_hours": 24, "verify": "true"}).run()
    holds(done, "cbt_backup", {"backed_up": 0, "unchanged": len(names), "failed": 0, "damaged": 0})
    vms = [vm for (result,) in (each.results("vm_backup") for each in ended) for vm in result["vms"]]
    assert sorted(vm["name"] for vm in vms) == names
    assert len(list((tmp_path / "repository").rglob("*.qcow2"))) == len(names)


@pytest.mark.usefixtures("programs")
def test_a_disk_goes_to_the_second_vcenter_and_its_password_nowhere(make_sim, tmp_path):
    """What an include applies to its tasks is in its result: a role that handed the connection on that way gave it away."""
    sim, second = make_sim("--vms", "0"), make_sim("--vms", "0")
    sim.create_vm("old", disks=[{"bytes": _MIB}], on=False)
    known = {"host": second.host, "port": str(second.port), "username": second.username, "password": second.password}
    ca = Path(second.ca).read_text(encoding="utf-8")
    job = Job(sim, tmp_path, "vmdk_migrate").vcenter().credential("Second vCenter, verified", **known, ca=ca)
    place = {"file": str(tmp_path / "disk.vmdk"), "datastore_path": "[LocalDS_0] awx/disk.vmdk", "name": "new"}
    done = job.answers(vm={"name": "old"}, **place).run()
    holds(done, "vmdk_migrate", {"disk": "[LocalDS_0] awx/disk.vmdk", "vm": "new"})
    assert second.govc("find", "/DC0/vm", "-type", "m", "-name", "new") == ["/DC0/vm/new"]
    assert not sim.govc("find", "/DC0/vm", "-type", "m", "-name", "new")
    no_secret_is_left(done, [sim.password])
    # In the file that AWX's injector writes, and nowhere else.
    assert [path for path in done.holding([second.password]) if not path.startswith("env/")] == []
