# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What users write, played through the module, and judged by cloud-init's own code and netplan's.

``tests/fixtures/cloud_init/inputs.yml`` says what each input is to come to.
"""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest
import yaml

from ansible_collections.vforge.vsphere.plugins.module_utils._cloudinit import multipart
from ansible_collections.vforge.vsphere.plugins.module_utils._errors import VforgeError
from ansible_collections.vforge.vsphere.plugins.module_utils._vsphere.markers import OVERWRITTEN

_TESTS = Path(__file__).parents[4]
INPUTS = yaml.safe_load((_TESTS / "fixtures/cloud_init/inputs.yml").read_text(encoding="utf-8"))

# What a guest asks for is in files that are called as the keys, and what it sets goes there.
_RPCTOOL = """#!/bin/sh
set -- $1
case $1 in
info-get) cat "$VFORGE_GUEST/$2" 2>/dev/null || { echo "No value found"; exit 1; } ;;
info-set) key=$2; shift 2; printf %s "$*" > "$VFORGE_GUEST/$key" ;;
esac
"""


def _filled_in(value, mac):
    """The input, with the VM's MAC address in it."""
    if isinstance(value, dict):
        return {key: _filled_in(item, mac) for key, item in value.items()}
    if isinstance(value, list):
        return [_filled_in(item, mac) for item in value]
    if isinstance(value, str):
        return value.replace("{mac}", mac).replace("{MAC}", mac.upper().replace(":", "-"))
    return value


def _mac_of(cloud, name):
    devices = cloud.sim.govc("vm.info", name)["virtualMachines"][0]["config"]["hardware"]["device"]
    return next(device["macAddress"] for device in devices if device.get("macAddress"))


def _as_given(given):
    """The pairs that somebody would write by hand, without looking at the data."""
    metadata, userdata = given.get("metadata", {}), given.get("userdata")
    if isinstance(metadata, dict):
        metadata = {key.replace("_", "-"): value for key, value in metadata.items()}
        if isinstance(metadata.get("network"), dict):
            metadata["network"] = {"version": 2, **metadata["network"]}
        metadata = json.dumps({"instance-id": "i-1", **metadata})
    if isinstance(userdata, list):
        userdata = multipart.message(userdata)
    elif isinstance(userdata, dict):
        userdata = multipart.cloud_config(userdata)
    texts = {"metadata": metadata, **({"userdata": userdata} if userdata else {})}
    return {f"guestinfo.{kind}": text for kind, text in texts.items()}


class _Judge:
    """cloud-init's own code, run once for many guests."""

    def __init__(self, debian, folder):
        self._debian, self._folder = debian, folder
        tool = folder / "bin" / "vmware-rpctool"
        tool.parent.mkdir()
        tool.write_text(_RPCTOOL, encoding="utf-8")
        tool.chmod(0o755)
        self._guests = []

    def guest(self, name, pairs):
        """A guest with these pairs."""
        home = self._folder / name
        home.mkdir()
        for key, value in pairs.items():
            (home / key).write_text(value, encoding="utf-8")
        self._guests.append(home)

    def read(self):
        """What cloud-init comes to, by the names of the guests."""
        libraries = [str(path) for path in sorted(self._debian.glob("**/lib*/*-linux-gnu")) if path.is_dir()]
        ran = subprocess.run(
            ["/usr/bin/python3", str(_TESTS / "tools/cloud_init_consumer.py"), *map(str, self._guests)],
            env={
                "HOME": str(self._folder),
                "LANG": "C.UTF-8",
                "PATH": f"{self._folder}/bin:{os.environ['PATH']}",
                "PYTHONPATH": str(self._debian / "usr/lib/python3/dist-packages"),
                "LD_LIBRARY_PATH": ":".join(libraries),
                "PYTHONDONTWRITEBYTECODE": "1",
                "NETPLAN": str(next(path for path in self._debian.glob("**/lib*/netplan/generate") if not path.is_symlink())),
            },
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )
        assert ran.returncode == 0, ran.stderr
        return dict(zip([home.name for home in self._guests], json.loads(ran.stdout), strict=True))


def _misses(good, read):
    """What of that which was meant cloud-init did not come to."""
    rendered = read["rendered"]
    texts = {name: "" if files is None else "\n".join([*files, *files.values()]) for name, files in rendered.items()}
    config, scripts = read["config"] or {}, read["scripts"]
    found = {
        "reaches": lambda device: texts and all(device in text and "10.0.0.11" in text for text in texts.values()),
        "says": lambda word: texts and all(word in text for text in texts.values()),
        "without": lambda word: texts and not any(word in text.lower().replace("dhcp=no", "") for text in texts.values()),
        "mac": lambda mac: any(device["match"]["macaddress"] == mac for device in read["network"]["ethernets"].values()),
        "hostname": lambda name: read["hostname"] == name,
        "redacted": lambda wanted: (read["userdata_left"] == OVERWRITTEN) is wanted,
        "config": lambda wanted: {key: config.get(key) for key in wanted} == wanted,
        "runs": lambda wanted: bool(scripts) and all(script.startswith("#!") for script in scripts) is wanted,
        "scripts": lambda count: len(scripts) == count,
    }
    return [key for key, wanted in good.items() if not found[key](wanted)]


def _played(cloud, name, given, *, check):
    """The outcome of a task, with what it says."""
    try:
        ran = cloud.run(check=check, vm={"name": name}, **{"metadata": {}, **given})
    except VforgeError as error:
        return "refused", json.dumps(error.as_result())
    warnings = ran.one["warnings"]
    return ("warned" if warnings else "delivered"), " ".join(warnings)


@pytest.fixture
def played(cloud, vm):
    """Each input with its outcome in check mode and for real, and the pairs of its VM."""
    found = []
    for row in INPUTS:
        name = vm()
        mac = _mac_of(cloud, name)
        row = _filled_in(row, mac)
        checked, real = (_played(cloud, name, row["given"], check=check) for check in (True, False))
        found.append((row, checked, real, cloud.config(name)))
    return found


def test_each_input_comes_to_its_outcome_in_check_mode_and_for_real(played):
    wrong = [
        (row["name"], checked, real)
        for row, checked, real, _pairs in played
        for outcome, words in (checked, real)
        if outcome != row["outcome"] or row.get("says", "") not in words
    ]
    assert wrong == []
    assert all(not pairs for row, _checked, _real, pairs in played if row["outcome"] == "refused")


def test_cloud_init_itself_says_the_same_of_what_is_delivered_and_of_what_is_not(played, debian, tmp_path):
    judge = _Judge(debian, tmp_path)
    for number, (row, _checked, _real, pairs) in enumerate(played):
        judge.guest(str(number), pairs if row["outcome"] == "delivered" else _as_given(row["given"]))
    read = judge.read()
    wrong = []
    for number, (row, _checked, _real, _pairs) in enumerate(played):
        found = read[str(number)]
        missed = _misses(row["good"], found)
        if bool(missed) is (row["outcome"] == "delivered"):
            wrong.append(f"{row['name']}: missed {missed} of {found}")
    assert not wrong, "\n".join(wrong)
