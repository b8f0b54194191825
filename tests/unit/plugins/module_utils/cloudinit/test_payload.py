# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is given becomes what is delivered, or is refused with its place."""

from __future__ import annotations

import datetime
import email
import json
import sys

import pytest
import yaml

from ansible_collections.vforge.vsphere.plugins.module_utils._cloudinit import bundle, multipart, payload, report_script
from ansible_collections.vforge.vsphere.plugins.module_utils._cloudinit.networks import Card
from ansible_collections.vforge.vsphere.plugins.module_utils._errors import InvalidOption
from ansible_collections.vforge.vsphere.plugins.modules import cloud_init_guestinfo, guest_documents, reported_hosts
from ansible_collections.vforge.vsphere.tests.unit.plugins.module_utils.cloudinit.running import options

STATIC = {
    "ethernets": {
        "nics": {
            "match": {"name": "e*"},
            "addresses": ["10.0.0.5/24", "fd00::5/64"],
            "routes": [{"to": "0.0.0.0/0", "via": "10.0.0.1"}],
            "nameservers": {"addresses": ["10.0.0.2"], "search": ["example.test"]},
        }
    }
}


def data(**given):
    return payload.build({}, given, "VM", mend=False, report=False)


def refused(**given):
    with pytest.raises(InvalidOption) as caught:
        options(**given)
    return caught.value


# Metadata


def test_underscores_become_cloud_inits_spelling():
    made = data(metadata={"instance_id": 7, "local_hostname": "web-1", "wait_on_network": {"ipv4": True}, "role": "web"})
    assert json.loads(made.metadata.text("")) == {
        "instance-id": "7",
        "local-hostname": "web-1",
        "wait-on-network": {"ipv4": True},
        "role": "web",
    }


def test_items_are_merged_over_what_is_common():
    made = payload.build(
        {"metadata": {"local_hostname": "web-1"}},
        {"metadata": json.dumps({"role": "web", "local-hostname": "nobody"}), "userdata": "#!/bin/sh"},
        "VM",
        mend=False,
        report=False,
    )
    assert made.metadata.mapping == {"instance-id": "auto", "role": "web", "local-hostname": "web-1"}
    assert made.userdata == "#!/bin/sh"


def test_raw_metadata_are_delivered_as_they_are():
    text = "instance-id: i-1\nlocal-hostname: web-1\nredact: userdata\n"
    made = data(metadata=text)
    assert made.metadata.text("ignored") == text
    assert (made.metadata.instance_id, made.metadata.redact) == ("i-1", ("userdata",))


def test_a_raw_network_is_packed_with_its_encoding():
    made = json.loads(data(metadata={"instance_id": "i", "network": "version: 2\n"}).metadata.text(""))
    assert made["network.encoding"] == "base64"
    assert made["network"] == "dmVyc2lvbjogMgo="


@pytest.mark.parametrize("network", [STATIC, {"network": {**STATIC, "version": 2}}])
def test_a_network_is_delivered_in_cloud_inits_form(network):
    assert json.loads(data(metadata={"network": network}).metadata.text("i"))["network"] == {**STATIC, "version": 2}


@pytest.mark.parametrize("network", [{"config": "disabled"}, {"network": {"config": "disabled"}}, "config: disabled\n"])
def test_a_network_that_is_to_be_left_alone_needs_no_version(network):
    made = data(metadata={"network": network}).metadata
    assert (made.network_given, made.warnings) == ({"config": "disabled"}, ())
    assert data(metadata=json.dumps({"network": {"config": "disabled"}})).warnings == ()


def test_keys_without_a_value_are_left_out_of_a_network_and_refused_in_a_text():
    network = {"ethernets": {"n": {"dhcp4": True, "routes": None, "match": {"driver": None}}}, "vlans": None}
    kept = {"version": 2, "ethernets": {"n": {"dhcp4": True, "match": {}}}}
    assert data(metadata={"network": network}).metadata.network_given == kept
    error = refused(metadata={"network": "version: 2\nethernets: {n: {nameservers: {search: }}}\n"})
    assert "metadata.network.ethernets.n.nameservers.search has no value" in error.message
    assert "ethernets.n is no mapping" in refused(metadata={"network": {"ethernets": {"n": None}}}).message
    listed = "version: 1\nconfig: [{type: physical, name: n, subnets: }]\n"
    assert "metadata.network.config[0].subnets has no value" in refused(metadata={"network": listed}).message


