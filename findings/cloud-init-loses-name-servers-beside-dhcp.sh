#!/usr/bin/env bash
# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# cloud-init 22.4.2, as Debian 12 has it (needs Debian 12 with its package lists). It is unpacked, not installed.
#
# Guess: a card with `dhcp4: true` and name servers of its own gets these beside what DHCP says, or in their place.
# Seen:  only the renderer for networkd writes them for that card. The one for NetworkManager leaves them out; the one for
#        /etc/network/interfaces writes them at the loopback interface, and at the card a line that begins with `dns` and goes on
#        with the name servers as Python prints a mapping. With fixed addresses all three write them.
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
from cloudinit.net import eni, network_manager, networkd
from cloudinit.net.network_state import parse_net_config_data


def rendered(text):
    def state():  # a renderer may change what it is given
        return parse_net_config_data(yaml.safe_load(text))

    told = {"networkd": networkd.Renderer()._render_content(state())}
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
  eth0:
    dhcp4: true
    nameservers: {addresses: [192.0.2.53], search: [corp.example]}
""")
interfaces = found["eni"]["interfaces"]
card = interfaces[interfaces.index("iface eth0 inet dhcp") :]
loopback = interfaces[: interfaces.index("auto eth0")]
connection = found["NetworkManager"]["cloud-init-eth0.nmconnection"]
print("networkd:", [line for line in found["networkd"]["eth0"].splitlines() if "192.0.2.53" in line])
print("eni, at the card:", card[1:], "- at the loopback interface:", [line.strip() for line in loopback if "192.0.2.53" in line])
print("NetworkManager:", [line for line in connection if "192.0.2.53" in line])
assert "DNS=192.0.2.53" in found["networkd"]["eth0"]
assert [line.strip() for line in card[1:] if line.strip()] == ["dns {'nameservers': ['192.0.2.53'], 'search': ['corp.example']}"]
assert "    dns-nameservers 192.0.2.53" in loopback
assert not any("192.0.2.53" in line or "corp.example" in line for line in connection)
CHECK
