# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Signatures of packages: by whom, of what, and vouched for by whom."""

from __future__ import annotations

import datetime
import os

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.vforge.vsphere.plugins.module_utils._errors import MissingLibrary
from ansible_collections.vforge.vsphere.plugins.module_utils._ovf import signature
from ansible_collections.vforge.vsphere.plugins.module_utils._ovf.blobs import PackageError
from ansible_collections.vforge.vsphere.plugins.module_utils._ovf.package import open_package
from ansible_collections.vforge.vsphere.plugins.module_utils._ovf.websource import WebAccess
from ansible_collections.vforge.vsphere.tests.unit.plugins.module_utils.ovf.running import Templates
from ansible_collections.vforge.vsphere.tests.unit.plugins.module_utils.ovf.support import Made, archive, content, manifest
from ansible_collections.vforge.vsphere.tests.unit.plugins.module_utils.ovf.web import (
    Authority,
    certificate,
    key_usage,
    purpose,
)

_KEYS = {
    "rsa": (rsa.generate_private_key(65537, 2048), (padding.PKCS1v15(), hashes.SHA256())),
    "ec": (ec.generate_private_key(ec.SECP256R1()), (ec.ECDSA(hashes.SHA256()),)),
}

_AUTHORITY = Authority.make()


@pytest.fixture
def ca(tmp_path, authority):
    """The file of the authority."""
    return str(authority.pem(tmp_path / "ca.pem"))


def pem(*certificates):
    return b"".join(certificate.public_bytes(serialization.Encoding.PEM) for certificate in certificates)


def signed_files(chain, kind="ec", of=None, algorithm="SHA256", files=None):
    """The files of a package whose manifest is signed by the key of this kind; ``of`` is what is signed instead of it."""
    files = dict(files or Made().files())
    key, how = _KEYS[kind]
    value = key.sign(files["web.mf"] if of is None else of, *how)
    files["web.cert"] = f"{algorithm}(web.mf)= {value.hex()}\n".encode() + chain
    return files


def signed(tmp_path, chain, kind="ec", **how):
    return open_package(str(archive(tmp_path / "web.ova", signed_files(chain, kind, **how))), WebAccess(), signed=True)


def refused(package, ca, now=None):
    with pytest.raises(PackageError) as raised:
        signature.verify(package, ca, now)
    assert raised.value.error_code == "signature_invalid"
    return raised.value.message


@pytest.mark.parametrize("kind", ["rsa", "ec"])
def test_a_signature_of_the_right_one(tmp_path, authority, ca, kind):
    signer = authority.issue("Appliance Maker", _KEYS[kind][0])
    assert signature.verify(signed(tmp_path, pem(signer), kind), ca) == signature.Signer(
        name="CN=Appliance Maker", fingerprint=signer.fingerprint(hashes.SHA256()).hex(), authority="CN=Test CA"
    )


def test_a_signature_behind_a_blank_line_and_with_other_line_ends(tmp_path, authority, ca):
    files = signed_files(pem(authority.issue("Appliance Maker", _KEYS["ec"][0])))
    files["web.cert"] = b"\r\n" + files["web.cert"].replace(b"\n", b"\r\n")
    package = open_package(str(archive(tmp_path / "web.ova", files)), WebAccess(), signed=True)
    assert signature.verify(package, ca).name == "CN=Appliance Maker"


@pytest.mark.parametrize(
    "extensions",
    [
        [key_usage("digital_signature"), purpose("CODE_SIGNING")],
        [key_usage("content_commitment")],
        [purpose("SERVER_AUTH", "ANY_EXTENDED_KEY_USAGE")],
    ],
    ids=["as_code", "any_content", "for_anything"],
)
def test_certificates_that_may_sign(tmp_path, authority, ca, extensions):
    chain = pem(authority.issue("Appliance Maker", _KEYS["ec"][0], extensions=extensions))
    assert signature.verify(signed(tmp_path, chain), ca).name == "CN=Appliance Maker"


@pytest.mark.parametrize(
    ("how", "why"),
    [
        ({"extensions": [key_usage("key_encipherment")]}, "the signer's key may not sign"),
        ({"extensions": [key_usage("digital_signature"), purpose("SERVER_AUTH", "CLIENT_AUTH")]}, "not for signing code"),
        ({"ca": True}, "the signer's certificate is one of an authority"),
        ({"days": -1}, "not valid at validation time"),
        ({"extensions": [x509.UnrecognizedExtension(x509.ObjectIdentifier("1.3.6.1.4.1.1"), b"\5\0")]}, "critical extensions"),
    ],
    ids=["key_usage", "web_server", "authority", "expired", "unknown_condition"],
)
def test_certificates_that_may_not_sign(tmp_path, authority, ca, how, why):
    chain = pem(authority.issue("Appliance Maker", _KEYS["ec"][0], **how))
    message = refused(signed(tmp_path, chain), ca)
    assert why in message
    assert "CN=Appliance Maker" in message