def test_data_that_the_old_name_of_redact_asks_for_are_overwritten_as_well():
    made = data(metadata={"cleanup_guestinfo": ["userdata"]}).metadata
    assert made.redact == ("userdata",)
    assert json.loads(made.text("i"))["cleanup-guestinfo"] == ["userdata"]


def test_json_is_read_before_yaml_as_cloud_init_does():
    text = '{\n\t"instance-id": "i-1",\n\t"network": {"version": 2}\n}\n'
    sealed = json.dumps(text)  # as the action plugin passes a text on
    assert data(metadata=sealed).metadata.text("ignored") == text


def test_redacting_metadata_is_warned_of():
    assert "new SSH host keys" in data(metadata={"redact": ["metadata"]}).warnings[0]
    assert data(metadata={"redact": ["userdata"]}).warnings == ()


NIC = "metadata.network.ethernets.n"


@pytest.mark.parametrize(
    ("network", "place"),
    [
        ({"version": 3}, "metadata.network.version"),
        ({"ethernet": {}}, "metadata.network.ethernet"),
        ({"ethernets": []}, "metadata.network.ethernets"),
        ({"ethernets": {"n": "dhcp"}}, NIC),
        ({"ethernets": {"n": {"dhcp4": "yes"}}}, f"{NIC}.dhcp4"),
        ({"ethernets": {"n": {"addresses": "10.0.0.5/24"}}}, f"{NIC}.addresses"),
        ({"ethernets": {"n": {"addresses": ["10.0.0.5"]}}}, f"{NIC}.addresses[0]"),
        ({"ethernets": {"n": {"addresses": ["10.0.0.5/24", "10.0.0.256/24"]}}}, f"{NIC}.addresses[1]"),
        ({"ethernets": {"n": {"routes": [{"via": "10.0.0.1"}]}}}, f"{NIC}.routes[0]"),
        ({"ethernets": {"n": {"routes": [{"to": "0.0.0.0/0", "via": "gw"}]}}}, f"{NIC}.routes[0].via"),
        ({"ethernets": {"n": {"routes": [{"to": "all", "via": "10.0.0.1"}]}}}, f"{NIC}.routes[0].to"),
        ({"ethernets": {"n": {"nameservers": ["10.0.0.2"]}}}, f"{NIC}.nameservers"),
        ({"ethernets": {"n": {"nameservers": {"addresses": ["ns"]}}}}, f"{NIC}.nameservers.addresses[0]"),
        ({"ethernets": {"n": {"gateway4": "none"}}}, f"{NIC}.gateway4"),
        ({"bonds": {"b": {}}}, "metadata.network.bonds.b"),
        ({"vlans": {"v": {"id": 5}}}, "metadata.network.vlans.v"),
        ({"vlans": {"v": {"link": "n"}}}, "metadata.network.vlans.v"),
        ({"bonds": {"b": {"interfaces": [], "parameters": ["mode"]}}}, "bonds.b.parameters"),
        ({"bonds": {"b": {"interfaces": [], "parameters": {"bond-miimon": 9}}}}, "bonds.b.parameters.bond-miimon"),
        ({"bonds": {"b": {"interfaces": [], "parameters": {"lacp_rate": "fast"}}}}, "bonds.b.parameters.lacp_rate"),
        ({"bonds": {"b": {"interfaces": [], "parameters": {"arp-ip-target": 9}}}}, "bonds.b.parameters.arp-ip-target"),
        ({"bridges": {"b": {"interfaces": [], "parameters": {"bridge_stp": False}}}}, "bridges.b.parameters.bridge_stp"),
    ],
)
def test_a_wrong_network_is_refused_with_its_path(network, place):
    error = refused(metadata={"network": network})
    assert error.details["path"].endswith(place)
    assert error.message.startswith("VM with the name web-1: ")


@pytest.mark.parametrize(
    ("device", "word"),
    [({"gateway4": "10.0.0.1"}, "0.0.0.0/0"), ({"routes": [{"to": "default", "via": "10.0.0.1"}]}, "older releases")],
)
def test_what_some_releases_do_not_take_is_warned_of(device, word):
    assert word in data(metadata={"network": {"ethernets": {"n": device}}}).warnings[0]


