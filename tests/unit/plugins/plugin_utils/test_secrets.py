# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Secrets of a task's arguments: each mapping becomes one text, so that nothing else is starred out."""

from __future__ import annotations

import contextlib
import copy
import json
import types

import pytest
from ansible.module_utils.common.parameters import remove_values
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.vforge.vsphere.plugins.module_utils import _errors, _secrets
from ansible_collections.vforge.vsphere.plugins.module_utils._connector.options import ConnectionOptions
from ansible_collections.vforge.vsphere.plugins.plugin_utils.secrets import sealed, sealed_texts

_SECRET = ("guestinfo", "extra_config")


def test_mappings_become_text_at_the_top_and_in_lists():
    args = {
        "guestinfo": {"a": "1"},
        "parent": {"name": "golden"},
        "clones": [{"name": "web", "guestinfo": {"b": True}, "networks": [{"index": 0}]}, {"name": "db"}],
    }
    assert sealed(args, _SECRET, ("clones",)) == {
        "guestinfo": '{"a": "1"}',
        "parent": {"name": "golden"},
        "clones": [{"name": "web", "guestinfo": '{"b": true}', "networks": [{"index": 0}]}, {"name": "db"}],
    }
    assert args["guestinfo"] == {"a": "1"}, "the arguments that Ansible keeps are left alone"


@pytest.mark.parametrize("value", [None, "", "text", '{"a": 1}', {}, [], ["a"], 5, True])
def test_what_is_no_mapping_or_empty_stays(value):
    assert sealed({"guestinfo": value}, _SECRET) == {"guestinfo": value}


@pytest.mark.parametrize("clones", [None, "text", {"name": "a"}, ["text", None, 5]])
def test_what_is_no_list_of_mappings_stays(clones):
    assert sealed({"clones": clones}, _SECRET, ("clones",)) == {"clones": clones}


def test_keys_and_values_of_any_type():
    args = {"guestinfo": {1: "a", "b": 2.5, None: object}}
    assert json.loads(sealed(args, _SECRET)["guestinfo"]).keys() == {"1", "b", "null"}


@given(st.dictionaries(st.text(), st.one_of(st.text(), st.integers(), st.booleans()), min_size=1))
def test_the_text_means_the_same(mapping):
    assert json.loads(sealed({"guestinfo": mapping}, _SECRET)["guestinfo"]) == mapping


def test_ansible_then_hides_the_text_and_no_word_of_it():
    secret = sealed({"guestinfo": {"role": "web", "count": 1, "password": "hunter2"}}, _SECRET)["guestinfo"]
    told = {"name": "web-1", "count": 1, "said": f"guestinfo is {secret}"}
    shown = remove_values(told, {secret})
    assert (shown["name"], shown["count"]) == ("web-1", 1)
    assert "hunter2" not in shown["said"]


def test_texts_are_sealed_at_every_depth():
    args = {
        "username": "me",
        "password": "wrong",
        "guest_password": "",
        "clones": [{"name": "a", "customize": {"windows": {"admin_password": "web", "run_once": ["web"]}}}],
    }
    before = copy.deepcopy(args)
    done = sealed_texts(args)
    assert args == before, "the arguments that Ansible keeps are left alone"
    assert (done["username"], done["guest_password"]) == ("me", "")
    assert remove_values(str(done), {"'wrong'", "'web'"}) == str(done)
    assert _secrets.unsealed(done) == args
    assert sealed_texts(done) == done


@pytest.mark.parametrize("value", [None, 5, True, [5], {"a": 1}])
def test_a_secret_that_is_no_text_stays_for_the_module_to_refuse(value):
    assert sealed_texts({"password": value}) == {"password": value}


