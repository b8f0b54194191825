# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The ready-made scripts, run by this machine's own shell in a folder that is the guest's disk, with odd names from outside."""

from __future__ import annotations

import itertools
import pathlib
import subprocess

import pytest

from ansible_collections.vforge.vsphere.plugins.plugin_utils import ready_made

# Programs of a guest: each notes what it was called with, an argument a line.
_PROGRAMS = (
    "nmcli",
    "netplan",
    "ifup",
    "ifdown",
    "hostnamectl",
    "systemctl",
    "systemd-machine-id-setup",
    "ssh-keygen",
    "udevadm",
    "cloud-init",
)
_NOTE = '#!/bin/sh\nprintf \'<%s>\\n\' "${0##*/}" "$@" >> "$NOTES"\n'
_RPCTOOL = '#!/bin/sh\nset -- $1\ncat "$INFO/$2" 2>/dev/null\n'

# Each would do something, or be several words, where it is not one word that is only a word.
ODD = (
    "$(touch canary)",
    "`touch canary`",
    "a; touch canary",
    "a && touch canary #",
    "a | tee canary",
    "a > canary",
    "*",
    "two words",
    "it's",
    'a "quoted" one',
    "$HOME",
    "${IFS}x",
    "\\n",
    "--help",
    "-x",
    "a\nb: c",
    "]\n      renderer: x",
    "a=b",
    "%s%n",
    "~root",
    "!!",
    "é",
)
KEYS = ("hostname", "ipv4", "gateway", "dns")
GOOD = {"hostname": "web-1.example.com", "ipv4": "10.0.0.5/24", "gateway": "10.0.0.1", "dns": "10.0.0.2,10.0.0.3"}
LINUX = ("networkmanager", "netplan", "ifcfg")


class _Disk:
    """A folder that is the disk of a guest with one card."""

    def __init__(self, root: pathlib.Path, card: str = "eth0") -> None:
        self.root, self.notes = root, root / "notes"
        for folder in ("etc/ssh", "etc/netplan", "etc/sysconfig/network-scripts", "var/lib/dbus", "info", "bin", "driver"):
            (root / folder).mkdir(parents=True)
        device = root / "sys" / "class" / "net" / card / "device"
        device.mkdir(parents=True)
        (device / "driver").symlink_to(root / "driver")
        (root / "etc" / "ssh" / "ssh_host_rsa_key").write_text("the parent's")
        for name in _PROGRAMS:
            self._program(name, _NOTE)
        self._program("vmware-rpctool", _RPCTOOL)

    def _program(self, name: str, text: str) -> None:
        path = self.root / "bin" / name
        path.write_text(text)
        path.chmod(0o755)

    def wake(self, script: str, info: dict[str, str]) -> subprocess.CompletedProcess[str]:
        """Run a ready-made script with these values of guestinfo."""
        for key, value in info.items():
            (self.root / "info" / f"guestinfo.{key}").write_text(value)
        text = ready_made.script(script)
        for place in ("/etc/", "/sys/", "/var/lib/", "/proc/"):
            text = text.replace(place, f"{self.root}{place}")
        env = {"PATH": f"{self.root / 'bin'}:/usr/bin:/bin", "NOTES": str(self.notes), "INFO": str(self.root / "info")}
        return subprocess.run(["/bin/sh"], input=text, env=env, cwd=self.root, capture_output=True, text=True, check=False)

    @property
    def calls(self) -> str:
        """What the programs were called with."""
        return self.notes.read_text() if self.notes.exists() else ""

    @property
    def written(self) -> str:
        """What was written for the network."""
        folders = (self.root / "etc" / "netplan", self.root / "etc" / "sysconfig" / "network-scripts")
        return "".join(path.read_text() for folder in folders for path in sorted(folder.iterdir()))

    def names(self) -> list[str]:
        """All paths on the disk, apart from what a test has put there."""
        return sorted(str(path.relative_to(self.root)) for path in self.root.rglob("*"))


@pytest.mark.parametrize("script", LINUX)
def test_names_as_they_should_be_reach_the_programs_whole(tmp_path, script):
    disk = _Disk(tmp_path / "disk")
    done = disk.wake(script, GOOD)
    assert (done.returncode, done.stderr) == (0, "")
    told = disk.calls + disk.written
    assert "<hostnamectl>\n<set-hostname>\n<web-1.example.com>\n" in disk.calls
    assert all(word in told for word in ("10.0.0.5", "10.0.0.1", "10.0.0.2", "10.0.0.3"))
    assert not (disk.root / "etc" / "ssh" / "ssh_host_rsa_key").exists()


@pytest.mark.parametrize("script", LINUX)
@pytest.mark.parametrize("key", KEYS)
def test_odd_values_are_refused_and_do_nothing(tmp_path, script, key):
    for number, value in enumerate(ODD):
        disk = _Disk(tmp_path / f"disk-{number}")
        before = disk.names()
        done = disk.wake(script, {**GOOD, key: value})
        if key == "dns" and value.replace(" ", "").isalpha() and value.isascii():
            continue  # blanks between name servers do not count, so this is a plain word
        assert done.returncode != 0, value
        assert f"guestinfo.{key} has characters" in done.stderr, value
        assert not list(tmp_path.rglob("canary*")), value
        assert value not in disk.calls + disk.written
        left = set(disk.names()) - set(before)
        assert left <= {"notes", "driver/unbind", "info/guestinfo.hostname", *(f"info/guestinfo.{each}" for each in KEYS)}, (
            value
        )
        assert not (disk.root / "etc" / "ssh" / "ssh_host_rsa_key").exists(), "whatever fails, the parent's key is gone"


@pytest.mark.parametrize("script", LINUX)
def test_odd_names_of_cards_are_refused_and_do_nothing(tmp_path, script):
    # Linux takes no card whose name has a slash or a blank of any kind.
    cards = [value for value in ODD if "/" not in value and not any(letter.isspace() for letter in value)]
    for number, card in enumerate(cards):
        disk = _Disk(tmp_path / f"disk-{number}", card)
        done = disk.wake(script, GOOD)
        assert done.returncode != 0, card
        assert "the name of the network card has characters" in done.stderr, card
        assert not list(tmp_path.rglob("canary*")), card
        assert disk.written == ""
        assert "nmcli" not in disk.calls


@pytest.mark.parametrize("key", ["hostname", "gateway", "dns"])
def test_a_path_is_no_name(tmp_path, key):
    done = _Disk(tmp_path / "disk").wake("netplan", {**GOOD, key: "../../canary"})
    assert done.returncode != 0
    assert f"guestinfo.{key} has characters" in done.stderr


def test_a_clone_that_cloud_init_sets_up_hands_no_name_to_a_shell(tmp_path):
    disk = _Disk(tmp_path / "disk")
    done = disk.wake("cloud_init", dict(zip(KEYS, itertools.repeat("$(touch canary)"))))
    assert done.returncode == 0, done.stderr
    assert "<cloud-init>\n<modules>\n<--mode=final>" in disk.calls
    assert not list(tmp_path.rglob("canary*"))