@pytest.mark.parametrize(
    ("kind", "parameters", "word"),
    [
        ("bonds", {"mode": "802.3ad", "mii-monitor-interval": 100, "gratuitious-arp": 1}, None),
        ("bonds", {"mode": "active-backup", "resend-igmp": 1}, "resend-igmp is for netplan alone"),
        ("bonds", {"new-in-2030": 1}, "new-in-2030 is no parameter that cloud-init knows"),
        ("bridges", {"stp": False, "forward-delay": 0}, None),
        ("bridges", None, None),
    ],
)
def test_parameters_of_which_some_guests_make_no_network_are_warned_of(kind, parameters, word):
    made = data(metadata={"network": {"ethernets": {"n": {}}, kind: {"b": {"interfaces": ["n"], "parameters": parameters}}}})
    assert [word in warning for warning in made.warnings] == ([True] if word else [])


@pytest.mark.parametrize("name", [None, "card"])
def test_a_card_that_is_not_renamed_is_no_trap_for_a_vlan(name):
    card = {"match": {"macaddress": "00:50:56:01:02:03"}, "set-name": name}
    network = {"ethernets": {"card": card}, "vlans": {"v": {"id": 5, "link": "card"}}}
    assert data(metadata={"network": network}).warnings == ()


# User data


def test_a_mapping_is_cloud_config_that_any_yaml_parser_reads():
    config = {"runcmd": [["echo", "\u2028\x85\ufeff\U0001f600"]], "a": {"2": True}}
    text = data(userdata=config).userdata
    assert text.startswith("#cloud-config\n")
    assert yaml.safe_load(text) == config
    assert text == data(userdata=dict(reversed(config.items()))).userdata


@pytest.mark.parametrize("before", ["---\n", "\ufeff", "\n---\n", "---\n\n"])
def test_a_late_header_is_reported_and_mended_on_request(before):
    text = f"{before}#cloud-config\npackages: [nginx]\n"
    error = refused(userdata=text)
    assert "ignore" in error.message
    assert "mend_header" in error.hint
    mended = options(userdata=text, mend_header=True).requests[0].data.userdata
    assert mended == "#cloud-config\npackages: [nginx]\n"


@pytest.mark.parametrize("before", ["\n", "  ", "\n\n\t"])
@pytest.mark.parametrize("text", ["#cloud-config\na: 1\n", "#include\nhttps://example.test/x\n"])
def test_blanks_before_the_header_of_cloud_config_are_harmless(before, text):
    assert data(userdata=before + text).userdata == before + text


@pytest.mark.parametrize("text", ["#!/bin/sh\n", "## template: jinja\n#cloud-config\n", "#cloud-boothook\n"])
def test_blanks_before_another_header_are_not(text):
    assert "ignore" in refused(userdata="\n" + text).message


@pytest.mark.parametrize("text", ["packages: [nginx]", "echo hello", "# cloud-config\na: 1"])
def test_a_text_that_cloud_init_would_ignore_is_refused(text):
    error = refused(userdata=text, mend_header=True)
    assert "ignore" in error.message
    assert text not in str(error)


@pytest.mark.parametrize(
    "text", ["#!/bin/sh", "#include\nhttp://x", "## template: jinja\n#cloud-config\n{}", "#cloud-boothook\n"]
)
def test_each_header_is_known(text):
    assert data(userdata=text).userdata == text


@pytest.mark.parametrize(
    "text",
    [
        "#ps1\nhostname",
        "#ps1_sysnative\r\nhostname",
        "#ps1_x86\nhostname",
        "rem cmd\nhostname",
        "<powershell>hostname</powershell>",
        "<script>hostname</script>",
    ],
)
def test_a_script_of_windows_is_delivered_as_it_is_with_a_warning(text):
    made = data(userdata=text)
    assert made.userdata == text.replace("\r\n", "\n")
    assert [warning.partition(": ")[2] for warning in made.warnings] == [
        "userdata is a script for cloudbase-init on Windows, which reports nothing. cloud-init passes over it."
    ]


@pytest.mark.parametrize("text", ["#ps1", "#ps1foo\n", "remcmd\n", "echo <powershell>", " #ps1\n"])
def test_what_only_looks_like_a_script_of_windows_is_refused(text):
    assert "no header of cloud-init" in refused(userdata=text).message


