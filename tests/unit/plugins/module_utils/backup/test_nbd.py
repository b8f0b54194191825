# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the command of an NBD server is told, and how it is asked whether it can serve at all."""

from __future__ import annotations

import hashlib
import json
import socket
import ssl
import subprocess
import sys
import time

import pytest

from ansible_collections.vforge.vsphere.plugins.module_utils import _programs
from ansible_collections.vforge.vsphere.plugins.module_utils._backup import nbd
from ansible_collections.vforge.vsphere.plugins.module_utils._backup.options import NbdServer
from ansible_collections.vforge.vsphere.plugins.module_utils._errors import InvalidOption, PartialFailure
from ansible_collections.vforge.vsphere.tests.unit.plugins.module_utils.backup.running import tasks

MIB = 1 << 20

# Stands for nbdkit with its plugin for VDDK: it notes what it was told and what it was given, and then becomes the real one.
_NBDKIT = """\
#!{python}
import json, os, sys
here = {folder!r}
if "--dump-plugin" in sys.argv:
    with open(here + "/asked.json", "w") as file:
        json.dump(sys.argv[1:], file)
    if os.path.exists(here + "/no-plugin"):
        sys.exit(1)
    print("vddk_library_version=8")
    if not os.path.exists(here + "/no-library"):
        print("vddk_dll=/opt/vddk/lib64/libvixDiskLib.so.8")
    sys.exit(0)
told = dict(word.split("=", 1) for word in sys.argv[1:] if "=" in word)
with open(told["password"].removeprefix("+")) as file:
    password = file.read()
with open("/proc/self/cmdline") as file:
    line = file.read()
with open(here + "/told.json", "w") as file:
    json.dump({{"told": told, "password": password, "line": line}}, file)
os.execv({nbdkit!r}, ["nbdkit", "--foreground", "python", {plugin!r}, "url=" + told["url"]])
"""


