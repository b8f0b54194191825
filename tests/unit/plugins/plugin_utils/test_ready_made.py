# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The scripts that come with the collection, as texts; what they do in a guest is tested with parents."""

from __future__ import annotations

import re
import subprocess

import pytest

from ansible_collections.vforge.vsphere.plugins.module_utils._errors import InvalidOption
from ansible_collections.vforge.vsphere.plugins.module_utils._vsphere.wake import READY_MADE, declared
from ansible_collections.vforge.vsphere.plugins.modules import instant_clone_parent
from ansible_collections.vforge.vsphere.plugins.plugin_utils import ready_made
from ansible_collections.vforge.vsphere.tests.unit.plugins.module_utils.parent.support import options

_LINUX = [name for name in ready_made.NAMES if name != "windows"]


@pytest.mark.parametrize("name", _LINUX)
def test_a_script_is_one_that_this_machines_own_shell_takes(name):
    done = subprocess.run(["/bin/sh", "-n"], input=ready_made.script(name).encode(), capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.parametrize("name", ready_made.NAMES)
def test_a_script_is_documented_and_one_in_the_eyes_of_the_module(name):
    assert f"V({name})" in instant_clone_parent.DOCUMENTATION
    assert options(on_wake=ready_made.resolved([name])).scripts.wake == (ready_made.script(name),)


def test_a_key_without_a_value_does_not_stop_the_script_for_windows():
    """Windows PowerShell makes an error of what a program writes to a standard error that is redirected, which ends it."""
    functions = re.split(r"^(?=function )|(?<=^}\n)", ready_made.script("windows"), flags=re.MULTILINE)
    redirecting = [each for each in functions if re.search(r"^ *[^#\n]*2>", each, re.MULTILINE)]
    assert len(redirecting) == 1
    before, _redirected = redirecting[0].split("2>")
    assert "$ErrorActionPreference = 'Continue'" in before


def test_the_module_knows_the_names_that_the_action_plugin_knows():
    assert READY_MADE == ready_made.NAMES


@pytest.mark.parametrize(
    ("name", "needed"),
    [
        ("cloud_init", "cloud-init"),
        ("networkmanager", "nmcli"),
        ("netplan", "netplan"),
        ("ifcfg", "/etc/sysconfig/network-scripts"),
        ("windows", "Get-NetAdapter"),
    ],
)
def test_a_script_says_what_it_needs(name, needed):
    names = {need.name for need in declared([ready_made.script(name)])}
    assert needed in names
    assert name == "windows" or {"ssh-keygen", "vmware-rpctool"} < names


@pytest.mark.parametrize("name", ready_made.NAMES)
def test_the_module_names_the_scripts_that_there_are(name):
    with pytest.raises(InvalidOption, match=name):
        options(on_wake=["no_such"])


def test_only_names_are_replaced_and_every_script_ends_with_a_line_end():
    given = ["netplan", "echo netplan", "true\n", "", 3, None]
    assert ready_made.resolved(given) == [ready_made.script("netplan"), "echo netplan\n", "true\n", "", 3, None]
    assert ready_made.resolved("netplan") == "netplan"
    assert ready_made.resolved(None) is None


@pytest.mark.parametrize("name", ready_made.NAMES)
def test_a_script_begins_and_ends_as_one(name):
    text = ready_made.script(name)
    assert text.count("#!/bin/sh") == (0 if name == "windows" else 1)
    assert text.startswith("#")
    assert text.endswith("\n")
