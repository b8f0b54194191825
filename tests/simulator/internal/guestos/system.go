// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package guestos

import (
	"crypto/subtle"
	"errors"
	"io/fs"
	"maps"
	"path"
	"strings"
	"sync"
	"time"
)

// root is the administrator.
const root = "root"

// Card is a network card as the hardware has it.
type Card struct {
	Key       int32
	MAC       string
	Connected bool
}

// Machine is what a guest sees of the virtual machine that it runs in. Its methods
// are called without any lock of the guest.
type Machine interface {
	// Name is what the guest calls itself as long as nobody has named it.
	Name() string
	// Cards lists the network cards in the order of their slots.
	Cards() []Card
	// Lease is the address that DHCP gives to the first card.
	Lease() (addr string, prefix int32)
	// Guestinfo reads guestinfo.KEY.
	Guestinfo(key string) (value string, ok bool)
	// SetGuestinfo writes guestinfo.KEY.
	SetGuestinfo(key, value string)
	// Freeze stops the machine for cloning, or says why it cannot.
	Freeze(how Freezing) error
	// Changed tells that the guest's name or addresses are others now.
	Changed()
}

// Freezing is a way of stopping to be cloned.
type Freezing int

// The ways to stop: for instant clones, and for VMFork.
const (
	InstantClone Freezing = iota
	VMFork
)

// System is one running guest.
type System struct {
	machine Machine

	mu        sync.Mutex
	users     map[string]string // name -> password; "root" is the administrator
	files     *fileSystem
	processes []*Process
	nextPID   int64
	stopped   bool          // no process goes on: frozen, or suspended
	wake      chan struct{} // closed when that ends
	hostName  string        // empty: the machine's name
	nics      []*nic
	profiles  map[string]profile
	hang      string         // glob of the programs that hang
	fail      map[string]int // glob -> exit code of the programs that fail
	awake     bool           // went on after a freeze: nobody but its script sets it up
	halted    chan struct{}  // closed when the machine halts: see Halt
	cloud     *cloudData     // what cloud-init found, for its next stage
	unplugged bool           // its cards are to be found anew: see Boot
}

// New boots a guest with one administrator.
func New(m Machine, admin, password string) *System {
	s := &System{
		machine: m, users: map[string]string{admin: password}, files: image().copy(),
		nextPID: 1000, wake: make(chan struct{}), halted: make(chan struct{}),
	}
	s.makeIdentity()
	s.plugCards()
	return s
}

// SetUsers adds users, or changes their passwords; one with an empty password goes.
func (s *System) SetUsers(users map[string]string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	for name, password := range users {
		if password == "" {
			delete(s.users, name)
			continue
		}
		s.users[name] = password
		home := homeOf(name)
		if s.files.nodes[home] == nil {
			s.files.nodes[home] = &Node{Kind: Dir, Mode: 0o755, Owner: name, Modified: now}
		}
	}
}

// Login tells if a user's password is right.
func (s *System) Login(name, password string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	want, ok := s.users[name]
	return ok && subtle.ConstantTimeCompare([]byte(want), []byte(password)) == 1
}

func isAdmin(user string) bool {
	return user == root || strings.EqualFold(user, "Administrator")
}

func homeOf(user string) string {
	if isAdmin(user) {
		return "/root"
	}
	return "/home/" + user
}

// SetHang has programs that match the glob never return; empty for none.
func (s *System) SetHang(glob string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hang = glob
}

// SetFail has programs that match a glob do nothing and end with its exit code.
func (s *System) SetFail(codes map[string]int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fail = maps.Clone(codes)
}

// Trouble tells if a test wants something in this guest to hang, or to fail with a
// code.
func (s *System) Trouble(program string) (hang bool, code int, fails bool) {
	return s.trouble([]string{program})
}

