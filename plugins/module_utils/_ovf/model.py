# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a task for a cached template is about: its options, and what vSphere has. Pure."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import json
import socket
import typing as t

from .._errors import CodedError, InvalidOption
from .._vsphere.compute import Compute, Datastore, Host, Network, Pool
from .._vsphere.vm import LOST, pairs, vm_name
from . import identity, manifest
from .blobs import PackageError
from .manifest import Digest
from .websource import WebAccess

PRESENT, ABSENT = "present", "absent"
FAIL, REPLACE, KEEP_BOTH = "fail", "replace", "keep_both"
PUSH, PULL = "push", "pull"

# What the digest adds to the name of a version that is not the one of the name: " 1a2b3c4d".
VERSION_DIGITS = 8


class TemplateError(CodedError):
    """Something about the template in vCenter; the code says what.

    ``name_taken``, ``digest_mismatch``, ``other_cluster``, ``busy``, ``in_use``,
    ``descriptor_refused``, ``upload_failed``, ``incomplete_upload``.
    """


@dataclasses.dataclass(frozen=True)
class Place:
    """Where the template is to be, as the options name it; None leaves it to what there is."""

    datacenter: str | None = None
    folder: str | None = None
    cluster: str | None = None
    host: str | None = None
    resource_pool: str | None = None
    datastore: str | None = None
    datastore_cluster: str | None = None
    storage_policy: str | None = None


@dataclasses.dataclass(frozen=True)
class Deployment:
    """What is made of the descriptor.

    :ivar networks: network of the descriptor -> network of the inventory.
    :ivar default_network: for the networks that are not named.
    :ivar properties: may hold secrets, so they are never in ``repr``.
    :ivar hidden_properties: whether those may be set that the descriptor does not let users set.
    :ivar hardware_version: such as ``vmx-19``.
    :ivar system: id of the VM in a vApp of several; empty where there is nothing to choose.
    """

    networks: dict[str, str]
    default_network: str | None
    properties: dict[str, str] = dataclasses.field(repr=False)
    option: str | None
    provisioning: str
    hardware_version: str | None
    annotation: str | None
    system: str = ""
    hidden_properties: bool = False


@dataclasses.dataclass(frozen=True)
class OvfOptions:
    """What one task is asked to do.

    :ivar source: None only for ``absent``.
    :ivar verify: ``before``, ``stream`` or ``none``.
    :ivar checksum: the digest that the source must have, or None.
    :ivar always_read: whether digests that are remembered are not trusted.
    :ivar takeover_after: seconds without a sign of life from who makes the template.
    :ivar timeout: seconds for all of the work.
    """

    state: str
    name: str
    source: str | None
    access: WebAccess
    certificate_ca: str | None
    verify: str
    checksum: Digest | None
    always_read: bool
    transfer: str
    parallel: int
    place: Place
    deployment: Deployment
    on_mismatch: str
    remove_old: bool
    takeover_after: float
    timeout: int

    @property
    def hashed_by_hosts(self) -> tuple[str, ...]:
        """The algorithms of digests by which can be seen what a host has fetched itself.

        None where it is sent from here.
        """
        return identity.HASHED_BY_HOSTS if self.transfer == PULL else ()

    @classmethod
    def from_params(cls, params: t.Mapping[str, t.Any]) -> OvfOptions:
        """Take the options out of a module's parameters.

        :raises InvalidOption: naming the option.
        """
        _check(params)
        checksum, always = _checksum(params["checksum"])
        return cls(
            state=params["state"],
            name=vm_name(params["name"], "template"),
            source=_source(params),
            access=_access(params),
            certificate_ca=params.get("certificate_ca_path") or None,
            verify=_verify(params),
            checksum=checksum,
            always_read=always,
            transfer=params["transfer"],
            parallel=params["parallel"],
            place=Place(
                **{field.name: params.get(field.name) or None for field in dataclasses.fields(Place)},
            ),
            deployment=Deployment(
                networks={str(key): str(value) for key, value in (params.get("networks") or {}).items()},
                default_network=params.get("default_network") or None,
                properties=_properties(params.get("properties")),
                option=params.get("deployment_option") or None,
                provisioning=params["disk_provisioning"],
                hardware_version=_hardware_version(params.get("hardware_version")),
                annotation=params.get("annotation"),
                system=params.get("virtual_system") or "",
                hidden_properties=params["enable_hidden_properties"],
            ),
            on_mismatch=params["on_mismatch"],
            remove_old=params["remove_old_versions"],
            takeover_after=float(params["takeover_after"]),
            timeout=params["timeout"],
        )


