// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

// Package sim is a vCenter for tests: govmomi's vcsim with the parts that instant
// clones need, made to refuse what vCenter refuses.
package sim

import (
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

	"vforge.vsphere/simulator/internal/accounts"
	"vforge.vsphere/simulator/internal/certs"
	"vforge.vsphere/simulator/internal/fcd"
	"vforge.vsphere/simulator/internal/ids"
	"vforge.vsphere/simulator/internal/inject"
	"vforge.vsphere/simulator/internal/lookup"
	"vforge.vsphere/simulator/internal/naming"
	"vforge.vsphere/simulator/internal/props"
	"vforge.vsphere/simulator/internal/settings"
	"vforge.vsphere/simulator/internal/shim"
	"vforge.vsphere/simulator/internal/snaptree"
	"vforge.vsphere/simulator/internal/taskqueue"
	"vforge.vsphere/simulator/internal/vdisk"
)

// Sim is one running simulator.
type Sim struct {
	lookup.Finder
	cfg   settings.Config
	id    *certs.Identity
	svc   *simulator.Service
	reg   *simulator.Registry
	base  *simulator.Context
	shims map[string]shim.Shim
	calls inject.Calls
	// busy has the tasks that have a VM for themselves, by the VM.
	busy sync.Map
	// underway is how many calls are not answered yet.
	underway atomic.Int64
	// filesMoved counts the requests for files, such as "PUT /nfc".
	filesMoved inject.Calls
	inject     inject.Rules
	latency    inject.Latencies
	auth       *accounts.Authority
	sessions   accounts.Sessions
	props      *props.Server
	index      *naming.Index
	layers     vdisk.Users
	borrowed   borrowed
	// diskLayers are the disks' bytes.
	diskLayers *vdisk.Layers
	// tracks are what is known of changed blocks.
	tracks     *vdisk.Tracks
	snapshots  snaptree.Table
	workloads  workloads
	cbtGranule atomic.Int64 // areas are widened to multiples of it
	// tables know something of each VM.
	tables      []forgetter
	guestStates *perVM[vmState]
	// goOn are the VMs whose next boot goes on where their VMFork parent is frozen.
	goOn *perVM[bool]
	// passthrough are the VMs with a PCI passthrough device, which no instant clone can have.
	passthrough *perVM[bool]
	// deltas counts the layers that the disks of a VM ever got; it numbers their files.
	deltas *perVM[int]
	// deviceFolders are the folders of this machine in which a guest's disks show, as below /dev/disk/by-id.
	deviceFolders *perVM[string]
	// filesStale: layoutEx and what else says which files there are stays as it is.
	filesStale *perVM[bool]
	// taken counts the snapshots that a VM ever had.
	taken *perVM[int32]
	// ownEVC are the EVC modes that VMs have of their own.
	ownEVC *perVM[*vmEVC]
	guests guestTable
	// quiesce freezes a VM whose guest asked for it, for VMFork.
	quiesce func(*simulator.Context, *simulator.VirtualMachine) error
	forks   forkTable
	hosts   hostServers
	// transfers are the files on their way to and from guests.
	transfers transfers
	leases    leaseTable
	uploads   uploadTable
	policies  policyTable
	evc       evcTable
	// fcds are the first class disks.
	fcds       fcd.Catalogue
	vslm       vslmState
	sent       sentFiles
	namespaces namespaces
	space      spaceTable
	// imports are the files that descriptors have asked for, by the names of the VMs.
	imports importTable
	queues  taskqueue.Queues
	macs    *ids.MACPool
	// layoutSites are the datacenters as they were built.
	layoutSites []*site
	dhcp        ids.DHCP
	creating    sync.Mutex // held while a VM is made, from the check of its name on
	closed      bool       // guarded by creating: nothing is made any more
	sdk         *http.Server
	control     *http.Server
	gate        *inject.Gate // in front of sdk
	sdkAddr     *net.TCPAddr
	ctrlAddr    *net.TCPAddr
	serving     sync.WaitGroup
}

// New builds the inventory. Nothing listens until Start.
//
// It returns an error when the configuration is not valid, or when the state
// directory cannot be written.
func New(cfg settings.Config) (*Sim, error) {
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
	id, err := certs.New(cfg.Cert)
	if err != nil {
		return nil, err
	}
	svc, err := newService(cfg)
	if err != nil {
		return nil, err
	}
	s := &Sim{
		Finder: lookup.NewFinder(svc.Context.Map), diskLayers: vdisk.NewLayers(svc.Context.Map),
		cfg: cfg, id: id, svc: svc, reg: svc.Context.Map, base: svc.Context,
		index: naming.NewIndex(svc.Context.Map), tracks: vdisk.NewTracks(), macs: ids.NewMACPool(),
	}
	s.guestStates, s.goOn, s.passthrough, s.deltas = newPerVM[vmState](s), newPerVM[bool](s), newPerVM[bool](s), newPerVM[int](s)
	s.deviceFolders, s.filesStale, s.taken, s.ownEVC = newPerVM[string](s), newPerVM[bool](s), newPerVM[int32](s), newPerVM[*vmEVC](s)
	s.Register(&s.workloads)
	s.Register(&s.guests)
	s.Register(&s.forks)
	s.quiesce = s.quiesceForkParent
	s.auth = accounts.NewAuthority(cfg.Username, cfg.Password, s)
	s.props = props.New(s.reg, cfg.APIVersion, &s.sessions, s)
	s.latency.Set("*", cfg.Latency)
	s.sessions.Idle = cfg.SessionIdle
	s.cbtGranule.Store(cfg.CBTGranule)
	s.installShims()
	if err := s.installEVC(); err != nil {
		return nil, err
	}
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
		TLSConfig:    &tls.Config{Certificates: []tls.Certificate{s.id.Leaf}, MinVersion: tls.VersionTLS12},
	}
	s.control = &http.Server{Handler: s.controlHandler(), ReadHeaderTimeout: time.Minute}
	s.gate = inject.NewGate(sdk)
	s.serve(func() error { return s.sdk.ServeTLS(s.gate, "", "") })
	s.serve(func() error { return s.control.Serve(ctrl) })
	return s.writeState()
}

// serve runs a server beside the others.
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
	err := errors.Join(s.sdk.Close(), s.control.Close(), s.closeHosts())
	s.Wait()
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

// Wait returns when all that Serve has started has ended.
func (s *Sim) Wait() { s.serving.Wait() }
