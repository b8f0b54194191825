#!/bin/sh
# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# The network of a clone by netplan.

# vforge: needs netplan /etc/netplan

# write_netplan CARD LINES: one file that comes after the others; netplan wants it closed to others.
write_netplan() {
    (
        umask 077
        printf 'network:\n  version: 2\n  ethernets:\n    %s:\n%s\n' "$1" "$2" > /etc/netplan/90-vforge.yaml
    )
    netplan apply
}

# set_address CARD ADDRESS/PREFIX GATEWAY NAMESERVERS
set_address() {
    write_netplan "$1" "      dhcp4: false
      addresses: [$2]${3:+
      routes:
        - to: 0.0.0.0/0
          via: $3}${4:+
      nameservers:
        addresses: [$4]}"
}

# use_dhcp CARD
use_dhcp() {
    write_netplan "$1" "      dhcp4: true
      dhcp-identifier: mac"
}