def _check(params: t.Mapping[str, t.Any]) -> None:
    if params["state"] == PRESENT and not params.get("source"):
        raise InvalidOption(
            "The option source is not set.",
            hint="Name an OVA or an OVF descriptor.",
            option="source",
        )
    if params["takeover_after"] < 1:
        raise InvalidOption(
            "The option takeover_after must be at least 1.",
            option="takeover_after",
        )
    if params.get("datastore") and params.get("datastore_cluster"):
        raise InvalidOption(
            "Set either datastore or datastore_cluster, not both.",
            option="datastore",
        )
    if params.get("source_password") and not params.get("source_username"):
        raise InvalidOption(
            "The option source_password needs source_username.",
            option="source_username",
        )
    if params["state"] == PRESENT and params["transfer"] == PULL and not _is_remote(params):
        raise InvalidOption(
            "A host can pull only from an http or https address.",
            hint="Leave transfer on push.",
            option="transfer",
        )


def _properties(given: t.Any) -> dict[str, str]:
    """The values as text. Booleans are written as vCenter's own clients do: True, False."""
    mapping = given
    if isinstance(given, str):
        with contextlib.suppress(ValueError):
            mapping = json.loads(given)
    if isinstance(mapping, dict):
        given = {key: _worded(value) for key, value in mapping.items()}
    return dict(pairs(given, "properties", "the template"))


def _worded(value: t.Any) -> t.Any:
    return str(value) if isinstance(value, bool) else value


def _source(params: t.Mapping[str, t.Any]) -> str | None:
    """What names the package, an address with its query."""
    source, query = params.get("source") or None, params.get("source_query")
    if not query:
        return source
    if not _is_remote(params):
        raise InvalidOption("Only an http or https source has a query.", option="source_query")
    return f"{source}?{query}"


def _is_remote(params: t.Mapping[str, t.Any]) -> bool:
    return str(params.get("source") or "").lower().startswith(("http:", "https:"))


def _access(params: t.Mapping[str, t.Any]) -> WebAccess:
    headers = dict(pairs(params.get("source_headers"), "source_headers", "the source"))
    for name, value in headers.items():
        odd = not name.isascii() or any(ord(char) < 33 or char == ":" for char in name)
        if odd or "\n" in value or "\r" in value:
            raise InvalidOption(
                "The option source_headers has a header that no request can carry.",
                option="source_headers",
            )
    return WebAccess(
        username=params.get("source_username") or None,
        password=params.get("source_password"),
        headers=headers,
        ca_path=params.get("source_ca_path") or None,
        validate_certs=params["source_validate_certs"],
    )


def _checksum(text: str) -> tuple[Digest | None, bool]:
    """The digest that the user gave, and whether remembered ones are not trusted."""
    if text in ("auto", "always"):
        return None, text == "always"
    try:
        return manifest.given(text), False
    except PackageError:
        raise InvalidOption(
            f"The option checksum is {text!r}, which is none.",
            hint="Set it to auto, to always, or to a digest such as sha256:0123...",
            option="checksum",
        ) from None


def _verify(params: t.Mapping[str, t.Any]) -> str:
    """What is asked for; by default the earliest time that does not read a source twice."""
    chosen, pull = params.get("verify"), params["transfer"] == PULL
    if chosen == identity.STREAM and pull:
        raise InvalidOption(
            "With transfer=pull the bytes do not come through here, so they cannot be verified on their way.",
            hint="Set verify to before, or to none.",
            option="verify",
        )
    if chosen == identity.NONE and not pull:
        raise InvalidOption(
            "What is sent from here is always verified.",
            hint="Set verify to before or stream.",
            option="verify",
        )
    if chosen == identity.NONE and params.get("certificate_ca_path"):
        raise InvalidOption(
            "A signature says nothing of bytes that nobody verifies.",
            hint="Leave verify or certificate_ca_path unset.",
            option="verify",
        )
    return chosen or (identity.STREAM if _is_remote(params) and not pull else identity.BEFORE)


def _hardware_version(text: t.Any) -> str | None:
    """``vmx-19`` or ``19``."""
    if text in (None, ""):
        return None
    number = str(text).lower().removeprefix("vmx-")
    if not number.isdigit() or not 3 < int(number) < 100:
        raise InvalidOption(
            f"{text!r} is no hardware version.",
            hint="Write it as vmx-19, or 19.",
            option="hardware_version",
        )
    return f"vmx-{int(number):02d}"


def version_name(name: str, digest: str) -> str:
    """The name of a version that is not, or not yet, the one of the name itself."""
    ending = f"-{digest.partition(':')[2][:VERSION_DIGITS]}"
    return name[: 80 - len(ending)] + ending