@pytest.mark.parametrize(
    ("address", "bare", "parts"),
    [
        ("/srv/images/web.ova?really=1", "/srv/images/web.ova?really=1", {}),
        ("file:///srv/web.ova", "file:///srv/web.ova", {}),
        ("https://images.example/web.ova", "https://images.example/web.ova", {}),
        ("https://images.example:8443/a@b/web.ova", "https://images.example:8443/a@b/web.ova", {}),
        ("https://h/web.ova?X-Amz-Signature=0f%2Fa&x", "https://h/web.ova", {"source_query": "X-Amz-Signature=0f%2Fa&x"}),
        ("https://me:p%40ss@h/web.ova#part", "https://h/web.ova", {"source_username": "me", "source_password": "p@ss"}),
        ("https://token@h/web.ova", "https://h/web.ova", {"source_username": "token"}),
        ("https://me:p@ss@h/web.ova", "https://h/web.ova", {"source_username": "me", "source_password": "p@ss"}),
        ("HTTP://me:pass@[foo", "HTTP://[foo", {"source_username": "me", "source_password": "pass"}),
        ("https://h?sig=1", "https://h", {"source_query": "sig=1"}),
    ],
)
def test_an_address_is_freed_of_its_secrets(address, bare, parts):
    done = _secrets.moved_out_of_address({"source": address, "name": "web"})
    assert done == {"source": bare, "name": "web", **parts}
    assert _secrets.moved_out_of_address(done) == done
    shown = sealed_texts({"source": address, "name": "web"}, address=True)
    assert shown["source"] == bare
    assert _secrets.unsealed(shown) == done


def test_what_is_set_beside_an_address_counts():
    args = {"source": "https://me:pass@h/x?a=1", "source_username": "you", "source_query": "b=2"}
    done = _secrets.moved_out_of_address(args)
    assert (done["source_username"], done["source_password"], done["source_query"]) == ("you", "pass", "a=1&b=2")


class _Module:
    """What ``parameters`` needs of an AnsibleModule."""

    def __init__(self, **params):
        self.params = {"source_query": None, **params}
        self.no_log_values = set()

    def shown(self, result):
        """What Ansible makes of a result."""
        return remove_values({**result, "invocation": self.params}, self.no_log_values)


def test_what_a_module_shows_of_an_address_and_of_headers():
    address = "https://me:hunter-two@h/web.ova?X-Amz-Signature=0f%2Fa7b31c&token=a+b+c+d+e&expires=60"
    module = _Module(source=address, source_headers='{"Authorization": "Bearer abc.123.def"}')
    meant = _secrets.parameters(module)
    assert (meant["source"], meant["source_username"], meant["source_password"]) == ("https://h/web.ova", "me", "hunter-two")
    quoted = "The host says: 401 hunter-two 0f%2Fa7b31c 0f/a7b31c a+b+c+d+e a b c d e abc.123.def 60"
    told = module.shown({"msg": quoted})
    assert told["msg"] == "The host says: 401 ******** ******** ******** ******** ******** ******** 60"
    text = json.dumps(told["invocation"] | {"source_headers": None})
    for secret in ("hunter-two", "0f%2Fa7b31c", "a+b+c", '"me"'):
        assert secret not in text


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("vc.example", "vc.example"),
        ("https://vc.example/sdk", "https://vc.example/sdk"),
        ("http://me:hunter-two@proxy:3128", "http://@proxy:3128"),
        ("me:hunter-two@vc.example", "@vc.example"),
        ("http://me:hunter@two@proxy", "http://@proxy"),
    ],
)
@pytest.mark.parametrize("option", ["hostname", "proxy_host"])
def test_a_url_in_the_place_of_a_host_is_shown_without_its_user(option, given, kept):
    module = _Module(**{option: given})
    meant = _secrets.parameters(module)
    assert (meant[option], module.params[option]) == (kept, kept)
    # It is refused all the same where it was none of a host.
    params = {"hostname": "vc.example", "username": "u", "password": "p", "proxy_port": 3128, "proxy_host": "proxy", **meant}
    with pytest.raises(_errors.InvalidOption, match="is a URL or a path") if kept != "vc.example" else contextlib.nullcontext():
        ConnectionOptions.from_params(params)


def _codes():
    """Names that other programs compare: codes, and names of faults."""
    yield from (kind.error_code for kind in vars(_errors).values() if hasattr(kind, "error_code"))
    yield from ("wrong_credentials", "host_certificate_unknown", "DuplicateName", "InvalidLogin", "created", "poweredOn")


