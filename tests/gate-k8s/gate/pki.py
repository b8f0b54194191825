# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A certificate authority, and certificates by it, for clients and servers on this machine."""

from __future__ import annotations

import datetime
import ipaddress
import warnings
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.utils import CryptographyDeprecationWarning
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey

_DAY = datetime.timedelta(days=1)
LOOPBACK = "127.0.0.1"


@dataclass(frozen=True)
class Pair:
    """Paths of a certificate and of its key, in PEM."""

    certificate: Path
    key: Path


def _pem(key: Key) -> bytes:
    form = serialization.PrivateFormat.PKCS8
    return key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())


def _write(path: Path, data: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch(mode=0o600)
    path.write_bytes(data)
    return path


def key_pair(folder: Path, name: str) -> Pair:
    """A bare pair of keys, as service accounts' tokens are signed and checked with."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    public = key.public_key().public_bytes(serialization.Encoding.PEM, form)
    return Pair(_write(folder / f"{name}.pub", public), _write(folder / f"{name}.key", _pem(key)))


class Authority:
    """Issues certificates.

    folder: where they go; pem: certificate and key of one that there is; by default a new one is made.
    """

    def __init__(self, folder: Path, pem: tuple[bytes, bytes] | None = None) -> None:
        self.folder = folder
        self._key, self._certificate = _loaded(*pem) if pem else _made()
        data = self._certificate.public_bytes(serialization.Encoding.PEM)
        self.certificate = _write(folder / "ca.crt", data)

    @property
    def pem(self) -> bytes:
        """Its own certificate."""
        return self.certificate.read_bytes()

    def issue(self, name: str, organization: str = "", folder: Path | None = None, *, expired: bool = False) -> Pair:
        """A certificate for a client or for a server on the loopback interface.

        name: its common name, and the name of its files; organization: for clients, their group.
        expired: whether it is out of date.
        """
        key = ec.generate_private_key(ec.SECP256R1())
        now = datetime.datetime.now(datetime.UTC) - (2 * _DAY if expired else datetime.timedelta())
        alternatives: list[x509.GeneralName] = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address(LOOPBACK))]
        builder = (
            x509.CertificateBuilder()
            .subject_name(_name(name, organization))
            .issuer_name(self._certificate.subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - _DAY)
            .not_valid_after(now + _DAY)
            .add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
            .add_extension(
                x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False
            )
        )
        certificate = builder.sign(self._key, hashes.SHA256())
        where = folder or self.folder
        where.mkdir(parents=True, exist_ok=True)
        data = certificate.public_bytes(serialization.Encoding.PEM)
        return Pair(_write(where / f"{name}.crt", data), _write(where / f"{name}.key", _pem(key)))


def _name(common: str, organization: str = "") -> x509.Name:
    parts = [x509.NameAttribute(NameOID.COMMON_NAME, common)]
    if organization:
        parts.append(x509.NameAttribute(NameOID.ORGANIZATION_NAME, organization))
    return x509.Name(parts)


def _loaded(certificate: bytes, key: bytes) -> tuple[Key, x509.Certificate]:
    loaded = serialization.load_pem_private_key(key, None)
    assert isinstance(loaded, ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey)
    with warnings.catch_warnings():
        # The authorities that Cluster API makes have the serial number 0.
        warnings.simplefilter("ignore", CryptographyDeprecationWarning)
        return loaded, x509.load_pem_x509_certificate(certificate)


def _made() -> tuple[Key, x509.Certificate]:
    key = ec.generate_private_key(ec.SECP256R1())
    now = datetime.datetime.now(datetime.UTC)
    name = _name("gate-k8s")
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _DAY)
        .not_valid_after(now + _DAY)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    return key, certificate
