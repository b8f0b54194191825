# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The signature of a package: a certificate's owner vouches for the manifest (DMTF DSP0243, section 6.3).

A signature is of the manifest alone. So it says something of the package only where the manifest
names the descriptor and every file, and where the bytes are held against the manifest; the one is
checked here, the other while they are read and sent.
"""

from __future__ import annotations

import dataclasses
import datetime
import typing as t

from .._connector import names
from .._errors import MissingLibrary
from . import manifest
from .blobs import LocalBlob, PackageError, printable, whole
from .package import Package

try:
    from cryptography import x509
    from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
    from cryptography.x509 import verification
    from cryptography.x509.oid import ExtendedKeyUsageOID
except ImportError:
    x509 = None  # type: ignore[assignment]
    verification = None  # type: ignore[assignment]

# More than any authority has between its root and a signer.
_LONGEST_CHAIN = 8

_MOST_CERTIFICATES = 16

# All authorities that an operating system brings take less than 1 MiB.
_LONGEST_AUTHORITIES = 8 * 2**20

# SHA-1 is left out: two manifests of one SHA-1 can be made.
_ALGORITHMS = ("sha256", "sha384", "sha512")


@dataclasses.dataclass(frozen=True)
class Signer:
    """Who vouches for a package.

    :ivar name: of the certificate's owner, as RFC 4514 writes it.
    :ivar fingerprint: SHA-256 of the certificate.
    :ivar authority: the name of the trusted certificate that the chain ends with.
    """

    name: str
    fingerprint: str
    authority: str


def require() -> None:
    """Make sure that the library is there.

    :raises MissingLibrary: naming the Python that runs.
    """
    if x509 is None or not hasattr(verification, "ExtensionPolicy"):
        raise MissingLibrary.of_python(
            "The Python library cryptography 45 or later, which checks signatures, is missing.",
            "cryptography>=45",
            "leave certificate_ca_path unset",
        )


def verify(package: Package, ca_path: str, now: datetime.datetime | None = None) -> Signer:
    """Make sure that who signed the manifest has a certificate of a trusted authority, and that the
    manifest is of all files.

    :param ca_path: PEM file of the authorities to trust.
    :param now: the time for which certificates have to be valid; now by default.
    :raises MissingLibrary: cryptography is missing, or too old.
    :raises PackageError: ``signature_invalid``; ``signature_missing`` where the package is not
        signed; ``source_unreadable`` where the file of the authorities cannot be used.
    """
    require()
    if package.certificate is None or package.manifest_bytes is None:
        raise PackageError(
            "signature_missing",
            f"{package.label} is not signed, and certificate_ca_path asks for a signature.",
            hint="Use a package with a .mf and a .cert file, or leave certificate_ca_path unset.",
        )
    algorithm, value = _signature(package, package.certificate)
    chain = _chain(package, package.certificate)
    path = _verified_path(
        package,
        chain,
        _authorities(ca_path),
        now or datetime.datetime.now(datetime.UTC),
    )
    _check_signature(package, chain[0], value, algorithm)
    _check_manifest(package)
    return Signer(
        name=printable(chain[0].subject.rfc4514_string()),
        fingerprint=chain[0].fingerprint(hashes.SHA256()).hex(),
        authority=printable(path[-1].subject.rfc4514_string()),
    )


def _signature(package: Package, document: bytes) -> tuple[str, bytes]:
    """The first line, ``SHA256(web.mf)= 0123...``: algorithm and signature."""
    line = document.lstrip().partition(b"\n")[0].decode("ascii", errors="replace")
    head, _sign, digits = line.rpartition("=")
    word, bracket, rest = head.strip().partition("(")
    algorithm = manifest.algorithm(word)
    if not bracket or not rest.endswith(")"):
        raise _invalid(package, "the first line of its file .cert is no signature of the manifest")
    if algorithm not in _ALGORITHMS:
        raise _invalid(
            package,
            f"its signature is made with {algorithm[:20]!r}, and only {', '.join(_ALGORITHMS)} prove something",
        )
    try:
        return algorithm, bytes.fromhex(digits)
    except ValueError as error:
        raise _invalid(package, "its signature is not written in hexadecimal digits") from error


def _chain(package: Package, document: bytes) -> list[t.Any]:
    """The signer's certificate, and those that came with it."""
    if document.count(b"-----BEGIN") > _MOST_CERTIFICATES:
        raise _invalid(package, f"more than {_MOST_CERTIFICATES} certificates came with it")
    return _certificates(document, f"the file .cert of {package.label}")


def _verified_path(
    package: Package,
    chain: list[t.Any],
    trusted: list[t.Any],
    now: datetime.datetime,
) -> t.Sequence[t.Any]:
    """The certificates from the signer up to a trusted one.

    The library's own policies are for the servers and clients of TLS. Of these, the client's is the
    one that asks for no name, and with the rules below it asks what a signer of packages has to
    fulfil.
    """
    builder = verification.PolicyBuilder().store(verification.Store(trusted)).time(now)
    builder = builder.max_chain_depth(_LONGEST_CHAIN)
    builder = builder.extension_policies(
        ca_policy=_for_authorities(),
        ee_policy=_for_signers(trusted),
    )
    try:
        verified = builder.build_client_verifier().verify(chain[0], chain[1:])
    except (verification.VerificationError, UnsupportedAlgorithm, ValueError) as error:
        # Behind that the library shows the whole certificate.
        why = printable(str(error).partition(" (encountered processing")[0])[:300]
        name = printable(chain[0].subject.rfc4514_string())
        raise _invalid(
            package,
            f"the certificate of {name} does not lead to a trusted authority ({why})",
        ) from error
    return t.cast("t.Sequence[t.Any]", verified.chain)


