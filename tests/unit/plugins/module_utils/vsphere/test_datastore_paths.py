# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Paths of files on datastores: what is one, and that each file has one."""

from __future__ import annotations

import pytest

from ansible_collections.vforge.vsphere.plugins.module_utils._errors import InvalidOption
from ansible_collections.vforge.vsphere.plugins.module_utils._vsphere.datastore_files import DatastorePath


@pytest.mark.parametrize("blanks", ["", " ", "  ", "     "])
def test_blanks_behind_the_bracket_make_no_other_path(blanks):
    found = DatastorePath.parse(f" [a b]{blanks}web  1/web 1.vmdk ", "path")
    assert (found, str(found)) == (DatastorePath("a b", "web  1/web 1.vmdk"), "[a b] web  1/web 1.vmdk")


NONE = ["", "[a]", "[a]   ", "[] a", "a/b.vmdk", "[a]  /b", "[a] b//c", "[a] ../b", "[a]\tb", "[a] b\n"]


@pytest.mark.parametrize("text", NONE)
def test_what_is_no_path_is_refused(text):
    with pytest.raises(InvalidOption, match="no file of a datastore") as refused:
        DatastorePath.parse(text, "path")
    assert refused.value.details["option"] == "path"
