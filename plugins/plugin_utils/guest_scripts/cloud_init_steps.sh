#!/bin/sh
# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# The steps of a clone that wakes and leaves its identity to cloud-init (data source VMware, which reads guestinfo.metadata
# and guestinfo.userdata). cloud-init works only if the instance-id in the metadata is not the parent's: give each clone one.
# The host name, the SSH host keys and the network are cloud-init's; what the functions do is in linux.sh.

# vforge: needs cloud-init

bound=$(unbind_cards)
new_machine_id
cloud-init clean --logs
bind_cards "$bound"

# The four stages of a boot, in their order; the first one writes the configuration of the network.
cloud-init init --local
if has netplan; then
    netplan apply
elif has nmcli; then
    nmcli connection reload
    cards | while read -r card; do
        nmcli device connect "$card" >/dev/null || true
    done
elif has ifup; then
    cards | while read -r card; do
        ifup "$card" || true
    done
fi
cloud-init init
cloud-init modules --mode=config
cloud-init modules --mode=final