def _for_authorities() -> t.Any:
    """What RFC 5280 asks of who issues certificates. The library asks itself that it is one, and
    how many follow.
    """

    def may_issue(_policy: t.Any, _certificate: t.Any, usage: t.Any) -> None:
        if usage is not None and not usage.key_cert_sign:
            raise ValueError("an authority's key may not sign certificates")

    either = verification.Criticality.AGNOSTIC
    policy = verification.ExtensionPolicy.permit_all()
    policy = policy.require_present(x509.BasicConstraints, either, None)
    policy = policy.may_be_present(x509.KeyUsage, either, may_issue)
    return policy.may_be_present(x509.ExtendedKeyUsage, either, _signs_code)


def _for_signers(trusted: t.Sequence[t.Any]) -> t.Any:
    """What a signer's certificate has to be for."""

    def may_sign(_policy: t.Any, _certificate: t.Any, usage: t.Any) -> None:
        if usage is not None and not (usage.digital_signature or usage.content_commitment):
            raise ValueError("the signer's key may not sign")

    def no_authority(_policy: t.Any, certificate: t.Any, constraints: t.Any) -> None:
        # One that signs itself, as ovftool's manual shows how to make it, is one; trusted by name,
        # it may.
        if constraints is not None and constraints.ca and certificate not in trusted:
            raise ValueError("the signer's certificate is one of an authority")

    either = verification.Criticality.AGNOSTIC
    policy = verification.ExtensionPolicy.permit_all()
    policy = policy.may_be_present(x509.BasicConstraints, either, no_authority)
    policy = policy.may_be_present(x509.KeyUsage, either, may_sign)
    return policy.may_be_present(x509.ExtendedKeyUsage, either, _signs_code)


def _signs_code(_policy: t.Any, _certificate: t.Any, usages: t.Any) -> None:
    """A certificate that is made for one thing, such as a web server, vouches for nothing else."""
    wanted = (ExtendedKeyUsageOID.CODE_SIGNING, ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE)
    if usages is not None and not any(usage in wanted for usage in usages):
        raise ValueError("a certificate is not for signing code")


def _hash(algorithm: str) -> t.Any:
    """The library's own object for an algorithm."""
    kinds: dict[str, t.Any] = {
        "sha256": hashes.SHA256,
        "sha384": hashes.SHA384,
        "sha512": hashes.SHA512,
    }
    return kinds[algorithm]()


def _check_signature(package: Package, signer: t.Any, value: bytes, algorithm: str) -> None:
    key, signed = signer.public_key(), package.manifest_bytes or b""
    made = _hash(algorithm)
    if isinstance(key, rsa.RSAPublicKey):
        fits = _fits(lambda: key.verify(value, signed, padding.PKCS1v15(), made))
    elif isinstance(key, ec.EllipticCurvePublicKey):
        fits = _fits(lambda: key.verify(value, signed, ec.ECDSA(made)))
    else:
        raise _invalid(package, f"its key is a {type(key).__name__}, which is not understood")
    if not fits:
        raise _invalid(package, "the signature is not of this manifest")


def _fits(verify: t.Callable[[], None]) -> bool:
    """Whether a signature is of what it is said to be of."""
    try:
        verify()
    except InvalidSignature:
        return False
    return True


def _check_manifest(package: Package) -> None:
    """What the signed manifest does not name, nobody has signed."""
    missing = package.left_out()
    if missing:
        raise _invalid(package, f"its signed manifest leaves out {names.listing(missing, most=5)}")
    weak = [name for name, digest in package.manifest.items() if digest.algorithm not in _ALGORITHMS]
    if weak:
        raise _invalid(
            package,
            f"its signed manifest gives only SHA-1 for {names.listing(weak, most=5)}",
        )


def _authorities(ca_path: str) -> list[t.Any]:
    try:
        text = whole(LocalBlob(ca_path), _LONGEST_AUTHORITIES)
    except PackageError as error:
        raise PackageError(
            "source_unreadable",
            f"The CA file cannot be used: {error.message}",
            hint="Set certificate_ca_path to a readable file of PEM certificates.",
        ) from None
    return _certificates(text, f"the CA file {ca_path}")


def _certificates(text: bytes, what: str) -> list[t.Any]:
    try:
        return list(x509.load_pem_x509_certificates(text))
    except ValueError as error:
        raise PackageError(
            "signature_invalid",
            f"There is no readable PEM certificate in {what}.",
            hint="Do not use the package before you know why.",
        ) from error


def _invalid(package: Package, why: str) -> PackageError:
    return PackageError(
        "signature_invalid",
        f"{package.label} is not validly signed: {why}.",
        hint="Do not use it before you know why.",
    )
