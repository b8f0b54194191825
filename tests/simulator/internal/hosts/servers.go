// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package hosts

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/types"

	"vforge.vsphere/simulator/internal/certs"
	"vforge.vsphere/simulator/internal/core"
	"vforge.vsphere/simulator/internal/settings"
)

// Hosts are the ESXi hosts as servers of files.
type Hosts struct {
	*core.Core
	servers servers
}

// servers are the HTTPS servers of the ESXi hosts: each has a certificate of its
// own, signed by nobody else. A server starts when it is first needed.
type servers struct {
	mu    sync.Mutex
	certs map[types.ManagedObjectReference]tls.Certificate
	addrs map[types.ManagedObjectReference]string
	live  []*http.Server
	// handler answers for every host.
	handler http.Handler
}

// GiveCertificates puts every host's certificate where the API shows it.
func (s *Hosts) GiveCertificates() error {
	s.servers.certs = make(map[types.ManagedObjectReference]tls.Certificate)
	s.servers.addrs = make(map[types.ManagedObjectReference]string)
	for _, e := range s.Reg.All("HostSystem") {
		if _, err := s.certificate(e.(*simulator.HostSystem)); err != nil {
			return err
		}
	}
	return nil
}

// certificate returns the certificate of a host, made on first use.
func (s *Hosts) certificate(host *simulator.HostSystem) (tls.Certificate, error) {
	s.servers.mu.Lock()
	defer s.servers.mu.Unlock()
	if cert, ok := s.servers.certs[host.Self]; ok {
		return cert, nil
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	template := certs.LeafTemplate(settings.CertValid, time.Now())
	template.Subject.CommonName = host.Name
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return tls.Certificate{}, err
	}
	cert := tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
	s.servers.certs[host.Self] = cert
	host.Config.Certificate = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	host.Summary.Config.SslThumbprint = certs.SHA1Thumbprint(der)
	return cert, nil
}

// Address is where a host's server listens; it is started on first use.
func (s *Hosts) Address(host *simulator.HostSystem) (string, error) {
	cert, err := s.certificate(host)
	if err != nil {
		return "", err
	}
	s.servers.mu.Lock()
	defer s.servers.mu.Unlock()
	if addr, ok := s.servers.addrs[host.Self]; ok {
		return addr, nil
	}
	l, err := net.Listen("tcp", net.JoinHostPort(s.SDKAddress.IP.String(), "0"))
	if err != nil {
		return "", err
	}
	server := &http.Server{
		Handler:           s.servers.handler,
		ErrorLog:          log.New(io.Discard, "", 0), // a client that refuses our certificate is no news
		ReadHeaderTimeout: time.Minute,
		TLSNextProto:      map[string]func(*http.Server, *tls.Conn, http.Handler){},
		TLSConfig:         &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12},
	}
	s.servers.live = append(s.servers.live, server)
	s.servers.addrs[host.Self] = l.Addr().String()
	s.Serve(func() error { return server.ServeTLS(l, "", "") })
	return l.Addr().String(), nil
}

// AnswerWith says what answers at the servers of all hosts.
func (s *Hosts) AnswerWith(handler http.Handler) { s.servers.handler = handler }

// Close ends the servers.
func (s *Hosts) Close() error {
	s.servers.mu.Lock()
	defer s.servers.mu.Unlock()
	var failed error
	for _, server := range s.servers.live {
		failed = errors.Join(failed, server.Close())
	}
	return failed
}
