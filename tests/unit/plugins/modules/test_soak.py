# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Many processes at once, mixed modules, one call in a hundred fails: a few here, and as many as asked by `make soak`."""

from __future__ import annotations

import os
import resource
import statistics
from pathlib import Path

from ansible_collections.vforge.vsphere.tests.unit.plugins.modules import soak

# Set by `make soak`.
_SECONDS = float(os.environ.get("VFORGE_SOAK_SECONDS", "0"))
_PROCESSES = int(os.environ.get("VFORGE_SOAK_PROCESSES", "6"))
_VMS = os.environ.get("VFORGE_SOAK_VMS", "50")

# A process may have so much more in its last runs than in its first ones.
_GROWTH = 1.15

# As many as are made where several find no session at the same moment, by README.
_LOGINS = 3


def test_many_at_once(make_sim, tmp_path):
    sim = make_sim("--vms", _VMS, "--parents", "5", "--clone-time", "1ms")
    before = (len(sim.govc("find", "/DC0/vm", "-type", "m")), sim.orphans())
    sim.reset_calls()
    ours, its = _processor_seconds(), _processor_seconds_of(sim.pid)
    accounts = soak.run(sim, tmp_path, _PROCESSES, _SECONDS)
    ours, its = _processor_seconds() - ours, _processor_seconds_of(sim.pid) - its
    calls = sim.calls()["by_method"]
    _show(accounts, calls, sim.pid)
    print(f"processor time: {ours:.0f} s of the modules, {its:.0f} s of the simulator")

    assert [sentence for account in accounts for sentence in account.wrong] == []
    assert all(account.rounds for account in accounts)
    assert calls["Login"] <= _LOGINS
    # No key of the disk that all have changed is lost.
    [shared] = sim.govc("disk.ls", "-ds", "LocalDS_0")["objects"]
    assert shared["config"]["name"] == soak.SHARED
    read = sim.govc("disk.metadata.ls", shared["config"]["id"]["id"])
    for number, account in enumerate(accounts):
        assert {"key": f"key-{number}", "value": account.written} in read
    # Nothing is left but what was made for it.
    there = len(sim.govc("find", "/DC0/vm", "-type", "m"))
    assert (there - _PROCESSES, sim.orphans(), sim.open_leases()) == (*before, 0)
    _assert_flat(accounts)
    if _SECONDS:
        # In a short run the start of both counts for more.
        assert its < ours


def _processor_seconds():
    """Of all processes that this one has waited for, and that these have waited for."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _processor_seconds_of(pid):
    """Of a process that runs; fields 14 and 15 of proc_pid_stat(5), counted behind the name, which may hold spaces."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _assert_flat(accounts):
    """No run needs more memory for what others have done before it."""
    for which in {which for account in accounts for which in account.memory}:
        runs = [account.memory[which] for account in accounts if len(account.memory.get(which, ())) >= 6]
        first = [each for many in runs for each in many[:3]]
        last = [each for many in runs for each in many[-3:]]
        if runs:
            assert statistics.median(last) <= _GROWTH * statistics.median(first), which


def _show(accounts, calls, simulator):
    status = Path(f"/proc/{simulator}/status").read_text(encoding="ascii")
    memory = next(line.split()[1] for line in status.splitlines() if line.startswith("VmRSS"))
    most = max(each for account in accounts for many in account.memory.values() for each in many)
    print(
        f"\n{len(accounts)} processes, {sum(account.rounds for account in accounts)} rounds, "
        f"{sum(account.runs for account in accounts)} runs, of which {sum(account.failed for account in accounts)} failed, "
        f"{sum(calls.values())} calls, {calls.get('Login')} logins; "
        f"most memory of a run {most // 1024} MiB, of the simulator {int(memory) // 1024} MiB"
    )
