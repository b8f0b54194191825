# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Many processes at once, and processes that die: one template, and nothing else."""

from __future__ import annotations

import json
import multiprocessing
import os
import random
import signal
import time
import uuid

import pytest

from ansible_collections.vforge.vsphere.plugins.module_utils._ovf import apply, carry, importing
from ansible_collections.vforge.vsphere.plugins.module_utils._vsphere import lease, sending
from ansible_collections.vforge.vsphere.tests.unit.plugins.module_utils.ovf.running import Templates
from ansible_collections.vforge.vsphere.tests.unit.plugins.module_utils.ovf.support import Made, content

_FORK = multiprocessing.get_context("fork")

# Far more than any of them takes; one that hangs is a failure.
_SECONDS = 300


def die(*_args, **_kwargs):
    """As a power cut does: nothing of this process can clean up."""
    os.kill(os.getpid(), signal.SIGKILL)


def after(real):
    """A function that does its work and is then the last of its process."""

    def last(*args, **kwargs):
        real(*args, **kwargs)
        die()

    return last


def before_the_lease(monkeypatch):
    """vCenter has begun the import; nobody knows its lease."""
    monkeypatch.setattr(lease.Lease, "wait_until_ready", die)


def with_the_lease(monkeypatch):
    """The lease is ready; nothing was sent."""
    monkeypatch.setattr(carry, "_push", die)


def in_the_upload(monkeypatch):
    """Some of a disk was sent."""

    def parts(_self):
        yield memoryview(b"x" * 1000)
        die()

    monkeypatch.setattr(sending._Reading, "parts", parts)


def with_all_sent(monkeypatch):
    """Everything was sent; vCenter was not told."""
    monkeypatch.setattr(lease.Lease, "complete", die)


def before_the_layer(monkeypatch):
    """vCenter has taken over what was imported."""
    monkeypatch.setattr(lease.Lease, "complete", after(lease.Lease.complete))


def in_the_layer(monkeypatch):
    """The layer is being put on."""
    monkeypatch.setattr(apply, "start_reconfigure", after(apply.start_reconfigure))


def before_the_mark(monkeypatch):
    """All is there, but it is no template."""
    monkeypatch.setattr(importing, "_publish", die)


DEATHS = [before_the_lease, with_the_lease, in_the_upload, with_all_sent, before_the_layer, in_the_layer, before_the_mark]


def start(sim, source, prepare=None, **given):
    """A task in a process of its own; returns the process and the end of the pipe that its account comes through."""
    receiver, sender = _FORK.Pipe(duplex=False)

    def work():
        receiver.close()
        if prepare is not None:
            with pytest.MonkeyPatch.context() as monkeypatch:
                prepare(monkeypatch)
                Templates(sim, counting=False).attempt(source, **given)
        ran = Templates(sim, counting=False).attempt(source, **given)
        sender.send(json.dumps({"result": ran.result, "error": ran.error and ran.error.as_result()}))
        sender.close()
        # Not through pytest's own end, which belongs to the process that was forked.
        os._exit(0)

    process = _FORK.Process(target=work)
    process.start()
    sender.close()
    return process, receiver


def accounts(running):
    """What the processes told, once all have ended."""
    told = []
    for process, receiver in running:
        assert receiver.poll(_SECONDS), "a task hangs"
        told.append(json.loads(receiver.recv()))
        process.join()
    return told


@pytest.fixture
def source(tmp_path, monkeypatch):
    """A package of two disks."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    return Made(disks={"a.vmdk": content(3_000_000), "b.vmdk": content(100_000, 2)}).ova(tmp_path)


def one_template(sim, name="web"):
    """Make sure that there is one template, whole, and nothing else; returns its moid."""
    templates = Templates(sim)
    assert templates.vms(f"{name}*") == [f"/DC0/vm/{name}"]
    assert templates.nothing_left()
    raw = sim.govc("vm.info", f"/DC0/vm/{name}")["virtualMachines"][0]
    assert raw["config"]["template"] is True
    disks = [item for item in raw["config"]["hardware"]["device"] if item.get("backing", {}).get("diskMode")]
    assert len(disks) == 2
    # Each has its layer, over what was uploaded, and no second one.
    assert all(disk["backing"]["parent"].get("parent") is None for disk in disks)
    return raw["self"]["value"]


def test_twenty_at_once_upload_once(make_sim, source):
    sim = make_sim("--vms", "2")
    running = [start(sim, source) for _number in range(20)]
    told = accounts(running)
    assert [account["error"] for account in told] == [None] * 20
    assert {account["result"]["template"]["moid"] for account in told} == {one_template(sim)}
    assert sorted(account["result"]["actions"].count("imported") for account in told) == [0] * 19 + [1]
    uploads = Templates(sim).uploads()
    assert sorted(upload["bytes"] for upload in uploads) == [100_000, 3_000_000]
    assert all(upload["done"] for upload in uploads)


@pytest.fixture
def mortal_sim(make_sim):
    """A simulator whose leases end not long after their owners, and not while they live, however busy the machine is."""
    return make_sim("--vms", "2", "--lease-timeout", "20s")


@pytest.mark.parametrize("death", DEATHS, ids=lambda death: death.__name__)
def test_others_finish_what_a_dead_one_began(mortal_sim, source, death):
    name = death.__name__.replace("_", "-")
    # Long enough for one that lives and whom a busy machine holds up; or it would be taken for a dead one, too.
    asked = {"name": name, "takeover_after": 4}
    victim, _receiver = start(mortal_sim, source, death, **asked)
    victim.join(_SECONDS)
    assert victim.exitcode == -signal.SIGKILL
    mortal_sim.forget_leases()
    told = accounts([start(mortal_sim, source, **asked) for _number in range(3)])
    assert [account["error"] for account in told] == [None] * 3
    assert {account["result"]["template"]["moid"] for account in told} == {one_template(mortal_sim, name)}
    made = [action for account in told for action in account["result"]["actions"] if action in ("imported", "completed")]
    assert len(made) == 1


def test_those_killed_at_any_moment_leave_one_template_each(mortal_sim, source):
    mortal_sim.request("POST", "/uploads", {"rate": 6_000_000, "times": 0})
    choice = random.Random(11)  # noqa: S311 (moments, not secrets)
    moments = sorted(choice.uniform(0.05, 3.0) for _number in range(13))
    begun = time.monotonic()
    asked = [{"name": f"any-{number}-{uuid.uuid4().hex[:8]}", "takeover_after": 1} for number in range(len(moments))]
    victims = [start(mortal_sim, source, **options)[0] for options in asked]
    others = [start(mortal_sim, source, **options) for options in asked]
    for victim, moment in zip(victims, moments, strict=True):
        time.sleep(max(0.0, begun + moment - time.monotonic()))
        victim.kill()
        victim.join()
    for options, account in zip(asked, accounts(others), strict=True):
        assert account["error"] is None
        assert account["result"]["template"]["moid"] == one_template(mortal_sim, options["name"])
