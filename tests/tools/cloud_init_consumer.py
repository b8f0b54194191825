# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run cloud-init's own data source on what a VM has, and print what it came to. Run by Debian's Python, not by ours.

Its program vmware-rpctool is whatever is on PATH. Nothing of cloud-init is replaced but the one function that would read the
maker's name from the machine's firmware.
"""

from __future__ import annotations

import json
import logging
import sys
import tempfile

from cloudinit import dmi, helpers
from cloudinit.distros import fetch
from cloudinit.sources import DataSourceVMware
from cloudinit.user_data import UserDataProcessor


def parts(message):
    """The parts of processed user data, with their types."""
    found = []
    for part in message.walk():
        if not part.is_multipart():
            content = part.get_payload(decode=True).decode()
            found.append({"type": part.get_content_type(), "content": content, "filename": part.get_filename()})
    return found


def read(folder):
    """What the data source reads; its files lie in a folder."""
    paths = helpers.Paths({"cloud_dir": folder, "run_dir": folder})
    source = DataSourceVMware.DataSourceVMware({}, fetch("debian")("debian", {}, paths), paths, UserDataProcessor(paths))
    found = source.get_data()
    told = {"found": found}
    if found:
        metadata = {key: value for key, value in source.metadata.items() if key != "network"}
        told |= {
            "metadata": metadata,
            "instance_id": source.get_instance_id(),
            "network": source.network_config if "network" in source.metadata else None,
            "userdata": source.get_userdata_raw(),
            "vendordata": source.get_vendordata_raw(),
            "userdata_parts": parts(source.get_userdata(apply_filter=False)) if source.get_userdata_raw() else [],
            "vendordata_parts": parts(source.get_vendordata()) if source.get_vendordata_raw() else [],
        }
    return told


if __name__ == "__main__":
    logging.disable(logging.CRITICAL)
    dmi.read_dmi_data = lambda key: "VMware Virtual Platform" if key == "system-product-name" else None
    with tempfile.TemporaryDirectory() as scratch:
        json.dump(read(scratch), sys.stdout, default=str)
