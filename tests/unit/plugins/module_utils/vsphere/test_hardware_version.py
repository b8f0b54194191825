# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Versions of virtual hardware: how they are written, and which release has which."""

from __future__ import annotations

import pytest

from ansible_collections.vforge.vsphere.plugins.module_utils._errors import InvalidOption
from ansible_collections.vforge.vsphere.plugins.module_utils._vsphere import hardware_version


@pytest.mark.parametrize(("text", "number"), [("vmx-19", 19), ("vmx-08", 8), ("vmx-8", 8), ("", 0)])
def test_a_version_is_a_number(text, number):
    assert hardware_version.from_option(text) == number


@pytest.mark.parametrize("text", ["19", "vmx-", "vmx-0", "vmx-019", "vmx-100", "VMX-19", "vmx-19 "])
def test_one_that_is_written_otherwise_is_refused(text):
    with pytest.raises(InvalidOption) as refused:
        hardware_version.from_option(text)
    assert (refused.value.hint, refused.value.details["option"]) == ("Write it as vmx-19.", "hardware_version")


@pytest.mark.parametrize(
    ("api", "number"),
    [
        ("8.0.3.1", 21),
        ("8.0.2.0", 21),
        ("8.0.1.0", 20),
        ("7.0.2.1", 19),
        ("7.0.0.2", 17),
        ("6.7.2", 15),
        ("6.7.1", 14),
        ("6.0", 11),
    ],
)
def test_a_release_has_hardware_up_to_a_version(api, number):
    assert hardware_version.newest(api) == number


@pytest.mark.parametrize("api", ["9.0.0.0", "8.1.0.0", "5.5", "", "2.5u2"])
def test_of_other_releases_nothing_is_known(api):
    assert hardware_version.newest(api) == 0
