#!/bin/sh
# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# The network of a clone by NetworkManager.

# vforge: needs nmcli

# set_address CARD ADDRESS/PREFIX GATEWAY NAMESERVERS
set_address() {
    nmcli connection delete "vforge-$1" >/dev/null 2>&1 || true
    nmcli connection add type ethernet con-name "vforge-$1" ifname "$1" connection.autoconnect-priority 100 \
        ipv4.method manual ipv4.addresses "$2" ${3:+ipv4.gateway "$3"} ${4:+ipv4.dns "$4"} >/dev/null
    nmcli connection up "vforge-$1" >/dev/null
}

# use_dhcp CARD
use_dhcp() {
    nmcli connection delete "vforge-$1" >/dev/null 2>&1 || true
    nmcli connection add type ethernet con-name "vforge-$1" ifname "$1" connection.autoconnect-priority 100 \
        ipv4.method auto >/dev/null
    nmcli connection up "vforge-$1" >/dev/null
}