def test_a_script_of_windows_among_parts_has_a_name():
    assert "has no filename" in refused(userdata=[{"users": []}, "#ps1\nhostname"]).message
    made = data(userdata=[{"users": []}, {"content": "#ps1\nhostname", "filename": "first.ps1"}])
    parts = email.message_from_string(made.userdata).get_payload()
    assert (parts[1].get_content_type(), parts[1].get_filename()) == ("text/x-shellscript", "first.ps1")
    assert ["(part 2) is a script for cloudbase-init" in warning for warning in made.warnings] == [True]


@pytest.mark.parametrize(
    ("text", "keys"),
    [
        ("packages: [a]\nruncmd: [b]\npackages: [c]\n", ["packages"]),
        ("users:\n- {name: a, shell: x, shell: y}\n", ["users[].shell"]),
        ("a: &a {b: 1}\nc: *a\nd: *a\n", []),
        ("runcmd: [a]\nusers: [{name: a}, {name: b}]\n", []),
        ("'hunter 2': 1\n'hunter 2': 2\n", []),
    ],
)
def test_keys_of_which_cloud_init_takes_the_last_alone_are_warned_of(text, keys):
    said = [f"userdata has {key} more than once, and cloud-init takes the last one alone. Put them together." for key in keys]
    assert [warning.partition(": ")[2] for warning in data(userdata=f"#cloud-config\n{text}").warnings] == said


@pytest.mark.parametrize("text", ["#cloud-config\na: [hunter2", "#cloud-config\n- hunter2"])
def test_cloud_config_that_is_no_mapping_is_refused_without_quoting_it(text):
    error = refused(userdata=text)
    assert "hunter2" not in json.dumps(error.as_result())
    assert options(userdata=text, validate="none").requests[0].data.userdata == text


@pytest.mark.parametrize(
    ("before", "known"),
    [
        ("MIME-Version: 1.0\nContent-Type: text/cloud-config\n", True),
        ("content-type: text/cloud-config\nmime-version: 1.0\n", True),
        ("Subject: x\nContent-Type: text/cloud-config\nMime-Version: 1.0\n", True),
        ("Content-Type: text/cloud-config\n", False),
        (f"Content-Type: text/cloud-config\nX-Long: {4096 * 'x'}\nMIME-Version: 1.0\n", False),
    ],
)
def test_a_message_is_one_where_cloud_init_knows_it(before, known):
    text = f"{before}\npackages: [nginx]\n"
    if not known:
        assert "without the header MIME-Version" in refused(userdata=text, mend_header=True).message
        return
    made = data(userdata=text)
    assert (made.userdata, multipart.leaves(text)) == (text, [("text/cloud-config", "packages: [nginx]\n")])


def test_a_message_whose_parts_cannot_be_found_is_refused_and_what_is_passed_over_is_warned_of():
    message = 'MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary="x"\n\n--x\n\nhello\n--x--\n'
    assert "does not say what it is, and cloud-init passes over it" in data(userdata=message).warnings[0]
    error = refused(userdata=message.replace('; boundary="x"', ""))
    assert "web-1: userdata: It is a message of parts whose boundary is not in it" in error.message


@pytest.mark.parametrize("patch", ["packages: [hunter2]", "{}", ""])
def test_a_patch_that_is_no_list_in_json_is_refused(patch):
    error = refused(userdata=f"#cloud-config-jsonp\n{patch}\n")
    assert "no list in JSON" in error.message
    assert "hunter2" not in json.dumps(error.as_result())


def test_a_patch_in_json_is_delivered():
    text = '#cloud-config-jsonp\n[{"op": "add", "path": "/packages", "value": ["nginx"]}]\n'
    assert data(userdata=text).userdata == text


@pytest.mark.parametrize("key", ["filename", "merge", "type"])
def test_what_goes_into_a_header_has_one_line(key):
    assert f"Part 1 has a {key} of more than one line" in refused(userdata=[{"content": {}, key: "text/a\nX: y"}]).message


def test_cloud_config_that_speaks_of_a_message_is_none():
    text = '#cloud-config\nwrite_files: [{path: /x, content: "MIME-Version: 1.0"}]\n'
    assert multipart.leaves(data(userdata=text).userdata) == [("text/cloud-config", text)]


