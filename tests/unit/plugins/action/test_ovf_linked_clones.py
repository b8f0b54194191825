# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The role ovf_linked_clones in playbooks: what it costs, how it fails, and what govc sees of it."""

from __future__ import annotations

import typing as t

import pytest

from ansible_collections.vforge.vsphere.tests.unit.plugins.action.plays import Played, Plays

_NAMES = ["web-1", "web-2", "web-3"]


class Web(Plays):
    """Plays the role for three clones web-# in a folder of their own; the template is tiny, beside that folder."""

    def __init__(self, sim: t.Any, folder: t.Any, ova: t.Any) -> None:
        super().__init__(sim, folder, "ovf_linked_clones", keep=("result", "cached"))
        self._asked = {
            "template": "tiny",
            "source": str(ova),
            "datacenter": "DC0",
            "cluster": "DC0_C0",
            "default_network": "VM Network",
            "folder": "DC0_F0",
            "clones": [{"name": name, "guestinfo": {"token": f"hidden-{name}"}} for name in _NAMES],
        }

    def start(self, *words: str, **given: t.Any) -> t.Any:
        """Start a play of what is asked, with differences."""
        return super().start(*words, **{**self._asked, **given})

    def seen(self) -> dict[str, dict[str, t.Any]]:
        """The clones, as govc reads them."""
        return self.vms("/DC0/vm/DC0_F0/web-*")

    def templates(self) -> dict[str, dict[str, t.Any]]:
        """The versions of the template, as govc reads them."""
        return self.vms("/DC0/vm/tiny*")


@pytest.fixture
def web(make_sim, tmp_path, tiny_ova):
    """The role against a simulator of its own."""
    return Web(make_sim("--vms", "2", "--clone-time", "1ms"), tmp_path, tiny_ova.ova)


def _extra(vm: dict[str, t.Any]) -> dict[str, str]:
    return {pair["key"]: pair["value"] for pair in vm["config"]["extraConfig"]}


def _base(vm: dict[str, t.Any]) -> str:
    """The folder in which the first disk of a VM begins."""
    files = {file["key"]: file["name"] for file in vm["layoutEx"]["file"]}
    return files[vm["layoutEx"]["disk"][0]["chain"][0]["fileKey"][0]].partition("] ")[2].partition("/")[0]


def _assert_nothing_done(ran: Played) -> None:
    assert ran.code == 0, ran.output
    assert [method for method in ran.calls if method.endswith("_Task")] == []


def test_clones_from_nothing_to_nothing(web):
    would = web.run("--check")
    assert would.code == 0, would.output
    assert "The template tiny would be made first, and then its clones: web-1, web-2, web-3" in would.output
    assert would.left["cached"]["changed"]
    assert (web.seen(), web.templates()) == ({}, {})

    made = web.run("-vvv")
    assert made.code == 0, made.output
    assert made.counts == {"created": 3}
    assert "hidden-" not in made.output
    assert made.left["groups"]["tiny"] == _NAMES
    [template] = web.templates().values()
    assert template["config"]["template"]
    for name, vm in web.seen().items():
        assert vm["runtime"]["powerState"] == "poweredOn"
        assert _extra(vm)["guestinfo.token"] == f"hidden-{name}"
        assert _extra(vm)["vforge.clone"] == f"{template['config']['instanceUuid']} {name}"
        assert _base(vm) == _base(template)

    again = web.run()
    _assert_nothing_done(again)
    assert again.counts == {"unchanged": 3}
    assert "Login" not in again.calls
    assert again.total == 18
    assert again.left["cached"]["transfer"]["read"] == 0


def test_what_a_killed_run_has_left_is_finished(web):
    web.kill_at("CloneVM_Task", 3, nth=3, parallel=1)
    again = web.run()
    assert again.code == 0, again.output
    assert again.counts["unchanged"] >= 2
    assert sorted(web.seen()) == _NAMES
    assert list(web.templates()) == ["tiny"]


def test_with_rollback_a_clone_that_fails_takes_the_others_along_but_not_the_template(web):
    web.sim.inject(method="CloneVM_Task", nth=2, do="task-fault", fault="InsufficientResourcesFault")
    ran = web.run(on_error="rollback", parallel=1)
    assert ran.code == 2
    assert ran.counts == {"failed": 1, "rolled_back": 2}
    assert web.seen() == {}
    assert list(web.templates()) == ["tiny"]


