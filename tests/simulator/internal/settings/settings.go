// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package settings

import (
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"slices"
	"time"

	"vforge.vsphere/simulator/internal/apiversion"
	"vforge.vsphere/simulator/internal/cpus"
	"vforge.vsphere/simulator/internal/vdisk"
)

// CertKind says which certificate the SDK endpoint presents.
type CertKind string

// The certificates that can be asked for. Only CertValid passes verification
// against the CA that the simulator writes to its state directory.
const (
	CertValid      CertKind = "valid"
	CertExpired    CertKind = "expired"
	CertWrongHost  CertKind = "wrong-host"
	CertSelfSigned CertKind = "self-signed"
)

// CertKinds are all kinds.
var CertKinds = []CertKind{CertValid, CertExpired, CertWrongHost, CertSelfSigned}

// Config is everything that can be chosen about one simulator.
type Config struct {
	StateDir string
	Listen   string
	Control  string
	Username string
	Password string // empty: a random one is made
	// GuestPassword is that of every guest's administrator; empty: a random one is made.
	GuestPassword string
	APIVersion    string
	Cert          CertKind

	Datacenters int
	Clusters    int
	Hosts       int // in each cluster
	Pools       int // named ones in each cluster, besides Resources
	Datastores  int
	Portgroups  int // distributed ones; the standard network "VM Network" is always there
	Folders     int // VM folders in each datacenter
	VMs         int // plain VMs, in all
	Parents     int
	Processors  []string // of the hosts of each cluster, in turn

	// HostTasks is how many clones are made on a host at a time, from it or to it; the others are queued. 0: as many as come.
	HostTasks int

	CloneTime       time.Duration
	GuestTime       time.Duration
	SnapshotTime    time.Duration
	ReconfigureTime time.Duration
	Latency         time.Duration
	LeaseTimeout    time.Duration // of an import without progress
	SessionIdle     time.Duration // how long a session lives without a call; 0: for ever
	DiscardUploads  bool          // keep sizes and checksums of uploads, not what is in them
	StrictDatastore bool
	CBTGranule      int64 // bytes; 0: changed areas are told exactly
}

// DefaultConfig returns the documented defaults; StateDir has none.
func DefaultConfig() Config {
	return Config{
		Listen:       "127.0.0.1:0",
		Control:      "127.0.0.1:0",
		Username:     "administrator@vsphere.local",
		APIVersion:   "8.0.3.0",
		Cert:         CertValid,
		Datacenters:  1,
		Clusters:     2,
		Hosts:        3,
		Pools:        2,
		Datastores:   2,
		Portgroups:   2,
		Folders:      2,
		VMs:          10,
		Parents:      1,
		Processors:   []string{cpus.Default},
		HostTasks:    8,
		CloneTime:    50 * time.Millisecond,
		GuestTime:    100 * time.Millisecond,
		LeaseTimeout: 300 * time.Second,
		SessionIdle:  30 * time.Minute,
	}
}

// Validate reports the first setting that cannot work, in words for the person
// who typed it.
func (c *Config) Validate() error {
	if c.StateDir == "" {
		return errors.New("--state-dir is required")
	}
	dir, err := filepath.Abs(c.StateDir)
	if err != nil {
		return fmt.Errorf("--state-dir: %w", err)
	}
	c.StateDir = dir
	if !slices.Contains(CertKinds, c.Cert) {
		return fmt.Errorf("--cert %q: one of %v is needed", c.Cert, CertKinds)
	}
	if err := apiversion.Known(c.APIVersion); err != nil {
		return fmt.Errorf("--api-version: %w", err)
	}
	if err := loopbackOnly(c.Control); err != nil {
		return fmt.Errorf("--control: %w", err)
	}
	if _, _, err := net.SplitHostPort(c.Listen); err != nil {
		return fmt.Errorf("--listen: %w", err)
	}
	if c.LeaseTimeout <= 0 {
		return fmt.Errorf("--lease-timeout %s: must be positive", c.LeaseTimeout)
	}
	if c.SessionIdle < 0 {
		return fmt.Errorf("--session-idle %s: must not be negative", c.SessionIdle)
	}
	if c.Username == "" {
		return errors.New("--username must not be empty")
	}
	for _, name := range c.Processors {
		if _, err := cpus.Named(name); err != nil {
			return fmt.Errorf("--processors: %w", err)
		}
	}
	return c.validateCounts()
}

func (c *Config) validateCounts() error {
	for _, n := range []struct {
		flag     string
		got, min int
	}{
		{"datacenters", c.Datacenters, 1}, {"clusters", c.Clusters, 1}, {"hosts", c.Hosts, 1},
		{"pools", c.Pools, 0}, {"datastores", c.Datastores, 1}, {"portgroups", c.Portgroups, 0},
		{"folders", c.Folders, 0}, {"vms", c.VMs, 0}, {"parents", c.Parents, 0}, {"host-tasks", c.HostTasks, 0},
	} {
		if n.got < n.min {
			return fmt.Errorf("--%s %d: at least %d is needed", n.flag, n.got, n.min)
		}
	}
	for _, d := range []struct {
		flag string
		got  time.Duration
	}{{"clone-time", c.CloneTime}, {"guest-time", c.GuestTime}, {"snapshot-time", c.SnapshotTime}, {"reconfigure-time", c.ReconfigureTime}, {"latency", c.Latency}} {
		if d.got < 0 {
			return fmt.Errorf("--%s %s: must not be negative", d.flag, d.got)
		}
	}
	return CheckGranule(c.CBTGranule)
}

// CheckGranule refuses a wrong granule. What is told of changes may be too much, in whole sectors.
func CheckGranule(n int64) error {
	if n < 0 || n%vdisk.SectorSize != 0 {
		return fmt.Errorf("--cbt-granule %d: a multiple of %d is needed, or 0", n, vdisk.SectorSize)
	}
	return nil
}

// loopbackOnly refuses an address that others could reach: the control endpoint
// has no authentication.
func loopbackOnly(addr string) error {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return err
	}
	if host == "localhost" {
		return nil
	}
	if ip := net.ParseIP(host); ip == nil || !ip.IsLoopback() {
		return fmt.Errorf("%q is not a loopback address", addr)
	}
	return nil
}
