# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The role guest_cloud_init in playbooks: killed in the middle, and with secrets at the highest verbosity."""

from __future__ import annotations

import pytest

from ansible_collections.vforge.vsphere.tests.unit.plugins.action.plays import Plays

_HIDDEN = "hunter2-and-more"


@pytest.fixture
def web(make_sim, tmp_path):
    """The role against a simulator of its own, with a source that has a snapshot."""
    sim = make_sim("--vms", "2", "--clone-time", "1ms")
    sim.create_vm("source", on=False)
    sim.govc("snapshot.create", "-vm", "/DC0/vm/source", "-m=false", "ready")
    return Plays(sim, tmp_path, "guest_cloud_init", keep=("result", "cloned", "reported"))


_ASKED = {
    "source": {"path": "/DC0/vm/source"},
    "snapshot": {"name": "ready"},
    "folder": "DC0_F0",
    "guests": [{"name": f"web-{number}", "userdata": {"password": _HIDDEN}} for number in (1, 2, 3)],
}


def test_a_run_after_kills_goes_on_where_they_struck_and_no_secret_is_shown(web):
    web.kill_at("CloneVM_Task", 2, nth=2, **_ASKED)
    web.kill_at("PowerOnVM_Task", 2, nth=2, **_ASKED)
    ran = web.run("-vvvv", **_ASKED)
    assert ran.code == 0, ran.output
    assert ran.left["cloned"]["changed"] is False
    assert [vm["finished"] for vm in ran.left["result"]["vms"]] == ["done"] * 3
    assert len(web.vms("/DC0/vm/DC0_F0/web-*")) == 3
    assert _HIDDEN not in ran.output
    again = web.run(**_ASKED)
    assert (again.code, [method for method in again.calls if method.endswith("_Task")]) == (0, [])


def test_a_source_that_linked_clones_cannot_share_says_which_mode_would_do(web):
    web.sim.create_vm("bare", on=False)
    ran = web.run(**{**_ASKED, "source": {"path": "/DC0/vm/bare"}, "snapshot": {}})
    assert ran.code != 0
    assert "has nothing that linked clones could share" in ran.output
    assert "For this role that is guest_cloud_init_clone: full." in ran.output


def test_a_vm_that_cannot_be_made_fails_at_the_end_and_the_others_are_set_up(web):
    web.sim.inject(method="CloneVM_Task", nth=2, times=1, do="task-fault", fault="SystemError", message="a disk on fire")
    ran = web.run(**_ASKED)
    assert ran.code != 0
    assert "a disk on fire" in ran.output.partition("Fail where VMs could not be made")[2]
    (lost,) = ran.left["cloned"]["failures"]
    others = sorted({guest["name"] for guest in _ASKED["guests"]} - {lost["name"]})
    assert [(vm["name"], vm["finished"]) for vm in ran.left["result"]["vms"]] == [(name, "done") for name in others]
    assert sorted(ran.left["groups"]["guests"]) == others


# Guests in which somebody else has root


def _tells(*commands):
    """User data that runs these commands before cloud-init tells of its end."""
    return "#!/bin/sh\n" + "".join(f"{command}\n" for command in commands)


def _says(key, value):
    return f"vmware-rpctool 'info-set guestinfo.{key} {value}'"


# What the guest writes is a template, and a user who writes it has to say so.
_SAYS_ODD = _says("local-ipv4", "-oPort=1 {{ '{{' }} 2000000 + 22 }}")
_BAD_KEY = "echo '* ssh-ed25519 AAAA' > /etc/ssh/ssh_host_ed25519_key.pub"


@pytest.fixture
def known(tmp_path):
    """A file of known hosts with a machine in it that is no VM of the run."""
    path = tmp_path / "known_hosts"
    path.write_text("db-1,192.0.2.77 ssh-ed25519 QUFBQQ==\n", encoding="utf-8")
    path.chmod(0o600)
    return path


def _hosts(known):
    """Whose keys are in the file."""
    return [line.split()[0] for line in known.read_text(encoding="utf-8").splitlines()]