# What vSphere has

# Kept in extraConfig. All but one come with the import itself, so they are as old as the name.
DIGEST_KEY = "vforge.ovf.digest"  # of the package that the VM is made of
OWNER_KEY = "vforge.ovf.owner"  # who makes it: "<run> <machine> <time>"
NAME_KEY = "vforge.ovf.name"  # the name that was asked for, of which this VM is one version
SOURCE_KEY = "vforge.ovf.source"  # where it came from, for people
# Written together with the delta disks: the VM's own instance UUID. A clone inherits the pairs of
# its template, but not the UUID, so it is not taken for a template of the package.
READY_KEY = "vforge.ovf.ready"
# From the import to the delta disks: in how many bytes each disk was sent, by its address.
DISKS_KEY = "vforge.ovf.disks"

KEYS = (DIGEST_KEY, OWNER_KEY, NAME_KEY, SOURCE_KEY, READY_KEY, DISKS_KEY)

# Stands in the owner mark in the place of the run, where a run has left what it made to the next
# one.
LEFT = "left"

# What an object of that name is: not made of a package, not known yet, being imported, whole but no
# template, a template.
FOREIGN, UNKNOWN, IMPORTING = "foreign", "unknown", "importing"
UNPUBLISHED, READY = "unpublished", "ready"


def owner_mark(run: str) -> str:
    """The owner mark of a run, for other runs and for people: ``<run> <machine> <time>``."""
    now = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return f"{run} {socket.gethostname()} {now}"


@dataclasses.dataclass(frozen=True)
class Existing:
    """What has a name in the folder of the template.

    :ivar kind: ``VirtualMachine``, or what else.
    :ivar configured: False while vCenter has no configuration of it yet, as at the beginning of an
        import.
    :ivar connection: as vCenter calls it; ``connected`` of one that it reaches.
    """

    moid: str
    name: str
    path: str = ""
    kind: str = "VirtualMachine"
    configured: bool = True
    marks: dict[str, str] = dataclasses.field(default_factory=dict)
    template: bool = False
    power_state: str = "poweredOff"
    instance_uuid: str = ""
    change_version: str = ""
    connection: str = ""
    host_name: str = ""
    compute: str = ""
    datastores: tuple[str, ...] = ()

    @property
    def digest(self) -> str:
        """Of the package, or empty."""
        return self.marks.get(DIGEST_KEY, "")

    @property
    def owner(self) -> str:
        """The owner mark: who makes it."""
        return self.marks.get(OWNER_KEY, "")

    def is_version_of(self, name: str) -> bool:
        """Whether it was made for a template of this name. Of long names the names of versions may be the same."""
        return self.marks.get(NAME_KEY, name) == name

    @property
    def is_lost(self) -> bool:
        """Whether vCenter does not reach its files, so that nobody knows what it is."""
        return not self.configured and self.connection in LOST

    @property
    def is_left(self) -> bool:
        """Whether who made it has left it for the next run to finish."""
        return self.owner.startswith(f"{LEFT} ")

    @property
    def is_being_made(self) -> bool:
        """Whether a run works on it, or was killed while it did."""
        return self.state in (IMPORTING, UNKNOWN, UNPUBLISHED) and not self.is_left

    @property
    def state(self) -> str:
        """``foreign``, ``unknown``, ``importing``, ``unpublished`` or ``ready``."""
        if self.kind != "VirtualMachine":
            return FOREIGN
        if not self.configured:
            return UNKNOWN
        if not self.digest:
            return FOREIGN
        mark = self.marks.get(READY_KEY)
        if mark not in (None, self.instance_uuid):
            return FOREIGN
        if self.template:
            return FOREIGN if mark is None else READY
        if self.power_state != "poweredOff":
            return FOREIGN  # nothing here powers it on, so it is somebody's
        return IMPORTING if mark is None else UNPUBLISHED


@dataclasses.dataclass(frozen=True)
class Surroundings:
    """What a datacenter offers.

    :ivar datastore_clusters: name by moid.
    :ivar session_key: by which vCenter can be asked what the user of this session may do; empty
        where it cannot be read.
    """

    computes: tuple[Compute, ...]
    hosts: tuple[Host, ...]
    datastores: tuple[Datastore, ...]
    networks: tuple[Network, ...]
    datastore_clusters: dict[str, str]
    session_key: str = ""


@dataclasses.dataclass(frozen=True)
class Placement:
    """Where the template goes; ``networks`` by their names in the descriptor."""

    host: Host
    pool: Pool
    compute: Compute
    datastore: Datastore
    networks: dict[str, Network]
