# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The judge is not ours: cloud-init's own data source reads what was delivered, and netplan renders the network."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from ansible_collections.vforge.vsphere.plugins.module_utils._cloudinit import bundle, encoding, keys, report_script
from ansible_collections.vforge.vsphere.plugins.module_utils._errors import InvalidOption, MissingLibrary
from ansible_collections.vforge.vsphere.plugins.module_utils._vsphere.markers import OVERWRITTEN
from ansible_collections.vforge.vsphere.tests.unit.plugins.module_utils.cloudinit.running import options

_TOOLS = Path(__file__).parents[4] / "tools"

# What the guest asks for comes from the simulator's vCenter, by govc; what it sets goes there.
_RPCTOOL = """#!/bin/sh
exec {python} - "$1" <<'END'
import json, subprocess, sys
command, _space, rest = sys.argv[1].partition(" ")
key, _space, value = rest.partition(" ")
if command == "info-set":
    subprocess.run([{govc!r}, "vm.change", "-vm", {vm!r}, "-e", f"{{key}}={{value}}"], check=True)
    sys.exit()
told = subprocess.run([{govc!r}, "vm.info", "-json", "-e", {vm!r}], check=True, capture_output=True).stdout
pairs = json.loads(told)["virtualMachines"][0]["config"]["extraConfig"]
found = [pair["value"] for pair in pairs if pair["key"] == key]
if not found:
    sys.exit("No value found")
sys.stdout.write(found[0])
END
"""

NETWORK = {
    "version": 2,
    "ethernets": {
        "nics": {
            "match": {"name": "e*"},
            "addresses": ["10.0.0.5/24", "fd00::5/64"],
            "routes": [{"to": "0.0.0.0/0", "via": "10.0.0.1"}, {"to": "::/0", "via": "fd00::1"}],
            "nameservers": {"addresses": ["10.0.0.2"], "search": ["example.test"]},
        },
        "spare": {"match": {"macaddress": "00:50:56:01:02:03"}, "dhcp4": True, "optional": True},
    },
}
METADATA = {"instance_id": "i-7", "local_hostname": "web-1.example.test", "network": NETWORK, "role": "web"}
CONFIG = {"packages": ["nginx"], "write_files": [{"path": "/etc/motd", "content": "h\u00e4llo \U0001f600\n"}]}


class Guest:
    """A VM of the simulator with Debian's cloud-init in it."""

    def __init__(self, cloud, name, debian, folder):
        self._cloud, self._debian, self._folder = cloud, debian, folder
        tool = folder / "bin" / "vmware-rpctool"
        tool.parent.mkdir()
        tool.write_text(
            _RPCTOOL.format(python=shlex.quote(sys.executable), govc=cloud.sim.govc_binary, vm=name), encoding="utf-8"
        )
        tool.chmod(0o755)
        self.name = name

    def environment(self):
        libraries = [str(path) for path in sorted(self._debian.glob("**/lib*/*-linux-gnu")) if path.is_dir()]
        return {
            **self._cloud.sim.govc_environment(),
            "HOME": str(self._folder),
            "LANG": "C.UTF-8",
            "PATH": f"{self._folder}/bin:{os.environ['PATH']}",
            "PYTHONPATH": str(self._debian / "usr/lib/python3/dist-packages"),
            "LD_LIBRARY_PATH": ":".join(libraries),
            "PYTHONDONTWRITEBYTECODE": "1",
        }

    def boot(self):
        """What cloud-init comes to."""
        return json.loads(self._ran(["/usr/bin/python3", str(_TOOLS / "cloud_init_consumer.py")]).stdout)

    def netplan(self, network):
        """What netplan says of a network, and the files that it renders."""
        root = self._folder / "netplan-root"
        (root / "etc/netplan").mkdir(parents=True)
        file = root / "etc/netplan/50-cloud-init.yaml"
        file.write_text(yaml.safe_dump({"network": network}), encoding="utf-8")
        file.chmod(0o600)
        program = next(path for path in self._debian.glob("**/lib*/netplan/generate") if not path.is_symlink())
        ran = self._ran([str(program), "--root-dir", str(root)])
        return ran.stdout + ran.stderr, {path.name: path.read_text() for path in root.glob("run/systemd/network/*")}

    def _ran(self, command):
        ran = subprocess.run(command, env=self.environment(), capture_output=True, text=True, check=False, timeout=120)
        assert ran.returncode == 0, ran.stderr
        return ran


@pytest.fixture
def guest(cloud, vm, debian, tmp_path):
    return Guest(cloud, vm(), debian, tmp_path)


@pytest.mark.parametrize("how", ["plain", "base64", "gzip+base64"])
def test_cloud_init_comes_to_what_was_asked_for(cloud, guest, how):
    script = "#!/bin/sh\necho ready\n"
    cloud.run(vm={"name": guest.name}, metadata=METADATA, userdata=CONFIG, vendordata=script, encoding=how)
    read = guest.boot()
    assert read["instance_id"] == "i-7"
    assert read["network"] == NETWORK
    assert read["metadata"] == {"instance-id": "i-7", "local-hostname": "web-1.example.test", "role": "web"}
    assert read["userdata"].startswith("#cloud-config\n")
    assert yaml.safe_load(read["userdata"]) == CONFIG
    assert read["vendordata"].strip() == script.strip()
    assert [part["type"] for part in read["vendordata_parts"]] == ["text/x-shellscript"]
    assert cloud.run(vm={"name": guest.name}, metadata=METADATA, userdata=CONFIG, vendordata=script).result["changed"] is False


