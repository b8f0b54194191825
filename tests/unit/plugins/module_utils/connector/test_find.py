# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Finding objects: what fits, what does not, and what it costs."""

from __future__ import annotations

import os
import signal
import threading
import time

import pytest

from ansible_collections.vforge.vsphere.plugins.module_utils import _signals
from ansible_collections.vforge.vsphere.plugins.module_utils._connector import faults, find, names, props
from ansible_collections.vforge.vsphere.plugins.module_utils._connector.find import Selector, find_vm, find_vms
from ansible_collections.vforge.vsphere.plugins.module_utils._connector.props import Row, read
from ansible_collections.vforge.vsphere.plugins.module_utils._connector.pyvmomi import vim
from ansible_collections.vforge.vsphere.plugins.module_utils._connector.session import Session
from ansible_collections.vforge.vsphere.plugins.module_utils._errors import (
    Ambiguous,
    Interrupted,
    InvalidOption,
    NotFound,
    NotSupported,
    VforgeError,
)
from ansible_collections.vforge.vsphere.tests.unit.plugins.module_utils.connector.support import make_vapp, options, session


@pytest.fixture
def known(shared_sim):
    with session(shared_sim) as opened:
        yield opened


def facts(known, ref):
    row = read(known, [ref], vim.VirtualMachine, ["name", "config.uuid", "config.instanceUuid"])[ref._GetMoId()]
    return row.values


def error_of(known, selector, datacenter=None, kind=NotFound):
    with pytest.raises(kind) as caught:
        find_vm(known, selector, datacenter)
    return caught.value


# What names a VM


@pytest.mark.parametrize("datacenter", [None, "DC0", "/DC0"])
def test_a_vm_is_found_in_every_way(known, datacenter):
    by_name = find_vm(known, Selector(name="golden-parent"), datacenter)
    told = facts(known, by_name)
    for selector in (
        Selector(path="/DC0/vm/golden-parent"),
        Selector(path="DC0/vm/golden-parent" if datacenter is None else "golden-parent"),
        Selector(name="golden-parent", folder="/DC0/vm"),
        Selector(uuid=told["config.uuid"]),
        Selector(uuid=told["config.uuid"].upper()),
        Selector(uuid=told["config.instanceUuid"], use_instance_uuid=True),
        Selector(moid=by_name._GetMoId()),
    ):
        if datacenter is None and selector.path and not selector.path.startswith("/"):
            continue
        assert find_vm(known, selector, datacenter)._GetMoId() == by_name._GetMoId(), selector


def test_a_bios_uuid_is_no_instance_uuid(known):
    told = facts(known, find_vm(known, Selector(name="golden-parent")))
    assert error_of(known, Selector(uuid=told["config.uuid"], use_instance_uuid=True)).error_code == "not_found"
    assert error_of(known, Selector(uuid=told["config.instanceUuid"])).error_code == "not_found"


@pytest.mark.parametrize(
    ("params", "said"),
    [
        ({}, "nothing"),
        ({"name": "a", "moid": "vm-1"}, "name and moid"),
        ({"name": "", "path": None}, "nothing"),
        ({"name": "a", "path": "/DC0/vm/a", "uuid": "x"}, "name and path and uuid"),
    ],
)
def test_a_vm_is_named_in_exactly_one_way(params, said):
    with pytest.raises(InvalidOption) as caught:
        Selector.from_params(params, "parent")
    assert f"parent is given by {said}" in str(caught.value)


def test_a_uuid_that_is_none_is_refused_before_any_call(known, shared_sim):
    shared_sim.reset_calls()
    assert "is not a UUID" in str(error_of(known, Selector(uuid="vm-42"), kind=InvalidOption))
    assert shared_sim.calls()["total"] == 0


@pytest.mark.parametrize("selector", [Selector(path="web/a"), Selector(name="a", folder="web")])
def test_a_relative_path_needs_a_datacenter(known, selector):
    assert "relative" in str(error_of(known, selector, kind=InvalidOption))


NAMES = ["find a/b", "find a%2fb", "find 100%", "find back\\slash", "find größe 東京", " find  spaces", "find '\"<&>"]


@pytest.mark.parametrize("name", NAMES)
def test_every_name_is_found(known, shared_sim, name):
    moid = shared_sim.create_vm(names.escape(name), folder="/DC0/vm")["moid"]
    kept = names.escape(name)
    assert facts(known, known.reference(vim.VirtualMachine, moid))["name"] == kept
    for selector in (
        Selector(name=kept),
        Selector(path=f"/DC0/vm/{kept}"),
        Selector(name=kept, folder="/DC0/vm"),
    ):
        assert find_vm(known, selector)._GetMoId() == moid, selector
    ref = known.reference(vim.VirtualMachine, moid)
    assert find.paths_of(known, [ref]) == {moid: f"/DC0/vm/{kept}"}