@pytest.mark.parametrize(
    ("archive", "words"),
    [
        ("- packages: [hunter2]\n", "entry 1 is no text"),
        ("- a: b\n  content: {packages: [hunter2]}\n", "entry 1 is no text"),
        ("packages: [hunter2]\n", "is no list"),
        ("", "is no list"),
        ("- '[hunter2'\n", "cannot be read as YAML"),
        ("- '- hunter2'\n", "cloud-config that is no mapping"),
        ("- {type: cloud-config, content: hunter2}\n", "entry 1 has a type that says nothing"),
        ("- x: hunter2\n  type: text/plain\n  content: '#cloud-config'\n", "entry 1 has a type that says nothing"),
    ],
)
def test_an_archive_of_which_cloud_init_would_drop_something_is_refused(archive, words):
    error = refused(userdata=f"#cloud-config-archive\n{archive}")
    assert words in error.message
    assert "hunter2" not in json.dumps(error.as_result())


def test_an_archive_has_texts_with_and_without_a_type():
    text = "#cloud-config-archive\n- '#!/bin/sh'\n- {type: text/x-other, content: '['}\n- {content: 'packages: [nginx]'}\n"
    assert data(userdata=text).userdata == text


@pytest.mark.parametrize(
    ("template", "line"), [("a: {{ hunter2\n", 3), ("{% if hunter2 %}\na: 1\n", 3), ("a: {% nothing %}\n", 3)]
)
def test_a_template_that_is_none_is_refused_without_quoting_it(template, line):
    text = f"## template: jinja\n#cloud-config\n{template}"
    error = refused(userdata=text)
    assert f"has a template that cannot be read from line {line} on" in error.message
    assert "hunter2" not in json.dumps(error.as_result())
    assert options(userdata=text, validate="none").requests[0].data.userdata == text


@pytest.mark.parametrize("below", ["", "packages: [nginx]\n", "#include\nhttps://example.test/x\n", "#ps1\n"])
def test_a_template_says_what_it_comes_to(below):
    assert "without a header of its own" in refused(userdata=f"## template: jinja\n{below}").message


def test_without_jinja_a_template_is_delivered_unseen(monkeypatch):
    monkeypatch.setitem(sys.modules, "jinja2", None)
    text = "## template: jinja\n#cloud-config\na: {{\n"
    assert options(userdata=text).requests[0].data.userdata == text


def test_parts_become_one_message():
    parts = [
        {"packages": ["nginx"]},
        "#!/bin/sh\necho \u00e4\n",
        {"content": "#cloud-config\n{}", "merge": "dict(recurse_array)+list(append)", "filename": "more.cfg"},
        {"content": "plain", "type": "text/x-custom"},
    ]
    text = data(userdata=parts).userdata
    assert text == data(userdata=parts).userdata
    made = email.message_from_string(text).get_payload()
    kinds = ["text/cloud-config", "text/x-shellscript", "text/cloud-config", "text/x-custom"]
    assert [part.get_content_type() for part in made] == kinds
    assert made[1].get_payload(decode=True).decode() == "#!/bin/sh\necho \u00e4\n"
    assert (made[2].get_filename(), made[2]["Merge-Type"]) == ("more.cfg", "dict(recurse_array)+list(append)")
    assert [kind for kind, _text in multipart.leaves(text)] == kinds


@pytest.mark.parametrize(
    "parts", [[""], ["what"], [{"content": "#!/bin/sh", "kind": "x"}], [7], [{"content": "x", "type": "x"}]]
)
def test_a_part_that_does_not_say_what_it_is_is_refused_by_its_number(parts):
    assert "Part 2" in refused(userdata=["#!/bin/sh", *parts]).message


# Sizes


def test_what_cannot_fit_is_refused_with_the_sizes():
    noise = "".join(chr(0x4E00 + n * 7919 % 20000) for n in range(400_000))
    error = refused(userdata=f"#!/bin/sh\n{noise}", metadata={})
    assert error.details["sizes"]["userdata"] > 1024 * 1024
    assert str(error.details["sizes"]["userdata"]) in error.message
    assert (
        refused(metadata={}, userdata=f"#!/bin/sh\n{'x' * 524288}", transport="customization").details["option"] == "userdata"
    )


def test_a_character_that_no_call_can_carry_is_refused_only_where_it_would_be_sent():
    assert "control character" in refused(userdata="#!/bin/sh\n\x07", encoding="plain").message
    assert options(userdata="#!/bin/sh\n\x07").requests[0].data.userdata


