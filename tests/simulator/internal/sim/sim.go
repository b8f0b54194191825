// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

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
	"time"

	"vforge.vsphere/simulator/internal/access"
	"vforge.vsphere/simulator/internal/certs"
	"vforge.vsphere/simulator/internal/clones"
	"vforge.vsphere/simulator/internal/clusters"
	"vforge.vsphere/simulator/internal/control"
	"vforge.vsphere/simulator/internal/core"
	"vforge.vsphere/simulator/internal/datastores"
	"vforge.vsphere/simulator/internal/disks"
	"vforge.vsphere/simulator/internal/front"
	"vforge.vsphere/simulator/internal/guests"
	"vforge.vsphere/simulator/internal/guestwrites"
	"vforge.vsphere/simulator/internal/hardware"
	"vforge.vsphere/simulator/internal/hosts"
	"vforge.vsphere/simulator/internal/inject"
	"vforge.vsphere/simulator/internal/inventory"
	"vforge.vsphere/simulator/internal/leases"
	"vforge.vsphere/simulator/internal/ovfmanager"
	"vforge.vsphere/simulator/internal/policies"
	"vforge.vsphere/simulator/internal/settings"
	"vforge.vsphere/simulator/internal/shim"
	"vforge.vsphere/simulator/internal/snapshots"
	"vforge.vsphere/simulator/internal/tasks"
	"vforge.vsphere/simulator/internal/vms"
	"vforge.vsphere/simulator/internal/vstorage"
)

// Sim is one running simulator.
type Sim struct {
	*core.Core
	Tasks      *tasks.Tasks
	Access     *access.Access
	Hosts      *hosts.Hosts
	Datastores *datastores.Datastores
	Disks      *disks.Disks
	Clusters   *clusters.Clusters
	Guests     *guests.Guests
	Policies   *policies.Policies
	Hardware   *hardware.Hardware
	VStorage   *vstorage.VStorage
	Inventory  *inventory.Inventory
	Writes     *guestwrites.Writes
	Clones     *clones.Clones
	VMs        *vms.VMs
	Snapshots  *snapshots.Snapshots
	OvfManager *ovfmanager.OvfManager
	Leases     *leases.Leases
	Front      *front.Front
	Control    *control.Control

	shims    map[string]shim.Shim
	sdk      *http.Server
	ctrl     *http.Server
	ctrlAddr *net.TCPAddr
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
	svc, err := inventory.NewService(cfg)
	if err != nil {
		return nil, err
	}
	s := join(core.New(cfg, id, svc))
	s.Front.Latencies.Set("*", cfg.Latency)
	s.installShims()
	if err := s.Clusters.Install(); err != nil {
		return nil, err
	}
	if err := s.Inventory.Populate(); err != nil {
		return nil, err
	}
	if err := s.Hosts.GiveCertificates(); err != nil {
		return nil, err
	}
	return s, nil
}