def test_a_selector_fits_the_vm_that_it_finds_and_no_other(make_sim):
    sim = make_sim("--vms", "0", "--parents", "0", "--datacenters", "2")
    sim.govc("folder.create", "/DC0/vm/prod", "/DC0/vm/a%2fb")
    for name in ("web", "web%2f1", "prod/web", "a%2fb/web"):
        folder, _slash, own = f"/DC0/vm/{name}".rpartition("/")
        sim.create_vm(own, folder=folder)
    sim.create_vm("web", folder="/DC1/vm")
    every = [Selector(path="/DC0/vm/prod/web/"), Selector(path="/DC0/vm/a%2Fb/web"), Selector(path="/DC1/vm/web")]
    every += [Selector(name="web", folder=folder) for folder in ("/DC0/vm", "/DC0/vm/a%2Fb/", "/DC1/vm")]
    every += [Selector(name="web/1"), Selector(name="web%2F1")]
    below = [Selector(path=path) for path in ("web", "web%2f1", "prod/web", "a%2Fb/web", "/DC0/vm/web")]
    below += [Selector(name="web", folder=folder) for folder in ("prod", "a%2fb/")]
    asked = [(each, None) for each in every] + [(each, "DC0") for each in below]
    asked += [(Selector(name="web"), "DC1"), (Selector(path="web"), "/DC1")]
    with session(sim) as known:
        refs = find_vms(known, [Selector(path=f"/DC0/vm/{end}") for end in ("web", "web%2f1", "prod/web", "a%2fb/web")])
        refs.append(find_vm(known, Selector(path="/DC1/vm/web")))
        paths = find.paths_of(known, refs)
        seen = {ref._GetMoId(): facts(known, ref) for ref in refs}
        for selector, datacenter in asked:
            fits = [
                moid
                for moid, path in paths.items()
                if selector.fits(name=seen[moid]["name"], path=path, moid=moid, uuid="", datacenter=datacenter)
            ]
            assert fits == [find_vm(known, selector, datacenter)._GetMoId()], (selector, datacenter)
        error_of(known, Selector(name="web/1"), "DC1")
        assert not Selector(name="web/1").fits(name="web/1", path="/DC0/vm/web%2f1", moid="", uuid="", datacenter="DC1")


UUID = "42000000-0000-0000-0000-00000000000a"


@pytest.mark.parametrize(
    ("selector", "datacenter", "fits"),
    [
        (Selector(uuid=f" {UUID.upper()} "), None, True),
        (Selector(moid="vm-7"), None, True),
        (Selector(moid="vm-8"), None, False),
        # A datacenter in a folder, and a folder that is called as VM folders are.
        (Selector(path="vm/web"), None, True),
        (Selector(path="web"), None, False),
        (Selector(path="vm/web"), "/Europe/100% Berlin", True),
        (Selector(name="web", folder="vm"), "100%25 Berlin", True),
        (Selector(path="vm/web"), "Berlin", False),
        (Selector(name="web"), "/Asia/100% Berlin", False),
        (Selector(path="/Europe/100% Berlin/vm/vm/web"), None, True),
        (Selector(path="/vm/web"), None, False),
    ],
)
def test_what_a_selector_fits_without_a_call(selector, datacenter, fits):
    path = "/Europe/100%25 Berlin/vm/vm/web"
    assert selector.fits(name="web", path=path, moid="vm-7", uuid=UUID, datacenter=datacenter) is fits


def test_what_is_read_of_a_list_has_errors_in_the_places_of_what_cannot_be_found_or_read(known):
    asked = [Selector(name="golden-parent"), Selector(name="nobody"), Selector(moid="vm-none")]
    moid = find_vm(known, asked[0])._GetMoId()

    def read_them(moids):
        assert moids == [moid, "vm-none"]
        return {moid: "it"}

    there, missing, unread = find.find_each(known, asked, None, read_them)
    assert there == "it"
    assert (missing.error_code, unread.error_code) == ("not_found", "not_found")
    assert "No readable VM with the moid vm-none exists." in str(unread)


@pytest.mark.parametrize(
    ("asked", "kind", "said"),
    [
        ([Selector(name="nobody")], NotFound, "nobody"),
        ([Selector(moid="vm-none")], NotFound, "No readable VM with the moid vm-none exists."),
        (
            [Selector(name="golden-parent"), Selector(path="/DC0/vm/golden-parent")],
            InvalidOption,
            "The list parents names the VM with the name golden-parent more than once.",
        ),
    ],
)
def test_the_error_of_the_only_one_of_a_list_is_raised_and_so_is_one_that_is_named_twice(known, asked, kind, said):
    with pytest.raises(kind) as caught:
        find.find_each(known, asked, None, lambda _moids: {}, "parents")
    assert said in str(caught.value)


