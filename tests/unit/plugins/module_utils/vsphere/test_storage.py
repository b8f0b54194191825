# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which datastores are on the same storage, and what a file is called on each."""

from __future__ import annotations

import pytest
from pyVmomi import vim

from ansible_collections.vforge.vsphere.plugins.module_utils._errors import NotFound
from ansible_collections.vforge.vsphere.plugins.module_utils._vsphere.storage import Storage, Store


def _store(number, datacenter, name, url):
    return Store(vim.Datastore(f"datastore-{number}"), datacenter, name, "VMFS", url)


LOCAL, SHARED = "ds:///vmfs/volumes/1-1-1/", "ds:///vmfs/volumes/2-2-2/"
STORAGE = Storage(
    [
        _store(1, "dc-1", "local", LOCAL),
        _store(2, "dc-1", "fast", SHARED),
        _store(3, "dc-2", "a/b", SHARED),
        _store(4, "dc-2", "local", ""),
        _store(5, "dc-3", "unknown", ""),
    ]
)


@pytest.mark.parametrize(
    ("datacenter", "file", "paths"),
    [
        ("dc-1", "[local] web/web.vmdk", {"dc-1": "[local] web/web.vmdk"}),
        ("dc-1", "[fast] web/web.vmdk", {"dc-1": "[fast] web/web.vmdk", "dc-2": "[a/b] web/web.vmdk"}),
        ("dc-2", "[a/b] web.vmdk", {"dc-1": "[fast] web.vmdk", "dc-2": "[a/b] web.vmdk"}),
        # Of these vCenter does not say on which storage they are, so they are on none of the others'.
        ("dc-2", "[local] web.vmdk", {"dc-2": "[local] web.vmdk"}),
        ("dc-3", "[unknown] web.vmdk", {"dc-3": "[unknown] web.vmdk"}),
        ("dc-3", "[gone] web.vmdk", {"dc-3": "[gone] web.vmdk"}),
    ],
)
def test_a_file_has_a_path_in_each_datacenter_that_has_its_storage(datacenter, file, paths):
    assert STORAGE.paths_of(datacenter, [file]) == {home: frozenset({path}) for home, path in paths.items()}


def test_a_datastore_is_known_with_those_on_the_same_storage():
    found = STORAGE.same_as([STORAGE.store_of("dc-1", "[fast] web.vmdk"), STORAGE.store_of("dc-2", "[local] web.vmdk")])
    assert [ref._GetMoId() for ref in found] == ["datastore-2", "datastore-3", "datastore-4"]
    assert STORAGE.store_of("dc-2", "[a%2fb] web.vmdk").name == "a/b"
    with pytest.raises(NotFound, match="has no datastore fast"):
        STORAGE.store_of("dc-2", "[fast] web.vmdk")


def test_a_vm_is_in_the_datacenter_of_its_datastores():
    assert STORAGE.datacenter_of([vim.Datastore("datastore-9"), vim.Datastore("datastore-4")]) == "dc-2"
    assert STORAGE.datacenter_of([vim.Datastore("datastore-9")]) == STORAGE.datacenter_of(None) == ""