def test_a_certificate_that_is_trusted_itself(tmp_path):
    own = certificate("Appliance Maker", _KEYS["ec"][0], None, ca=True)
    trusted = tmp_path / "own.pem"
    trusted.write_bytes(pem(own))
    assert signature.verify(signed(tmp_path, pem(own)), str(trusted)).authority == "CN=Appliance Maker"


def test_a_certificate_in_between(tmp_path, authority, ca):
    middle = authority.below("Middle", path_length=0, extensions=[key_usage("key_cert_sign"), purpose("CODE_SIGNING")])
    chain = pem(middle.issue("Appliance Maker", _KEYS["ec"][0]), middle.certificate)
    assert signature.verify(signed(tmp_path, chain), ca).authority == "CN=Test CA"


@pytest.mark.parametrize(
    ("how", "why"),
    [
        ({"ca": False}, "basicConstraints.cA must be asserted"),
        ({"extensions": [key_usage("digital_signature")]}, "an authority's key may not sign certificates"),
        ({"extensions": [purpose("SERVER_AUTH")]}, "not for signing code"),
        ({"days": -1}, "not valid at validation time"),
    ],
    ids=["no_authority", "key_usage", "for_web_servers", "expired"],
)
def test_one_in_between_that_may_not_issue(tmp_path, authority, ca, how, why):
    middle = authority.below("Middle", **how)
    chain = pem(middle.issue("Appliance Maker", _KEYS["ec"][0]), middle.certificate)
    assert why in refused(signed(tmp_path, chain), ca)


def test_more_in_between_than_an_authority_allows(tmp_path):
    root = Authority.make("Short", path_length=0)
    middle = root.below("Middle")
    chain = pem(middle.issue("Appliance Maker", _KEYS["ec"][0]), middle.certificate)
    assert "path length" in refused(signed(tmp_path, chain), str(root.pem(tmp_path / "short.pem")))


def test_another_manifest(tmp_path, authority, ca):
    chain = pem(authority.issue("Appliance Maker", _KEYS["ec"][0]))
    assert "the signature is not of this manifest" in refused(signed(tmp_path, chain, of=b"other"), ca)


def test_another_authority(tmp_path, ca):
    stranger = Authority.make("Stranger")
    chain = pem(stranger.issue("Appliance Maker", _KEYS["ec"][0]), stranger.certificate)
    assert "does not lead to a trusted authority" in refused(signed(tmp_path, chain), ca)


def test_a_certificate_that_will_have_expired(tmp_path, authority, ca):
    chain = pem(authority.issue("Appliance Maker", _KEYS["ec"][0]))
    later = datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=31)
    assert "not valid at validation time" in refused(signed(tmp_path, chain), ca, later)


@pytest.mark.parametrize("left_out", ["web.ovf", "web-disk1.vmdk"])
def test_a_signed_manifest_that_leaves_something_out(tmp_path, authority, ca, left_out):
    chain = pem(authority.issue("Appliance Maker", _KEYS["ec"][0]))
    files = Made().files()
    others = {name: data for name, data in files.items() if name not in (left_out, "web.mf")}
    files["web.mf"] = manifest({**others, "of-another-package.vmdk": b""})
    assert f"leaves out {left_out}" in refused(signed(tmp_path, chain, files=files), ca)


def test_what_is_signed_by_way_of_sha1_is_not_taken_for_signed(tmp_path, authority, ca):
    chain = pem(authority.issue("Appliance Maker", _KEYS["ec"][0]))
    assert "only SHA-1 for web.ovf" in refused(signed(tmp_path, chain, files=Made(manifest="sha1").files()), ca)
    assert "made with 'sha1'" in refused(signed(tmp_path, chain, algorithm="SHA1"), ca)


def test_a_package_that_is_not_signed(tmp_path, ca):
    package = open_package(str(Made().ova(tmp_path)), WebAccess(), signed=True)
    with pytest.raises(PackageError) as raised:
        signature.verify(package, ca)
    assert raised.value.error_code == "signature_missing"


