# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How to reach a vCenter: the connection options as one checked value. Pure."""

from __future__ import annotations

import dataclasses
import hashlib
import ipaddress
import re
import typing as t

from .._errors import InvalidOption
from .names import is_sendable

# What a connection cannot do without, and the variables that give it where the task does not.
VARIABLES = {"hostname": "VMWARE_HOST", "username": "VMWARE_USER", "password": "VMWARE_PASSWORD"}

_SHA256_HEX = 64
LONGEST_TIMEOUT = 86_400


@dataclasses.dataclass(frozen=True)
class ConnectionOptions:
    """Where and how to connect.

    :ivar hostname: host name or address of the vCenter.
    :ivar port: TCP port of its HTTPS endpoint.
    :ivar username: user of the vCenter's single sign-on.
    :ivar password: the password; never in ``repr``.
    :ivar validate_certs: False switches every check of the certificate off, unless a CA file or a
        thumbprint is given: AWX's own credential sets it to False where its administrator has not
        chosen, and who names what to trust wants that.
    :ivar ca_path: PEM file of the certificate authorities to trust instead of the system's.
    :ivar thumbprint: SHA-256 of the server's certificate, 64 lower-case hexadecimal digits; pins it
        instead of a CA.
    :ivar proxy_host: HTTP proxy that is asked to CONNECT, or None.
    :ivar proxy_port: its port.
    :ivar connection_timeout: seconds that one request may take.
    :ivar session_cache: whether the session is kept for later tasks.
    """

    hostname: str
    username: str
    password: str = dataclasses.field(repr=False)
    port: int = 443
    validate_certs: bool = True
    ca_path: str | None = None
    thumbprint: str | None = None
    proxy_host: str | None = None
    proxy_port: int | None = None
    connection_timeout: int = 60
    session_cache: bool = True

    @classmethod
    def from_params(cls, params: t.Mapping[str, t.Any]) -> ConnectionOptions:
        """Take the connection options out of a module's parameters.

        :raises InvalidOption: when one is missing or malformed.
        """
        for name, variable in VARIABLES.items():
            if not params.get(name):
                raise InvalidOption(
                    f"The option {name} is {'not set' if params.get(name) is None else 'empty'}.",
                    hint=f"Set {name}, or leave it out and set the environment variable {variable}.",
                    option=name,
                )
        if params.get("proxy_host") == "":
            # Said by a task to which the environment names a proxy, perhaps in part.
            params = {**params, "proxy_port": None}
        if bool(params.get("proxy_host")) != bool(params.get("proxy_port")):
            raise InvalidOption(
                "A proxy needs both proxy_host and proxy_port.",
                hint="Set both or neither.",
                option="proxy_host",
            )
        values = {field.name: params[field.name] for field in dataclasses.fields(cls) if params.get(field.name) is not None}
        for name in ("username", "password", "ca_path"):
            if not is_sendable(values.get(name, "")):
                raise InvalidOption(
                    f"The option {name} has a control character, or one that cannot be sent.",
                    option=name,
                )
        for name in ("port", "proxy_port"):
            if not 0 < values.get(name, 443) < 65536:
                raise InvalidOption(f"The {name} {values[name]} is not between 1 and 65535.", option=name)
        if not 1 <= values.get("connection_timeout", 1) <= LONGEST_TIMEOUT:
            raise InvalidOption(
                f"The connection_timeout must be at least 1 second and at most {LONGEST_TIMEOUT}.",
                option="connection_timeout",
            )
        values["thumbprint"] = _thumbprint(values.get("thumbprint"))
        values["hostname"] = _host(values["hostname"], "hostname", "port")
        values["proxy_host"] = _host(values["proxy_host"], "proxy_host", "proxy_port") if values.get("proxy_host") else None
        return cls(**values)

    @property
    def endpoint(self) -> str:
        """``host:port`` for messages."""
        return _endpoint(self.hostname, self.port)

    @property
    def server_name(self) -> str:
        """The host as certificates and HTTP have it: a name in ASCII, and without the dot that ends
        an absolute one; an address in its shortest form.
        """
        return _server_name(self.hostname)

    @property
    def authority(self) -> str:
        """``host:port`` for addresses."""
        return _endpoint(self.server_name, self.port)

    @property
    def proxy(self) -> str | None:
        """``host:port`` of the proxy for messages, None without one."""
        return _endpoint(self.proxy_host, self.proxy_port or 0) if self.proxy_host else None

    @property
    def proxies(self) -> dict[str, str]:
        """The proxy as the library requests takes it, by scheme; empty without one."""
        if not self.proxy_host:
            return {}
        return {"https": f"http://{_endpoint(_server_name(self.proxy_host), self.proxy_port or 0)}"}

    def leads_to(self, host: str, port: int) -> bool:
        """Whether an address is that of the vCenter itself."""
        return (_server_name(host).lower(), port) == (self.server_name.lower(), self.port)

    @property
    def verifies(self) -> bool:
        """Whether the certificate of the vCenter is verified."""
        return self.validate_certs or bool(self.ca_path or self.thumbprint)

    @property
    def doubt(self) -> str:
        """A warning that the vCenter is not verified, which who runs a job of AWX may not have
        asked for; empty where it is.
        """
        if self.verifies:
            return ""
        return (
            f"The certificate of {self.endpoint} is not verified, since validate_certs is false, in the task, in "
            "module_defaults or by the environment variable VMWARE_VALIDATE_CERTS, as the vCenter credential of AWX "
            "sets it. Whoever stands between can take the password and answer as the vCenter. Set ca_path or "
            "thumbprint, or VMWARE_CA_PATH or VMWARE_THUMBPRINT: then it is verified all the same."
        )

    def cache_key(self) -> str:
        """A file name for the kept session: the same host, port, user and TLS setting give the same
        one.
        """
        trust = (
            str(self.verifies),
            self.ca_path or "",
            self.thumbprint or "",
            self.proxy or "",
        )
        parts = (self.hostname.lower(), str(self.port), self.username, *trust)
        return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]


