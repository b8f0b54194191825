# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is asked for: every rule on the options of a clone, before anything is connected."""

from __future__ import annotations

import json
import typing as t

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.vforge.vsphere.plugins.module_utils._clone.model import BIOS_UUID, CloneRequest, NicRequest, parse
from ansible_collections.vforge.vsphere.plugins.module_utils._errors import InvalidOption
from ansible_collections.vforge.vsphere.tests.unit.plugins.module_utils.clone.support import validated


def _one(**params: t.Any) -> CloneRequest:
    (request,) = parse(validated(**params))
    return request


def _refused(**params: t.Any) -> InvalidOption:
    with pytest.raises(InvalidOption) as caught:
        parse(validated(**params))
    return caught.value


def test_one_clone_has_its_options_at_the_top_level():
    request = _one(
        name="web-1",
        folder="web",
        resource_pool="blue",
        datastore="fast",
        networks=[{"index": 0, "network": "front", "mac": "00-50-56-AB-00-01", "connected": False}],
        guestinfo={"hostname": "web-1"},
        extra_config={"tools.x": 1},
        bios_uuid="4220D3A4-1f5e-0b3c-9a63-25cf6a1b9a01",
    )
    assert request == CloneRequest(
        name="web-1",
        folder="web",
        resource_pool="blue",
        datastore="fast",
        networks=(NicRequest(index=0, network="front", mac="00:50:56:ab:00:01", connected=False),),
        config={"guestinfo.hostname": "web-1", "tools.x": "1"},
        settings={BIOS_UUID: "4220d3a4-1f5e-0b3c-9a63-25cf6a1b9a01"},
    )


def test_items_take_what_they_leave_out_from_the_task():
    common = {"folder": "web", "resource_pool": "blue", "datastore": "fast", "networks": [{"index": 0, "network": "front"}]}
    own = {"folder": "db", "resource_pool": "red", "datastore": "slow", "networks": [{"index": 1}]}
    plain, special = parse(validated(clones=[{"name": "a"}, {"name": "b", **own}], **common))
    assert (plain.folder, plain.resource_pool, plain.datastore) == ("web", "blue", "fast")
    assert plain.networks == (NicRequest(index=0, network="front"),)
    assert (special.folder, special.resource_pool, special.datastore) == ("db", "red", "slow")
    assert special.networks == (NicRequest(index=1),)


def test_an_empty_text_is_not_set_and_an_empty_list_of_networks_is_none():
    (request,) = parse(validated(folder="web", networks=[{"index": 0}], clones=[{"name": "a", "folder": "", "networks": []}]))
    assert request.folder == "web"
    assert request.networks == ()


def test_keys_are_joined_and_the_items_own_come_first():
    (request,) = parse(
        validated(
            guestinfo={"role": "web", "site": "north"},
            extra_config={"x": "1"},
            clones=[{"name": "a", "guestinfo": {"guestinfo.role": "db"}, "extra_config": {"x": 2}}],
        )
    )
    assert request.config == {"guestinfo.role": "db", "guestinfo.site": "north", "x": "2"}


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("web", "web"),
        ("", ""),
        (1, "1"),
        (0, "0"),
        (1.5, "1.5"),
        (True, "TRUE"),
        (False, "FALSE"),
        (" a b ", " a b "),
        ("a\r\nb\rc\n", "a\nb\nc\n"),
        ("ä 中 😀", "ä 中 😀"),
    ],
)
def test_values_become_text(value, text):
    assert _one(name="a", guestinfo={"k": value}).config == {"guestinfo.k": text}


@pytest.mark.parametrize("given_as", [dict, json.dumps])
def test_a_mapping_and_its_json_text_are_one(given_as):
    assert _one(name="a", guestinfo=given_as({"k": "v", "n": 3})).config == {"guestinfo.k": "v", "guestinfo.n": "3"}


@pytest.mark.parametrize("nothing", [None, {}, "", "{}"])
def test_no_guestinfo(nothing):
    assert _one(name="a", guestinfo=nothing, extra_config=nothing).config == {}


def test_an_empty_list_of_clones_is_nothing_to_do():
    assert parse(validated(clones=[])) == []


@pytest.mark.parametrize(
    "params",
    [
        {},
        {"name": ""},
        {"name": None, "clones": None},
        {"name": "a", "clones": [{"name": "b"}]},
        {"name": "a", "clones": []},
    ],
)
def test_either_name_or_clones(params):
    error = _refused(**params)
    assert error.message == "Set either name, for one clone, or clones, for a list of them."