// trouble tells what a test has set for a program: to hang, or to fail with a code.
func (s *System) trouble(args []string) (hang bool, code int, fails bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.hang != "" && programMatches(s.hang, args) {
		return true, 0, false
	}
	for glob, c := range s.fail {
		if programMatches(glob, args) {
			return false, c, true
		}
	}
	return false, 0, false
}

// programMatches compares a glob with a program's path, its name and its whole
// command line.
func programMatches(glob string, args []string) bool {
	hide := func(s string) string { return strings.ReplaceAll(s, "/", "\x00") }
	line := strings.Join(args, " ")
	named := strings.Join(append([]string{path.Base(args[0])}, args[1:]...), " ")
	for _, text := range []string{args[0], path.Base(args[0]), line, named} {
		if ok, err := path.Match(hide(glob), hide(text)); err == nil && ok {
			return true
		}
	}
	return false
}

// may tells if a user may read (or write) a path: everybody reads what is open to
// all, and writes to a home of his own and to the temporary directories.
func may(user, p string, node *Node, write bool) error {
	if isAdmin(user) {
		return nil
	}
	if node != nil && node.Owner == user {
		return nil
	}
	allowed := node != nil && node.Mode&0o004 != 0
	if write {
		allowed = node != nil && node.Kind != Dir && node.Mode&0o002 != 0
		for _, dir := range []string{homeOf(user), "/tmp", "/var/tmp"} {
			if node == nil && strings.HasPrefix(p, dir+"/") {
				allowed = true
			}
		}
	}
	if !allowed {
		return fs.ErrPermission
	}
	return nil
}

// Stat describes a path, following links.
func (s *System) Stat(p string) (Node, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, node, err := s.files.stat(p, true)
	if err != nil {
		return Node{}, err
	}
	return *node, nil
}

// Read returns what a file holds.
func (s *System) Read(user, p string) ([]byte, error) {
	s.mu.Lock()
	_, node, err := s.files.stat(p, true)
	s.mu.Unlock()
	if err != nil {
		return nil, err
	}
	if node.Kind == Dir {
		return nil, ErrIsDir
	}
	if err := may(user, p, node, false); err != nil {
		return nil, err
	}
	if node.read != nil {
		return []byte(node.read(s)), nil
	}
	return node.Data, nil
}

// WriteMode says what becomes of a file that is there already.
type WriteMode int

// What can become of it.
const (
	Replace WriteMode = iota
	Append
	Create // it must not be there
)

// Write stores data in a file; mode is for one that is made. A device is given the
// data instead.
func (s *System) Write(user, p string, data []byte, mode int64, how WriteMode) error {
	s.mu.Lock()
	at, node, err := s.files.resolve(p, true)
	if err == nil {
		err = s.writable(user, at, node, how)
	}
	if err != nil || (node != nil && node.device != nil) {
		s.mu.Unlock()
		if err != nil || len(data) == 0 {
			return err // opening a device does nothing yet
		}
		return node.device(s, string(data))
	}
	defer s.mu.Unlock()
	fresh := &Node{Data: data, Mode: mode, Owner: user, Modified: time.Now()}
	if node != nil {
		fresh.Mode, fresh.Owner = node.Mode, node.Owner
		if how == Append {
			fresh.Data = append(append([]byte(nil), node.Data...), data...)
		}
	}
	return s.files.put(at, fresh)
}

func (s *System) writable(user, at string, node *Node, how WriteMode) error {
	parent := s.files.nodes[path.Dir(at)]
	switch {
	case node != nil && node.Kind == Dir:
		return ErrIsDir
	case node != nil && how == Create:
		return fs.ErrExist
	case parent == nil:
		return fs.ErrNotExist
	case parent.Kind != Dir:
		return ErrNotDir
	}
	return may(user, at, node, true)
}

// errText is how a program words an error of the file system.
func errText(err error) string {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "No such file or directory"
	case errors.Is(err, fs.ErrExist):
		return "File exists"
	case errors.Is(err, fs.ErrPermission):
		return "Permission denied"
	}
	text := err.Error()
	return strings.ToUpper(text[:1]) + text[1:]
}
