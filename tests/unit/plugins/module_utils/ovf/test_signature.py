# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Signatures of packages: by whom, of what, and vouched for by whom."""

from __future__ import annotations

import datetime

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa

from ansible_collections.vforge.vsphere.plugins.module_utils._errors import MissingLibrary
from ansible_collections.vforge.vsphere.plugins.module_utils._ovf import signature
from ansible_collections.vforge.vsphere.plugins.module_utils._ovf.errors import PackageError
from ansible_collections.vforge.vsphere.plugins.module_utils._ovf.package import open_package
from ansible_collections.vforge.vsphere.plugins.module_utils._ovf.websource import WebAccess
from ansible_collections.vforge.vsphere.tests.unit.plugins.module_utils.ovf.support import Made, archive
from ansible_collections.vforge.vsphere.tests.unit.plugins.module_utils.ovf.web import Authority

_KEYS = {
    "rsa": (rsa.generate_private_key(65537, 2048), (padding.PKCS1v15(), hashes.SHA256())),
    "ec": (ec.generate_private_key(ec.SECP256R1()), (ec.ECDSA(hashes.SHA256()),)),
}


@pytest.fixture
def ca(tmp_path, authority):
    """The file of the authority."""
    return str(authority.pem(tmp_path / "ca.pem"))


def pem(*certificates):
    return b"".join(certificate.public_bytes(serialization.Encoding.PEM) for certificate in certificates)


def signed(tmp_path, chain, kind="ec", of=None):
    """A package whose manifest is signed by the key of this kind; ``of`` is what is signed instead of the manifest."""
    files = Made().files()
    key, how = _KEYS[kind]
    value = key.sign(of or files["web.mf"], *how)
    files["web.cert"] = f"SHA256(web.mf)= {value.hex()}\n".encode() + chain
    return open_package(str(archive(tmp_path / "web.ova", files)), WebAccess())


def refused(package, ca, now=None):
    with pytest.raises(PackageError) as raised:
        signature.verify(package, ca, now)
    assert raised.value.error_code == "signature_invalid"
    return raised.value.message


@pytest.mark.parametrize("kind", ["rsa", "ec"])
def test_a_signature_of_the_right_one(tmp_path, authority, ca, kind):
    chain = pem(authority.issue("Appliance Maker", _KEYS[kind][0]))
    assert signature.verify(signed(tmp_path, chain, kind), ca) == "CN=Appliance Maker"


def test_a_certificate_in_between(tmp_path, authority, ca):
    middle = Authority(key := ec.generate_private_key(ec.SECP256R1()), authority.issue("Middle", key, ca=True))
    chain = pem(middle.issue("Appliance Maker", _KEYS["ec"][0]), middle.certificate)
    assert signature.verify(signed(tmp_path, chain), ca) == "CN=Appliance Maker"


def test_one_in_between_that_may_not_issue(tmp_path, authority, ca):
    middle = Authority(key := ec.generate_private_key(ec.SECP256R1()), authority.issue("Middle", key))
    chain = pem(middle.issue("Appliance Maker", _KEYS["ec"][0]), middle.certificate)
    assert "no certificate of a trusted authority" in refused(signed(tmp_path, chain), ca)


def test_another_manifest(tmp_path, authority, ca):
    chain = pem(authority.issue("Appliance Maker", _KEYS["ec"][0]))
    assert "the signature is not of this manifest" in refused(signed(tmp_path, chain, of=b"other"), ca)


def test_another_authority(tmp_path, ca):
    stranger = Authority.make("Stranger")
    chain = pem(stranger.issue("Appliance Maker", _KEYS["ec"][0]), stranger.certificate)
    assert "no certificate of a trusted authority" in refused(signed(tmp_path, chain), ca)


def test_a_certificate_that_has_expired(tmp_path, authority, ca):
    chain = pem(authority.issue("Appliance Maker", _KEYS["ec"][0]))
    later = datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=31)
    assert "is not valid at this time" in refused(signed(tmp_path, chain), ca, later)


def test_a_package_that_is_not_signed(tmp_path, ca):
    package = open_package(str(Made().ova(tmp_path)), WebAccess())
    with pytest.raises(PackageError) as raised:
        signature.verify(package, ca)
    assert raised.value.error_code == "signature_missing"


@pytest.mark.parametrize("chain", [b"", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"])
def test_no_certificate(tmp_path, ca, chain):
    assert "no PEM certificate" in refused(signed(tmp_path, chain), ca)


def test_without_the_library_its_name_is_told(tmp_path, ca, monkeypatch):
    monkeypatch.setattr(signature, "x509", None)
    with pytest.raises(MissingLibrary, match="cryptography"):
        signature.verify(open_package(str(Made().ova(tmp_path)), WebAccess()), ca)
