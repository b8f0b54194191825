// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package core

import (
	"errors"
	"log"
	"net"
	"net/http"
	"sync"
	"sync/atomic"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25"
	"github.com/vmware/govmomi/vim25/types"

	"vforge.vsphere/simulator/internal/accounts"
	"vforge.vsphere/simulator/internal/certs"
	"vforge.vsphere/simulator/internal/ids"
	"vforge.vsphere/simulator/internal/lookup"
	"vforge.vsphere/simulator/internal/naming"
	"vforge.vsphere/simulator/internal/props"
	"vforge.vsphere/simulator/internal/settings"
	"vforge.vsphere/simulator/internal/snaptree"
	"vforge.vsphere/simulator/internal/vdisk"
)

// Core is what all parts of the simulator share.
type Core struct {
	lookup.Finder
	Cfg settings.Config
	// Identity is the TLS identity of the SDK endpoint.
	Identity *certs.Identity
	// Service is vcsim, and Reg its registry of objects.
	Service *simulator.Service
	Reg     *simulator.Registry
	base    *simulator.Context

	Auth     *accounts.Authority
	Sessions accounts.Sessions
	Props    *props.Server
	// Index knows which entity has which name.
	Index *naming.Index

	// DiskLayers are the bytes of disks, and LayerUsers the VMs that use them.
	DiskLayers *vdisk.Layers
	LayerUsers vdisk.Users
	// Tracks are what is known of changed blocks.
	Tracks        *vdisk.Tracks
	SnapshotFiles snaptree.Table
	MACs          *ids.MACPool

	Creating sync.Mutex // held while a VM is made, from the check of its name on
	Closed   bool       // guarded by Creating: nothing is made any more

	// Underway is how many calls are not answered yet.
	Underway   atomic.Int64
	SDKAddress *net.TCPAddr
	serving    sync.WaitGroup
	// tables know something of each VM.
	tables []Forgetter
}

// New takes a vcsim over.
func New(cfg settings.Config, identity *certs.Identity, service *simulator.Service) *Core {
	reg := service.Context.Map
	s := &Core{
		Finder: lookup.NewFinder(reg), Cfg: cfg, Identity: identity, Service: service, Reg: reg, base: service.Context,
		Index: naming.NewIndex(reg), DiskLayers: vdisk.NewLayers(reg), Tracks: vdisk.NewTracks(), MACs: ids.NewMACPool(),
	}
	s.Auth = accounts.NewAuthority(cfg.Username, cfg.Password, s)
	s.Props = props.New(reg, cfg.APIVersion, &s.Sessions, s)
	s.Sessions.Idle = cfg.SessionIdle
	return s
}

// Content says where things are.
func (s *Core) Content() types.ServiceContent {
	return s.Reg.Get(vim25.ServiceInstance).(*simulator.ServiceInstance).Content
}

// Background returns a context for work that the simulator does by itself. Each
// one owns the object locks that it takes, so no two goroutines may share one.
func (s *Core) Background(user string) *simulator.Context {
	ctx := *s.base
	session := *s.base.Session
	session.UserName = user
	ctx.Session = &session
	return &ctx
}

// Detached returns a context for what goes on after ctx's call is answered: the
// same session, but locks of its own.
func Detached(ctx *simulator.Context) *simulator.Context {
	c := *ctx
	return &c
}

// Serve runs a server beside the others.
func (s *Core) Serve(run func() error) {
	s.serving.Add(1)
	go func() {
		defer s.serving.Done()
		if err := run(); err != nil && !errors.Is(err, http.ErrServerClosed) {
			log.Printf("vforge-sim: %v", err)
		}
	}()
}

// Wait returns when all that Serve has started has ended.
func (s *Core) Wait() { s.serving.Wait() }

// MaxSnapshots is how many snapshots can follow each other.
const MaxSnapshots = 32

// HasVMFork tells if this server is of a release that had VMFork.
func (s *Core) HasVMFork() bool { return s.Cfg.APIVersion == "6.0" || s.Cfg.APIVersion == "6.5" }