def _endpoint(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _server_name(host: str) -> str:
    if _is_address(host):
        return str(ipaddress.ip_address(host))
    try:
        return host.rstrip(".").encode("idna").decode()
    except UnicodeError:
        return host  # no name that could be found


def _host(text: str, option: str, port_option: str) -> str:
    """A name or an address, IPv6 without its brackets.

    :raises InvalidOption: for anything else, such as a URL.
    """
    host = text.strip()
    if "/" in host or "@" in host:
        # A user and a password may stand before the name, and a token behind it.
        raise InvalidOption(
            f"The {option} {_bare(host)} is a URL or a path.",
            hint=f"Set {option} to the host name alone, and {port_option} to the port.",
            option=option,
        )
    bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    if _is_address(bare):
        return bare
    if re.fullmatch(r"\[?[^\[\]]+\]?:\d+", host):
        raise InvalidOption(
            f"The {option} {host} holds a port.",
            hint=f"Set {option} to the host name alone, and {port_option} to the port.",
            option=option,
        )
    try:
        name = host.rstrip(".").encode("idna").decode()
    except UnicodeError:
        name = ""
    if not re.fullmatch(r"[A-Za-z0-9_.-]{1,253}", name):
        raise InvalidOption(f"The {option} {host!r} is no host name and no address.", option=option)
    return host


def _bare(url: str) -> str:
    """A URL without what may be secret in it."""
    return re.split(r"[?#]", url.rpartition("@")[2], maxsplit=1)[0]


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _thumbprint(text: str | None) -> str | None:
    """Normalise ``AA:BB:...``; an empty one is none."""
    if not text:
        return None
    digits = re.sub(r"[:\s]", "", text).lower()
    if len(digits) != _SHA256_HEX or re.search(r"[^0-9a-f]", digits):
        raise InvalidOption(
            "The thumbprint is not a SHA-256 one: it needs 64 hexadecimal digits, with or without colons.",
            hint="Read it with: openssl x509 -noout -fingerprint -sha256.",
            option="thumbprint",
        )
    return digits
