# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is asked for, checked before anything is connected."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.vforge.vsphere.plugins.module_utils._errors import InvalidOption
from ansible_collections.vforge.vsphere.plugins.module_utils._vsphere.wake import READY_MADE
from ansible_collections.vforge.vsphere.tests.unit.plugins.module_utils.parent.support import options


@pytest.mark.parametrize(
    ("asked", "option"),
    [
        ({"parent": {}}, "parent"),
        ({"parent": None}, "parent"),
        ({"parent": {"name": "a", "moid": "vm-1"}}, "parent"),
        ({"parent": {"name": "a"}, "parents": [{"name": "b"}]}, "parent"),
        ({"parents": [{"name": "b"}, {}]}, "parents"),
        ({"timeout": 0}, "timeout"),
        ({"guest_username": None}, "guest_username"),
        ({"guest_password": None}, "guest_password"),
        ({"guest_username": "", "guest_password": ""}, "guest_username"),
        ({"freeze_command": "one\ntwo"}, "freeze_command"),
        ({"on_wake": ["no_such_script"]}, "on_wake"),
        ({"on_wake": ["netplan"]}, "on_wake"),  # only the action plugin knows it
    ],
)
def test_what_cannot_be_is_refused_by_the_name_of_its_option(asked, option):
    with pytest.raises(InvalidOption) as refused:
        options(**asked)
    assert refused.value.details["option"] == option


@pytest.mark.parametrize(
    "text",
    [
        "/etc/wake.sh",
        "./wake.sh",
        "../files/wake",
        "~/wake",
        "files/wake.sh",
        "wake.sh",
        "wake.ps1",
        "C:\\scripts\\wake.ps1",
        "files\\wake",
        "templates/wake.sh.j2",
        "/usr/local/sbin/wake\n",
    ],
)
@pytest.mark.parametrize("option", ["on_wake", "before_freeze"])
def test_a_path_in_the_place_of_a_script_is_refused_with_what_to_do(option, text):
    with pytest.raises(InvalidOption, match="path") as refused:
        options(**{option: [text] if option == "on_wake" else text})
    assert refused.value.details["option"] == option
    assert "lookup('ansible.builtin.file'" in str(refused.value)
    # Those are for clones that wake.
    assert all((name in str(refused.value)) is (option == "on_wake") for name in READY_MADE if name not in text)


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("network-manager", "networkmanager"),
        ("NetworkManager", "networkmanager"),
        ("netpan", "netplan"),
        ("cloud-init", "cloud_init"),
        ("cloudinit", "cloud_init"),
        ("ifcfgs", "ifcfg"),
    ],
)
def test_a_misspelt_name_is_refused_with_the_one_that_is_meant(text, meant):
    with pytest.raises(InvalidOption, match=f"Did you mean {meant}"):
        options(on_wake=[text])
    with pytest.raises(InvalidOption, match="no ready-made script"):
        options(before_freeze=text)


@pytest.mark.parametrize(
    "text",
    [
        "echo a",
        "sh /usr/local/sbin/wake.sh",
        "#!/bin/sh\n/usr/local/sbin/wake.sh\n",
        "date>/run/woke",
        "systemctl start x.service",
    ],
)
def test_what_is_a_script_is_taken_as_one(text):
    scripts = options(on_wake=[text], before_freeze=text).scripts
    assert (scripts.wake, scripts.before) == ((text,), text)


def test_before_the_freeze_one_word_is_a_command():
    assert options(before_freeze="sync").scripts.before == "sync"


def test_no_parents_are_nothing_to_do():
    assert options(parents=[]).selectors == ()


def test_running_needs_no_credentials():
    assert options(state="running", guest_username=None, guest_password=None).credentials is None


def test_scripts_that_say_nothing_are_none():
    scripts = options(on_wake=["", " \n", "echo a"], before_freeze="", freeze_command=" ").scripts
    assert (scripts.before, scripts.command, scripts.wake) == (None, None, ("echo a",))


@given(st.text(st.characters(blacklist_categories=("Cs",)), min_size=4))
def test_neither_password_nor_scripts_are_ever_in_a_repr(secret):
    shown = repr(options(guest_password=f"<{secret}>", before_freeze=f"echo <{secret}>", on_wake=[f"echo <{secret}>"]))
    assert f"<{secret}>" not in shown
