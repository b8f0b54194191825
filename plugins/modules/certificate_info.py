# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: certificate_info
short_description: Read the certificate and the thumbprints of a server
version_added: 0.9.0
description:
  - Returns the certificate of a vCenter, an ESXi host or any other TLS server, with its
    thumbprints, and says whether this machine trusts it.
  - The certificate is read without trusting it, by a handshake behind which nothing is sent. There
    are no credentials that could go to the wrong server. A second handshake shows whether the
    system's authorities, or those of O(ca_path), stand for the server.
  - A thumbprint that was read over an untrusted network proves nothing. Compare it with one from
    the server's own console before you pin it.
  - Works on the controller, and connects to no vCenter.
options:
  host:
    description:
      - Name or address of the server.
    type: str
    required: true
  port:
    description:
      - Its port.
    type: int
    default: 443
  ca_path:
    description:
      - PEM file of the authorities to judge by, in the place of the system's.
    type: path
  proxy_host:
    description:
      - HTTP proxy that is asked to connect to it. Needs O(proxy_port).
    type: str
  proxy_port:
    description:
      - Its port.
    type: int
  timeout:
    description: Seconds that the task may take, from its beginning.
    type: int
    default: 60
extends_documentation_fragment:
  - vforge.vsphere.attributes.controller
attributes:
  diff_mode:
    support: none
    details:
      - Nothing is changed.
notes:
  - O(vforge.vsphere.linked_clone#module:thumbprint) and the same option of all modules take the
    SHA-256 one. vSphere names hosts by SHA-1 before 8.0. From 9.0 on it refuses a SHA-1 where a
    thumbprint is a parameter, such as for adding a host, so give it the SHA-256 or the certificate
    there.
  - Needs the Python library cryptography on the controller, 45 or later.
seealso:
  - name: Guide What is trusted, and what is not
    description: How connections are trusted.
    link: https://github.com/vforge/vforge.vsphere/blob/main/docs/docsite/rst/guide_trust.rst
author:
  - The vforge.vsphere authors (@vforge)
"""

EXAMPLES = r"""
- name: Read the thumbprint of a vCenter
  vforge.vsphere.certificate_info:
    host: vcenter.example.com
  register: shown

- name: Stop where it is not the one that its console shows
  ansible.builtin.assert:
    that: shown.sha256 == vcenter_thumbprint
"""

RETURN = r"""
endpoint:
  description: The server and its port.
  returned: success
  type: str
  sample: vcenter.example.com:443
sha256:
  description: SHA-256 thumbprint of the certificate.
  returned: success
  type: str
sha1:
  description: SHA-1 thumbprint, for vSphere before 9.0.
  returned: success
  type: str
pem:
  description: The certificate.
  returned: success
  type: str
subject:
  description: Whose it says that it is.
  returned: success
  type: str
  sample: CN=vcenter.example.com
issuer:
  description: Who it says has signed it.
  returned: success
  type: str
serial_number:
  description: Its serial number, in hexadecimal digits.
  returned: success
  type: str
not_before:
  description: From when on it is valid.
  returned: success
  type: str
  sample: "2026-05-01T00:00:00+00:00"
not_after:
  description: Until when it is valid.
  returned: success
  type: str
names:
  description: The host names and addresses that it is for.
  returned: success
  type: list
  elements: str
trusted:
  description: Whether the authorities stand for this server.
  returned: success
  type: bool
distrust:
  description: Why not, with C(error_code) and C(msg); null where it is trusted.
  returned: success
  type: dict
error_code:
  description: A stable code for what went wrong, such as V(unreachable),
    V(unknown_host) or V(tls_plain_port).
  returned: on failure
  type: str
"""
