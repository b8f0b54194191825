# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The filters for cloud-init's data: there and back, and what they refuse as Ansible wants it told."""

from __future__ import annotations

import pytest
from ansible.errors import AnsibleFilterError

from ansible_collections.vforge.vsphere.plugins.filter import cloud_init_multipart, from_guestinfo, to_guestinfo
from ansible_collections.vforge.vsphere.plugins.module_utils._cloudinit import report_script

TO = to_guestinfo.FilterModule().filters()["to_guestinfo"]
FROM = from_guestinfo.FilterModule().filters()["from_guestinfo"]
MULTIPART = cloud_init_multipart.FilterModule().filters()["cloud_init_multipart"]

GIVEN = {"metadata": {"instance_id": "auto:web-1"}, "userdata": "#!/bin/sh\ntrue\n"}


@pytest.mark.parametrize("encoding", ["auto", "base64", "gzip+base64", "plain"])
def test_what_goes_there_comes_back(encoding):
    read = FROM(TO(GIVEN, encoding))
    assert (read["userdata"].rstrip(), read["vendordata"]) == (GIVEN["userdata"].rstrip(), None)
    assert '"instance-id": "web-1-' in read["metadata"]


def test_keys_may_be_without_their_prefix_and_what_was_overwritten_is_nothing():
    assert FROM({"userdata": "eA==", "userdata.encoding": "b64", "metadata": "---"}) == {
        "metadata": None,
        "userdata": "x",
        "vendordata": None,
    }


def test_the_report_goes_with_it_where_it_is_asked_for():
    assert FROM(TO(GIVEN, report=True))["vendordata"] == report_script.SCRIPT


def test_the_same_parts_are_the_same_message():
    parts = [{"packages": ["nginx"]}, "#!/bin/sh\n"]
    assert MULTIPART(parts) == MULTIPART(list(parts))
    assert FROM(TO({"userdata": MULTIPART(parts)}))["userdata"].count("Content-Type: text/") == 2


@pytest.mark.parametrize(
    ("refusing", "word"),
    [
        (lambda: TO([]), "mapping"),
        (lambda: TO(GIVEN, "rot13"), "encodings"),
        (lambda: TO(GIVEN, validate="strictly"), "validate"),
        (lambda: TO({"metadata": {"local_hostname": "web-1"}}), "instance_id"),
        (lambda: TO({"userdata": "hunter2"}), "first line"),
        (lambda: TO({"userdata": "#cloud-config\npassword: [hunter2"}), "from line 2"),
        (lambda: TO({"metadata": {"instance_id": "i", "network": {"ethernet": {}}}}), "network.ethernet"),
        (lambda: TO({"userdata": f"#!/bin/sh\n{'hunter2' * 200_000}"}, "base64"), "do not fit"),
        (lambda: TO({"userdata": "#!/bin/sh\n\x07"}, "plain"), "control character"),
        (lambda: FROM("x"), "mapping"),
        (lambda: FROM({"userdata": "hunter2", "userdata.encoding": "gzip+base64"}), "userdata"),
        (lambda: MULTIPART("x"), "list"),
        (lambda: MULTIPART(["hunter2"]), "Part 1"),
    ],
)
def test_what_cannot_be_meant_is_reported_without_what_is_in_it(refusing, word):
    with pytest.raises(AnsibleFilterError, match=word) as caught:
        refusing()
    assert "hunter2" not in str(caught.value)


def test_what_is_not_looked_at_passes():
    text = "#cloud-config\n- no mapping\n"
    assert FROM(TO({"userdata": text}, validate="none"))["userdata"].rstrip() == text.rstrip()
