#!/bin/sh
# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# The steps of a clone that wakes. What the functions do is in linux.sh and in the part for its kind of network.
#
# guestinfo.hostname  the host name; without it the parent's stays
# guestinfo.ipv4      address of the first card, as 10.0.0.5/24; without it DHCP
# guestinfo.gateway   address of the default router
# guestinfo.dns       addresses of name servers, with commas between them

bound=$(unbind_cards)
new_machine_id
name=$(guestinfo hostname)
if [ -n "$name" ]; then
    set_host_name "$name"
fi
bind_cards "$bound"

first=$(cards | head -n 1)
address=$(guestinfo ipv4)
if [ -z "$first" ]; then
    echo "this clone has no network card"
elif [ -n "$address" ]; then
    case $address in
        */*) ;;
        *) address=$address/24 ;;
    esac
    set_address "$first" "$address" "$(guestinfo gateway)" "$(guestinfo dns)"
else
    use_dhcp "$first"
fi

new_ssh_host_keys
