#!/usr/bin/env bash
# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# cloud-init 22.4.2, as Debian 12 has it (needs Debian 12 with its package lists). It is unpacked, not installed.
#
# Guess: the `link` of a VLAN names the card, so the VLAN is on that card.
# Seen:  it names the card's label in the document. With `set-name` the card has another name in the guest, and both the renderer
#        for NetworkManager and the one for /etc/network/interfaces put the VLAN on an interface that is not there.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check PyYAML==6.0.3 requests==2.34.2 jinja2==3.1.6 configobj==5.0.9
apt-get download cloud-init=22.4.2-1+deb12u4 >apt.log 2>&1 || { cat apt.log; exit 1; }
dpkg -x cloud-init_*.deb unpacked

PYTHONPATH="$work/unpacked/usr/lib/python3/dist-packages" venv/bin/python - <<'CHECK'
import pathlib
import tempfile

import yaml
from cloudinit.net import eni, network_manager
from cloudinit.net.network_state import parse_net_config_data


def rendered(text):
    def state():  # a renderer may change what it is given
        return parse_net_config_data(yaml.safe_load(text))

    told = {}
    for name, renderer in (
        ("eni", eni.Renderer({"eni_path": "interfaces"})),
        ("NetworkManager", network_manager.Renderer({})),
    ):
        with tempfile.TemporaryDirectory() as target:
            renderer.render_network_state(state(), target=target)
            files = sorted(path for path in pathlib.Path(target).rglob("*") if path.is_file())
            told[name] = {path.name: path.read_text().splitlines() for path in files}
    return told


found = rendered("""
version: 2
ethernets:
  card: {match: {macaddress: "00:50:56:01:02:03"}, set-name: lan0}
vlans:
  vlan10: {id: 10, link: card, addresses: [192.0.2.10/24]}
""")
device = [line.strip() for line in found["eni"]["interfaces"] if "vlan-raw-device" in line]
parent = [line for line in found["NetworkManager"]["cloud-init-vlan10.nmconnection"] if line.startswith("parent=")]
print("the card is called lan0; the VLAN is on it by", device, parent)
assert device == ["vlan-raw-device card"] and parent == ["parent=card"]
CHECK