def test_a_name_may_be_written_as_a_person_reads_it(known, shared_sim):
    moid = shared_sim.create_vm("read/this 100%", folder="/DC0/vm")["moid"]
    for spelling in ("read/this 100%", "read%2Fthis 100%", "read%2fthis 100%25"):
        assert find_vm(known, Selector(name=spelling))._GetMoId() == moid
        assert find_vm(known, Selector(name=spelling, folder="/DC0/vm"))._GetMoId() == moid


def test_a_path_that_is_returned_leads_back(known, shared_sim):
    """Two names that differ only in what is escaped must not be taken for each other."""
    slash = shared_sim.create_vm("path/back", folder="/DC0/vm")["moid"]
    literal = shared_sim.create_vm("path%252fback", folder="/DC0/vm")["moid"]
    refs = [known.reference(vim.VirtualMachine, moid) for moid in (slash, literal)]
    paths = find.paths_of(known, refs)
    assert paths == {slash: "/DC0/vm/path%2fback", literal: "/DC0/vm/path%252fback"}
    for moid, path in paths.items():
        assert find_vm(known, Selector(path=path))._GetMoId() == moid


# Scopes


def test_a_datacenter_narrows_the_search(make_sim):
    sim = make_sim("--datacenters", "2", "--vms", "4", "--parents", "0")
    with session(sim) as known:
        moids = {dc: sim.create_vm("twin", folder=f"/{dc}/vm", datacenter=dc)["moid"] for dc in ("DC0", "DC1")}
        error = error_of(known, Selector(name="twin"), kind=Ambiguous)
        assert error.details["matches"] == [f"/{dc}/vm/twin ({moid})" for dc, moid in moids.items()]
        assert "/DC0/vm/twin" in str(error)
        assert "/DC1/vm/twin" in str(error)
        for dc, moid in moids.items():
            for selector in (Selector(name="twin"), Selector(path="twin"), Selector(path=f"/{dc}/vm/twin")):
                assert find_vm(known, selector, dc)._GetMoId() == moid
            uuid = facts(known, known.reference(vim.VirtualMachine, moid))["config.instanceUuid"]
            by_uuid = Selector(uuid=uuid, use_instance_uuid=True)
            assert find_vm(known, by_uuid, dc)._GetMoId() == moid
            other = "DC1" if dc == "DC0" else "DC0"
            error = error_of(known, by_uuid, other)
            assert f"in datacenter /{other}" in str(error)
            # A whole path is looked for in the datacenter too.
            error_of(known, Selector(path=f"/{dc}/vm/twin"), other)


def test_of_rows_that_were_read_a_datacenter_is_chosen_as_it_is_found(make_sim):
    sim = make_sim("--vms", "0", "--parents", "0")
    wanted = {vim.Folder: ("name", "parent"), vim.Datacenter: ("name", "parent")}
    inwards = (props.Route("folder-children", vim.Folder, "childEntity", ("folder-children",)),)
    with session(sim) as known:
        root = known.content.rootFolder
        for region in ("Asia", "Europe"):
            root.CreateFolder(region).CreateDatacenter("Berlin")
        for name in ("Paris", "100%25 Paris", "R&D%2fEU"):
            root.CreateDatacenter(name)
        root.CreateFolder("Other").CreateDatacenter("Paris")
        rows = {row.moid: row for row in props.collect(known, [root], wanted, inwards)}

        def either(find, text):
            try:
                return find(text)
            except (Ambiguous, NotFound) as error:
                return type(error), error.message, error.hint, error.details

        for text in (
            "DC0",
            "/DC0/",
            "Paris",
            "/Other/Paris",
            "Other/Paris",
            "100% Paris",
            "/100%25 Paris",
            "R&D/EU",
            "R&D%2FEU",
            "/R&D%2fEU",
            "/R&D/EU",
            "Berlin",
            "Asia/Berlin",
            "Rome",
            "Europe",
            "/",
        ):
            found = either(lambda text: find.find_datacenter(known, text)._GetMoId(), text)
            assert either(lambda text: find.datacenter_in(rows, text), text) == found, text