@given(st.data())
def test_no_password_alters_a_code(data):
    code = data.draw(st.sampled_from(sorted(_codes())))
    first = data.draw(st.integers(0, len(code) - 1))
    password = code[first : data.draw(st.integers(first + 1, len(code)))]
    module = _Module(password=_secrets.sealed(password))
    module.no_log_values = {module.params["password"]}
    assert _secrets.parameters(module)["password"] == password
    told = module.shown({"error_code": code, "actions": [code], code: 1})
    assert (told["error_code"], told["actions"], told[code]) == (code, [code], 1)
    assert told["invocation"]["password"].startswith("VALUE_SPECIFIED")


def test_a_script_of_one_word_is_not_looked_for_either():
    module = _Module(before_freeze="sync\n", on_wake=["true\n", "echo hunter-two\n"])
    module.no_log_values = {"sync\n", "true\n"}
    assert _secrets.parameters(module)["before_freeze"] == "sync\n"
    assert not {"sync\n", "true\n"} & module.no_log_values
    assert "echo hunter-two\n" in module.no_log_values


def test_ansible_looks_for_what_it_is_to_look_for():
    """From ansible-core 2.22 on it has a list of its own, of which no_log_values is no part."""
    masking = pytest.importorskip("ansible.module_utils.secrets", reason="before ansible-core 2.22 there is no such list")
    _secrets.parameters(_Module(password="Tr0ub4dor-&-3", guest_password="quagga"))  # noqa: S106
    assert masking.mask_secrets("quagga says Tr0ub4dor-&-3") == "quagga says $REDACTED$"


@given(st.text(st.characters(codec="ascii", exclude_characters="*"), min_size=8, max_size=40))
def test_a_password_that_is_no_word_is_starred_out_wherever_it_is(password):
    module = _Module(password=password)
    _secrets.parameters(module)
    told = module.shown({"msg": f"The guest says: {password}!"})
    if _secrets.is_distinct(password):
        assert password not in told["msg"]
    assert told["invocation"]["password"] != password


def _many(count=_secrets._FEW + 1):
    return {json.dumps({"hostname": f"web-{number}"}) for number in range(count)}


def _shown(module, result):
    """What Ansible shows of a result."""
    return remove_values({**result, "invocation": module.params}, module.no_log_values)


@pytest.mark.parametrize("count", [1, _secrets._FEW, _secrets._FEW + 1, 3 * _secrets._FEW])
@pytest.mark.parametrize("others", [set(), {"hunter-two"}, {"with {brace"}])
def test_many_mappings_are_hidden_as_ansible_would(count, others):
    secrets = _many(count)
    one, *_more = sorted(secrets)
    result = {
        "changed": True,
        "whole": one,
        "within": [f"It is {one}{one}, by hunter-two, with {{brace.", "{}", "web-0", 7, None],
        "deeper": {one: ({"a": one},)},
    }
    params = {"clones": [{"name": "web-0", "guestinfo": each} for each in sorted(secrets)], "password": "hunter-two"}
    usual = types.SimpleNamespace(params=params, no_log_values={*secrets, *others})
    ours = types.SimpleNamespace(params=params, no_log_values={*secrets, *others})
    assert _shown(ours, _secrets.hide_documents(ours, result)) == _shown(usual, result)
    assert others <= ours.no_log_values
    # What takes long is left out: to look for each in all texts.
    assert (ours.no_log_values == others) == (count > _secrets._FEW and "with {brace" not in others)


def test_a_warning_has_no_mapping_that_is_a_secret():
    one, *_more = secrets = sorted(_many(3))
    module = types.SimpleNamespace(params={}, no_log_values={*secrets, "hunter-two"})
    assert _secrets.without_documents(module, f"{one} is odd, as hunter-two is.") == "******** is odd, as hunter-two is."
    assert _secrets.without_documents(module, "Nothing is odd.") == "Nothing is odd."