// join makes the parts, each of those that stand before it.
func join(c *core.Core) *Sim {
	s := &Sim{Core: c, Tasks: &tasks.Tasks{Core: c}, Access: &access.Access{Core: c}, Hosts: &hosts.Hosts{Core: c}}
	s.Datastores = &datastores.Datastores{Core: c, Tasks: s.Tasks}
	s.Disks = disks.New(c, s.Tasks, s.Datastores)
	s.Clusters = clusters.New(c, s.Tasks)
	s.Guests = guests.New(c, s.Tasks, s.Hosts)
	s.Policies = &policies.Policies{Core: c}
	s.Hardware = hardware.New(c, s.Datastores, s.Disks, s.Guests)
	s.VStorage = &vstorage.VStorage{Core: c, Tasks: s.Tasks, Datastores: s.Datastores, Disks: s.Disks, Policies: s.Policies}
	s.Inventory = &inventory.Inventory{Core: c, Clusters: s.Clusters, Disks: s.Disks, Guests: s.Guests}
	s.Writes = guestwrites.New(c, s.VStorage)
	s.Clones = (&clones.Clones{
		Core: c, Tasks: s.Tasks, Datastores: s.Datastores, Disks: s.Disks, Guests: s.Guests, Hardware: s.Hardware, Inventory: s.Inventory,
	}).Install()
	s.VMs = &vms.VMs{
		Core: c, Tasks: s.Tasks, Datastores: s.Datastores, Disks: s.Disks, Clusters: s.Clusters, Guests: s.Guests,
		Policies: s.Policies, Hardware: s.Hardware, VStorage: s.VStorage, Clones: s.Clones, Inventory: s.Inventory,
	}
	s.Snapshots = snapshots.New(c, s.Tasks, s.Disks, s.Hardware, s.Clones, s.VMs)
	s.OvfManager = &ovfmanager.OvfManager{Core: c}
	s.Leases = &leases.Leases{
		Core: c, Tasks: s.Tasks, Hosts: s.Hosts, Datastores: s.Datastores, Disks: s.Disks, Policies: s.Policies,
		Hardware: s.Hardware, Inventory: s.Inventory, VMs: s.VMs, OvfManager: s.OvfManager,
	}
	s.Front = &front.Front{
		Core: c, Tasks: s.Tasks, Hosts: s.Hosts, Datastores: s.Datastores, Guests: s.Guests, Policies: s.Policies,
		VStorage: s.VStorage, Clones: s.Clones, Leases: s.Leases,
	}
	s.Control = &control.Control{
		Core: c, Access: s.Access, Datastores: s.Datastores, Disks: s.Disks, Clusters: s.Clusters, Guests: s.Guests,
		Policies: s.Policies, Hardware: s.Hardware, VStorage: s.VStorage, Inventory: s.Inventory, Writes: s.Writes,
		Clones: s.Clones, VMs: s.VMs, Leases: s.Leases, Front: s.Front,
	}
	return s
}

// Start begins to listen and writes the state files, ready.json last.
func (s *Sim) Start() error {
	sdk, err := net.Listen("tcp", s.Cfg.Listen)
	if err != nil {
		return fmt.Errorf("--listen: %w", err)
	}
	ctrl, err := net.Listen("tcp", s.Cfg.Control)
	if err != nil {
		return errors.Join(fmt.Errorf("--control: %w", err), sdk.Close())
	}
	s.SDKAddress, s.ctrlAddr = sdk.Addr().(*net.TCPAddr), ctrl.Addr().(*net.TCPAddr)

	quiet := log.New(io.Discard, "", 0) // a client that refuses our certificate is no news
	s.sdk = &http.Server{
		Handler:           s.Front.Handler(),
		ErrorLog:          quiet,
		ReadHeaderTimeout: time.Minute,
		// A dropped connection must be a dropped call: no multiplexing.
		TLSNextProto: map[string]func(*http.Server, *tls.Conn, http.Handler){},
		TLSConfig:    &tls.Config{Certificates: []tls.Certificate{s.Identity.Leaf}, MinVersion: tls.VersionTLS12},
	}
	s.ctrl = &http.Server{Handler: s.Control.Handler(), ReadHeaderTimeout: time.Minute}
	s.Front.Gate = inject.NewGate(sdk)
	s.Serve(func() error { return s.sdk.ServeTLS(s.Front.Gate, "", "") })
	s.Serve(func() error { return s.ctrl.Serve(ctrl) })
	return s.writeState()
}

// Close stops listening, closes all connections, waits for the servers and removes
// what only a running simulator has: ready.json and the datastores.
func (s *Sim) Close() error {
	err := errors.Join(s.sdk.Close(), s.ctrl.Close(), s.Hosts.Close())
	s.Wait()
	s.Creating.Lock()
	s.Closed = true // what still waits in a queue makes no file after this
	s.Creating.Unlock()
	s.Guests.Systems.HaltAll()
	s.Writes.Workloads.StopAll()
	return errors.Join(err, clearState(s.Cfg.StateDir), os.RemoveAll(inventory.DatastoreDir(s.Cfg.StateDir)))
}

// URL is the address of the SDK endpoint.
func (s *Sim) URL() *url.URL {
	return &url.URL{Scheme: "https", Host: s.SDKAddress.String(), Path: "/sdk"}
}

// ControlURL is the address of the control endpoint.
func (s *Sim) ControlURL() string { return "http://" + s.ctrlAddr.String() }