def test_a_datacenter_in_a_folder_is_found_by_name_and_by_path(make_sim):
    sim = make_sim("--vms", "0", "--parents", "0")
    with session(sim) as known:
        region = known.content.rootFolder.CreateFolder("Europe")
        inner = region.CreateDatacenter("Berlin")
        assert find.find_datacenter(known, "Berlin") == inner
        assert find.find_datacenter(known, "/Europe/Berlin") == inner
        assert find.find_datacenter(known, "Europe/Berlin") == inner
        # A path below its VM folder needs the datacenter's own place.
        error = error_of(known, Selector(path="web/a"), "Berlin")
        assert error.details["searched"] == "datacenter /Europe/Berlin"
        known.content.rootFolder.CreateFolder("Asia").CreateDatacenter("Berlin")
        with pytest.raises(Ambiguous) as caught:
            find.find_datacenter(known, "Berlin")
        assert caught.value.details["matches"] == ["/Asia/Berlin", "/Europe/Berlin"]


def test_a_datacenter_that_is_not_there(known):
    error = error_of(known, Selector(name="golden-parent"), "DC7")
    assert "No datacenter DC7" in str(error)
    assert "There are: DC0" in error.hint


def test_a_folder_is_found_by_its_whole_path(known):
    assert find.find_folder(known, "/DC0/vm")._GetMoId() == find.find_folder(known, "DC0/vm/")._GetMoId()
    with pytest.raises(NotFound) as caught:
        find.find_folder(known, "/DC0/vm/nowhere")
    assert "/DC0/vm/nowhere" in str(caught.value)
    with pytest.raises(NotFound):
        find.find_folder(known, "/DC0/vm/golden-parent")


def test_what_is_no_vm_is_not_found_as_one(known):
    assert error_of(known, Selector(path="/DC0/vm")).error_code == "not_found"
    assert error_of(known, Selector(path="/DC0/host")).error_code == "not_found"


def test_a_vm_in_a_vapp_has_its_place_among_the_folders():
    """A VM in a vApp has no parent; a vApp's parent is a pool, and its place in the path is its parentFolder."""
    root, dc, folder = vim.Folder("group-d1"), vim.Datacenter("datacenter-2"), vim.Folder("group-v3")
    pool, outer, inner, vm = (
        vim.ResourcePool("resgroup-4"),
        vim.VirtualApp("v5"),
        vim.VirtualApp("v6"),
        vim.VirtualMachine("vm-7"),
    )
    rows = [
        Row(root, {"name": "Datacenters"}),
        Row(dc, {"name": "DC0", "parent": root}),
        Row(folder, {"name": "vm", "parent": dc}),
        Row(outer, {"name": "shop", "parent": pool, "parentFolder": folder}),
        Row(inner, {"name": "back%2foffice", "parent": outer}),
        Row(vm, {"name": "till", "parentVApp": inner}),
    ]
    known = {row.moid: row for row in rows}
    assert find.path_in(known, "vm-7") == "/DC0/vm/shop/back%2foffice/till"
    assert find.path_in(known, "group-d1") == "/"


# What is not there


def test_what_is_not_found_says_where_was_searched_and_what_is_near(known):
    error = error_of(known, Selector(name="golden-parnet"))
    assert error.as_result()["error_code"] == "not_found"
    assert "No VM with the name golden-parnet was found in the whole inventory." in str(error)
    assert error.details["nearest"][0] == "/DC0/vm/golden-parent"
    assert "Nearest names: /DC0/vm/golden-parent" in error.hint
    error = error_of(known, Selector(path="/DC0/vm/no/golden-parent"))
    assert error.details["nearest"][0] == "/DC0/vm/golden-parent"
    error = error_of(known, Selector(name="golden-parent", folder="/DC0/host"))
    assert "in folder /DC0/host" in str(error)


@pytest.mark.parametrize(
    ("selector", "said", "hint"),
    [
        (Selector(name="golden-parent "), "the name 'golden-parent ' was", "The name ends with a blank. Nearest names: /DC0"),
        (Selector(name=" golden-parent"), "the name ' golden-parent' was", "The name begins with a blank. Nearest names: /DC0"),
        (Selector(path="/DC0/vm/golden-parent "), "the path '/DC0/vm/golden-parent ' was", "The path ends with a blank. "),
        (Selector(name="a", folder="/DC0/vm "), "the name a in folder '/DC0/vm ' was", "The folder ends with a blank. "),
    ],
)
def test_a_blank_that_nobody_sees_is_said(known, selector, said, hint):
    error = error_of(known, selector)
    assert said in str(error)
    assert error.hint.startswith(hint)


def test_a_uuid_that_is_not_there_has_no_neighbours(known):
    error = error_of(known, Selector(uuid="00000000-0000-0000-0000-000000000000"))
    assert "BIOS UUID 00000000" in str(error)
    assert "spelling" in error.hint


