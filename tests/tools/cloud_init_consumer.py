# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run cloud-init's own data source on what a VM has, and print what it came to. Run by Debian's Python, not by ours.

Its program vmware-rpctool is whatever is on PATH. Nothing of cloud-init is replaced but the one function that would read the
maker's name from the machine's firmware.

Without arguments: of the one VM that vmware-rpctool reaches. With arguments, of as many VMs, each by its folder, which
vmware-rpctool finds as VFORGE_GUEST; then with what cloud-init makes of the data: the name of the guest, its network as each of
the renderers writes it, the cloud-config that its parts are merged to, and its scripts.
"""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from cloudinit import dmi, helpers, safeyaml, util
from cloudinit.distros import fetch
from cloudinit.handlers.cloud_config import CloudConfigPartHandler
from cloudinit.handlers.jinja_template import JinjaTemplatePartHandler
from cloudinit.net import eni, network_manager, networkd, sysconfig
from cloudinit.net.network_state import parse_net_config_data
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


# What cloud-init raises of data that it does not understand.
STUMBLES = (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError)

# As the distributions set them up.
RENDERERS = {
    "sysconfig": lambda: sysconfig.Renderer(fetch("rhel").renderer_configs["sysconfig"]),
    "eni": lambda: eni.Renderer({"eni_path": "etc/network/interfaces"}),
    "network-manager": lambda: network_manager.Renderer({}),
}


def data_source(folder):
    """cloud-init's data source; its files lie in a folder."""
    paths = helpers.Paths({"cloud_dir": folder, "run_dir": folder})
    return DataSourceVMware.DataSourceVMware({}, fetch("debian")("debian", {}, paths), paths, UserDataProcessor(paths))


def read(source, found):
    """What the data source has read."""
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


def files_below(folder):
    """The texts of all files, by path."""
    return {str(path.relative_to(folder)): path.read_text() for path in sorted(folder.rglob("*")) if path.is_file()}


def rendered(network):
    """What each renderer writes, by file; None for one that stumbles over the network."""
    found = {}
    try:
        # Its files would be given to a user of the guest's.
        found["networkd"] = networkd.Renderer()._render_content(parse_net_config_data(network))
    except STUMBLES:
        found["networkd"] = None
    for name, renderer in RENDERERS.items():
        with tempfile.TemporaryDirectory() as target:
            try:
                renderer().render_network_config(network, target=target)
                found[name] = files_below(Path(target))
            except STUMBLES:  # the guest has no network then
                found[name] = None
    with tempfile.TemporaryDirectory() as target:
        file = Path(target) / "etc/netplan/50-cloud-init.yaml"
        file.parent.mkdir(parents=True)
        # As cloud-init's renderer passes version 2 on; version 1 it writes in netplan's form.
        if isinstance(network, dict) and network.get("version") == 2:
            file.write_text(safeyaml.dumps({"network": network}))
            file.chmod(0o600)
            ran = subprocess.run([os.environ["NETPLAN"], "--root-dir", target], capture_output=True, check=False)
            found["netplan"] = files_below(Path(target) / "run") if ran.returncode == 0 else None
    return found


def merged(source, paths):
    """The cloud-config that the parts of the user data come to, and the scripts, as cloud-init's handlers take them."""
    config = CloudConfigPartHandler(paths)
    instance_data = paths.get_runpath("instance_data_sensitive")
    util.write_file(instance_data, json.dumps({"ds": {"meta_data": source.metadata}}, default=str))
    template = JinjaTemplatePartHandler(paths, sub_handlers=[config])
    scripts = []
    for part in source.get_userdata(apply_filter=False).walk():
        if part.is_multipart():
            continue
        kind, content = part.get_content_type(), util.fully_decoded_payload(part)
        handler = {"text/cloud-config": config, "text/jinja2": template}.get(kind)
        if handler is not None:
            handler.handle_part(None, kind, part.get_filename() or "part", content, None, dict(part))
        elif kind == "text/x-shellscript":
            scripts.append(content)
    return config.cloud_buf, scripts


def guest(folder):
    """All that becomes of the data of one VM."""
    os.environ["VFORGE_GUEST"] = folder
    with tempfile.TemporaryDirectory() as scratch:
        source = data_source(scratch)
        told = {"hostname": None, "network": None, "rendered": {}, "config": None, "scripts": []}
        try:
            read(source, source.get_data())
            found = source.get_hostname()
            told["hostname"] = getattr(found, "hostname", found)
        except STUMBLES as error:  # cloud-init goes on without this source then
            return {**told, "error": repr(error), "userdata_left": None}
        left = Path(folder) / "guestinfo.userdata"
        told["userdata_left"] = left.read_text() if left.exists() else None
        if "network" in source.metadata:
            told["network"] = source.network_config
            told["rendered"] = rendered(source.network_config)
        if source.get_userdata_raw():
            told["config"], told["scripts"] = merged(source, helpers.Paths({"cloud_dir": scratch, "run_dir": scratch}))
        return told


if __name__ == "__main__":
    logging.disable(logging.CRITICAL)
    dmi.read_dmi_data = lambda key: "VMware Virtual Platform" if key == "system-product-name" else None
    if sys.argv[1:]:
        json.dump([guest(folder) for folder in sys.argv[1:]], sys.stdout, default=str)
    else:
        with tempfile.TemporaryDirectory() as scratch:
            source = data_source(scratch)
            json.dump(read(source, source.get_data()), sys.stdout, default=str)