@pytest.mark.parametrize("chain", [b"", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"])
def test_no_certificate(tmp_path, ca, chain):
    assert "no readable PEM certificate" in refused(signed(tmp_path, chain), ca)


def test_more_certificates_than_any_chain_has(tmp_path, authority, ca):
    chain = pem(*[authority.issue("Appliance Maker", _KEYS["ec"][0])] * 17)
    assert "more than 16 certificates" in refused(signed(tmp_path, chain), ca)


@pytest.mark.parametrize(
    "text", [b"", b"\n" * 1000, b"SHA256(web.mf)", b"SHA256(web.mf)= xyz", b"SHA256(web.mf= 00", b"= 00", b"MD5(web.mf)= 00"]
)
def test_what_is_no_signature(tmp_path, ca, text):
    files = {**Made().files(), "web.cert": text}
    refused(open_package(str(archive(tmp_path / "web.ova", files)), WebAccess(), signed=True), ca)


def test_a_file_of_signatures_of_many_lines_is_not_read(tmp_path):
    files = {**Made().files(), "web.cert": b"\n" * (64 * 2**10 + 1)}
    with pytest.raises(PackageError) as raised:
        open_package(str(archive(tmp_path / "web.ova", files)), WebAccess(), signed=True)
    assert raised.value.error_code == "unsafe_package"


@pytest.mark.parametrize("missing", ["x509", "verification"])
def test_without_the_library_or_with_an_old_one_its_name_and_version_are_reported(tmp_path, ca, monkeypatch, missing):
    # Before 45 there were no rules for extensions.
    monkeypatch.setattr(signature, missing, None if missing == "x509" else object())
    with pytest.raises(MissingLibrary, match="cryptography 45 or later"):
        signature.verify(open_package(str(Made().ova(tmp_path)), WebAccess(), signed=True), ca)


@pytest.mark.parametrize("what", ["missing", "pipe", "folder"])
def test_a_file_of_authorities_that_is_none(tmp_path, authority, what):
    path = tmp_path / "authorities"
    if what == "pipe":
        os.mkfifo(path)
    elif what == "folder":
        path.mkdir()
    package = signed(tmp_path, pem(authority.issue("Appliance Maker", _KEYS["ec"][0])))
    with pytest.raises(PackageError) as raised:
        signature.verify(package, str(path))
    assert raised.value.error_code == "source_unreadable"
    assert "certificate_ca_path" in str(raised.value)


# A page in place of the file is refused sooner, whatever file it is: the test after this one.
@given(st.binary(max_size=300).filter(lambda data: b"html" not in data), st.sampled_from([b"", b"SHA256(web.mf)= 00\n"]))
def test_whatever_a_signature_holds_it_is_refused_as_one(tmp_path_factory, data, head):
    folder = tmp_path_factory.mktemp("signed")
    source = archive(folder / "web.ova", {**Made().files(), "web.cert": head + data})
    refused(open_package(str(source), WebAccess(), signed=True), str(_AUTHORITY.pem(folder / "ca.pem")))


@pytest.mark.parametrize("page", [b"<html", b"<!DOCTYPE html><html><body>Sign in</body></html>"])
def test_a_page_in_place_of_a_signature_is_refused_as_a_page(tmp_path, page):
    source = archive(tmp_path / "web.ova", {**Made().files(), "web.cert": page})
    with pytest.raises(PackageError, match="is an HTML page") as raised:
        open_package(str(source), WebAccess(), signed=True)
    assert raised.value.error_code == "invalid_package"


def test_who_signed_is_in_the_result_and_an_unsigned_file_is_refused_before_anything_is_made(
    shared_sim, tmp_path, authority, ca, monkeypatch
):
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    templates = Templates(shared_sim)
    signer = authority.issue("Appliance Maker", _KEYS["ec"][0])
    files = Made(name="web", disks={"a.vmdk": content(30_000), "b.vmdk": content(20_000, 2)}).files()
    whole = archive(tmp_path / "web.ova", signed_files(pem(signer), files=files))
    ran = templates.run(whole, name="signed", certificate_ca_path=ca)
    assert {key: value for key, value in ran.result["source"].items() if key.startswith("signer")} == {
        "signer": "CN=Appliance Maker",
        "signer_fingerprint": signer.fingerprint(hashes.SHA256()).hex(),
        "signer_authority": "CN=Test CA",
    }
    files["web.mf"] = b"\n".join(line for line in files["web.mf"].splitlines() if b"b.vmdk" not in line)
    templates.run(None, state="absent", name="signed")
    for verify in ("before", "stream"):
        part = archive(tmp_path / "part.ova", signed_files(pem(signer), files=files))
        ran = templates.attempt(part, name="part", certificate_ca_path=ca, verify=verify)
        assert ran.code == "signature_invalid"
        assert not {"CreateImportSpec", "ImportVApp"} & set(ran.calls)
        assert templates.vms("part*") == []