# Options


@pytest.mark.parametrize(
    ("given", "option"),
    [
        ({}, "metadata"),
        ({"vms": [], "vm": {"name": "x"}}, "vm"),
        ({"userdata": "#!/bin/sh", "wait": "read"}, "wait"),
        ({"metadata": {"redact": ["userdata"]}, "wait": "read"}, "wait"),
        ({"userdata": "#!/bin/sh", "transport": "customization"}, "transport"),
        ({"metadata": {}, "vendordata": "#!/bin/sh", "transport": "customization"}, "transport"),
        ({"metadata": {}, "transport": "customization", "wait": "finished"}, "wait"),
        ({"userdata": "#!/bin/sh", "finished_key": "ready"}, "finished_key"),
        ({"userdata": "#!/bin/sh", "keys": ["userdata"]}, "keys"),
        ({"userdata": "#!/bin/sh", "timeout": 0}, "timeout"),
        ({"userdata": "#!/bin/sh", "parallel": 65}, "parallel"),
        ({"metadata": 7}, "metadata"),
        ({"metadata": {"wait_on_network": True}}, "metadata"),
        ({"metadata": "wait-on-network: true\n"}, "metadata"),
        ({"metadata": "wait-on-network:\n"}, "metadata"),
        ({"metadata": {"redact": ["userdata", {"a": 1}]}}, "metadata"),
        ({"metadata": "redact: [1]\n"}, "metadata"),
        ({"metadata": {"network_drivers": "vmxnet3"}}, "metadata"),
    ],
)
def test_options_that_cannot_be_meant_are_refused(given, option):
    assert refused(**given).details["option"] == option


def test_the_report_goes_with_the_vendor_data_and_leaves_the_user_data_alone():
    made = options(userdata="#!/bin/sh", wait="finished").requests[0].data
    assert (made.userdata, made.vendordata, made.vendordata_plain) == ("#!/bin/sh", report_script.SCRIPT, None)
    both = options(userdata="#!/bin/sh", vendordata={"a": 1}, wait="finished").requests[0].data
    assert [text for _kind, text in multipart.leaves(both.vendordata)] == [both.vendordata_plain, report_script.SCRIPT]
    three = report_script.added(both.vendordata)
    assert len(multipart.leaves(three)) == 3
    own = options(userdata="#!/bin/sh", wait="finished", finished_key="guestinfo.ready").requests[0].data
    assert own.vendordata is None


@pytest.mark.parametrize(
    ("value", "instance", "how"),
    [
        ("i-1 done", "i-1", "done"),
        ("i-1 error\n", "i-1", "error"),
        ("i-0 done", "i-1", None),
        ("i-0 done", None, "done"),
        (" ", None, None),
    ],
)
def test_a_report_counts_for_its_instance(value, instance, how):
    assert report_script.outcome(value, instance) == how


# The filters' side


def test_pairs_are_what_the_module_would_write_and_read_back():
    given = {"metadata": {"instance_id": "i-1", "redact": ["userdata"]}, "userdata": {"packages": ["nginx"]}}
    pairs = bundle.packed(given, "auto")
    assert set(pairs) == {
        "guestinfo.metadata",
        "guestinfo.metadata.encoding",
        "guestinfo.userdata",
        "guestinfo.userdata.encoding",
        "vforge.cloudinit.userdata",
    }
    read = bundle.unpacked(pairs)
    assert yaml.safe_load(read["userdata"]) == given["userdata"]
    assert read["vendordata"] is None


def test_a_date_of_a_playbook_is_delivered_as_ansible_hands_it_to_modules():
    born = datetime.date(2024, 1, 1)
    pairs = bundle.packed({"metadata": {"instance_id": "i-1", "born": born}, "userdata": {"born": born}}, "auto")
    read = bundle.unpacked(pairs)
    assert json.loads(read["metadata"])["born"] == json.loads(read["userdata"].partition("\n")[2])["born"] == "2024-01-01"


@pytest.mark.parametrize("value", [{1, 2}, b"hunter2", object()])
def test_what_no_document_can_hold_is_refused(value):
    with pytest.raises(InvalidOption, match="userdata has something in it that is no text, number, list or mapping"):
        bundle.packed({"userdata": {"a": value}}, "auto")


