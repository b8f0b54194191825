// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

// Package sim is a vCenter for tests: govmomi's vcsim with the parts that instant
// clones need, made to refuse what vCenter refuses.
package sim

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/url"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/types"
)

// Sim is one running simulator.
type Sim struct {
	finder
	cfg      Config
	id       *identity
	svc      *simulator.Service
	reg      *simulator.Registry
	base     *simulator.Context
	shims    map[string]shim
	calls    callCounter
	inject   injector
	latency  latencies
	auth     *authority
	sessions sessionTable
	props    *properties
	index    *nameIndex
	layers   layerUsers
	// diskLayers are the disks' bytes.
	diskLayers *layerTable
	// tracks are what is known of changed blocks.
	tracks     *trackTable
	snapshots  snapshotTable
	workloads  workloads
	cbtGranule atomic.Int64 // areas are widened to multiples of it
	vms        *vmTable
	guests     guestTable
	forks      forkTable
	hosts      hostServers
	// transfers are the files on their way to and from guests.
	transfers transfers
	leases    leaseTable
	uploads   uploadTable
	policies  policyTable
	// imports are the files that descriptors have asked for, by the names of the VMs.
	imports importTable
	queues  cloneQueues
	macs    *macPool
	// layoutSites are the datacenters as they were built.
	layoutSites []*site
	dhcp        dhcp
	creating    sync.Mutex // held while a VM is made, from the check of its name on
	closed      bool       // guarded by creating: nothing is made any more
	sdk         *http.Server
	control     *http.Server
	gate        *gate // in front of sdk
	sdkAddr     *net.TCPAddr
	ctrlAddr    *net.TCPAddr
	serving     sync.WaitGroup
}

// New builds the inventory. Nothing listens until Start.
//
// It returns an error when the configuration is not valid, or when the state
// directory cannot be written.
func New(cfg Config) (*Sim, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	for _, password := range []*string{&cfg.Password, &cfg.GuestPassword} {
		if *password != "" {
			continue
		}
		var b [18]byte
		if _, err := rand.Read(b[:]); err != nil {
			return nil, err
		}
		*password = base64.RawURLEncoding.EncodeToString(b[:])
	}
	if err := os.MkdirAll(cfg.StateDir, 0o700); err != nil {
		return nil, err
	}
	if err := os.Chmod(cfg.StateDir, 0o700); err != nil {
		return nil, err
	}
	if err := clearState(cfg.StateDir); err != nil {
		return nil, err
	}
	id, err := newIdentity(cfg.Cert)
	if err != nil {
		return nil, err
	}
	svc, err := newService(cfg)
	if err != nil {
		return nil, err
	}
	s := &Sim{
		finder: newFinder(svc.Context.Map), diskLayers: newLayerTable(svc.Context.Map),
		cfg: cfg, id: id, svc: svc, reg: svc.Context.Map, base: svc.Context,
		auth: newAuthority(cfg.Username, cfg.Password), index: newNameIndex(svc.Context.Map), vms: newVMTable(), tracks: newTrackTable(), macs: newMACPool(),
	}
	s.props = newProperties(s.reg, cfg.APIVersion, &s.sessions)
	s.latency.set("*", cfg.Latency)
	s.cbtGranule.Store(cfg.CBTGranule)
	s.installShims()
	if err := s.populate(); err != nil {
		return nil, err
	}
	if err := s.giveHostsCertificates(); err != nil {
		return nil, err
	}
	return s, nil
}

// background returns a context for work that the simulator does by itself. Each
// one owns the object locks that it takes, so no two goroutines may share one.
func (s *Sim) background(user string) *simulator.Context {
	ctx := *s.base
	session := *s.base.Session
	session.UserName = user
	ctx.Session = &session
	return &ctx
}

// detached returns a context for what goes on after ctx's call is answered: the
// same session, but locks of its own.
func detached(ctx *simulator.Context) *simulator.Context {
	c := *ctx
	return &c
}

// Start begins to listen and writes the state files, ready.json last.
func (s *Sim) Start() error {
	sdk, err := net.Listen("tcp", s.cfg.Listen)
	if err != nil {
		return fmt.Errorf("--listen: %w", err)
	}
	ctrl, err := net.Listen("tcp", s.cfg.Control)
	if err != nil {
		return errors.Join(fmt.Errorf("--control: %w", err), sdk.Close())
	}
	s.sdkAddr, s.ctrlAddr = sdk.Addr().(*net.TCPAddr), ctrl.Addr().(*net.TCPAddr)

	quiet := log.New(io.Discard, "", 0) // a client that refuses our certificate is no news
	s.sdk = &http.Server{
		Handler:           s.front(),
		ErrorLog:          quiet,
		ReadHeaderTimeout: time.Minute,
		// A dropped connection must be a dropped call: no multiplexing.
		TLSNextProto: map[string]func(*http.Server, *tls.Conn, http.Handler){},
		TLSConfig:    &tls.Config{Certificates: []tls.Certificate{s.id.leaf}, MinVersion: tls.VersionTLS12},
	}
	s.control = &http.Server{Handler: s.controlHandler(), ReadHeaderTimeout: time.Minute}
	s.gate = newGate(sdk)
	s.serve(func() error { return s.sdk.ServeTLS(s.gate, "", "") })
	s.serve(func() error { return s.control.Serve(ctrl) })
	return s.writeState()
}

func (s *Sim) serve(run func() error) {
	s.serving.Add(1)
	go func() {
		defer s.serving.Done()
		if err := run(); err != nil && !errors.Is(err, http.ErrServerClosed) {
			log.Printf("vforge-sim: %v", err)
		}
	}()
}

// Close stops listening, closes all connections, waits for the servers and removes
// what only a running simulator has: ready.json and the datastores.
func (s *Sim) Close() error {
	err := errors.Join(s.sdk.Close(), s.control.Close(), s.hosts.close())
	s.serving.Wait()
	s.creating.Lock()
	s.closed = true // what still waits in a queue makes no file after this
	s.creating.Unlock()
	s.guests.haltAll()
	s.workloads.stopAll()
	return errors.Join(err, clearState(s.cfg.StateDir), os.RemoveAll(datastoreDir(s.cfg.StateDir)))
}

// URL is the address of the SDK endpoint.
func (s *Sim) URL() *url.URL {
	return &url.URL{Scheme: "https", Host: s.sdkAddr.String(), Path: "/sdk"}
}

// ControlURL is the address of the control endpoint.
func (s *Sim) ControlURL() string { return "http://" + s.ctrlAddr.String() }

// sleep waits for d, or until the client that is waiting has gone.
func sleep(ctx context.Context, d time.Duration) {
	if d <= 0 {
		return
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// localized pairs a fault with the text that vCenter shows for it.
func localized(f types.BaseMethodFault) *types.LocalizedMethodFault {
	if f == nil {
		return nil
	}
	return &types.LocalizedMethodFault{Fault: f, LocalizedMessage: faultText(f)}
}
