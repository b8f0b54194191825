# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What guests of clones are to become; the argument spec is ``_argspec.customize``."""

from __future__ import annotations


class ModuleDocFragment:
    """The option of the modules that customize guests."""

    DOCUMENTATION = r"""
options:
  customize:
    description:
      - What the guests of the clones are to become. V({}) is nothing but the host name. Without this option no guest is
        customized.
      - A clone whose guest was customized is marked by C(vforge.customized) in its configuration. It is not customized again,
        and its settings are not compared.
      - The notes of the module tell how guests are customized, and what that needs.
    type: dict
    suboptions:
      hostname:
        description:
          - Host name, without the domain. The name of the clone by default.
        type: str
      nics:
        description:
          - Settings of the network cards, in their order. Cards that are not listed use DHCP.
        type: list
        elements: dict
        suboptions:
          ip:
            description:
              - IPv4 address with its prefix, such as V(10.0.0.5/24), or V(dhcp), which is the default.
            type: str
          gateway:
            description:
              - Address of the default router.
            type: str
          dns_servers:
            description:
              - Name servers of this card. Only Windows knows such.
            type: list
            elements: str
          dns_domain:
            description:
              - DNS suffix of this card. Only Windows knows such.
            type: str
      dns_servers:
        description:
          - Addresses of the name servers.
        type: list
        elements: str
      dns_suffixes:
        description:
          - Domains in which names without one are looked up.
        type: list
        elements: str
      linux:
        description:
          - What is Linux's own.
        type: dict
        suboptions:
          domain:
            description:
              - Domain of the host. The first of the DNS suffixes by default, or else V(localdomain).
            type: str
          timezone:
            description:
              - Time zone, such as V(Europe/Berlin).
            type: str
          hw_clock_utc:
            description:
              - Whether the hardware clock runs in UTC.
            type: bool
          script:
            description:
              - Script that is run before and after the customization, with C(precustomization) or C(postcustomization)
                as its argument. VMware Tools run it only where C(enable-custom-scripts) is switched on in the guest.
            type: str
      windows:
        description:
          - What is Windows' own (Sysprep). Setting it says that the guest is a Windows one.
        type: dict
        suboptions:
          full_name:
            description:
              - Name of the owner. Required for Windows.
            type: str
          organization:
            description:
              - Name of the organization. Required for Windows.
            type: str
          product_id:
            description:
              - Product key. Not needed with volume licenses.
            type: str
          timezone:
            description:
              - Index of the time zone, of Microsoft's list. V(85), which is GMT, by default.
            type: int
          admin_password:
            description:
              - New password of the administrator.
            type: str
          auto_logon_count:
            description:
              - How often the administrator is logged on without being asked. V(0) by default.
            type: int
          workgroup:
            description:
              - Workgroup to join. V(WORKGROUP) by default.
            type: str
          domain:
            description:
              - Domain to join, instead of a workgroup.
            type: str
          domain_ou:
            description:
              - Organizational unit for the computer account, such as V(OU=web,DC=example,DC=com).
            type: str
          domain_admin:
            description:
              - User who may join computers to the domain.
            type: str
          domain_admin_password:
            description:
              - Password of this user.
            type: str
          run_once:
            description:
              - Commands for the first logon. They may hold secrets, so they are not shown.
            type: list
            elements: str
          change_sid:
            description:
              - Whether the machine gets a new security identifier. Yes by default.
            type: bool
"""
