# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The options of a task, and the argument spec that they come through."""

from __future__ import annotations

import pytest

from ansible_collections.vforge.vsphere.plugins.module_utils._clone.model import InstantOptions
from ansible_collections.vforge.vsphere.plugins.module_utils._connector.find import Selector
from ansible_collections.vforge.vsphere.plugins.module_utils._errors import InvalidOption
from ansible_collections.vforge.vsphere.tests.unit.plugins.module_utils.clone.support import options, validated


def test_defaults():
    asked = options(name="web-1")
    assert (asked.state, asked.parallel, asked.timeout, asked.on_error, asked.force) == ("present", 8, 900, "keep", False)
    assert (asked.wait_for_ip, asked.ip_family, asked.ip_nic, asked.datacenter) == (False, "any", None, None)
    assert asked.parent == Selector(name="golden-parent")


def test_an_empty_text_is_not_set():
    asked = options(name="web-1", ip_nic="", folder="", resource_pool="", datastore="", bios_uuid="", guestinfo="")
    assert asked == options(name="web-1")


@pytest.mark.parametrize(
    ("given", "selector"),
    [
        ({"name": "golden", "folder": "/DC0/vm/a"}, Selector(name="golden", folder="/DC0/vm/a")),
        ({"path": "/DC0/vm/golden"}, Selector(path="/DC0/vm/golden")),
        ({"moid": "vm-1"}, Selector(moid="vm-1")),
        ({"uuid": "42000000-0000-0000-0000-000000000001"}, Selector(uuid="42000000-0000-0000-0000-000000000001")),
        (
            {"uuid": "50000000-0000-0000-0000-000000000001", "use_instance_uuid": True},
            Selector(uuid="50000000-0000-0000-0000-000000000001", use_instance_uuid=True),
        ),
    ],
)
def test_the_parent_by_any_selector(given, selector):
    assert options(name="a", parent=given).parent == selector


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"parent": None}, "The option parent is not set. Name the running VM to clone."),
        ({"parent": {}}, "parent is given by nothing."),
        ({"parent": {"name": "a", "moid": "vm-1"}}, "parent is given by name and moid. Set exactly one of"),
        ({"parent": {"folder": "/DC0/vm"}}, "parent is given by nothing."),
        ({"state": "absent", "parent": None}, "without a parent, folder must be a whole path."),
        ({"state": "absent", "parent": None, "folder": "web"}, "Write it as /Datacenter/vm/folder, or set parent."),
    ],
)
def test_what_is_refused(given, says):
    with pytest.raises(InvalidOption) as caught:
        options(**{"name": "web-1", **given})
    assert says in str(caught.value)


def test_absent_without_a_parent_takes_whole_folders():
    params = validated(state="absent", clones=[{"name": "a", "folder": "/DC0/vm/web"}, {"name": "b"}], folder="/DC0/vm")
    asked = InstantOptions.from_params(params)
    assert asked.parent is None
    assert [request.folder for request in asked.requests] == ["/DC0/vm/web", "/DC0/vm"]


def test_an_item_needs_a_name():
    with pytest.raises(AssertionError, match="missing required arguments: name"):
        validated(clones=[{"folder": "web"}])