@pytest.mark.parametrize("given", [{"meta": {}}, {"metadata": {"local_hostname": "x"}}, {"userdata": "what"}])
def test_pairs_need_data_that_stand_alone(given):
    with pytest.raises(InvalidOption):
        bundle.packed(given, "auto")


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"metadata": {"redact": 5}}, "metadata.redact is neither a list nor a text"),
        ({"metadata": "redact: 5\n"}, "metadata.redact is neither a list nor a text"),
        ({"metadata": "born: 2024-99-99\n"}, "metadata cannot be read as YAML"),
        ({"metadata": {"network": {1: 2, "a": 3}}}, "metadata.network.1 is unknown"),
        ({"metadata": {"network": {"version": 1, "config": [{"type": []}]}}}, "config[0].type is none of"),
        ({"metadata": {"local_hostname": "\ud800"}}, "metadata has half of a surrogate pair"),
        ({"userdata": '{"packages": ["\\ud800"]}'}, "userdata has half of a surrogate pair"),
        ({"userdata": "#cloud-config\nborn: 2024-99-99\n"}, "userdata cannot be read as YAML"),
        ({"userdata": "#cloud-config\na: " + 3000 * "[" + 3000 * "]"}, "userdata cannot be read as YAML"),
        (
            {"userdata": "MIME-Version: 1.0\nContent-Type: text/cloud-config; charset=klingon\n\na: 1\n"},
            "character set klingon",
        ),
    ],
)
def test_what_libraries_stumble_over_is_refused_in_a_sentence(given, words):
    assert words in str(refused(**given))


def test_keys_that_are_no_texts_are_made_texts():
    assert json.loads(data(userdata={1: 2, "a": {True: 3}}).userdata.partition("\n")[2]) == {"1": 2, "a": {"true": 3}}


# What we tell others to write


@pytest.mark.parametrize(
    "module", [cloud_init_guestinfo, guest_documents, reported_hosts], ids=lambda module: module.__name__[-20:]
)
def test_our_own_examples_are_warned_of_by_nothing(module):
    name = "vforge.vsphere.cloud_init_guestinfo"
    tasks = [task[name] for task in yaml.safe_load(module.EXAMPLES) if name in task]
    assert tasks
    for task in tasks:
        # What a template comes to is known in a play only.
        common = {kind: task.get(kind) for kind in payload.KINDS if not str(task.get(kind)).startswith("{{")}
        for own in task.get("vms") or [{}]:
            made = payload.build(own if isinstance(own, dict) else {}, common, "VM", mend=False, report=False)
            made = made.with_cards([Card("Network adapter 1", "00:50:56:00:00:01")], "VM")
            assert made.warnings == ()


@pytest.mark.parametrize(
    ("labels", "macs"),
    [
        (("Network adapter 2", "Network adapter 1"), {1: "00:50:56:00:00:02", 2: "00:50:56:00:00:01"}),
        # A server with another language, or labels of its own.
        (("Netzwerkadapter 1", "Netzwerkadapter 2"), {1: "00:50:56:00:00:01", 2: "00:50:56:00:00:02"}),
        (("ethernet-0", "ethernet-1"), {1: "00:50:56:00:00:01", 2: "00:50:56:00:00:02"}),
        # Somebody has given one card a label of its own: the others are counted as the server counts them.
        (("front", "Network adapter 2"), {2: "00:50:56:00:00:02"}),
    ],
)
def test_a_label_stands_for_a_card_and_where_none_has_it_for_its_place(labels, macs):
    cards = [Card(label, f"00:50:56:00:00:0{number}") for number, label in enumerate(labels, 1)]
    for number in (1, 2, 3):
        given = data(metadata={"network": {"ethernets": {"eth0": {"match": {"macaddress": f"Network adapter {number}"}}}}})
        if number not in macs:
            with pytest.raises(InvalidOption, match=f"Network adapter {number} is no card of the VM"):
                given.with_cards(cards, "VM")
            continue
        found = given.with_cards(cards, "VM").metadata.mapping["network"]["ethernets"]["eth0"]["match"]["macaddress"]
        assert found == macs[number]


def test_without_validation_no_library_for_yaml_is_needed(monkeypatch):
    monkeypatch.setitem(sys.modules, "yaml", None)
    made = data(userdata="#cloud-config\nruncmd: [a]\n")
    assert (made.userdata, made.warnings) == ("#cloud-config\nruncmd: [a]\n", ())