@pytest.mark.parametrize(
    ("clone", "option", "says"),
    [
        ({"name": " "}, "name", "1 to 80 characters"),
        ({"name": "x" * 81}, "name", "1 to 80 characters"),
        ({"name": "a\x07"}, "name", "control character"),
        ({"name": "a\nb"}, "name", "control character"),
        ({"bios_uuid": "4220d3a4"}, "bios_uuid", "4220d3a4 is not a UUID"),
        ({"bios_uuid": "42 20 d3 a4 1f 5e 0b 3c-9a 63 25 cf 6a 1b 9a 01"}, "bios_uuid", "is not a UUID"),
        ({"networks": [{}]}, "networks", "either label or index"),
        ({"networks": [{"label": ""}]}, "networks", "either label or index"),
        ({"networks": [{"label": "Network adapter 1", "index": 0}]}, "networks", "either label or index"),
        ({"networks": [{"index": 0, "mac": "00:50:56:01:02"}]}, "mac", "00:50:56:01:02 is not a MAC address"),
        ({"networks": [{"index": 0, "mac": "00:50:56:01:02:0g"}]}, "mac", "is not a MAC address"),
        ({"networks": [{"index": 0, "mac": "005056010203"}]}, "mac", "is not a MAC address"),
        ({"networks": [{"index": 0, "mac": "01:50:56:01:02:03"}]}, "mac", "no address of a single NIC"),
        ({"networks": [{"index": 0, "mac": "00:00:00:00:00:00"}]}, "mac", "no address of a single NIC"),
        ({"guestinfo": "[]"}, "guestinfo", "guestinfo is not a mapping"),
        ({"guestinfo": "web"}, "guestinfo", "guestinfo is not a mapping"),
        ({"guestinfo": {"k": None}}, "guestinfo", "guestinfo.k is neither text, number nor boolean"),
        ({"guestinfo": {"k": ["a"]}}, "guestinfo", "to_json"),
        ({"extra_config": {"k": {"a": 1}}}, "extra_config", "extra_config.k is neither"),
        ({"guestinfo": {"": "x"}}, "guestinfo", "a key that is empty"),
        ({"guestinfo": {"a\x00b": "x"}}, "guestinfo", "control character"),
        ({"guestinfo": {"k": "\x00"}}, "guestinfo", "guestinfo.k has a character"),
        ({"guestinfo": '{"k": "\\ud800"}'}, "guestinfo", "b64encode"),
        ({"guestinfo": {"k": "1", "guestinfo.k": "2"}}, "guestinfo", "the key guestinfo.k is given twice"),
        ({"guestinfo": {"k": "1"}, "extra_config": {"guestinfo.k": "1"}}, "extra_config", "given twice"),
        ({"extra_config": {"vforge.clone": "x"}}, "extra_config", "the key vforge.clone is the collection's own"),
        ({"extra_config": {"VForge.Clone": "x"}}, "extra_config", "the collection's own"),
    ],
)
@pytest.mark.parametrize("at", ["top level", "item"])
def test_what_is_refused(clone, option, says, at):
    given_clone = {"name": "web-1", **clone}
    error = _refused(**given_clone) if at == "top level" else _refused(clones=[{"name": "fine"}, given_clone])
    assert says in str(error)
    assert error.as_result()["option"] == option
    assert error.as_result()["error_code"] == "invalid_option"


def test_a_bios_uuid_belongs_to_one_clone():
    assert "belongs to one clone" in str(
        _refused(bios_uuid="4220d3a4-1f5e-0b3c-9a63-25cf6a1b9a01", clones=[{"name": "a"}, {"name": "b"}])
    )


@pytest.mark.parametrize(
    "clones",
    [
        [{"name": "a"}, {"name": "b"}, {"name": "a"}],
        [{"name": "a/b"}, {"name": "a%2fb"}],
        [{"name": "a%2Fb"}, {"name": "a%2fb"}],
        [{"name": "a", "folder": "web"}, {"name": "a", "folder": "web"}],
    ],
)
def test_a_name_twice_in_a_folder_is_refused(clones):
    error = _refused(clones=clones)
    assert "more than once in the same folder" in error.message
    assert error.details["option"] == "clones"


def test_the_same_name_in_two_folders_is_fine():
    assert len(parse(validated(clones=[{"name": "a", "folder": "web"}, {"name": "a", "folder": "db"}]))) == 2


@pytest.mark.parametrize(
    ("params", "option"),
    [
        ({"networks": [{"index": 0, "mac": "00:50:56:01:02:03"}], "clones": [{"name": "a"}, {"name": "b"}]}, "networks"),
        (
            {
                "clones": [
                    {"name": "a", "networks": [{"index": 0, "mac": "00:50:56:01:02:0a"}]},
                    {"name": "b", "networks": [{"index": 1, "mac": "00-50-56-01-02-0A"}]},
                ]
            },
            "networks",
        ),
        (
            {"clones": [{"name": name, "bios_uuid": "4220d3a4-1f5e-0b3c-9a63-25cf6a1b9a01"} for name in ("a", "b")]},
            "bios_uuid",
        ),
    ],
)
def test_an_identity_for_two_is_refused(params, option):
    error = _refused(**params)
    assert "to 2 NICs or VMs" in error.message
    assert error.details["option"] == option


_SECRETS = st.text(min_size=12, max_size=40).map(lambda text: f"s3cret-{text}")
_BAD_VALUES = st.one_of(
    st.lists(_SECRETS, min_size=1),
    st.dictionaries(_SECRETS, _SECRETS, min_size=1),
    _SECRETS.map(lambda text: text + "\x00"),
)


@given(value=_BAD_VALUES, as_text=st.booleans(), option=st.sampled_from(["guestinfo", "extra_config"]))
@settings(deadline=None)
def test_no_message_quotes_a_value(value, as_text, option):
    mapping = {"key": value}
    error = _refused(name="web-1", **{option: json.dumps(mapping) if as_text else mapping})
    assert "s3cret" not in json.dumps(error.as_result(), ensure_ascii=False)
    assert "s3cret" not in repr(error)


@given(text=_SECRETS.filter(lambda text: not text.startswith("{")))
@settings(deadline=None)
def test_no_message_quotes_a_text_that_is_no_mapping(text):
    assert "s3cret" not in json.dumps(_refused(name="web-1", guestinfo=text).as_result())


@given(value=_SECRETS.filter(lambda text: text.isprintable()))
@settings(deadline=None)
def test_a_request_does_not_show_its_values(value):
    request = _one(name="web-1", guestinfo={"k": value})
    assert request.config == {"guestinfo.k": value}
    assert "s3cret" not in repr(request)