def test_netplan_renders_the_network_without_a_word(cloud, guest):
    cloud.run(vm={"name": guest.name}, metadata=METADATA)
    words, files = guest.netplan(guest.boot()["network"])
    assert words == ""
    rendered = "\n".join(files.values())
    for line in ("Address=10.0.0.5/24", "Address=fd00::5/64", "Gateway=10.0.0.1", "DNS=10.0.0.2", "DHCP=ipv4"):
        assert line in rendered


def test_after_cloud_init_has_redacted_nothing_is_left_and_nothing_is_due(cloud, guest):
    given = {"metadata": {**METADATA, "redact": ["userdata", "vendordata"]}, "userdata": CONFIG, "vendordata": "#!/bin/sh\n"}
    cloud.run(vm={"name": guest.name}, **given)
    first = guest.boot()
    assert yaml.safe_load(first["userdata"]) == CONFIG
    pairs = cloud.config(guest.name)
    for kind in ("userdata", "vendordata"):
        assert (pairs[keys.value(kind)], pairs[keys.encoding(kind)]) == (OVERWRITTEN, encoding.NO_ENCODING)
    second = guest.boot()
    assert (second["instance_id"], second["userdata"], second["vendordata"]) == ("i-7", None, None)
    assert cloud.run(vm={"name": guest.name}, **given).result["changed"] is False
    changed = cloud.run(vm={"name": guest.name}, **{**given, "userdata": {"packages": []}})
    assert [change["key"] for change in changed.one["changed_keys"]] == ["guestinfo.userdata"]


def test_our_redaction_reads_as_cloud_inits_own(cloud, guest):
    cloud.run(vm={"name": guest.name}, metadata=METADATA, userdata=CONFIG)
    cloud.run(vm={"name": guest.name}, state="redacted", keys=["metadata", "userdata"])
    assert guest.boot() == {"found": False}


def test_parts_and_the_script_that_reports_reach_cloud_init_as_they_are(cloud, guest):
    parts = [CONFIG, "#!/bin/sh\necho \u00e4\n", {"content": "#cloud-config\n{}", "filename": "more.cfg"}]
    cloud.run(vm={"name": guest.name}, metadata=METADATA, userdata=parts, vendordata={"a": 1}, wait="finished")
    read = guest.boot()
    kinds = ["text/cloud-config", "text/x-shellscript", "text/cloud-config"]
    assert [part["type"] for part in read["userdata_parts"]] == kinds
    assert read["userdata_parts"][1]["content"].strip() == parts[1].strip()
    assert read["userdata_parts"][2]["filename"] == "more.cfg"
    assert [part["type"] for part in read["vendordata_parts"]] == ["text/cloud-config", "text/cloud-boothook"]
    assert read["vendordata_parts"][1]["content"] == report_script.SCRIPT


def test_what_the_filter_packs_and_raw_texts_are_read_too(cloud, guest):
    raw = "instance-id: i-7\nlocal-hostname: raw\nnetwork: {version: 2, ethernets: {n: {match: {name: e*}, dhcp4: true}}}\n"
    pairs = bundle.packed({"metadata": {**METADATA, "network": "version: 2\n"}, "userdata": CONFIG}, "gzip+base64")
    for key, value in pairs.items():
        cloud.sim.govc("vm.change", "-vm", guest.name, "-e", f"{key}={value}")
    assert guest.boot()["network"] == {"version": 2}
    cloud.run(vm={"name": guest.name}, metadata=raw)
    assert guest.boot()["metadata"]["local-hostname"] == "raw"


def test_the_schema_is_cloud_inits_own_and_names_the_path(debian):
    given = {"validate": "schema", "schema_path": str(debian)}
    assert options(userdata=CONFIG, **given).requests
    for config, path in (
        ({"write_files": [{"path": "/x"}, {"content": "hunter2"}]}, "write_files[1]"),
        ({"packages": "nginx"}, "packages"),
        ({"ntp": {"servers": ["a"], "enabled": "hunter2"}}, "ntp.enabled"),
        ({"users": [{"name": "x", "ssh_authorized_keys": "hunter2"}]}, "users"),
    ):
        with pytest.raises(InvalidOption) as caught:
            options(userdata=config, **given)
        assert caught.value.details["path"].startswith(path)
        assert "hunter2" not in str(caught.value)


def test_a_missing_schema_is_reported_with_where_to_get_it(tmp_path):
    with pytest.raises(MissingLibrary) as caught:
        options(userdata=CONFIG, validate="schema", schema_path=str(tmp_path))
    assert "package cloud-init" in caught.value.hint
