# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Argument specs that several modules share; each has the name of its documentation fragment, and a test holds them equal."""

from __future__ import annotations

import typing as t

from ansible.module_utils.basic import env_fallback

Spec = dict[str, t.Any]


def _env(*names: str) -> tuple[t.Any, list[str]]:
    return (env_fallback, list(names))


def connection() -> Spec:
    """How to reach the vCenter: options of the fragment ``connection``."""
    return {
        "hostname": {"type": "str", "fallback": _env("VMWARE_HOST")},
        "port": {"type": "int", "default": 443, "fallback": _env("VMWARE_PORT")},
        "username": {"type": "str", "aliases": ["user", "admin"], "fallback": _env("VMWARE_USER")},
        "password": {"type": "str", "aliases": ["pass", "pwd"], "no_log": True, "fallback": _env("VMWARE_PASSWORD")},
        "validate_certs": {"type": "bool", "default": True, "fallback": _env("VMWARE_VALIDATE_CERTS")},
        "ca_path": {"type": "path", "fallback": _env("VMWARE_CA_PATH")},
        "thumbprint": {"type": "str", "fallback": _env("VMWARE_THUMBPRINT")},
        "proxy_host": {"type": "str", "fallback": _env("VMWARE_PROXY_HOST")},
        "proxy_port": {"type": "int", "fallback": _env("VMWARE_PROXY_PORT")},
        "connection_timeout": {"type": "int", "default": 60},
        "session_cache": {"type": "bool", "default": True, "fallback": _env("VMWARE_SESSION_CACHE")},
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


def guest() -> Spec:
    """Who to be in a guest: options of the fragment ``guest``."""
    return {
        "guest_username": {"type": "str", "fallback": _env("VFORGE_GUEST_USERNAME")},
        "guest_password": {"type": "str", "no_log": True, "fallback": _env("VFORGE_GUEST_PASSWORD")},
    }


def parents() -> Spec:
    """Which VMs are meant, one or several: options of the fragment ``parents``."""
    return {
        "parent": {"type": "dict", "options": vm_selector()},
        "parents": {"type": "list", "elements": "dict", "options": vm_selector()},
        "datacenter": {"type": "str"},
    }


def clone_item() -> Spec:
    """What one clone can be told, whatever way it is made in; the first options of the fragment ``clone_task``."""
    nic: Spec = {
        "label": {"type": "str"},
        "index": {"type": "int"},
        "network": {"type": "str"},
        "mac": {"type": "str"},
        "connected": {"type": "bool"},
    }
    return {
        "name": {"type": "str"},
        "networks": {"type": "list", "elements": "dict", "options": nic},
        "guestinfo": {"type": "json", "no_log": True},
        "extra_config": {"type": "json", "no_log": True},
        "bios_uuid": {"type": "str"},
    }


def clone_task() -> Spec:
    """What every task that clones can be told: options of the fragment ``clone_task``."""
    return {
        **clone_item(),
        "wait_for_ip_address": {"type": "bool", "default": False},
        "ip_family": {"type": "str", "choices": ["any", "ipv4", "ipv6"], "default": "any"},
        "ip_nic": {"type": "str"},
        "timeout": {"type": "int", "default": 900},
        "parallel": {"type": "int", "default": 8},
        "on_error": {"type": "str", "choices": ["keep", "rollback"], "default": "keep"},
    }


def customize() -> Spec:
    """What guests of clones are to become: the option of the fragment ``customize``."""
    return {"customize": {"type": "dict", "options": customization()}}


def customization() -> Spec:
    """What a guest is to become. There are no defaults: what a clone leaves out is taken from the options of the task."""
    texts: Spec = {"type": "list", "elements": "str"}
    card: Spec = {"ip": {"type": "str"}, "gateway": {"type": "str"}, "dns_servers": texts, "dns_domain": {"type": "str"}}
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
        "windows": {"type": "dict", "options": windows},
    }