# What it costs


@pytest.mark.parametrize(
    ("read", "calls", "dearer"),
    [
        (49, 1, False),
        (50, 1, True),  # so many names cost what a call does
        (500, 10, True),
        (500, 11, False),
        (2_500, 50, True),
        (2_500, 1_000, False),
        (50_000, 1_000, True),
        (500, 0, True),
    ],
)
def test_names_are_asked_for_one_by_one_where_to_read_on_would_cost_more(read, calls, dearer):
    assert find.is_dearer(read, calls) is dearer


@pytest.mark.parametrize(("calls", "objects"), [(1, 500), (10, 500), (12, 600), (50, 2_500), (1_000, 2_500)])
def test_the_first_page_is_just_large_enough_to_decide(calls, objects):
    assert find.page_for(calls) == objects
    assert objects == find.PAGE_OF_LITTLE or find.is_dearer(objects, calls)


def test_names_are_suggested_for_the_first_few_of_many_that_are_missing(known, monkeypatch):
    """Each suggestion takes a look at all names of the inventory: for a thousand of 10,000 these are minutes."""
    looked = []
    nearest = names.nearest
    monkeypatch.setattr(names, "nearest", lambda wanted, every: looked.append(wanted) or nearest(wanted, every))
    wanted = [Selector(name=f"golden-parent-{number}") for number in range(50)]
    errors = find.find_some(known, wanted)
    assert len(looked) == 10
    assert all(isinstance(error, NotFound) for error in errors)
    assert "Nearest names: /DC0/vm/golden-parent" in errors[0].hint
    assert errors[49].hint == "Check the spelling, and that this user may see the VM."
    assert "golden-parent-49" in errors[49].message


@pytest.mark.parametrize("vms", [10, 10_000])
def test_what_a_lookup_costs_does_not_depend_on_the_size_of_the_inventory(make_sim, vms):
    """Nor the bytes. To be asked for are the folder "vm" and two in it; in a small inventory all names come at once."""
    sim = make_sim("--vms", str(vms))
    with session(sim) as known:

        def cost(selector):
            sim.reset_calls()
            before = known.stats.received
            found = find_vm(known, selector)._GetMoId() if "parnet" not in str(selector) else error_of(known, selector)
            assert isinstance(found, str) or found.details["nearest"][0] == "/DC0/vm/golden-parent"
            calls = {method: count for method, count in sim.calls()["by_method"].items() if count}
            return calls, known.stats.received - before

        moid = find_vm(known, Selector(path="/DC0/vm/golden-parent"))._GetMoId()
        uuid = facts(known, known.reference(vim.VirtualMachine, moid))["config.uuid"]
        assert cost(Selector(moid=moid)) == ({}, 0)
        for selector, method in (
            (Selector(uuid=uuid), "FindAllByUuid"),
            (Selector(path="/DC0/vm/golden-parent"), "FindByInventoryPath"),
            (Selector(name="golden-parent", folder="/DC0/vm"), "FindByInventoryPath"),
        ):
            calls, received = cost(selector)
            assert calls == {method: 1}
            assert received < 1_000
        calls, received = cost(Selector(name="golden-parent"))
        by_name = {"RetrievePropertiesEx": 1} if vms == 10 else {"RetrievePropertiesEx": 3, "FindChild": 3}
        assert calls == by_name
        assert received < (5_000 if vms == 10 else 500 * 300)
        # A message that lists what is near is worth reading all names.
        pages = {} if vms == 10 else {"ContinueRetrievePropertiesEx": 4}
        calls, received = cost(Selector(path="/DC0/vm/golden-parnet"))
        assert calls == {"FindByInventoryPath": 1, "RetrievePropertiesEx": 2, **pages}
        assert received < 5_000 + vms * 300


def test_a_dozen_paths_of_a_large_inventory_take_one_page_and_a_call_each(make_sim):
    """One page shows that it would cost more to read on; no folder is read, since no name has to be looked for in all."""
    with session(make_sim("--vms", "1000")) as known:
        vms = find.find_vms(known, [Selector(name=f"server-{number:05}") for number in range(1, 13)], None)
        paths = find.paths_of(known, vms)
        before = known.stats.summary()["by_method"]
        found = find.find_some(known, [Selector(path=path) for path in paths.values()], None)
        assert [ref._GetMoId() for ref in found] == list(paths)
        after = known.stats.summary()["by_method"]
        made = {method: count - before.get(method, 0) for method, count in after.items()}
    assert {method: count for method, count in made.items() if count} == {"RetrievePropertiesEx": 1, "FindByInventoryPath": 12}


