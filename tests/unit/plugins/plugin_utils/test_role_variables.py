# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which variables of a play a role does not know."""

from __future__ import annotations

import pytest

from ansible_collections.vforge.vsphere.plugins.plugin_utils.role_variables import Role, look_at

_ROLE = Role("web", ["web_name", "web_count", "web_datastore", "web_batch_size"], ["web_result"])


@pytest.mark.parametrize(
    ("names", "misspelt", "others"),
    [
        (["web_name", "web_result", "website_name", "webs", "name"], {}, []),
        (["web_cout"], {"web_cout": "web_count"}, []),
        (["web_datastor", "web_batchsize"], {"web_datastor": "web_datastore", "web_batchsize": "web_batch_size"}, []),
        # The list of what a loop goes through.
        (["web_names"], {}, ["web_names"]),
        (["web_role_files", "web_size"], {}, ["web_role_files", "web_size"]),
    ],
)
def test_what_is_alike_one_that_is_not_set_is_misspelt(names, misspelt, others):
    found = look_at(names, _ROLE, lambda name: name == "web_name")
    assert (found.misspelt, found.others) == (misspelt, others)
