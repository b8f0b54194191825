# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What guests see of their processors, beside what vCenter says."""

from __future__ import annotations

import zlib

import pytest

from ansible_collections.vforge.vsphere.tests.unit.plugins.module_utils.cpu.running import Processors
from ansible_collections.vforge.vsphere.tests.unit.plugins.module_utils.cpu.test_guests import (
    FLAGS,
    KABY_FLAGS,
    LEAVES,
    VMWARE,
    cpuinfo,
)
from ansible_collections.vforge.vsphere.tests.unit.plugins.module_utils.cpu.test_info import CLUSTER

KABY = ("--clusters", "1", "--hosts", "1", "--processors", "core-kabylake", "--vms", "2")


@pytest.fixture
def lab(shared_sim, request, tmp_path, monkeypatch):
    """A VM of the test's own on a Haswell, whose guest can be asked."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    lab = Processors(shared_sim)
    lab.vm = f"cpu-{zlib.crc32(request.node.name.encode()):08x}"
    shared_sim.create_vm(lab.vm)
    return lab


def see(lab, text, **programs):
    """Have the guest see something; programs print what is given."""
    files = {"/proc/cpuinfo": text}
    for name, output in programs.items():
        files[f"/usr/bin/{name}"] = f"#!/bin/sh\ncat /etc/{name}.out\n"
        files[f"/etc/{name}.out"] = output
    lab.sim.request("PATCH", f"/vms/{lab.vm}", {"guest": {"files": files}})


def ask(lab, *more, **given):
    """A task that asks the guest, and those of more VMs, which may fail."""
    vms = [{"name": name} for name in (lab.vm, *more)]
    whole = {"guest_username": "root", "guest_password": lab.sim.guest_password, **given}
    return lab.attempt(vms=vms, hosts=["DC0_C0_H0"], in_guest=True, **whole)


def guest(lab):
    """What is told of the guest, of which there must be something."""
    ran = ask(lab)
    assert ran.error is None, ran.error
    return ran.one["guest"]


def codes(told):
    """Which differences are told."""
    return [each["code"] for each in told["differences"]]


def test_a_guest_that_sees_what_vcenter_says(lab):
    see(lab, cpuinfo(), cpuid=LEAVES.format(eax="0x000306f2", ebx=VMWARE))
    told = guest(lab)
    assert told["differences"] == []
    assert told["cpu"]["microarchitecture"] == "Haswell"
    assert told["model_name"] == "Intel(R) Xeon(R) CPU E5-2699 v3 @ 2.30GHz"
    assert (told["hypervisor"], told["asked_cpuid"]) == ("VMware", True)
    assert told["flags"] == sorted(FLAGS.split())


def test_a_guest_in_the_mode_of_haswell_keeps_the_name_of_the_model_and_that_is_no_fault(start):
    lab = start(*KABY)
    lab.vm = "golden-parent"
    for vm in ("server-00001", lab.vm):
        lab.power(vm, False)
    lab.set_mode(CLUSTER, "intel-haswell")
    lab.power(lab.vm, True)
    name = {"model name": "Intel(R) Core(TM) i5-7200U CPU @ 2.50GHz"}
    see(lab, cpuinfo(63, 0, FLAGS, **name))
    told = guest(lab)
    assert told["differences"] == []
    assert "i5-7200U" in told["model_name"]
    # One that was not powered off since sees what it saw before.
    see(lab, cpuinfo(142, 9, KABY_FLAGS, **name))
    told = guest(lab)
    assert codes(told) == ["identity", "masked_feature"]
    identity, masked = told["differences"]
    assert "sees Intel family 6 model 142 stepping 9 (Kaby Lake), and would see Intel family 6 model 63" in identity["msg"]
    assert {"cpuid.rdseed", "cpuid.xgetbv_ecx1", "cpuid.3dnprefetch"} <= set(masked["features"])


def test_a_guest_that_lies_is_refused(lab):
    see(lab, "\x1b[31m" + cpuinfo(model="$(reboot)"))
    ran = ask(lab)
    assert ran.code == "guest_no_processor"
    assert "\x1b" not in str(ran.error)


def test_a_vm_that_is_off_fails_and_the_other_is_asked(lab):
    lab.sim.create_vm(f"{lab.vm}-off", on=False)
    see(lab, cpuinfo())
    ran = ask(lab, f"{lab.vm}-off")
    on, off = ran.vms
    assert on["guest"]["cpu"]["model"] == 63
    assert off["error"]["error_code"] == "guest_powered_off"
    assert "guest" not in off


def test_windows_and_wrong_passwords_are_refused(lab):
    see(lab, cpuinfo())
    wrong = ask(lab, guest_password="no-such-word")  # noqa: S106
    assert wrong.code == "guest_wrong_credentials"
    assert "no-such-word" not in str(wrong.error)
    lab.sim.request("PATCH", f"/vms/{lab.vm}", {"guest": {"family": "windows"}})
    assert ask(lab).code == "guest_not_linux"


def test_nothing_is_left_in_the_guest(lab):
    see(lab, cpuinfo())
    before = set(lab.sim.request("GET", f"/vms/{lab.vm}")["guest"]["files"])
    guest(lab)
    assert set(lab.sim.request("GET", f"/vms/{lab.vm}")["guest"]["files"]) == before