@pytest.fixture
def in_a_large_inventory(monkeypatch):
    """Any inventory counts as one that is too large to be read."""
    monkeypatch.setattr(find, "PAGE", 2)
    monkeypatch.setattr(find, "_OBJECTS_A_CALL", 0)
    monkeypatch.setattr(find, "PAGE_OF_LITTLE", 2)


def _answers(known, selectors, datacenter):
    """Of each selector the moid, or all that its error says."""
    found = find.find_some(known, selectors, datacenter)
    return [each.as_result() if isinstance(each, VforgeError) else each._GetMoId() for each in found]


@pytest.mark.parametrize("datacenter", [None, "DC0"])
def test_a_large_inventory_has_the_same_answers(make_sim, request, datacenter):
    """VMs and templates, names that are there twice, odd ones, other things of a name, and what is not there."""
    sim = make_sim("--datacenters", "2", "--vms", "8", "--parents", "1")
    for place in ("DC0/vm", "DC0/vm/DC0_F0", "DC1/vm"):
        sim.create_vm("twin", folder=f"/{place}", datacenter=place[:3])
    with session(sim) as known:
        alone = sim.create_vm("a template", folder="/DC0/vm", on=False)["moid"]
        beside = sim.create_vm("server-00001", folder="/DC0/vm/DC0_F1", on=False)["moid"]
        for moid in (alone, beside):
            known.reference(vim.VirtualMachine, moid).MarkAsTemplate()
        odd = sim.create_vm("slash%2f and 100%25", folder="/DC0/vm")["moid"]
        told = facts(known, known.reference(vim.VirtualMachine, odd))
        selectors = [
            *(Selector(name=name) for name in ("golden-parent", "twin", "a template", "server-00001", "server-00002")),
            *(Selector(name=name) for name in ("slash/ and 100%", "slash%2F and 100%25", "DC0_F0", "Golden-Parent")),
            *(Selector(path=path) for path in ("/DC0/vm/twin", "/DC1/vm/twin", "/DC0/vm/DC0_F0", "/DC0/vm/nothing")),
            Selector(name="twin", folder="/DC0/vm/DC0_F0"),
            Selector(uuid=told["config.uuid"]),
            Selector(uuid=told["config.instanceUuid"], use_instance_uuid=True),
            Selector(uuid=told["config.instanceUuid"]),
            Selector(uuid="no UUID"),
            Selector(path="relative"),
            Selector(moid=odd),
        ]
        small = [_answers(known, [each], datacenter) for each in selectors]
        assert _answers(known, selectors, datacenter) == [answer for (answer,) in small]
        request.getfixturevalue("in_a_large_inventory")
        assert [_answers(known, [each], datacenter) for each in selectors] == small
        assert _answers(known, selectors, datacenter) == [answer for (answer,) in small]
    ambiguous = [answer["matches"] for (answer,) in small if isinstance(answer, dict) and "matches" in answer]
    everywhere = 3 if datacenter is None else 2
    assert [len(matches) for matches in ambiguous] == [everywhere, 2]


def test_a_vm_in_a_vapp_is_found_by_its_name(make_sim):
    """vCenter has it in no folder, and the vApp in one. The simulator has it the other way round, so the vApp is given here."""
    sim = make_sim("--vms", "4", "--parents", "0")
    with session(sim) as known:
        vapp = make_vapp(known, "shop", "till")
        places = find._Places(known, find._EVERYWHERE)
        places.__dict__["_read"] = ([], [vapp])
        (till,) = read(known, [vapp], vim.VirtualApp, ("vm",))[vapp._GetMoId()].get("vm")
        assert places.having(["till", "server-00001"]) == {"till": [till], "server-00001": []}


@pytest.mark.usefixtures("in_a_large_inventory")
@pytest.mark.parametrize("datacenter", [None, "DC0"])
def test_a_path_that_the_search_index_does_not_know_is_one_all_the_same(known, monkeypatch, datacenter):
    """It need not look into vApps."""
    there, missing = Selector(path="/DC0/vm/server-00001"), Selector(path="/DC0/vm/none/server-00001")
    vm = find_vm(known, there)
    monkeypatch.setattr(find, "_question", lambda *_args: lambda: None)
    assert find_vm(known, there, datacenter) == vm
    found = find.find_some(known, [there, missing], datacenter)
    assert (found[0], type(found[1])) == (vm, NotFound)
    with pytest.raises(NotFound):
        find_vm(known, missing, datacenter)
    with pytest.raises(NotFound):
        find_vm(known, Selector(path="/DC1/vm/server-00001"), "DC0")


