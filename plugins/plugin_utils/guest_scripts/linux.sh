#!/bin/sh
# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# What a clone of a frozen Linux parent does when it wakes, whatever sets its network. Runs as root.
#
# Until its cards are unbound a clone answers to the addresses of its parent, so that comes first; and it gets a machine
# ID of its own before they are bound again, because DHCP clients make their identity of it.

# Lines with "vforge: needs" are looked at in the parent before it is frozen: nothing of them may be missing there.
# vforge: needs vmware-rpctool basename readlink tr
# vforge: needs ssh-keygen where /etc/ssh/ssh_host_*_key

set -eu

# guestinfo KEY: the value that vCenter keeps for this clone, or nothing. A child of VMFork has it below "fork".
guestinfo() {
    vmware-rpctool "info-get guestinfo.$1" 2>/dev/null || vmware-rpctool "info-get guestinfo.fork.$1" 2>/dev/null || true
}

# plain WHAT TEXT CHARACTERS: print the text, or end where it has anything but letters, digits, dots, hyphens and these
# characters. What comes from outside goes into files that others read as YAML, or as shell: it must not mean anything there.
plain() {
    case $2 in
        -* | *[!A-Za-z0-9.$3-]*)
            echo "$1 has characters that no name and no address has" >&2
            exit 1
            ;;
    esac
    printf '%s\n' "$2"
}

# has PROGRAM: whether this guest has it.
has() {
    command -v "$1" >/dev/null 2>&1
}

# Names of the network cards that are hardware, in their order.
cards() {
    for card in /sys/class/net/*; do
        if [ -e "$card/device" ]; then
            basename "$card"
        fi
    done
}

# Take the drivers off all cards, and print "DRIVER DEVICE" for each so that bind_cards can undo it.
unbind_cards() {
    for card in /sys/class/net/*; do
        if [ -e "$card/device/driver" ]; then
            driver=$(readlink -f "$card/device/driver")
            device=$(basename "$(readlink -f "$card/device")")
            echo "$device" > "$driver/unbind"
            echo "$driver $device"
        fi
    done
}

# bind_cards LINES: give the cards their drivers again, which then read the clone's own MACs.
bind_cards() {
    echo "$1" | while read -r driver device; do
        if [ -n "$device" ]; then
            echo "$device" > "$driver/bind"
        fi
    done
    if has udevadm; then
        udevadm settle --timeout=10 || true
    fi
}

new_machine_id() {
    rm -f /etc/machine-id
    # Mostly a link to the other one; where it is a copy, systemd would take the new ID from it.
    if [ ! -L /var/lib/dbus/machine-id ]; then
        rm -f /var/lib/dbus/machine-id
    fi
    if has systemd-machine-id-setup; then
        systemd-machine-id-setup >/dev/null
    else
        tr -d '-' < /proc/sys/kernel/random/uuid > /etc/machine-id
    fi
}

# Those of the parent go first: where no new ones can be made, a clone has none rather than its parent's.
new_ssh_host_keys() {
    rm -f /etc/ssh/ssh_host_*_key /etc/ssh/ssh_host_*_key.pub
    if has ssh-keygen; then
        ssh-keygen -A >/dev/null
    fi
}

# The server has the old keys in its memory until it is started again.
restart_ssh() {
    if has systemctl; then
        systemctl try-restart ssh.service sshd.service >/dev/null 2>&1 || true
    fi
}

# set_host_name NAME
set_host_name() {
    if has hostnamectl; then
        hostnamectl set-hostname "$1"
    else
        echo "$1" > /etc/hostname
        hostname "$1"
    fi
}
