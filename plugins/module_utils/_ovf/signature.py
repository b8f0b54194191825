# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The signature of a package: a certificate's owner vouches for the manifest (DMTF DSP0243, section 6.3)."""

from __future__ import annotations

import datetime
import re
import sys
import typing as t

from .._errors import MissingLibrary
from .errors import PackageError
from .package import Package

try:
    from cryptography import x509
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
except ImportError:
    x509 = None  # type: ignore[assignment]

# More than any authority has between its root and a signer.
_LONGEST_CHAIN = 8


def require() -> None:
    """Make sure that the library is there.

    :raises MissingLibrary: naming the Python that runs.
    """
    if x509 is None or not hasattr(x509.Certificate, "not_valid_after_utc"):
        raise MissingLibrary(
            "The Python library cryptography 42 or later, which checks signatures, is missing. "
            f"The module runs with {sys.executable}.",
            hint="Install it (pip install --upgrade cryptography), or leave certificate_ca_path unset.",
        )


def verify(package: Package, ca_path: str, now: datetime.datetime | None = None) -> str:
    """Make sure that who signed the manifest has a certificate of a trusted authority.

    :param ca_path: PEM file of the authorities to trust.
    :returns: the name of the signer.
    :raises PackageError: ``signature_invalid``; ``signature_missing`` where the package is not signed.
    """
    require()
    if package.certificate is None or package.manifest_bytes is None:
        raise PackageError(
            "signature_missing",
            f"{package.label} is not signed, and certificate_ca_path asks for a signature.",
            hint="Use a package with a .mf and a .cert file, or leave certificate_ca_path unset.",
        )
    match = re.search(rb"^\s*(\w+)\s*\(.+\)\s*=\s*([0-9a-fA-F]+)\s*$", package.certificate, re.MULTILINE)
    algorithms: dict[bytes, t.Any] = {b"sha1": hashes.SHA1, b"sha256": hashes.SHA256, b"sha512": hashes.SHA512}
    algorithm = algorithms.get(match[1].lower()) if match else None
    if match is None or algorithm is None:
        raise _invalid(package, "its file .cert holds no signature of the manifest")
    chain = _certificates(package.certificate, f"the file .cert of {package.label}")
    _check_signature(package, chain[0], bytes.fromhex(match[2].decode()), algorithm())
    _check_chain(package, chain, _trusted(ca_path), now or datetime.datetime.now(datetime.UTC))
    return str(chain[0].subject.rfc4514_string())


def _check_signature(package: Package, signer: t.Any, signature: bytes, algorithm: t.Any) -> None:
    key = signer.public_key()
    try:
        if isinstance(key, rsa.RSAPublicKey):
            key.verify(signature, package.manifest_bytes or b"", padding.PKCS1v15(), algorithm)
        elif isinstance(key, ec.EllipticCurvePublicKey):
            key.verify(signature, package.manifest_bytes or b"", ec.ECDSA(algorithm))
        else:
            raise _invalid(package, f"its key is a {type(key).__name__}, which is not understood")
    except InvalidSignature as error:
        raise _invalid(package, "the signature is not of this manifest") from error


def _check_chain(package: Package, chain: list[t.Any], trusted: list[t.Any], now: datetime.datetime) -> None:
    """From the signer up, by the certificates that came along, to one that is trusted."""
    here = chain[0]
    for _step in range(_LONGEST_CHAIN):
        if not here.not_valid_before_utc <= now <= here.not_valid_after_utc:
            raise _invalid(package, f"the certificate of {here.subject.rfc4514_string()} is not valid at this time")
        if here in trusted or any(_issued(here, authority) and _in_time(authority, now) for authority in trusted):
            return
        above = next((other for other in chain[1:] if other != here and _issued(here, other)), None)
        if above is None:
            break
        here = above
    raise _invalid(package, f"{chain[0].subject.rfc4514_string()} has no certificate of a trusted authority")


def _issued(certificate: t.Any, issuer: t.Any) -> bool:
    try:
        certificate.verify_directly_issued_by(issuer)
        return bool(issuer.extensions.get_extension_for_class(x509.BasicConstraints).value.ca)
    except (ValueError, TypeError, InvalidSignature, x509.ExtensionNotFound):
        return False


def _in_time(certificate: t.Any, now: datetime.datetime) -> bool:
    return bool(certificate.not_valid_before_utc <= now <= certificate.not_valid_after_utc)


def _trusted(ca_path: str) -> list[t.Any]:
    try:
        with open(ca_path, "rb") as file:
            text = file.read()
    except OSError as error:
        raise PackageError(
            "source_unreadable",
            f"The CA file {ca_path} cannot be read ({error.strerror}).",
            hint="Set certificate_ca_path to a readable file of PEM certificates.",
        ) from error
    return _certificates(text, f"the CA file {ca_path}")


def _certificates(text: bytes, what: str) -> list[t.Any]:
    try:
        return list(x509.load_pem_x509_certificates(text))
    except ValueError as error:
        raise PackageError("signature_invalid", f"There is no PEM certificate in {what}.") from error


def _invalid(package: Package, why: str) -> PackageError:
    return PackageError(
        "signature_invalid", f"{package.label} is not validly signed: {why}.", hint="Do not use it before you know why."
    )