@pytest.mark.parametrize(
    ("selector", "vapps", "said"),
    [(Selector(name="till"), False, False), (Selector(name="till"), True, True), (Selector(moid="vm-9999"), True, False)],
)
def test_where_there_are_vapps_what_may_hide_in_one_is_said_of_names(selector, vapps, said):
    with pytest.raises(NotFound) as caught:
        find._exactly_one(find._Known(vapps=vapps), [], selector, find._EVERYWHERE)
    assert ("by uuid or moid" in caught.value.hint) is said


def test_a_uuid_that_nothing_has_costs_one_call(known, shared_sim):
    shared_sim.reset_calls()
    error_of(known, Selector(uuid="00000000-1111-2222-3333-444455556666"))
    assert shared_sim.calls()["by_method"] == {"FindAllByUuid": 1}


def test_a_datacenter_costs_one_call_more(known, shared_sim):
    shared_sim.reset_calls()
    find_vm(known, Selector(name="golden-parent"), "DC0")
    find_vm(known, Selector(path="golden-parent"), "DC0")
    assert shared_sim.calls()["by_method"] == {"FindByInventoryPath": 3, "RetrievePropertiesEx": 1}


# Many at once


@pytest.mark.parametrize("datacenter", [None, "DC0"])
def test_many_vms_named_in_every_way_cost_one_traversal(shared_sim, known, datacenter):
    refs = [find_vm(known, Selector(name=f"server-{n:05}")) for n in range(1, 6)]
    told = [facts(known, ref) for ref in refs]
    path = find.paths_of(known, refs[1:2])[refs[1]._GetMoId()]
    selectors = [
        Selector(name="server-00001"),
        Selector(path=path),
        Selector(uuid=told[2]["config.uuid"].upper()),
        Selector(uuid=told[3]["config.instanceUuid"], use_instance_uuid=True),
        Selector(moid=refs[4]._GetMoId()),
        Selector(name="golden-parent", folder="/DC0/vm"),
    ]
    shared_sim.reset_calls()
    found = find_vms(known, selectors, datacenter)
    calls = shared_sim.calls()["by_method"]
    assert [ref._GetMoId() for ref in found[:5]] == [ref._GetMoId() for ref in refs]
    assert facts(known, found[5])["name"] == "golden-parent"
    calls.pop("FindByInventoryPath", None)  # the datacenter
    assert calls == {"RetrievePropertiesEx": 1}


def test_one_of_many_that_fits_nothing_is_reported_as_if_it_were_alone(known):
    selectors = [Selector(name=f"server-{n:05}") for n in range(1, 6)]
    with pytest.raises(NotFound) as caught:
        find_vms(known, [*selectors, Selector(name="golden-parnt")])
    assert caught.value.details["nearest"] == ["/DC0/vm/golden-parent"]


def test_a_few_vms_cost_no_traversal(shared_sim, known):
    shared_sim.reset_calls()
    find_vms(known, [Selector(path="/DC0/vm/golden-parent")])
    assert shared_sim.calls()["by_method"] == {"FindByInventoryPath": 1}


def test_what_no_call_can_carry_is_refused(known):
    with pytest.raises(InvalidOption, match="cannot be sent"):
        read(known, [find_vm(known, Selector(moid="vm-\ud800"))], vim.VirtualMachine, ["name"])


@pytest.mark.parametrize("given", [{"moid": "vm\x00"}, {"name": "a\ud800"}, {"name": "web", "folder": "/DC0/\x07"}])
def test_a_selector_with_what_cannot_be_sent_is_refused_before_anything_is(given):
    with pytest.raises(InvalidOption, match="parent has a control character"):
        Selector.from_params(given, "parent")


def test_uuids_count_in_either_case_however_many_vms_are_named(known, monkeypatch):
    by_name = find_vm(known, Selector(name="golden-parent"))
    values = facts(known, by_name)
    original = props._row

    def in_capitals(content):
        for prop in content.propSet:
            if prop.name in ("config.uuid", "config.instanceUuid"):
                prop.val = prop.val.upper()
        return original(content)

    monkeypatch.setattr(props, "_row", in_capitals)
    wanted = [
        Selector(uuid=values["config.uuid"].upper()),
        Selector(uuid=values["config.instanceUuid"], use_instance_uuid=True),
    ]
    assert [ref._GetMoId() for ref in find_vms(known, wanted)] == [by_name._GetMoId()] * 2


def test_a_server_without_a_search_index_is_called_that(known):
    known.content.searchIndex = None
    error = error_of(known, Selector(path="/DC0/vm/golden-parent"), kind=NotSupported)
    assert "has no searchIndex" in str(error)


