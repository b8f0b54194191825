# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Guest customization: what a guest is to become, checked and typed, and as vSphere's own
specification.
"""

from __future__ import annotations

import dataclasses
import ipaddress
import re
import typing as t

from .._connector.pyvmomi import vim
from .._errors import InvalidOption

DHCP = "dhcp"

_LABEL = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?")
# The limit of NetBIOS, which Windows holds its computer names to.
_LONGEST_WINDOWS_NAME = 15


@dataclasses.dataclass(frozen=True)
class CardSettings:
    """The network of one card.

    :ivar ip: address with its prefix, ``10.0.0.5/24``, or ``dhcp``.
    """

    ip: str = DHCP
    gateway: str | None = None
    dns_servers: tuple[str, ...] = ()
    dns_domain: str | None = None


@dataclasses.dataclass(frozen=True)
class LinuxSettings:
    """What is Linux's own. The script may hold secrets and is never in ``repr``."""

    domain: str | None = None
    timezone: str | None = None
    hw_clock_utc: bool | None = None
    script: str | None = dataclasses.field(default=None, repr=False)


@dataclasses.dataclass(frozen=True)
class WindowsSettings:
    """What is Windows' own (Sysprep). Secrets are never in ``repr``."""

    full_name: str
    organization: str
    product_id: str = dataclasses.field(default="", repr=False)
    timezone: int = 85
    admin_password: str | None = dataclasses.field(default=None, repr=False)
    auto_logon_count: int = 0
    workgroup: str | None = None
    domain: str | None = None
    domain_ou: str | None = None
    domain_admin: str | None = None
    domain_admin_password: str | None = dataclasses.field(default=None, repr=False)
    run_once: tuple[str, ...] = dataclasses.field(default=(), repr=False)
    change_sid: bool = True


@dataclasses.dataclass(frozen=True)
class Customization:
    """What one guest is to become.

    :ivar cards: in the order of the VM's cards; cards beyond them use DHCP.
    :ivar windows: None for a Linux guest.
    """

    hostname: str
    cards: tuple[CardSettings, ...] = ()
    dns_servers: tuple[str, ...] = ()
    dns_suffixes: tuple[str, ...] = ()
    linux: LinuxSettings = dataclasses.field(default_factory=LinuxSettings)
    windows: WindowsSettings | None = None

    def addresses(self) -> list[str]:
        """The addresses that it sets: those of the cards without DHCP."""
        return [card.ip for card in self.cards if card.ip != DHCP]


def parse(given: t.Mapping[str, t.Any], common: t.Mapping[str, t.Any], vm_name: str) -> Customization:
    """The customization of one VM from its own options over common ones.

    :param vm_name: which is the host name where none is given.
    :raises InvalidOption: naming the VM and the option.
    """
    where = f"clone {vm_name!r}"
    merged = {**_set(common), **_set(given)}
    if merged.get("linux") and merged.get("windows"):
        raise InvalidOption(
            f"{where}: customize has both linux and windows.",
            hint="Set the one that its guest is.",
            option="customize",
        )
    own = {key: {**_set(common.get(key) or {}), **_set(given.get(key) or {})} for key in ("linux", "windows")}
    windows = _windows(own["windows"], where) if merged.get("windows") else None
    return Customization(
        hostname=_hostname(merged.get("hostname") or vm_name, where, windows=windows is not None),
        cards=tuple(_card(card, where) for card in merged.get("nics") or ()),
        dns_servers=_addresses(merged.get("dns_servers"), "dns_servers", where),
        dns_suffixes=tuple(merged.get("dns_suffixes") or ()),
        linux=LinuxSettings(**own["linux"]),
        windows=windows,
    )


