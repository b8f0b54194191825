# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""govc's commands for what is inside a guest."""

from __future__ import annotations

from pathlib import Path

import pytest
from conftest import Govc

_VM = "golden-parent"


@pytest.fixture(autouse=True)
def _vm(govc: Govc) -> None:
    govc.environment["GOVC_VM"] = _VM


def test_folders(govc: Govc) -> None:
    govc("guest.mkdir", "/tmp/a")
    govc.refused("guest.mkdir", "/tmp/a")
    govc.refused("guest.mkdir", "/tmp/a/b/c")
    govc("guest.mkdir", "-p", "/tmp/a/b/c")
    assert "c" in govc("guest.ls", "/tmp/a/b")
    govc.refused("guest.rmdir", "/tmp/a")
    govc("guest.rmdir", "-r", "/tmp/a")
    made = govc("guest.mktemp", "-d")
    govc("guest.rmdir", made)
    govc.refused("guest.rmdir", made)


def test_files(govc: Govc, tmp_path: Path) -> None:
    made = govc("guest.mktemp")
    assert "rw-------" in govc("guest.ls", made)
    govc.refused("guest.ls", "/nothing")
    govc("guest.chmod", "0644", made)
    govc("guest.chown", "0:0", made)
    assert "rw-r--r--" in govc("guest.ls", made)
    govc("guest.touch", made)
    govc("guest.mv", made, f"{made}-new")
    govc.refused("guest.ls", made)

    (tmp_path / "up").write_text("words\n", encoding="utf-8")
    govc.refused("guest.upload", "-l", "root:wrong", "up", made)
    govc("guest.upload", "up", made)
    govc.refused("guest.upload", "up", made)
    govc("guest.upload", "-f", "up", made)
    assert govc("guest.download", made, "-") == "words"
    govc.refused("guest.download", "/nothing", "-")
    govc.refused("guest.rmdir", made)
    govc("guest.rm", made)
    govc.refused("guest.rm", made)


def test_processes(govc: Govc) -> None:
    govc.refused("guest.kill", "-p", "123456")
    govc.refused("guest.start", "-l", "root:wrong", "/bin/sleep", "300")
    govc.refused("guest.start", "/bin/nothing")
    started = govc("guest.start", "/bin/sleep", "300")
    assert "sleep" in govc("guest.ps", "-p", started)
    assert govc("guest.ps", "-x").count("\n") >= 1
    govc("guest.kill", "-p", started)
    assert "sleep" in govc("guest.ps", "-p", started, "-X")


def test_programs(govc: Govc) -> None:
    assert "Linux" in govc("guest.run", "uname", "-a")
    told = govc("guest.run", "-e", "COLOUR=red", "-C", "/tmp", "env")
    assert "COLOUR=red" in told
    assert "PWD=/tmp" in told
    assert govc("guest.run", "-d", "given", "cat") == "given"
    govc.refused("guest.run", "false")
    assert "HOME=" in govc("guest.getenv", "HOME")
    govc("vm.power", "-off", _VM)
    govc.refused("guest.run", "uname", "-a")


def test_what_tools_report(govc: Govc) -> None:
    state = ("collect", "-s", f"vm/{_VM}", "guest.toolsStatus", "guest.toolsRunningStatus")
    assert govc(*state).split() == ["toolsOk", "guestToolsRunning"]
    govc("vm.power", "-off", _VM)
    assert govc(*state).split() == ["toolsNotRunning", "guestToolsNotRunning"]
    govc("vm.power", "-on", _VM)
    govc("vm.ip", _VM)
    assert govc(*state).split() == ["toolsOk", "guestToolsRunning"]
