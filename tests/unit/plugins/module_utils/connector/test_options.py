# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The connection options as one checked value."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.vforge.vsphere.plugins.module_utils._connector.options import ConnectionOptions
from ansible_collections.vforge.vsphere.plugins.module_utils._errors import InvalidOption

DIGITS = "0123456789abcdef" * 4
PASSWORD = "correct horse"  # noqa: S105 (of nobody)


def options(**changes):
    return ConnectionOptions.from_params({"hostname": "vc.example", "username": "u", "password": PASSWORD, **changes})


def refused(**changes):
    with pytest.raises(InvalidOption) as caught:
        options(**changes)
    return caught.value


@pytest.mark.parametrize(
    ("name", "variable"), [("hostname", "VMWARE_HOST"), ("username", "VMWARE_USER"), ("password", "VMWARE_PASSWORD")]
)
@pytest.mark.parametrize(("missing", "said"), [(None, "not set"), ("", "empty")])
def test_what_is_missing_is_named_with_its_environment_variable(name, variable, missing, said):
    error = refused(**{name: missing})
    assert error.message == f"The option {name} is {said}."
    assert error.details["option"] == name
    assert variable in str(error)


@pytest.mark.parametrize(
    "text",
    [
        DIGITS,
        DIGITS.upper(),
        ":".join(DIGITS[at : at + 2] for at in range(0, 64, 2)),
        ":".join(DIGITS[at : at + 2] for at in range(0, 64, 2)).upper(),
        f" {DIGITS}\n",
        " ".join(DIGITS[at : at + 2] for at in range(0, 64, 2)),
    ],
)
def test_a_thumbprint_may_be_written_in_any_usual_way(text):
    assert options(thumbprint=text).thumbprint == DIGITS


@pytest.mark.parametrize("text", [DIGITS[:40], DIGITS[:-1], DIGITS + "0", "g" + DIGITS[1:], "SHA256:abc"])
def test_what_is_no_sha256_thumbprint_is_refused(text):
    error = refused(thumbprint=text)
    assert error.details["option"] == "thumbprint"
    assert "64 hexadecimal digits" in str(error)


def test_an_empty_thumbprint_pins_nothing():
    assert options(thumbprint="").thumbprint is None


@pytest.mark.parametrize(
    "host",
    ["https://vc.example/sdk", "https://vc.example", "http://10.0.0.1", "vc.example/sdk", "root@vc.example"],
)
def test_a_url_in_place_of_a_host_name_is_called_that(host):
    error = refused(hostname=host)
    assert error.details["option"] == "hostname"
    assert "is a URL or a path" in str(error)
    assert "port" in error.hint


@pytest.mark.parametrize("host", ["vc.example:8443", "10.0.0.1:443", "[::1]:443"])
def test_a_port_in_the_host_name_is_called_that(host):
    assert "holds a port" in str(refused(hostname=host))


@pytest.mark.parametrize("host", ["vc example", "vc..example", "a" * 64 + ".example", ".", "vc\x00", "["])
def test_what_is_no_host_name_is_refused_before_anything_is_looked_up(host):
    assert "is no host name" in str(refused(hostname=host))


@pytest.mark.parametrize(
    ("host", "taken", "endpoint"),
    [
        ("vc.example", "vc.example", "vc.example:443"),
        (" vc.example ", "vc.example", "vc.example:443"),
        ("10.0.0.1", "10.0.0.1", "10.0.0.1:443"),
        ("[::1]", "::1", "[::1]:443"),
        ("fd00::7", "fd00::7", "[fd00::7]:443"),
        ("vc_lab", "vc_lab", "vc_lab:443"),
        ("zürich.example", "zürich.example", "zürich.example:443"),
    ],
)
def test_names_and_addresses_are_taken(host, taken, endpoint):
    known = options(hostname=host)
    assert (known.hostname, known.endpoint) == (taken, endpoint)


@pytest.mark.parametrize(
    ("host", "authority"),
    [
        ("vc.example", "vc.example:443"),
        ("vc.example.", "vc.example:443"),
        ("zürich.example", "xn--zrich-kva.example:443"),
        # As Python's resolver takes it; by the newer rule, which requests has, it is another host.
        ("straße.example", "strasse.example:443"),
        ("fd00::7", "[fd00::7]:443"),
        ("FD00:0::0007", "[fd00::7]:443"),
    ],
)
def test_certificates_proxies_and_addresses_have_the_name_in_one_form(host, authority):
    known = options(hostname=host, proxy_host=host, proxy_port=443)
    assert known.authority == authority
    assert known.proxies == {"https": f"http://{authority}"}
    # Where it is looked up, and in messages, it is as it was given.
    assert (known.hostname, known.proxy) == (host, known.endpoint)


