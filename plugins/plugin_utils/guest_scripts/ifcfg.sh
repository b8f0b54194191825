#!/bin/sh
# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# The network of a clone by the ifcfg files of older Red Hat and SUSE systems.

# vforge: needs ifup ifdown /etc/sysconfig/network-scripts

# write_ifcfg CARD LINES
write_ifcfg() {
    {
        echo "DEVICE=$1"
        echo "TYPE=Ethernet"
        echo "ONBOOT=yes"
        echo "$2"
    } > "/etc/sysconfig/network-scripts/ifcfg-$1"
    ifdown "$1" >/dev/null 2>&1 || true
    ifup "$1"
}

# set_address CARD ADDRESS/PREFIX GATEWAY NAMESERVERS
set_address() {
    lines="BOOTPROTO=none
IPADDR=${2%/*}
PREFIX=${2#*/}${3:+
GATEWAY=$3}"
    number=1
    rest=$4
    while [ -n "$rest" ]; do
        lines="$lines
DNS$number=${rest%%,*}"
        number=$((number + 1))
        case $rest in
            *,*) rest=${rest#*,} ;;
            *) rest='' ;;
        esac
    done
    write_ifcfg "$1" "$lines"
}

# use_dhcp CARD
use_dhcp() {
    write_ifcfg "$1" "BOOTPROTO=dhcp"
}
