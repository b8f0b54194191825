# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Flows as jobs of AWX: what a job's page, its events and its artifacts have, and that no secret is among it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys

import pytest

from ansible_collections.vforge.vsphere.tests.unit.awx.jobs import BUILT_IN, Job
from ansible_collections.vforge.vsphere.tests.unit.awx.stand_in import ROOT
from ansible_collections.vforge.vsphere.tests.unit.plugins.action.plays import environment

# The whole environment of a job is in this file of ansible-runner, which no setting keeps it from writing. It is for its
# owner alone.
_ENVIRONMENT = "artifacts/job/command"

_INVENTORY = "from ansible.cli.inventory import main; main()"


def _times(text, output):
    """How often an output has it. Up to ansible-core 2.18 warnings are folded, at blanks and within words that have hyphens."""
    return "".join(output.split()).count("".join(text.split()))


def no_secret_is_left(done, secrets):
    """No file of the artifacts has a secret, but the one that ansible-runner writes itself."""
    held = {path for path in done.holding(secrets) if path.startswith("artifacts/")}
    assert held == {_ENVIRONMENT}
    assert (done.private / _ENVIRONMENT).stat().st_mode & 0o077 == 0
    assert not any(secret in str(done.events) for secret in secrets)


def test_a_fleet_by_a_verified_credential(make_sim, tmp_path):
    # Longer than the two seconds after which a line of progress comes.
    sim = make_sim("--vms", "0", "--clone-time", "4s")
    sim.create_vm("golden", on=False)
    job = Job(sim, tmp_path, "instant_clone_fleet").vcenter().guest()
    job.answers(
        name="awx-##", count=3, folder="DC0_F0", golden={"path": "/DC0/vm/golden"}, golden_version="1", clusters=["DC0_C0"]
    )
    done = job.run()
    assert done.status == "successful", done.output
    (made,) = done.results("instant_clone")
    assert [clone["name"] for clone in made["clones"]] == ["awx-01", "awx-02", "awx-03"]
    assert done.stats["instant_clone_fleet"]["clones"] == ["awx-01", "awx-02", "awx-03"]
    assert len(sim.govc("find", "/DC0/vm/DC0_F0", "-type", "m", "-name", "awx-0*")) == 3
    assert _times("is not verified", done.output) == 0
    # A job has a terminal: progress is on its page, and in its events.
    line = re.compile(r"^  \[localhost\] [0-3] of 3 ", re.MULTILINE)
    assert line.search(done.output)
    assert any(line.search(event["stdout"]) for event in done.events)
    no_secret_is_left(done, [sim.password, sim.guest_password])


def test_awxs_own_credential_verifies_nothing_and_the_job_says_so_once(make_sim, tmp_path):
    sim = make_sim("--vms", "2")
    job = Job(sim, tmp_path, "changed_areas_report").vcenter(BUILT_IN)
    job.inventory({"nightly": ["server-00001", "server-00002"]})
    job.answers(group="nightly", state_file=str(tmp_path / "state.json"), path=str(tmp_path / "report.html"))
    done = job.run()
    assert done.status == "successful", done.output
    # Each of its tasks connects, and none but the first says it.
    assert len(done.results("cbt_changed_areas")) > 1
    assert _times("is not verified, since validate_certs is false", done.output) == 1
    assert sorted(vm["name"] for vm in done.results("cbt_changed_areas")[1]["vms"]) == ["server-00001", "server-00002"]
    no_secret_is_left(done, [sim.password])


def test_a_backup_that_would_be_gone_with_the_job_is_refused(make_sim, tmp_path):
    sim = make_sim("--vms", "1")
    (tmp_path / "repository").mkdir(mode=0o700)
    job = Job(sim, tmp_path, "cbt_backup").vcenter().in_container("/mnt/backups")
    job.inventory({"nightly": ["server-00001"]}).answers(group="nightly", repository=str(tmp_path / "repository"))
    done = job.run()
    assert done.status == "failed"
    assert f"{tmp_path}/repository lies in the container of this job" in done.output
    assert "Paths to expose to isolated jobs" in done.output
    assert list((tmp_path / "repository").iterdir()) == []
    assert not sim.govc("snapshot.tree", "-vm", "/DC0/vm/server-00001")


@pytest.mark.parametrize(("exposed", "said"), [("/mnt/backups", 1), ("{here}", 0)])
def test_files_that_would_be_gone_with_the_job_are_named_once(exposed, said, make_sim, tmp_path):
    sim = make_sim("--vms", "2")
    job = Job(sim, tmp_path, "changed_areas_report").vcenter().in_container(exposed.format(here=tmp_path))
    files = {"state_file": str(tmp_path / "state.json"), "path": str(tmp_path / "report.html")}
    done = job.inventory({"nightly": ["server-00001", "server-00002"]}).answers(group="nightly", **files).run()
    assert done.status == "successful", done.output
    for file in files.values():
        assert _times(f"{file} lies in the container of this job", done.output) == said


@pytest.mark.parametrize("name", ["VMWARE_CA_PATH", "VMWARE_THUMBPRINT"])
def test_what_names_a_ca_or_a_thumbprint_beside_it_insists(name, make_sim, tmp_path, monkeypatch):
    sim = make_sim("--vms", "0")
    monkeypatch.setenv(name, {"VMWARE_CA_PATH": sim.ca, "VMWARE_THUMBPRINT": "0" * 64}[name])
    done = Job(sim, tmp_path, "evc_baseline").vcenter(BUILT_IN).answers(cluster="DC0_C0").run()
    assert _times("is not verified, since", done.output) == 0
    assert done.status == {"VMWARE_CA_PATH": "successful", "VMWARE_THUMBPRINT": "failed"}[name], done.output


def test_a_mode_that_a_cluster_has_already_was_not_applied(make_sim, tmp_path):
    sim = make_sim("--vms", "0")
    handed = []
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        done = Job(sim, tmp_path / name, "evc_baseline").vcenter().answers(cluster="DC0_C0", apply="true").run()
        assert done.status == "successful", done.output
        handed.append([done.stats["evc_baseline"][what] for what in ("to_do", "applied")])
    assert handed == [[True, True], [False, False]]


def test_the_inventory_source_has_the_vms_and_the_group_of_those_that_are_backed_up(make_sim, tmp_path):
    sim = make_sim("--vms", "2")
    for words in (
        ("tags.category.create", "-t", "VirtualMachine", "backup"),
        ("tags.create", "-c", "backup", "nightly"),
        ("tags.attach", "-c", "backup", "nightly", "/DC0/vm/server-00001"),
    ):
        subprocess.run([sim.govc_binary, *words], env={**os.environ, **sim.govc_environment()}, check=True, capture_output=True)
    ran = subprocess.run(
        [sys.executable, "-c", _INVENTORY, "-i", "automation/awx/inventories/vforge.vms.yml", "--list"],
        cwd=ROOT,
        env=environment(tmp_path, sim),
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    found = json.loads(ran.stdout)
    assert found["backup"]["hosts"] == ["server-00001"]
    assert {"server-00001", "server-00002"} <= set(found["_meta"]["hostvars"])
