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

# Nobody reaches this clone before all that tells it from its parent is its own: whatever fails later, it has no name, no
# machine ID and no SSH host key of another.
bound=$(unbind_cards)
new_machine_id
new_ssh_host_keys
name=$(plain guestinfo.hostname "$(guestinfo hostname)" _)
if [ -n "$name" ]; then
    set_host_name "$name"
fi
address=$(plain guestinfo.ipv4 "$(guestinfo ipv4)" :/)
gateway=$(plain guestinfo.gateway "$(guestinfo gateway)" :)
servers=$(plain guestinfo.dns "$(guestinfo dns | tr -d ' ')" :,)
bind_cards "$bound"

first=$(plain "the name of the network card" "$(cards | head -n 1)" :_)
if [ -z "$first" ]; then
    echo "this clone has no network card"
elif [ -n "$address" ]; then
    case $address in
        */*) ;;
        *) address=$address/24 ;;
    esac
    set_address "$first" "$address" "$gateway" "$servers"
else
    use_dhcp "$first"
fi

restart_ssh
