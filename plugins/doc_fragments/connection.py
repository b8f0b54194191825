# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How to reach the vCenter; the argument spec is ``_argspec.connection``."""

from __future__ import annotations


class ModuleDocFragment:
    """The options that every module shares."""

    DOCUMENTATION = r"""
options:
  hostname:
    description:
      - Host name or address of the vCenter, without a scheme and without a port.
      - If unset, the environment variable E(VMWARE_HOST) is used. An empty variable
        is not set, here and everywhere.
      - The environment is that of the machine on which the module runs. Where a task is
        delegated to another machine than the controller, give it the variables by its keyword
        C(environment), or set the options.
    type: str
  port:
    description:
      - HTTPS port of the vCenter.
      - If unset, the environment variable E(VMWARE_PORT) is used.
    type: int
    default: 443
  username:
    description:
      - User to log in as, with its domain, such as V(administrator@vsphere.local).
      - If unset, the environment variable E(VMWARE_USER) is used.
    type: str
    aliases: [user, admin]
  password:
    description:
      - Password of the user.
      - If unset, the environment variable E(VMWARE_PASSWORD) is used.
    type: str
    aliases: [pass, pwd]
  validate_certs:
    description:
      - Whether the certificate of the vCenter is verified. Leave this on, and use O(ca_path) or
        O(thumbprint) where the vCenter has a certificate that no known authority has signed.
      - If unset, the environment variable E(VMWARE_VALIDATE_CERTS) is used. The credential of AWX
        sets it. Its administrator has to switch the verification on there; it is off by default.
      - With V(false) the certificate is verified all the same where O(ca_path) or O(thumbprint) is
        set, in the task or by its environment variable. Where neither is, each task warns.
    type: bool
    default: true
  ca_path:
    description:
      - PEM file of the certificate authorities to trust instead of the system's.
      - If unset, the environment variable E(VMWARE_CA_PATH) is used.
    type: path
  thumbprint:
    description:
      - SHA-256 thumbprint of the certificate of the vCenter. Only this certificate is then
        accepted, whoever signed it, on every connection of the task.
      - If unset, the environment variable E(VMWARE_THUMBPRINT) is used.
    type: str
  proxy_host:
    description:
      - HTTP proxy to go through, by the CONNECT method, to the vCenter and to ESXi hosts. One that
        wants a login cannot be used.
      - The variables C(https_proxy) and C(no_proxy) of the environment say nothing of the way to a
        vCenter.
      - If unset, the environment variable E(VMWARE_PROXY_HOST) is used. An empty text is no proxy,
        whatever the environment says.
    type: str
  proxy_port:
    description:
      - Port of the proxy. Required together with O(proxy_host).
      - If unset, the environment variable E(VMWARE_PROXY_PORT) is used.
    type: int
  connection_timeout:
    description:
      - Seconds that one request to the vCenter may take, and never more than is
        left of the O(timeout) of the task.
      - A read whose answer is late is sent again, over a new connection, as long as the task has
        time. What changes something is not sent again where that could do it twice; the result then
        says that it is not known whether it was done.
      - A vCenter that takes no new connection either is not waited for any longer. One
        that is starting (HTTP 503) is.
    type: int
    default: 60
  session_cache:
    description:
      - Whether the session is kept for the next tasks, so that only the first one logs
        in. It is kept in a file that only the user who runs the module can read. The
        file never holds the password.
      - If unset, the environment variable E(VMWARE_SESSION_CACHE) is used.
    type: bool
    default: true
requirements:
  - python >= 3.11
  - pyvmomi >= 8.0.3.0.1
  - requests >= 2.32.3 (where files are carried, to or from guests, hosts and web servers)
"""
