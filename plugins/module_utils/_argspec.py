# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Argument specs that several modules share.

Each has the name of its documentation fragment, and a test holds them equal.
"""

from __future__ import annotations

import os
import typing as t

from ansible.module_utils.errors import AnsibleFallbackNotFound

from . import _secrets
from ._errors import InvalidOption

Spec = dict[str, t.Any]

# Constraints of an argument spec, by the names that AnsibleModule has for them.
Rules = dict[str, t.Any]

# The least and the most of the options that mean the same in every module. A timeout of more than a
# week is a mistake.
BOUNDS = {"timeout": (1, 604_800), "parallel": (1, 64)}


def check_bounds(params: t.Mapping[str, t.Any]) -> None:
    """Hold the options that mean the same in every module within their bounds.

    :raises InvalidOption: naming the option.
    """
    for option, (least, most) in BOUNDS.items():
        value = params.get(option)
        if value is not None and not least <= value <= most:
            raise InvalidOption(
                f"The option {option} is {value}.",
                hint=f"Set it to a number from {least} to {most}.",
                option=option,
            )


def timeout(default: int = 300) -> Spec:
    """How long the task may take: 300 seconds by default, 900 where VMs are made, 3600 where disks
    are read or sent.
    """
    return {"timeout": {"type": "int", "default": default}}


def parallel() -> Spec:
    """How many calls are made at the same time."""
    return {"parallel": {"type": "int", "default": 8}}


def joined(*parts: Rules) -> Rules:
    """The constraints of several parts of a spec, as arguments of AnsibleModule."""
    found: Rules = {}
    for part in parts:
        for kind, rules in part.items():
            found[kind] = {**found.get(kind, {}), **rules} if isinstance(rules, dict) else [*found.get(kind, []), *rules]
    return found


def one_of(*options: str) -> Rules:
    """Exactly one of some options is to be set."""
    return {"mutually_exclusive": [list(options)], "required_one_of": [list(options)]}


def connection_rules() -> Rules:
    """The constraints of the fragment ``connection``."""
    return {"required_together": [["proxy_host", "proxy_port"]]}


def guest_rules() -> Rules:
    """The constraints of the fragment ``guest``."""
    return {"required_together": [["guest_username", "guest_password"]]}


def from_environment(*names: str) -> str:
    """The value of the first of these environment variables that is set. An empty one is not set.

    Ansible's own ``env_fallback`` takes an empty one for a value, which is no number and no truth
    value. AWX sets empty ones for each optional field of a credential that is left empty.

    :raises AnsibleFallbackNotFound: none is set; the option then has its default.
    """
    for name in names:
        if os.environ.get(name):
            return os.environ[name]
    raise AnsibleFallbackNotFound


def secret_from_environment(*names: str) -> str:
    """The same of a secret, sealed as an action plugin would seal it: Ansible looks for whatever
    such an option has in all that it shows, and a password may be a word.

    :raises AnsibleFallbackNotFound: none is set.
    """
    return _secrets.sealed(from_environment(*names))


def _env(*names: str) -> tuple[t.Any, list[str]]:
    return (from_environment, list(names))


def connection() -> Spec:
    """How to reach the vCenter: options of the fragment ``connection``."""
    return {
        "hostname": {"type": "str", "fallback": _env("VMWARE_HOST")},
        "port": {"type": "int", "default": 443, "fallback": _env("VMWARE_PORT")},
        "username": {"type": "str", "aliases": ["user", "admin"], "fallback": _env("VMWARE_USER")},
        "password": {
            "type": "str",
            "aliases": ["pass", "pwd"],
            "no_log": True,
            "fallback": (secret_from_environment, ["VMWARE_PASSWORD"]),
        },
        "validate_certs": {
            "type": "bool",
            "default": True,
            "fallback": _env("VMWARE_VALIDATE_CERTS"),
        },
        "ca_path": {"type": "path", "fallback": _env("VMWARE_CA_PATH")},
        "thumbprint": {"type": "str", "fallback": _env("VMWARE_THUMBPRINT")},
        "proxy_host": {"type": "str", "fallback": _env("VMWARE_PROXY_HOST")},
        "proxy_port": {"type": "int", "fallback": _env("VMWARE_PROXY_PORT")},
        "connection_timeout": {"type": "int", "default": 60},
        "session_cache": {
            "type": "bool",
            "default": True,
            "fallback": _env("VMWARE_SESSION_CACHE"),
        },
    }


def vm_selector() -> Spec:
    """What names one VM: options of the fragment ``vm_selector``."""
    return {
        "name": {"type": "str"},
        "path": {"type": "str"},
        "uuid": {"type": "str"},
        "use_instance_uuid": {"type": "bool", "default": False},
        "moid": {"type": "str"},
        "folder": {"type": "str"},
    }


def vm(more: Spec | None = None) -> Spec:
    """An option that names one VM, in exactly one way.

    :param more: further suboptions.
    """
    return {
        "type": "dict",
        "options": {**vm_selector(), **(more or {})},
        **one_of("name", "path", "uuid", "moid"),
    }


def vms(more: Spec | None = None) -> Spec:
    """An option that names VMs, each as ``vm`` does."""
    return {**vm(more), "type": "list", "elements": "dict"}


def hotadd() -> Spec:
    """How disks are attached to the VM that a module runs in."""
    return {
        "type": "dict",
        "options": {
            "proxy": vm(),
            "device_folder": {"type": "path", "default": "/dev/disk/by-id"},
        },
    }


def guest() -> Spec:
    """Guest OS credentials: options of the fragment ``guest``."""
    return {
        "guest_username": {"type": "str", "fallback": _env("VFORGE_GUEST_USERNAME")},
        "guest_password": {
            "type": "str",
            "no_log": True,
            "fallback": (secret_from_environment, ["VFORGE_GUEST_PASSWORD"]),
        },
    }


def parents() -> Spec:
    """Which VMs are meant, one or several: options of the fragment ``parents``."""
    return {
        "parent": vm(),
        "parents": vms(),
        "datacenter": {"type": "str"},
    }


def clone_item() -> Spec:
    """The options of one clone, whatever way it is made in, as a task and as an item of
    ``clones``.
    """
    nic: Spec = {
        "label": {"type": "str"},
        "index": {"type": "int"},
        "network": {"type": "str"},
        "mac": {"type": "str"},
        "connected": {"type": "bool"},
    }
    return {
        "networks": {
            "type": "list",
            "elements": "dict",
            "options": nic,
            **one_of("label", "index"),
        },
        "guestinfo": {"type": "json", "no_log": True},
        "extra_config": {"type": "json", "no_log": True},
        "bios_uuid": {"type": "str"},
    }


def clone_task() -> Spec:
    """What a task that clones takes for all of its clones: options of the fragment
    ``clone_task``.
    """
    return {
        "name": {"type": "str"},
        "wait_for_ip_address": {"type": "bool", "default": False},
        "ip_family": {"type": "str", "choices": ["any", "ipv4", "ipv6"], "default": "any"},
        "ip_nic": {"type": "str"},
        **timeout(900),
        **parallel(),
        "on_error": {"type": "str", "choices": ["keep", "rollback"], "default": "keep"},
    }


def customize() -> Spec:
    """What guests of clones are to become."""
    return {
        "customize": {
            "type": "dict",
            "options": customization(),
            "mutually_exclusive": [["linux", "windows"]],
        }
    }


def customization() -> Spec:
    """What a guest is to become.

    There are no defaults: what a clone leaves out is taken from the options of the task.
    """
    texts: Spec = {"type": "list", "elements": "str"}
    card: Spec = {
        "ip": {"type": "str"},
        "gateway": {"type": "str"},
        "dns_servers": texts,
        "dns_domain": {"type": "str"},
    }
    linux: Spec = {
        "domain": {"type": "str"},
        "timezone": {"type": "str"},
        "hw_clock_utc": {"type": "bool"},
        "script": {"type": "str", "no_log": True},
    }
    windows: Spec = {
        "full_name": {"type": "str"},
        "organization": {"type": "str"},
        "product_id": {"type": "str", "no_log": True},
        "timezone": {"type": "int"},
        "admin_password": {"type": "str", "no_log": True},
        "auto_logon_count": {"type": "int"},
        "workgroup": {"type": "str"},
        "domain": {"type": "str"},
        "domain_ou": {"type": "str"},
        "domain_admin": {"type": "str"},
        "domain_admin_password": {"type": "str", "no_log": True},
        "run_once": {**texts, "no_log": True},
        "change_sid": {"type": "bool"},
    }
    return {
        "hostname": {"type": "str"},
        "nics": {"type": "list", "elements": "dict", "options": card},
        "dns_servers": texts,
        "dns_suffixes": texts,
        "linux": {"type": "dict", "options": linux},
        "windows": {
            "type": "dict",
            "options": windows,
            "mutually_exclusive": [["domain", "workgroup"]],
        },
    }