def test_without_a_proxy_requests_is_given_none():
    assert options().proxies == {}


@pytest.mark.parametrize(
    ("host", "other", "same"),
    [
        ("vc.example.", "vc.example", True),
        ("VC.example", "vc.example", True),
        ("zürich.example", "xn--zrich-kva.example", True),
        ("FD00:0::7", "fd00::7", True),
        ("vc.example", "esx.example", False),
        ("vc.example", "a" * 64 + ".example", False),
    ],
)
def test_an_address_of_the_vcenter_is_known_as_that(host, other, same):
    assert options(hostname=host).leads_to(other, 443) is same
    assert not options(hostname=host).leads_to(other, 8443)


@pytest.mark.parametrize("option", ["hostname", "proxy_host"])
@pytest.mark.parametrize(
    "url",
    ["http://me:secret@vc.example:3128", "me:secret@vc.example", "http://me:a/secret@vc.example", "https://vc.example/?secret"],
)
def test_what_is_secret_in_a_url_is_not_in_the_message(option, url):
    error = refused(**{"proxy_port": 3128, "proxy_host": "proxy", option: url})
    assert "is a URL or a path" in str(error)
    assert "vc.example" in str(error)
    assert "secret" not in repr(error.as_result())


@given(st.text())
def test_any_text_is_a_host_or_is_refused(text):
    with contextlib.suppress(InvalidOption):
        assert options(hostname=text).hostname == text.strip().strip("[]")


@pytest.mark.parametrize("name", ["port", "proxy_port"])
@pytest.mark.parametrize("number", [0, -1, 65536])
def test_a_port_that_does_not_exist_is_refused(name, number):
    error = refused(**{"proxy_host": "proxy", "proxy_port": 3128, name: number})
    assert error.details["option"] in (name, "proxy_host")


@pytest.mark.parametrize("given", [{"proxy_host": "proxy"}, {"proxy_port": 3128}])
def test_half_a_proxy_is_refused(given):
    assert "both proxy_host and proxy_port" in str(refused(**given))


def test_a_task_may_go_without_the_proxy_of_the_environment():
    # The port is what VMWARE_PROXY_PORT has given.
    known = options(proxy_host="", proxy_port=3128)
    assert (known.proxy, known.proxies, known.proxy_port) == (None, {}, None)


def test_a_proxy_given_as_a_url_is_called_that():
    assert refused(proxy_host="http://proxy:3128", proxy_port=3128).details["option"] == "proxy_host"


def test_a_request_may_take_a_second_or_more():
    assert refused(connection_timeout=0).details["option"] == "connection_timeout"
    assert refused(connection_timeout=2**40).details["option"] == "connection_timeout"


def test_the_password_is_in_no_text_of_the_options():
    assert PASSWORD not in repr(options())
    assert PASSWORD not in str(options())


def test_who_is_not_verified_is_doubted_and_who_is_pinned_is_not():
    assert "vc.example:443 is not verified" in options(validate_certs=False).doubt
    # AWX's own credential sets validate_certs to false: who names what to trust wants it verified.
    for more in ({"validate_certs": True}, {"thumbprint": DIGITS}, {"ca_path": "/ca.pem"}):
        known = options(**{"validate_certs": False, **more})
        assert (known.doubt, known.verifies) == ("", True)


def test_sessions_are_kept_apart_by_all_that_decides_whom_one_talks_to():
    changes = [
        {},
        {"hostname": "other.example"},
        {"port": 8443},
        {"username": "v"},
        {"validate_certs": False},
        {"ca_path": "/ca.pem"},
        {"thumbprint": DIGITS},
        {"proxy_host": "proxy", "proxy_port": 3128},
    ]
    assert len({options(**change).cache_key() for change in changes}) == len(changes)
    assert options().cache_key() == options(hostname="VC.example", password="another").cache_key()  # noqa: S106


@pytest.mark.parametrize("option", ["username", "password", "ca_path"])
@pytest.mark.parametrize("text", ["a\x00b", "a\ud800b"])
def test_a_character_that_cannot_be_sent_is_refused_without_showing_the_text(option, text):
    error = refused(**{option: text})
    assert error.details["option"] == option
    assert "a" + text[1] not in str(error)
