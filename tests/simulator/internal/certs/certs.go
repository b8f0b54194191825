// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package certs

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"strings"
	"time"

	"vforge.vsphere/simulator/internal/settings"
)

// Identity is the TLS identity of the SDK endpoint and the CA that a client is
// told to trust.
type Identity struct {
	CAPEM      []byte
	Leaf       tls.Certificate
	Thumbprint string // SHA-256 of the leaf, AA:BB:.. as vCenter's own tools print it
}

// New makes a CA and the certificate that the endpoint presents.
func New(kind settings.CertKind) (*Identity, error) {
	caKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	now := time.Now()
	caTemplate := &x509.Certificate{
		SerialNumber:          serial(),
		Subject:               pkix.Name{CommonName: "vforge-sim CA", Organization: []string{"vforge.vsphere simulator"}},
		NotBefore:             now.AddDate(-2, 0, 0),
		NotAfter:              now.AddDate(10, 0, 0),
		IsCA:                  true,
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
	caDER, err := x509.CreateCertificate(rand.Reader, caTemplate, caTemplate, caKey.Public(), caKey)
	if err != nil {
		return nil, err
	}
	ca, err := x509.ParseCertificate(caDER)
	if err != nil {
		return nil, err
	}

	leafKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template, issuer, issuerKey := LeafTemplate(kind, now), ca, caKey
	if kind == settings.CertSelfSigned {
		issuer, issuerKey = template, leafKey
	}
	leafDER, err := x509.CreateCertificate(rand.Reader, template, issuer, leafKey.Public(), issuerKey)
	if err != nil {
		return nil, err
	}
	return &Identity{
		CAPEM:      pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: caDER}),
		Leaf:       tls.Certificate{Certificate: [][]byte{leafDER}, PrivateKey: leafKey},
		Thumbprint: Thumbprint(leafDER),
	}, nil
}

// LeafTemplate is what the endpoint's certificate says.
func LeafTemplate(kind settings.CertKind, now time.Time) *x509.Certificate {
	t := &x509.Certificate{
		SerialNumber:          serial(),
		Subject:               pkix.Name{CommonName: "localhost", Organization: []string{"vforge.vsphere simulator"}},
		NotBefore:             now.Add(-24 * time.Hour),
		NotAfter:              now.AddDate(1, 0, 0),
		KeyUsage:              x509.KeyUsageDigitalSignature,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		BasicConstraintsValid: true,
		DNSNames:              []string{"localhost"},
		IPAddresses:           []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback},
	}
	switch kind {
	case settings.CertExpired:
		t.NotBefore, t.NotAfter = now.AddDate(-1, 0, 0), now.Add(-24*time.Hour)
	case settings.CertWrongHost:
		t.Subject.CommonName = "vcenter.elsewhere.test"
		t.DNSNames, t.IPAddresses = []string{"vcenter.elsewhere.test"}, nil
	}
	return t
}

func serial() *big.Int {
	n, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		panic(err) // the system's random source is gone: nothing sensible can follow
	}
	return n
}

// Thumbprint is the SHA-256 of a certificate, as vCenter's own tools print it.
func Thumbprint(der []byte) string {
	sum := sha256.Sum256(der)
	parts := make([]string, len(sum))
	for i, b := range sum {
		parts[i] = fmt.Sprintf("%02X", b)
	}
	return strings.Join(parts, ":")
}

// SHA1Thumbprint is the SHA-1 of a certificate, as the API has it.
func SHA1Thumbprint(der []byte) string {
	sum := sha1.Sum(der)
	parts := make([]string, len(sum))
	for i, b := range sum {
		parts[i] = fmt.Sprintf("%02X", b)
	}
	return strings.Join(parts, ":")
}

// Mismatch is a certificate that is another than the one that was named.
type Mismatch struct{ Thumbprint string }

func (e *Mismatch) Error() string { return "the certificate has the thumbprint " + e.Thumbprint }

// Pinned trusts the certificate with a SHA-1 thumbprint, and without one those that the system trusts.
func Pinned(thumbprint string) *tls.Config {
	if thumbprint == "" {
		return &tls.Config{MinVersion: tls.VersionTLS12}
	}
	return &tls.Config{
		MinVersion:         tls.VersionTLS12,
		InsecureSkipVerify: true, // the thumbprint is compared below
		VerifyConnection: func(state tls.ConnectionState) error {
			if got := SHA1Thumbprint(state.PeerCertificates[0].Raw); !strings.EqualFold(plain(got), plain(thumbprint)) {
				return &Mismatch{got}
			}
			return nil
		},
	}
}

// PinnedCertificate trusts the first certificate of a PEM and no other. False where there is none in it.
func PinnedCertificate(text string) (*tls.Config, bool) {
	block, _ := pem.Decode([]byte(text))
	if block == nil || block.Type != "CERTIFICATE" {
		return nil, false
	}
	return &tls.Config{
		MinVersion:         tls.VersionTLS12,
		InsecureSkipVerify: true, // the certificate is compared below
		VerifyConnection: func(state tls.ConnectionState) error {
			if got := state.PeerCertificates[0].Raw; !bytes.Equal(got, block.Bytes) {
				return &Mismatch{Thumbprint(got)}
			}
			return nil
		},
	}, true
}

// IsSHA1 is whether a thumbprint is as long as a SHA-1.
func IsSHA1(thumbprint string) bool { return len(plain(thumbprint)) == 2*sha1.Size }

func plain(thumbprint string) string { return strings.ReplaceAll(thumbprint, ":", "") }