def test_a_signal_ends_questions_that_are_not_answered(make_sim):
    sim = make_sim("--vms", "0", "--parents", "0")
    with session(sim, connection_timeout=600) as known, _signals.as_interrupts():
        sim.inject(method="FindByInventoryPath", do="delay", times=0)
        sim.reset_calls()
        question = find._question(known, find._EVERYWHERE, (find._PATH, "/DC0"))
        strike = threading.Thread(
            target=lambda: sim.called("FindByInventoryPath", 3, within=120) and os.kill(os.getpid(), signal.SIGTERM)
        )
        strike.start()
        begun = time.monotonic()
        with pytest.raises(Interrupted):
            find.ask_each(known, [question] * 3)
        assert time.monotonic() - begun < 300
        strike.join()


class Numbered:
    """Fits what has its number."""

    def __init__(self, number):
        self.number = number

    def fits(self, thing):
        return thing == self.number

    def __str__(self):
        return f"disk {self.number}"


def test_one_of_several_things_is_chosen_or_those_that_there_are_or_fit_are_listed():
    def choose(*things):
        return find.choose(things, Numbered(1), "disk", "web-1", listed=lambda thing: f"number {thing}", hint="Say which.")

    assert choose(2, 1) == 1
    with pytest.raises(NotFound) as missing:
        choose(2, 3)
    assert (missing.value.message, missing.value.hint) == ("web-1 has no disk 1.", "There are: number 2, number 3.")
    with pytest.raises(NotFound, match="There are: none"):
        choose()
    with pytest.raises(Ambiguous) as several:
        choose(2, 1, 1)
    assert several.value.message == "2 disks of web-1 fit the disk 1: number 1, number 1."
    assert (several.value.hint, several.value.details["matches"]) == ("Say which.", ["number 1", "number 1"])


def test_a_uuid_is_taken_in_either_case_and_with_blanks_around_it():
    text = "4201ABCD-0000-1111-2222-333344445555"
    assert find.as_uuid(f" {text}\n", "uuid") == text.lower()
    for wrong in ("", "4201", text[:-1], f"{text}0", f"x{text}", text.replace("-", "")):
        with pytest.raises(InvalidOption, match="is not a UUID") as raised:
            find.as_uuid(wrong, "uuid", "web-1")
        assert raised.value.message.startswith("web-1: ")
        assert raised.value.details["option"] == "uuid"
    with pytest.raises(InvalidOption, match=r"^4201 is not a UUID"):
        find.as_uuid("4201", "uuid")


@pytest.mark.parametrize("params", [{}, {"parent": {"name": "a"}, "parents": []}, {"parent": {}}])
def test_a_list_of_vms_is_given_in_one_of_two_ways(params):
    with pytest.raises(InvalidOption, match="either parent, for one VM, or parents"):
        find.selectors(params)


def test_the_datacenter_is_the_only_one_or_has_to_be_named(make_sim):
    with session(make_sim("--vms", "0", "--parents", "0")) as known:
        assert find.datacenter_path(known, None) == "/DC0"
        assert find.datacenter_path(known, "DC0") == "/DC0"
        known.content.rootFolder.CreateDatacenter("DC1")
        with pytest.raises(Ambiguous) as raised:
            find.datacenter_path(known, None)
    assert raised.value.details["matches"] == ["DC0", "DC1"]
    assert raised.value.hint.endswith("There are: DC0, DC1.")


def test_what_cannot_be_named_by_its_path_keeps_its_moid_and_is_warned_of(make_sim):
    sim, warned = make_sim("--vms", "1", "--parents", "0"), []
    with Session(options(sim), warned.append) as known:
        folder = known.content.rootFolder
        error = faults.translate(vim.fault.NoPermission(object=folder, privilegeId="A.B"))
        sim.inject(method="RetrievePropertiesEx", do="fault", fault="InvalidState", times=0)
        find.name_subjects(known, [None, error])
        assert f"Folder {folder._GetMoId()}" in error.message
        assert ["could not be named by their paths" in each for each in warned] == [True]
        sim.clear()
        find.name_subjects(known, [None, InvalidOption("No."), error])
    assert "is missing on /" in error.message
    assert error.subject is None


@pytest.mark.parametrize(
    ("folders", "vapps", "wanted", "calls"), [(1, 0, 1, 2), (3, 0, 4, 13), (3, 2, 4, 14), (0, 0, 5, 1), (5, 1, 2, 12)]
)
def test_what_it_costs_to_ask_each_folder_for_each_name(folders, vapps, wanted, calls):
    places = find._Places(None, find._Scope())
    places.__dict__["_read"] = (["folder"] * folders, ["vapp"] * vapps)
    assert places.calls(wanted) == calls