def test_another_vm_of_the_name_is_not_changed_and_the_others_are_made(web):
    web.sim.create_vm("web-2", folder="/DC0/vm/DC0_F0", on=False)
    before = web.seen()["web-2"]["self"]
    ran = web.run()
    assert ran.code == 2
    assert "did not clone holds the name" in ran.output
    assert ran.counts == {"created": 2, "failed": 1}
    assert web.seen()["web-2"]["self"] == before


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"clones": [{"name": "web-1"}, {"name": "web-2", "cpu": {"cores": 0}}]}, "cores"),
        ({"identity": "cloud_init", "clones": [{"name": "web-1", "memory": {"size_mb": -1}}]}, "size_mb"),
        ({"identity": "cloud_init", "clones": [{"name": "web-1", "userdata": "runcmd: ["}]}, "userdata"),
        ({"identity": "cloud_init", "clones": [{"name": "web-1", "guestinfo": {"a": "b"}}]}, "guestinfo and extra_config"),
        ({"batch_size": 0}, "must be 1 or more"),
    ],
)
def test_what_is_wrong_with_one_clone_shows_before_a_package_is_uploaded(web, given, words):
    ran = web.run(**given)
    assert ran.code != 0
    assert words in ran.output
    assert ran.calls == {}


def test_a_template_of_the_same_name_in_a_folder_below_is_another_one(web):
    """Its clones are not replaced, and it does not say where those of this one are."""
    web.sim.govc("folder.create", "/DC0/vm/archive")
    of_another = web.run(template_folder="archive", clones=[{"name": "web-1"}])
    assert of_another.code == 0, of_another.output
    theirs = web.seen()["web-1"]["self"]
    ran = web.run(outdated="replace")
    assert ran.code == 2
    assert "a clone of another parent" in " ".join(ran.output.split())
    assert ran.counts == {"failed": 1, "created": 2}
    assert web.seen()["web-1"]["self"] == theirs

    beside = web.run(folder="", clones=[{"name": "web-4"}])
    assert beside.code == 0, beside.output
    gone = web.run(folder="", clones=[{"name": "web-4"}], state="absent")
    assert gone.code == 0, gone.output
    assert web.vms("/DC0/vm/web-*") == {}


def test_without_the_template_nothing_is_removed_that_may_be_of_another_one(web):
    assert web.run(template="other", clones=[{"name": "web-1"}]).code == 0
    ran = web.run(state="absent", folder="/DC0/vm/DC0_F0")
    assert ran.code == 2
    assert "web-1 in /DC0/vm/DC0_F0 stays, since there is no template tiny" in " ".join(ran.output.split())
    assert list(web.seen()) == ["web-1"]
    again = web.run(state="absent", folder="/DC0/vm/DC0_F0", clones=[{"name": "web-2"}])
    assert again.code == 0, again.output


def test_a_template_stays_while_a_clone_of_another_folder_uses_it_that_has_the_name_of_one_that_went(web):
    one = {"clones": [{"name": "web-1"}]}
    for folder in ("DC0_F0", ""):
        assert web.run(folder=folder, **one).code == 0
    absent = {"state": "absent", "remove_template": True, **one}
    for words in (["--check"], []):
        ran = web.run(*words, **absent)
        assert ran.code == 2
        assert "its disks are used by web-1" in " ".join(ran.output.split())
    assert (web.seen(), list(web.templates())) == ({}, ["tiny"])
    would = web.run("--check", folder="", **absent)
    assert would.code == 0, would.output
    assert "/DC0/vm/tiny would be removed." in would.output
    assert "changed=3 " in would.output
    gone = web.run(folder="", **absent)
    assert gone.code == 0, gone.output
    assert "changed=3 " in gone.output
    assert web.templates() == {}


def test_clones_that_cloud_init_sets_up_stay_out_of_the_inventory_where_that_is_asked_for(web):
    given = {"identity": "cloud_init", "clones": [{"name": "web-1", "address": "10.9.8.5/24"}]}
    ran = web.run(add_to_inventory=False, others={"guest_cloud_init_gateway": "10.9.8.1"}, **given)
    assert ran.code == 0, ran.output
    assert "tiny" not in ran.left["groups"]
    assert ran.counts == {"created": 1}