def _set(given: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    return {key: value for key, value in given.items() if value not in (None, "")}


def _hostname(text: str, where: str, *, windows: bool) -> str:
    if not _LABEL.fullmatch(text):
        raise InvalidOption(
            f"{where}: {text!r} is no host name.",
            hint="Set customize.hostname to letters, digits and hyphens, at most 63, without the domain.",
            option="customize",
        )
    if windows and (len(text) > _LONGEST_WINDOWS_NAME or text.isdigit()):
        raise InvalidOption(
            f"{where}: {text!r} is no computer name for Windows.",
            hint=f"Set customize.hostname to at most {_LONGEST_WINDOWS_NAME} characters that are not all digits.",
            option="customize",
        )
    return text


def _card(given: t.Mapping[str, t.Any], where: str) -> CardSettings:
    ip = str(given.get("ip") or DHCP).lower()
    if ip != DHCP:
        try:
            known = ipaddress.IPv4Interface(ip)
        except ValueError:
            known = None
        if known is None or "/" not in ip:
            raise InvalidOption(
                f"{where}: {given['ip']} is no IPv4 address with its prefix.",
                hint="Write it as 10.0.0.5/24, or dhcp.",
                option="customize",
            )
    gateway = _addresses([given["gateway"]] if given.get("gateway") else (), "gateway", where)
    return CardSettings(
        ip=ip,
        gateway=gateway[0] if gateway else None,
        dns_servers=_addresses(given.get("dns_servers"), "dns_servers", where),
        dns_domain=given.get("dns_domain") or None,
    )


def _addresses(texts: t.Iterable[str] | None, what: str, where: str) -> tuple[str, ...]:
    found = []
    for text in texts or ():
        try:
            found.append(str(ipaddress.ip_address(text)))
        except ValueError as error:
            raise InvalidOption(f"{where}: customize.{what} has {text!r}, which is no address.", option="customize") from error
    return tuple(found)


def _windows(given: dict[str, t.Any], where: str) -> WindowsSettings:
    for name in ("full_name", "organization"):
        if not given.get(name):
            raise InvalidOption(
                f"{where}: customize.windows.{name} is not set.",
                hint="Windows wants an owner and an organization.",
                option="customize",
            )
    if given.get("domain") and given.get("workgroup"):
        raise InvalidOption(
            f"{where}: customize.windows has both domain and workgroup.",
            hint="Set one of them.",
            option="customize",
        )
    if given.get("domain") and not (given.get("domain_admin") and given.get("domain_admin_password")):
        raise InvalidOption(
            f"{where}: to join {given['domain']}, domain_admin and domain_admin_password are needed.",
            option="customize",
        )
    if given.get("auto_logon_count") and not given.get("admin_password"):
        raise InvalidOption(
            f"{where}: customize.windows has auto_logon_count, and no admin_password, without which Windows logs nobody on.",
            hint="Set admin_password, or leave auto_logon_count out.",
            option="customize",
        )
    return WindowsSettings(**{**given, "run_once": tuple(given.get("run_once") or ())})


def specification(wanted: Customization, cards: int) -> t.Any:
    """vSphere's ``CustomizationSpec``.

    :param cards: how many the VM has; vSphere wants settings for each of them.
    """
    spec = vim.vm.customization
    settings = [*wanted.cards, *[CardSettings()] * max(cards - len(wanted.cards), 0)]
    windows = wanted.windows
    return spec.Specification(
        options=spec.WinOptions(changeSID=windows.change_sid, deleteAccounts=False) if windows else spec.LinuxOptions(),
        identity=_sysprep(wanted.hostname, windows) if windows else _linux_prep(wanted),
        globalIPSettings=spec.GlobalIPSettings(dnsServerList=list(wanted.dns_servers), dnsSuffixList=list(wanted.dns_suffixes)),
        nicSettingMap=[spec.AdapterMapping(adapter=_adapter(card, wanted)) for card in settings],
    )


def _adapter(card: CardSettings, wanted: Customization) -> t.Any:
    spec = vim.vm.customization
    adapter = spec.IPSettings(ip=spec.DhcpIpGenerator())
    if card.ip != DHCP:
        known = ipaddress.IPv4Interface(card.ip)
        adapter = spec.IPSettings(ip=spec.FixedIp(ipAddress=str(known.ip)), subnetMask=str(known.netmask))
    if card.gateway:
        adapter.gateway = [card.gateway]
    # Windows knows name servers of a card only, Linux those of the machine only.
    servers = card.dns_servers or (wanted.dns_servers if wanted.windows else ())
    adapter.dnsServerList = list(servers)
    adapter.dnsDomain = card.dns_domain
    return adapter


def _linux_prep(wanted: Customization) -> t.Any:
    spec, linux = vim.vm.customization, wanted.linux
    return spec.LinuxPrep(
        hostName=spec.FixedName(name=wanted.hostname),
        # vSphere wants one, and Linux takes it for the second part of its own name only.
        domain=linux.domain or next(iter(wanted.dns_suffixes), "localdomain"),
        timeZone=linux.timezone,
        hwClockUTC=linux.hw_clock_utc,
        scriptText=linux.script,
    )


def _sysprep(hostname: str, windows: WindowsSettings) -> t.Any:
    spec = vim.vm.customization
    identification = spec.Identification(joinWorkgroup=None if windows.domain else windows.workgroup or "WORKGROUP")
    if windows.domain:
        identification = spec.Identification(
            joinDomain=windows.domain,
            domainAdmin=windows.domain_admin,
            domainAdminPassword=_password(windows.domain_admin_password),
        )
        if windows.domain_ou:
            identification.domainOU = windows.domain_ou
    unattended = spec.GuiUnattended(
        password=_password(windows.admin_password),
        timeZone=windows.timezone,
        autoLogon=windows.auto_logon_count > 0,
        autoLogonCount=windows.auto_logon_count,
    )
    return spec.Sysprep(
        guiUnattended=unattended,
        userData=spec.UserData(
            fullName=windows.full_name,
            orgName=windows.organization,
            computerName=spec.FixedName(name=hostname),
            productId=windows.product_id,
        ),
        guiRunOnce=spec.GuiRunOnce(commandList=list(windows.run_once)) if windows.run_once else None,
        identification=identification,
    )


def _password(text: str | None) -> t.Any:
    return vim.vm.customization.Password(value=text, plainText=True) if text else None
