# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The faults of guest operations and guest customization, made clear. Pure."""

from __future__ import annotations

from .._errors import Fault, GuestError, VforgeError

# Fault -> code, sentence, what to do.
_FAULTS = {
    "GuestOperationsUnavailable": (
        "guest_tools_not_running",
        "VMware Tools do not answer in {vm}: they are not running, or the guest is frozen",
        "Install or start VMware Tools (open-vm-tools) in the guest. A frozen parent answers only after a reset.",
    ),
    "InvalidPowerState": ("guest_powered_off", "{vm} is not powered on", "Power it on and let its guest start."),
    "InvalidGuestLogin": (
        "guest_wrong_credentials",
        "the guest of {vm} refuses the password of {user}, or does not know the user",
        "Check guest_username and guest_password; they are those of the guest, not of the vCenter.",
    ),
    "GuestPermissionDenied": (
        "guest_permission_denied",
        "{user} may not do this in the guest of {vm}",
        "Use an administrator of the guest: root on Linux, an administrator without elevation prompts on Windows.",
    ),
    "OperationDisabledByGuest": (
        "guest_operations_disabled",
        "the guest of {vm} has guest operations switched off",
        "Allow them in the configuration of VMware Tools in the guest ([guestoperations] in tools.conf).",
    ),
    "OperationNotSupportedByGuest": (
        "guest_not_supported",
        "the VMware Tools of {vm} cannot do this",
        "Update VMware Tools in the guest.",
    ),
    "FileNotFound": ("guest_file_missing", "the guest of {vm} has no such program or file", "Check the path in the guest."),
    "FileAlreadyExists": ("guest_file_exists", "the guest of {vm} has this file already", "Remove it, or choose another path."),
    "GuestProcessNotFound": ("guest_process_lost", "the guest of {vm} has no such process", ""),
    "InvalidState": (
        "guest_unavailable",
        "the state of {vm} does not allow it",
        "Let its guest start, and let migrations and snapshots end; then run again.",
    ),
    "CustomizationPending": (
        "guest_customization_pending",
        "an earlier customization of {vm} has left its lock",
        "It was aborted now, which takes the lock away. Run again.",
    ),
    "UncustomizableGuest": (
        "guest_not_supported",
        "the guest of {vm} cannot be customized in this way",
        "Set customize.windows for a Windows guest, and for no other.",
    ),
    "TooManyGuestLogons": ("guest_unavailable", "too many users are logged in to the guest of {vm}", "Run again later."),
}


def guest_error(fault: Fault, vm: str, doing: str, user: str) -> VforgeError:
    """What a fault of guest operations means; one that is none of them stays as it is.

    :param doing: what was being done, in a few words.
    """
    known = _FAULTS.get(fault.fault)
    if known is None:
        return fault
    code, sentence, hint = known
    if code == "guest_file_missing" and doing.startswith("run "):
        code = "guest_program_missing"
    return GuestError(code, f"{vm}, {doing}: {sentence.format(vm=vm, user=user)}.", hint=hint, fault=fault.fault)
