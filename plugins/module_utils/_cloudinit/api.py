# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""pyVmomi's side of what VMs are given for cloud-init: what to read, and the calls that change something."""

from __future__ import annotations

import typing as t

from .._connector import versions
from .._connector.find import TO_ANCESTORS
from .._connector.pyvmomi import vim
from .._errors import NotSupported
from .._vsphere.addresses import guest_nics, usable

if t.TYPE_CHECKING:
    from .._connector.session import Session

VIRTUAL_MACHINE = vim.VirtualMachine

POWER_STATE = "runtime.powerState"
# When it was last powered on; neither a resume nor a reboot of its guest changes it.
BOOT_TIME = "runtime.bootTime"
_CONFIG = "config.extraConfig"

# What VMware Tools tell of the guest's network.
GUEST_NET = "guest.net"


def config_paths(keys: t.Iterable[str]) -> tuple[str, ...]:
    """Paths of single pairs of extraConfig, so that not all of every VM's configuration is sent."""
    return tuple(f'{_CONFIG}["{key}"]' for key in keys)


def config_in(values: t.Mapping[str, t.Any]) -> dict[str, str]:
    """The pairs among properties that were read by these paths; a pair that was taken away is empty."""
    pairs = {path[len(_CONFIG) + 2 : -2]: value for path, value in values.items() if path.startswith(f"{_CONFIG}[")}
    return {key: "" if pair is None else str(pair.value) for key, pair in pairs.items()}


def tools_addresses(net: t.Iterable[t.Any] | None) -> tuple[str, ...]:
    """The addresses that VMware Tools report for the VM's own cards.

    vCenter finds the card by the MAC address; what has no card, such as a bridge within the guest, has no key.
    """
    return tuple(usable(address for nic in guest_nics(net or ()) if nic.key is not None for address in nic.addresses))


def machine_paths(keys: t.Iterable[str]) -> dict[type, tuple[str, ...]]:
    """What is read of VMs and of what they lie in."""
    of_config = ("config.instanceUuid", "config.template", *config_paths(keys))
    of_vm = (*of_config, POWER_STATE, BOOT_TIME, "guest.toolsRunningStatus", GUEST_NET)
    return {
        vim.VirtualMachine: ("name", "parent", "parentVApp", *of_vm),
        vim.Folder: ("name", "parent"),
        vim.Datacenter: ("name", "parent"),
        vim.VirtualApp: ("name", "parent", "parentFolder"),
    }


AROUND_MACHINE = TO_ANCESTORS


def vm(session: Session, moid: str) -> t.Any:
    """A reference; nothing is sent."""
    return session.reference(vim.VirtualMachine, moid)


def start_write(session: Session, moid: str, config: t.Mapping[str, str]) -> t.Any:
    """``ReconfigVM_Task`` with nothing but pairs of extraConfig; a pair with an empty value is taken away."""
    pairs = [vim.option.OptionValue(key=key, value=value) for key, value in sorted(config.items())]
    return vm(session, moid).ReconfigVM_Task(vim.vm.ConfigSpec(extraConfig=pairs))


def require_customization(session: Session) -> None:
    """Make sure that this vCenter carries data for cloud-init in a customization, which came with API 7.0.3.

    :raises NotSupported: on an older one.
    """
    version = session.about.get("apiVersion", "")
    if not versions.at_least(version, "7.0.3"):
        raise NotSupported(
            f"{session.options.endpoint} knows no customization by cloud-init: its API version is {version}.",
            hint="It came with vCenter 7.0.3. Use transport guestinfo.",
            api_version=version,
        )


def start_customization(session: Session, moid: str, metadata: str, userdata: str) -> t.Any:
    """``CustomizeVM_Task`` with ``CustomizationCloudinitPrep``; the network is in the metadata."""
    spec = vim.vm.customization
    wanted = spec.Specification(
        options=spec.LinuxOptions(),
        identity=spec.CloudinitPrep(metadata=metadata, userdata=userdata or None),
        globalIPSettings=spec.GlobalIPSettings(),
        nicSettingMap=[],
    )
    return vm(session, moid).CustomizeVM_Task(wanted)


def start_power_on(session: Session, moid: str) -> t.Any:
    """``PowerOnVM_Task``."""
    return vm(session, moid).PowerOnVM_Task()


def reboot(session: Session, moid: str) -> None:
    """``RebootGuest``: asks the guest, and does not wait for it."""
    vm(session, moid).RebootGuest()
