# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The script by which a guest reports that its cloud-init has finished. Pure.

It goes with the vendor data: those a user seldom writes, and what cloud-init does with the user
data stays the user's alone.
"""

from __future__ import annotations

from . import multipart

# "<instance-id> <done, degraded or error>"; the guest can write keys of guestinfo only.
KEY = "guestinfo.vforge.cloudinit.finished"

# Its public SSH host keys, separated by commas. They come through vCenter, so nobody on the network
# can give others for them.
HOST_KEYS = "guestinfo.vforge.cloudinit.hostkeys"

DONE, DEGRADED, ERROR = "done", "degraded", "error"

# A boothook runs at every boot, also when data and instance are the same. It goes on beside
# cloud-init, which would else wait for its own end. ``cloud-init status`` ends with 2 for "with
# recoverable errors", from 23.4 on.
SCRIPT = f"""#cloud-boothook
#!/bin/sh
# Tells vSphere when cloud-init has finished. Put here by vforge.vsphere.cloud_init_guestinfo (wait:
# finished).
(
    cloud-init status --wait >/dev/null 2>&1
    case $? in
        0) how={DONE} ;;
        2) how={DEGRADED} ;;
        *) how={ERROR} ;;
    esac
    keys=$(cat /etc/ssh/ssh_host_*_key.pub 2>/dev/null | tr '\\n' ',')
    if [ -n "$keys" ]; then
        vmware-rpctool "info-set {HOST_KEYS} $keys"
    fi
    vmware-rpctool "info-set {KEY} $(cat /var/lib/cloud/data/instance-id) $how"
) </dev/null >/dev/null 2>&1 &
"""

FILENAME = "vforge-report.sh"


def added(vendordata: str | None) -> str:
    """Vendor data with the script.

    :raises InvalidOption: for vendor data that says not what it is.
    """
    if vendordata is None:
        return SCRIPT
    part = {"content": SCRIPT, "filename": FILENAME}
    if multipart.is_message(vendordata):
        return multipart.extended(vendordata, part)
    return multipart.message([vendordata, part])


def outcome(value: str | None, instance_id: str | None) -> str | None:
    """What a report says of this instance: done, degraded or error; None for anything else, or one
    of another instance.
    """
    instance, _space, how = (value or "").strip().rpartition(" ")
    if how not in (DONE, DEGRADED, ERROR) or (instance_id is not None and instance != instance_id):
        return None
    return how
