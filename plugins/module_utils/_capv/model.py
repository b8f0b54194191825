# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a workload cluster is to be, as typed values. What cannot be right is refused here, by the
option's name.

The rules are those of Cluster API's and CAPV's own webhooks and schemas (cluster-api
1.14, cluster-api-provider-vsphere 1.14 and its v1beta2 types), so that a mistake shows
before anything is committed. Pure.
"""

from __future__ import annotations

import dataclasses
import ipaddress
import re
import typing as t

from .._errors import InvalidOption
from .._vsphere import addresses, hardware_version

Params: t.TypeAlias = t.Mapping[str, t.Any]

V1BETA1, V1BETA2 = "v1beta1", "v1beta2"
LINKED, FULL = "linkedClone", "fullClone"
KUBE_VIP, EXTERNAL = "kube_vip", "external"
SEALED, REFERENCED = "sealed", "referenced"

# Kubernetes: names of objects that become names of machines and values of labels (RFC 1123).
_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
_MOST_OF_A_LABEL = 63

# What Cluster API puts after the name of a pool for a Machine: the MachineSet's and the Machine's
# own five or ten characters.
_MACHINE_SUFFIX = len("-0123456789-01234")

# What Cluster API takes for a version of Kubernetes.
_VERSION = re.compile(r"v(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)([-+][0-9A-Za-z.+-]+)?")

# CAPV's webhook: "should be a valid VM hardware version, example vmx-17".
HARDWARE_VERSION = re.compile(r"vmx-[1-9][0-9]?")

# CAPV looks names up by govmomi's finder, which takes patterns (Go's path.Match).
PATTERN = re.compile(r"[*?[\\]")

# CAPV compares the SHA-1 of the vCenter's certificate, in capitals with colons between (govmomi's
# soap.ThumbprintSHA1).
_THUMBPRINT = re.compile(r"[0-9A-F]{2}(:[0-9A-F]{2}){19}")

# CSI refuses a longer cluster-id (vsphere-csi-driver, pkg/common/config).
_MOST_OF_CLUSTER_ID = 64

# A name or an address, with a port where that is not 443.
_SERVER = re.compile(r"(?P<host>[^][:/@\s]+|\[[0-9A-Fa-f:.]+\])(:(?P<port>[0-9]{1,5}))?")
HTTPS = 443

# RFC 1123, each label of it.
_DNS_NAME = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9]*[A-Za-z0-9])?(\.[A-Za-z0-9]([-A-Za-z0-9]*[A-Za-z0-9])?)*")

_SSH_KEY = re.compile(r"(ssh-|ecdsa-|sk-)\S+ \S+( .*)?")


@dataclasses.dataclass(frozen=True)
class Network:
    """A network card of a machine.

    :ivar pools: (kind, name) of the pools of IPAM that give addresses, where DHCP does not.
    """

    name: str
    dhcp4: bool
    dhcp6: bool
    nameservers: tuple[str, ...]
    search_domains: tuple[str, ...]
    mtu: int | None
    pools: tuple[tuple[str, str, str], ...]


@dataclasses.dataclass(frozen=True)
class Machine:
    """The hardware of a kind of machine, and what it is cloned of.

    :ivar disk_gib: None leaves the disk as it is in the template.
    :ivar snapshot: of the template, for linked clones; empty for its current one.
    """

    template: str
    clone_mode: str
    snapshot: str
    cpus: int
    cores_per_socket: int | None
    memory_mib: int
    disk_gib: int | None
    hardware_version: str
    datacenter: str
    datastore: str
    storage_policy: str
    folder: str
    resource_pool: str
    networks: tuple[Network, ...]


@dataclasses.dataclass(frozen=True)
class Workers:
    """A pool of worker nodes, a MachineDeployment.

    :ivar replicas: None leaves the number to an autoscaler.
    """

    name: str
    replicas: int | None
    failure_domain: str
    machine: Machine


@dataclasses.dataclass(frozen=True)
class Endpoint:
    """Where the API server of the workload cluster answers."""

    host: str
    port: int
    load_balancer: str
    interface: str
    image: str

    @property
    def url(self) -> str:
        """The address, as kubeconfigs and Argo CD have it."""
        return f"https://[{self.host}]:{self.port}" if ":" in self.host else f"https://{self.host}:{self.port}"


@dataclasses.dataclass(frozen=True)
class Addon:
    """What Argo CD brings into the workload cluster: a Helm chart, or a folder of a Git repository."""

    repo_url: str
    chart: str
    path: str
    revision: str
    namespace: str
    values: t.Mapping[str, t.Any]


@dataclasses.dataclass(frozen=True)
class ArgoCd:
    """Where Argo CD of the management cluster is, and where it reads the tree from."""

    namespace: str
    project: str
    repo_url: str
    revision: str


@dataclasses.dataclass(frozen=True)
class Credentials:
    """Of the vCenter. The texts are secrets.

    :ivar command: what seals a Secret: it is given one on its standard input,
        and prints what may be in Git.
    :ivar revision: changed by the user with the password, so that it is sealed again.
    """

    method: str
    command: tuple[str, ...]
    username: str = dataclasses.field(repr=False)
    password: str = dataclasses.field(repr=False)
    revision: str


@dataclasses.dataclass(frozen=True)
class Registration:
    """How Argo CD logs in to the workload cluster; PEM texts, or a token. All but ``ca`` and the
    certificate is secret.
    """

    ca: str
    certificate: str
    key: str = dataclasses.field(repr=False)
    token: str = dataclasses.field(repr=False)


@dataclasses.dataclass(frozen=True)
class Cluster:
    """A workload cluster.

    :ivar server: the vCenter as CAPV has it, with its port where that is another one than 443.
    """

    name: str
    namespace: str
    version: str
    core_api: str
    infrastructure_api: str
    server: str
    thumbprint: str
    pods: tuple[str, ...]
    services: tuple[str, ...]
    service_domain: str
    ssh_user: str
    ssh_keys: tuple[str, ...]
    endpoint: Endpoint
    control_planes: int
    control_plane: Machine
    workers: tuple[Workers, ...]
    argocd: ArgoCd
    addons: t.Mapping[str, Addon]
    credentials: Credentials
    registration: Registration | None

    @classmethod
    def from_params(cls, params: Params) -> Cluster:
        """Take it out of a task's parameters.

        :raises InvalidOption: what Cluster API, CAPV or Argo CD would refuse, or
            would take and do something else.
        """
        name = label(params["name"], "name")
        common = given(params.get("machines") or {})
        control_plane = given(params["control_plane"])
        replicas = control_plane.pop("replicas", 1)
        _check_control_planes(replicas)
        datacenter = params["vcenter"]["datacenter"]
        found = cls(
            name=name,
            namespace=label(params["namespace"], "namespace"),
            version=_matched(_VERSION, params["kubernetes_version"], "kubernetes_version", "v1.34.2"),
            core_api=params["cluster_api_version"],
            infrastructure_api=params["infrastructure_version"],
            server=_server(params["vcenter"]["server"]),
            thumbprint=_thumbprint(params["vcenter"]),
            pods=_cidrs(params["pod_cidrs"], "pod_cidrs"),
            services=_cidrs(params["service_cidrs"], "service_cidrs"),
            service_domain=params["service_domain"],
            ssh_user=params["ssh_user"],
            ssh_keys=_ssh_keys(params["ssh_keys"]),
            endpoint=_endpoint(params["endpoint"]),
            control_planes=replicas,
            control_plane=_machine({**common, **control_plane}, datacenter, "control_plane"),
            workers=_all_workers(params["workers"], common, datacenter, name),
            argocd=_argocd(params["argocd"]),
            addons=_addons(params.get("addons") or {}),
            credentials=_credentials(params["credentials"]),
            registration=_registration(params.get("registration")),
        )
        _check_port(found)
        _check_cluster_id(found)
        return found

    @property
    def cluster_id(self) -> str:
        """What CSI calls the cluster in the vCenter: no other cluster of that may have it."""
        return f"{self.namespace}/{self.name}"

    @property
    def vcenter(self) -> tuple[str, int]:
        """Host and port of the vCenter, which the cloud provider and CSI have apart.

        An IPv6 address is without its brackets: both put them around it (Go's net.JoinHostPort).
        """
        found = t.cast("re.Match[str]", _SERVER.fullmatch(self.server))
        return found["host"].strip("[]"), int(found["port"] or HTTPS)


def given(options: Params) -> dict[str, t.Any]:
    """The suboptions that are set."""
    return {key: value for key, value in options.items() if value is not None}


def label(text: str, option: str, most: int = _MOST_OF_A_LABEL) -> str:
    """A name that Kubernetes takes for what becomes a label or the name of a machine.

    :raises InvalidOption: it takes it not.
    """
    if not _LABEL.fullmatch(text):
        raise InvalidOption(
            f"The option {option} is {text!r}, which Kubernetes does not take for a name.",
            hint="Use small letters, digits and dashes, with a letter or a digit at both ends.",
            option=option,
        )
    if len(text) > most:
        raise InvalidOption(
            f"The option {option} has {len(text)} characters, and may have {most}: {text}.",
            hint="Cluster API makes longer names of it, of which Kubernetes takes 63 characters.",
            option=option,
        )
    return text


def _matched(pattern: re.Pattern[str], text: str, option: str, example: str) -> str:
    if not pattern.fullmatch(text):
        raise InvalidOption(f"The option {option} is {text!r}.", hint=f"Write it as {example}.", option=option)
    return text


def _check_control_planes(replicas: int) -> None:
    if replicas < 1 or replicas % 2 == 0:
        raise InvalidOption(
            f"control_plane.replicas is {replicas}.",
            hint="etcd runs on these nodes, and needs an odd number of them, such as 1, 3 or 5.",
            option="control_plane",
        )


def _server(text: str) -> str:
    found = _SERVER.fullmatch(text)
    if found is None or not 1 <= int(found["port"] or HTTPS) <= 65535:
        raise InvalidOption(
            "vcenter.server is no name or address of a server.",
            hint="Write the name alone, such as vcenter.example.com, without https://; an IPv6 address in brackets.",
            option="vcenter",
        )
    return text


def _check_port(cluster: Cluster) -> None:
    """The chart of the cloud provider has no value for the port (templates/configmap.yaml)."""
    addon = cluster.addons.get("cloud_provider")
    if addon and addon.repo_url == _WHERE_FROM["cloud_provider"]["repo_url"] and cluster.vcenter[1] != HTTPS:
        raise InvalidOption(
            f"vcenter.server is {cluster.server}, and the chart of the cloud provider reaches a vCenter by port 443 alone.",
            hint="Leave cloud_provider out of addons, or give it a repo_url of manifests that name the port.",
            option="addons",
        )


def _check_cluster_id(cluster: Cluster) -> None:
    if "csi" in cluster.addons and len(cluster.cluster_id) > _MOST_OF_CLUSTER_ID:
        raise InvalidOption(
            f"namespace and name have {len(cluster.cluster_id)} characters together with the slash between them, and CSI takes "
            f"{_MOST_OF_CLUSTER_ID} for its cluster-id: {cluster.cluster_id}.",
            hint="Choose a shorter name or namespace, or leave csi out of addons.",
            option="name",
        )


def _thumbprint(vcenter: Params) -> str:
    """The SHA-1 that CAPV compares; empty only where the user says that nothing is to be verified."""
    text = (vcenter.get("thumbprint") or "").upper()
    if text and vcenter.get("insecure"):
        raise InvalidOption("vcenter has both thumbprint and insecure.", hint="Leave insecure out.", option="vcenter")
    if not text and not vcenter.get("insecure"):
        raise InvalidOption(
            "vcenter has no thumbprint, and without one CAPV does not verify the certificate of the vCenter.",
            hint="Set vcenter.thumbprint to the SHA-1 of its certificate, as certificate_info reads it.",
            option="vcenter",
        )
    if text and not _THUMBPRINT.fullmatch(text):
        raise InvalidOption(
            "vcenter.thumbprint is no SHA-1 thumbprint.",
            hint="CAPV knows SHA-1 alone: 20 pairs of hex digits with colons, such as AB:CD:...; 32 pairs are a SHA-256.",
            option="vcenter",
        )
    return text


def _cidrs(texts: t.Sequence[str], option: str) -> tuple[str, ...]:
    for text in texts:
        hint = "Write it as 192.168.0.0/16."
        try:
            ipaddress.ip_network(text)
        except ValueError as error:
            raise InvalidOption(f"{option}: {error}.", hint=hint, option=option) from error
        # Cluster API takes neither an address alone nor a mask.
        if not re.fullmatch(r"[^/]+/[0-9]+", text):
            raise InvalidOption(f"{option}: {text} does not say how long its prefix is.", hint=hint, option=option)
    return tuple(texts)


def _ssh_keys(texts: t.Sequence[str]) -> tuple[str, ...]:
    for text in texts:
        if "PRIVATE KEY" in text or not _SSH_KEY.fullmatch(text.strip()):
            raise InvalidOption(
                "An entry of ssh_keys is no public key.",
                hint="Give the content of a .pub file, such as ssh-ed25519 AAAA... name.",
                option="ssh_keys",
            )
    return tuple(text.strip() for text in texts)


def _endpoint(params: Params) -> Endpoint:
    host, load_balancer = params["host"], params["load_balancer"]
    if load_balancer == KUBE_VIP and not addresses.parsed(host):
        raise InvalidOption(
            f"endpoint.host is {host!r}, and kube-vip needs an address.",
            hint="Give an IP address that nobody else has, or set endpoint.load_balancer to external.",
            option="endpoint",
        )
    if not _is_host(host):
        raise InvalidOption(
            f"endpoint.host is {host!r}, which is no name or address.",
            hint="Write the name alone, such as k8s.example.com; the port is endpoint.port.",
            option="endpoint",
        )
    if not 1 <= params["port"] <= 65535:
        raise InvalidOption(f"endpoint.port is {params['port']}.", hint="A port is 1 to 65535.", option="endpoint")
    return Endpoint(host, params["port"], load_balancer, params.get("interface") or "", params["image"])


def _is_host(text: str) -> bool:
    return bool(_DNS_NAME.fullmatch(text) or addresses.parsed(text))


def _all_workers(entries: t.Sequence[Params], common: Params, datacenter: str, cluster: str) -> tuple[Workers, ...]:
    found = [_workers(given(entry), common, datacenter, cluster) for entry in entries]
    names = [each.name for each in found]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise InvalidOption(f"Several entries of workers have the name {', '.join(twice)}.", option="workers")
    return tuple(found)


def _workers(entry: dict[str, t.Any], common: Params, datacenter: str, cluster: str) -> Workers:
    name = entry.pop("name")
    label(f"{cluster}-{name}", f"name and workers: {name}", _MOST_OF_A_LABEL - _MACHINE_SUFFIX)
    if name == "cp":
        raise InvalidOption(
            "A pool of workers has the name cp, as the control plane.", hint="Call it otherwise.", option="workers"
        )
    replicas = entry.pop("replicas", None)
    if replicas is not None and replicas < 0:
        raise InvalidOption(f"workers: {name}: replicas is {replicas}.", hint="Give 0 or more.", option="workers")
    failure_domain = entry.pop("failure_domain", "")
    return Workers(name, replicas, failure_domain, _machine({**common, **entry}, datacenter, f"workers: {name}"))


def _machine(options: Params, datacenter: str, where: str) -> Machine:
    networks = tuple(_network(entry, where) for entry in options.get("networks") or ())
    machine = Machine(
        template=options.get("template") or "",
        clone_mode=options.get("clone_mode", LINKED),
        snapshot=options.get("snapshot", ""),
        cpus=options.get("cpus", 2),
        cores_per_socket=options.get("cores_per_socket"),
        memory_mib=options.get("memory_mib", 8192),
        disk_gib=options.get("disk_gib"),
        hardware_version=options.get("hardware_version", ""),
        datacenter=datacenter,
        datastore=options.get("datastore", ""),
        storage_policy=options.get("storage_policy", ""),
        folder=options.get("folder", ""),
        resource_pool=options.get("resource_pool", ""),
        networks=networks,
    )
    wrong, hint = next(_wrong_of(machine), ("", ""))
    if wrong:
        raise InvalidOption(f"{where}: {wrong}.", hint=hint, option=where.partition(":")[0])
    return machine


def _wrong_of(machine: Machine) -> t.Iterator[tuple[str, str]]:
    """What CAPV would refuse, or would do otherwise without saying so; and what to do."""
    if not machine.template:
        yield "there is no template", "Set template in machines, or there."
    if machine.clone_mode == LINKED and machine.disk_gib is not None:
        yield "disk_gib has no effect on linked clones", "Set clone_mode to fullClone, or leave disk_gib out."
    if machine.clone_mode == FULL and machine.snapshot:
        yield "snapshot has no effect on full clones", "Set clone_mode to linkedClone, or leave snapshot out."
    yield from _patterns(machine)
    yield from _wrong_sizes(machine)
    if machine.hardware_version and not HARDWARE_VERSION.fullmatch(machine.hardware_version):
        yield f"hardware_version is {machine.hardware_version!r}", hardware_version.HOW_TO_WRITE_IT
    if not machine.datastore and not machine.storage_policy:
        yield "there is neither a datastore nor a storage policy", "Set datastore or storage_policy."
    if not machine.networks:
        yield "there is no network", "Set networks, such as to [{name: VM Network}]."


def _patterns(machine: Machine) -> t.Iterator[tuple[str, str]]:
    options = ("template", "datacenter", "datastore", "folder", "resource_pool")
    names = [(option, getattr(machine, option)) for option in options]
    names += [("networks", network.name) for network in machine.networks]
    for option, name in names:
        if PATTERN.search(name):
            yield f"{option} has {name!r}, which CAPV takes for a pattern", "Rename it in vCenter, without *, ?, [ and \\."


def _wrong_sizes(machine: Machine) -> t.Iterator[tuple[str, str]]:
    if machine.disk_gib is not None and machine.disk_gib < 1:
        yield f"disk_gib is {machine.disk_gib}", "Give the whole size of the disk in GiB."
    if machine.cpus < 2:
        yield f"cpus is {machine.cpus}", "CAPV makes no node with fewer than 2."
    if machine.memory_mib < 1 or machine.memory_mib % 4:
        yield f"memory_mib is {machine.memory_mib}", "vSphere wants a multiple of 4."
    cores = machine.cores_per_socket
    if cores is not None and (cores < 1 or machine.cpus % cores):
        yield f"cores_per_socket is {cores}", "cpus has to be a multiple of it."


def _network(entry: Params, where: str) -> Network:
    options = given(entry)
    pools = tuple((pool["api_group"], pool["kind"], pool["name"]) for pool in options.get("address_pools") or ())
    dhcp4, dhcp6 = options.get("dhcp4", not pools and not options.get("dhcp6")), options.get("dhcp6", False)
    if not (dhcp4 or dhcp6 or pools):
        raise InvalidOption(
            f"{where}: the network {options['name']} gives no addresses.",
            hint="Set dhcp4, dhcp6 or address_pools; without one of them CAPV waits for ever.",
            option="networks",
        )
    names = ("nameservers", "search_domains")
    servers, domains = (tuple(options.get(name) or ()) for name in names)
    wrong = [server for server in servers if not addresses.parsed(server)]
    if wrong:
        raise InvalidOption(
            f"{where}: nameservers of the network {options['name']} has {wrong[0]!r}.",
            hint="Give addresses: without them no name is known to the node.",
            option="networks",
        )
    return Network(options["name"], dhcp4, dhcp6, servers, domains, options.get("mtu"), pools)


def _argocd(params: Params) -> ArgoCd:
    return ArgoCd(label(params["namespace"], "argocd"), params["project"], _no_secret(params["repo_url"]), params["revision"])


def _no_secret(url: str) -> str:
    """An address, which is to be in Git.

    :raises InvalidOption: it has a password in it, or over HTTP a user, which may be a token.
    """
    if re.match(r"(https?://[^/@]*|[a-z+]+://[^/@]*:[^/@]*)@", url):
        raise InvalidOption(
            "An address of a repository has a password or a token in it, which would be in Git.",
            hint="Leave it out, and register the repository in Argo CD with its credentials.",
            option="repo_url",
        )
    return url


def _addons(params: Params) -> dict[str, Addon]:
    return {name: _addon(name, given(options)) for name, options in params.items() if options}


# Where the charts are that their makers keep. CSI has none: its manifests are a folder of its
# repository.
_WHERE_FROM: dict[str, dict[str, str]] = {
    "cni": {
        "repo_url": "https://docs.tigera.io/calico/charts",
        "chart": "tigera-operator",
        "namespace": "tigera-operator",
    },
    "cloud_provider": {
        "repo_url": "https://kubernetes.github.io/cloud-provider-vsphere",
        "chart": "vsphere-cpi",
        "namespace": "kube-system",
    },
    "csi": {
        "repo_url": "https://github.com/kubernetes-sigs/vsphere-csi-driver",
        "path": "manifests/vanilla",
        "namespace": "vmware-system-csi",
    },
}


def _addon(name: str, options: Params) -> Addon:
    usual = {} if "repo_url" in options else _WHERE_FROM[name]
    chart, path = options.get("chart", usual.get("chart", "")), options.get("path", usual.get("path", ""))
    if bool(chart) == bool(path):
        raise InvalidOption(
            f"addons.{name} has {'both chart and path' if chart else 'neither chart nor path'}.",
            hint="Give chart for a repository of Helm charts, path for a Git repository.",
            option="addons",
        )
    if path and options.get("values"):
        raise InvalidOption(f"addons.{name} has values, and is no chart.", hint="Leave values out.", option="addons")
    return Addon(
        repo_url=_no_secret(options.get("repo_url", usual.get("repo_url", ""))),
        chart=chart,
        path=path,
        revision=options["revision"],
        namespace=options.get("namespace") or _WHERE_FROM[name]["namespace"],
        values=options.get("values") or {},
    )


def _credentials(params: Params) -> Credentials:
    options = given(params)
    method = options["method"]
    needed = {"command": options.get("command"), "username": options.get("username"), "password": options.get("password")}
    missing = [name for name, value in needed.items() if not value]
    if method == SEALED and missing:
        raise InvalidOption(
            f"credentials has no {', '.join(missing)}.",
            hint="To seal them, a command, a user and a password are needed; or set method to referenced.",
            option="credentials",
        )
    if method == REFERENCED and len(missing) < len(needed):
        raise InvalidOption(
            "credentials has a command, a user or a password, and method is referenced.",
            hint="Nothing of them would be used: leave them out, or set method to sealed.",
            option="credentials",
        )
    return Credentials(
        method,
        tuple(options.get("command") or ()),
        options.get("username", ""),
        options.get("password", ""),
        str(options.get("revision", "1")),
    )


def _registration(params: Params | None) -> Registration | None:
    options = given(params or {})
    if not any(options.values()):
        return None
    certificate, key, token = (options.get(name, "") for name in ("client_certificate", "client_key", "token"))
    if bool(certificate) != bool(key) or bool(token) == bool(key):
        raise InvalidOption(
            "registration has neither a token alone nor a client certificate with its key.",
            hint="Give client_certificate and client_key, or token.",
            option="registration",
        )
    for name in ("ca", "client_certificate"):
        text = options.get(name, "")
        if (name == "ca" or text) and "-----BEGIN CERTIFICATE-----" not in text:
            raise InvalidOption(
                f"registration.{name} is no certificate in PEM.",
                hint="Give the text itself; of a Secret it has to be decoded from base64 first.",
                option="registration",
            )
    return Registration(options["ca"], certificate, key, token)