def test_lying_guests_are_left_out_and_the_others_go_on(web, known):
    """One says another VM's address, one text for ssh, one a line for all hosts; one is honest."""
    guests = [
        {"name": "honest", "address": "192.0.2.11/24"},
        {"name": "thief", "userdata": _tells(_says("local-ipv4", "192.0.2.11"))},
        {"name": "odd", "userdata": _tells(_SAYS_ODD)},
        {"name": "many", "address": "192.0.2.12/24", "userdata": _tells(_BAD_KEY)},
        {"name": "other", "address": "192.0.2.13/24", "userdata": _tells(_says("local-ipv4", "192.0.2.77"))},
    ]
    asked = {**_ASKED, "guests": guests, "known_hosts": str(known), "group": "web", "user": "admin", "timeout": 40}
    ran = web.run("-v", **asked)
    assert ran.code == 0, ran.output
    assert ran.left["groups"]["web"] == ["honest"]
    refused = {entry["name"]: entry["error_code"] for entry in ran.left["reported"]["refused"]}
    assert refused == {
        "thief": "reported_address_refused",
        "odd": "reported_address_refused",
        "many": "host_key_refused",
        "other": "reported_address_refused",
    }
    assert _hosts(known) == ["db-1,192.0.2.77"] + ["192.0.2.11"] * 3
    assert " ".join(ran.output.split()).count("It is left out of the inventory.") == 4
    assert "{{ 2000000 + 22 }}" in ran.output
    assert "2000022" not in ran.output
    before = known.read_text(encoding="utf-8")
    failed = web.run(**{**asked, "on_refusal": "fail", "timeout": 20})
    assert failed.code == 2
    assert "thief reports the address" in failed.output
    assert (failed.left["groups"]["web"], known.read_text(encoding="utf-8")) == (["honest"], before)


def test_what_known_hosts_holds_for_somebody_else_stands_until_the_user_says_otherwise(web, known):
    known.write_text("192.0.2.11 ssh-ed25519 QUFBQQ==\n", encoding="utf-8")
    asked = {**_ASKED, "guests": [{"name": "web-1", "address": "192.0.2.11/24"}], "known_hosts": str(known)}
    ran = web.run(**asked)
    assert (ran.code, ran.left["reported"]["hosts"], _hosts(known)) == (0, [], ["192.0.2.11"])
    assert "known_hosts holds for another machine" in " ".join(ran.output.split())
    ran = web.run(**asked, replace_host_keys=True)
    assert ran.left["reported"]["hosts"] == [{"name": "web-1", "address": "192.0.2.11"}]
    assert "QUFBQQ==" not in known.read_text(encoding="utf-8")
    again = web.run(**asked)
    assert (again.left["reported"]["changed"], again.left["reported"]["refused"]) == (False, [])


def test_a_file_of_known_hosts_that_others_may_have_made_is_refused(web, known, tmp_path):
    elsewhere = tmp_path / "shared"
    elsewhere.mkdir()
    elsewhere.chmod(0o777)
    (elsewhere / "known_hosts").symlink_to(known)
    before = known.read_text(encoding="utf-8")
    asked = {**_ASKED, "guests": [{"name": "web-1", "address": "192.0.2.11/24"}]}
    ran = web.run(**asked, known_hosts=str(elsewhere / "known_hosts"))
    assert ran.code == 2
    assert "file_refused" in ran.output
    assert "CloneVM_Task" not in ran.calls
    assert known.read_text(encoding="utf-8") == before


@pytest.mark.parametrize("user", ["-oPort=1", "{{ 1 }}x"])
def test_a_user_that_ssh_would_take_for_an_option_is_refused_before_anything_is_made(web, user):
    ran = web.run(**_ASKED, user=user)
    assert ran.code == 2
    assert not [method for method in ran.calls if method.endswith("_Task")]


def test_a_file_of_known_hosts_that_cannot_be_written_is_reported_before_anything_is_made(web, tmp_path):
    ran = web.run(**_ASKED, known_hosts=str(tmp_path / "missing" / "known_hosts"))
    assert (ran.code, "there is no such folder" in ran.output, ran.calls) == (2, True, {})