@pytest.fixture
def served(make_sim, tmp_path, monkeypatch, tools):
    """Tasks whose command is that of a VDDK, as far as anybody can tell from outside."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    with tasks(make_sim("--vms", "2"), tmp_path) as known:
        known.make("web-1", size=4 * MIB)
        program = tmp_path / "nbdkit"
        text = _NBDKIT.format(
            python=sys.executable, folder=str(tmp_path), nbdkit=str(tools / "nbdkit"), plugin=str(tmp_path / "served.py")
        )
        program.write_text(text, encoding="utf-8")
        program.chmod(0o700)
        known.asked = {
            "nbd": {
                "libdir": "/opt/vddk",
                "command": [
                    str(program),
                    "vddk",
                    "libdir={libdir}",
                    "server={server}",
                    "user={user}",
                    "password=+{password_file}",
                    "thumbprint={thumbprint}",
                    "old={thumbprint_sha1}",
                    "vm=moref={vm}",
                    "snapshot={snapshot}",
                    "file={file}",
                    f"url={known.sim.control}/vms/{{vm}}/disks/{{key}}/bytes?snapshot={{snapshot}}",
                ],
            }
        }
        yield known


def test_a_command_is_given_all_and_the_password_is_in_no_command_line(served, tmp_path):
    served.sim.write_disk("web-1", offset=MIB, length=MIB, seed=1)
    ran = served.run(transport="auto", **served.asked)
    assert ran.one["transport"] == "nbd"
    noted = json.loads((tmp_path / "told.json").read_text(encoding="utf-8"))
    certificate = ssl.PEM_cert_to_DER_cert(ssl.get_server_certificate((served.sim.host, served.sim.port)))
    told = noted["told"]
    assert told["thumbprint"].replace(":", "").lower() == hashlib.sha256(certificate).hexdigest()
    assert told["old"].replace(":", "").lower() == hashlib.sha1(certificate, usedforsecurity=False).hexdigest()
    assert (told["server"], told["user"], told["libdir"]) == (served.sim.host, served.sim.username, "/opt/vddk")
    assert told["file"].endswith("web-1.vmdk")
    assert told["vm"] == f"moref={ran.one['moid']}"
    assert told["snapshot"] == ran.one["snapshot"]["moid"]
    assert noted["password"] == served.sim.password
    assert served.sim.password not in noted["line"]
    # Nothing of it lies in any file that the task leaves.
    left = [path for path in tmp_path.rglob("*") if path.is_file() and path.name not in ("told.json", "password")]
    assert not [path for path in left if served.sim.password.encode() in path.read_bytes() and "state" not in str(path)]
    assert json.loads((tmp_path / "asked.json").read_text(encoding="utf-8")) == ["vddk", "libdir=/opt/vddk", "--dump-plugin"]
    assert served.restored(0) == served.content()


@pytest.mark.parametrize(
    ("missing", "why"),
    [("no-plugin", "package nbdkit-vddk-plugin"), ("no-library", "no VDDK in /opt/vddk: set nbd.libdir")],
)
def test_a_plugin_or_library_that_is_not_there_is_said_before_any_snapshot(served, tmp_path, missing, why):
    (tmp_path / missing).touch()
    ran = served.attempt(**served.asked)
    assert (ran.code, ran.called("CreateSnapshot_Task")) == ("no_transport", 0)
    assert why in str(ran.error)


def test_a_program_that_is_not_there_is_said_before_any_snapshot(served):
    ran = served.attempt(nbd={"command": ["nbdkit-of-nobody", "vddk"]})
    assert (ran.code, ran.called("CreateSnapshot_Task")) == ("no_transport", 0)
    assert "the program nbdkit-of-nobody is missing" in str(ran.error)


@pytest.mark.usefixtures("tools")
def test_nbdkit_of_debian_has_no_plugin():
    assert nbd.reason(NbdServer(command=("nbdkit", "vddk"))) == _programs.NO_PLUGIN
    assert nbd.reason(NbdServer(command=("nbdkit", "memory", "1M"))) == ""


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"uri": "nbd://host/{disk}"}, "a placeholder that is none"),
        ({"command": ["nbdkit", "{0}"]}, "a placeholder that is none"),
        ({"uri": "nbd://host/{password_file}"}, "only a command that is started gets"),
    ],
)
def test_placeholders_that_cannot_be_filled_are_refused(given, why):
    with pytest.raises(InvalidOption, match=why):
        NbdServer.from_params(given)


def test_a_server_that_is_there_is_read_by_its_uri(served, tmp_path):
    """It has an export for each disk, by the names that placeholders make."""
    (exports := tmp_path / "exports").mkdir()
    path = tmp_path / "served.sock"
    asked = {"nbd": {"uri": f"nbd+unix:///{{vm}}-{{key}}?socket={path}"}, "transport": "auto"}
    contents = []
    with subprocess.Popen(["nbdkit", "--foreground", "--readonly", "--unix", path, "file", f"dir={exports}"]) as server:
        try:
            for number, mode in enumerate(("full", "incremental")):
                served.sim.write_disk("web-1", offset=number * MIB, length=64 * 1024, seed=number)
                contents.append(served.content())
                (exports / f"{served.vm('web-1')._GetMoId()}-2000").write_bytes(contents[-1])
                while not path.exists():
                    assert server.poll() is None
                ran = served.run(**asked, mode=mode)
                assert (ran.one["transport"], ran.disk["kind"]) == ("nbd", mode)
        finally:
            server.terminate()
    assert ran.disk["read"] == 64 * 1024
    assert [served.restored(number) for number in range(2)] == contents


def test_a_server_that_never_answers_does_not_hold_a_task_up(served, tmp_path):
    """It takes connections, as one does that serves somebody else, and says nothing."""
    path = tmp_path / "silent.sock"
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(str(path))
        silent.listen(8)
        begun = time.monotonic()
        ran = served.attempt(nbd={"uri": f"nbd+unix:///?socket={path}"}, timeout=3)
        assert time.monotonic() - begun < 30
    assert isinstance(ran.error, PartialFailure)
    assert (ran.code, served.points(), served.snapshots("web-1")) == ("timeout", [], [])


def test_a_server_that_stops_answering_does_not_hold_a_task_up(served):
    """It is there when it is asked what it has, and then every range takes longer than the task may."""
    served.sim.write_disk("web-1", offset=MIB, length=MIB, seed=1)
    slow = ["nbdkit", "--foreground", "--filter=delay", "pattern", "4M", "rdelay=600"]
    begun = time.monotonic()
    ran = served.attempt(nbd={"command": slow}, timeout=4, mode="full")
    assert time.monotonic() - begun < 40
    assert (ran.code, served.points(), served.snapshots("web-1")) == ("timeout", [], [])
