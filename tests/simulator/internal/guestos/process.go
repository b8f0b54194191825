// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package guestos

import (
	"maps"
	"path"
	"slices"
	"strings"
	"sync"
	"time"
)

// keepEnded is how long an ended process is still listed, with its exit code.
const keepEnded = 5 * time.Minute

// Exit codes of processes that did not end by themselves.
const (
	exitKilled     = 137
	exitTerminated = 143
)

// Process is a program that was started from outside. A guest that is cloned while a
// process runs has that process too, at the same place in its script: to get there,
// the clone's process runs its script anew and is given, instead of doing anything,
// the results that its original had. For that all that a process does to its guest
// or learns from it goes through call.
type Process struct {
	PID     int64
	Owner   string
	Name    string
	CmdLine string
	Started time.Time

	sys  *System
	text string // shell text
	env  []string
	dir  string

	log      []outcome // guarded by sys.mu
	next     int       // of log, for the process itself
	freezing bool      // guarded by sys.mu: it is the one that froze its guest

	killed   chan struct{}
	killOnce sync.Once
	killCode int

	ended *time.Time // guarded by sys.mu
	code  int
}

// outcome is what one call of a process came to.
type outcome struct {
	out, errs []byte
	code      int
	unread    int // of standard input, or unreadAll
	text      string
	node      *Node
	names     []string
	err       error
	gone      bool // the process has been killed
}

// unreadAll is the outcome of a program that read nothing.
const unreadAll = -1

// ProcessInfo describes a process.
type ProcessInfo struct {
	PID                  int64
	Owner, Name, CmdLine string
	Started              time.Time
	Ended                *time.Time
	Code                 int
}

// Start starts a program as Tools does: its path and arguments are a line for a
// shell. It returns the process's number.
func (s *System) Start(user, program, arguments, dir string, env []string) int64 {
	p := s.process(user, program, arguments, dir, env)
	go p.run()
	return p.PID
}

// runToEnd runs a program as the administrator and returns its exit code.
func (s *System) runToEnd(program, arguments string) int {
	p := s.process(root, program, arguments, "/", nil)
	p.run()
	s.mu.Lock()
	defer s.mu.Unlock()
	return p.code
}

func (s *System) process(user, program, arguments, dir string, env []string) *Process {
	if dir == "" {
		dir = homeOf(user)
	}
	line := program + " " + arguments
	s.mu.Lock()
	defer s.mu.Unlock()
	s.nextPID += 1 + int64(len(s.processes)%3)
	p := &Process{
		PID: s.nextPID, Owner: user, Name: path.Base(program), CmdLine: strings.TrimSpace(line), Started: time.Now(),
		sys: s, text: quote(program) + " " + arguments, env: env, dir: dir, killed: make(chan struct{}),
	}
	s.processes = append(s.processes, p)
	return p
}

// quote makes one word of a text, for the shell.
func quote(text string) string { return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'" }

// run is the process's life.
func (p *Process) run() {
	code := runText(p)
	s := p.sys
	s.mu.Lock()
	defer s.mu.Unlock()
	select {
	case <-p.killed:
		code = p.killCode
	default:
	}
	now := time.Now()
	p.ended, p.code, p.log = &now, code, nil
}

// caughtUp tells that a process has no more of its original's results to go through.
func (p *Process) caughtUp() bool { return p.next >= len(p.log) }

// call does something and remembers what came of it, or, while the process catches
// up with its original, only returns what came of it there.
func (p *Process) call(do func() outcome) outcome {
	if !p.caughtUp() {
		p.next++
		return p.log[p.next-1]
	}
	if !p.sys.running(p) {
		return outcome{gone: true, code: exitKilled}
	}
	o := do()
	if p.isKilled() {
		return outcome{gone: true, code: exitKilled}
	}
	p.sys.mu.Lock()
	defer p.sys.mu.Unlock()
	p.log = append(p.log, o)
	p.next++
	return o
}

// running waits while the whole guest stands still; it is false for a process that
// has been killed.
func (s *System) running(p *Process) bool {
	for {
		s.mu.Lock()
		stopped, wake := s.stopped, s.wake
		s.mu.Unlock()
		if !stopped {
			return !p.isKilled()
		}
		select {
		case <-wake:
		case <-p.killed:
			return false
		}
	}
}

func (p *Process) isKilled() bool {
	select {
	case <-p.killed:
		return true
	default:
		return false
	}
}

func (p *Process) kill(code int) {
	p.killOnce.Do(func() {
		p.killCode = code
		close(p.killed)
	})
}

// pause waits, or until the process is killed.
func (p *Process) pause(d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-p.killed:
	}
}

// freeze stops the guest from inside. It does not come back in the guest that froze:
// only its clones go on. It returns why the machine did not freeze.
func (p *Process) freeze(how Freezing) error {
	p.setFreezing(true)
	if err := p.sys.machine.Freeze(how); err != nil {
		p.setFreezing(false)
		return err
	}
	<-p.killed
	return nil
}

func (p *Process) setFreezing(on bool) {
	s := p.sys
	s.mu.Lock()
	defer s.mu.Unlock()
	p.freezing = on
	s.stop(on)
}

// stop halts or resumes all processes. The caller holds the lock.
func (s *System) stop(on bool) {
	if s.stopped == on {
		return
	}
	s.stopped = on
	if on {
		s.wake = make(chan struct{})
	} else {
		close(s.wake)
	}
}

// Stop halts all processes as a machine does that is frozen or suspended from
// outside, or resumes them.
func (s *System) Stop(on bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stop(on)
}

// Halt ends all processes: the machine is off, or boots anew. What lasts is the
// disk.
func (s *System) Halt() {
	s.mu.Lock()
	for _, p := range s.processes {
		p.kill(exitKilled)
	}
	s.processes = nil
	close(s.halted)
	s.halted = make(chan struct{})
	s.stop(false)
	s.awake, s.unplugged = false, true
	if s.hostName != "" {
		s.hostName = s.storedName()
	}
	s.mu.Unlock()
}

// Halted is closed when the machine halts the next time.
func (s *System) Halted() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.halted
}

// Boot finds the network cards after a Halt. It does nothing in a guest that runs.
func (s *System) Boot() {
	s.mu.Lock()
	off := s.unplugged
	s.mu.Unlock()
	if off {
		s.plugCards()
	}
}

// Kill ends one process as a signal does; it is false when there is none.
func (s *System) Kill(pid int64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range s.processes {
		if p.PID == pid && p.ended == nil {
			p.kill(exitTerminated)
			return true
		}
	}
	return false
}

// Owner tells whose a process is.
func (s *System) Owner(pid int64) (string, bool) {
	for _, p := range s.Processes(nil) {
		if p.PID == pid {
			return p.Owner, true
		}
	}
	return "", false
}

// Processes lists those that run or ended a short time ago; with pids only these.
func (s *System) Processes(pids []int64) []ProcessInfo {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := []ProcessInfo{
		{PID: 1, Owner: root, Name: "systemd", CmdLine: "/sbin/init"},
		{PID: 612, Owner: root, Name: "vmtoolsd", CmdLine: "/usr/bin/vmtoolsd"},
	}
	for _, p := range s.processes {
		if p.ended == nil || time.Since(*p.ended) < keepEnded {
			out = append(out, ProcessInfo{p.PID, p.Owner, p.Name, p.CmdLine, p.Started, p.ended, p.code})
		}
	}
	if len(pids) == 0 {
		return out
	}
	return slices.DeleteFunc(out, func(i ProcessInfo) bool { return !slices.Contains(pids, i.PID) })
}

// Fork makes the guest of a clone: the same files, and each process where it is in
// this guest. A process that froze this guest goes on there. Nothing runs until Wake.
func (s *System) Fork(m Machine) *System {
	child := s.copy(m)
	if !child.awake { // what sets it up is not a script: it finds its cards by itself
		child.unplugged = true
		return child
	}
	child.keepAddresses(s)
	child.hostName = s.HostName()
	return child
}

func (s *System) copy(m Machine) *System {
	s.mu.Lock()
	defer s.mu.Unlock()
	child := &System{
		machine: m, users: maps.Clone(s.users), files: s.files.copy(), nextPID: s.nextPID, wake: make(chan struct{}), halted: make(chan struct{}), stopped: true,
		hang: s.hang, fail: s.fail, profiles: s.profiles,
	}
	child.hostName = s.hostName
	for _, p := range s.processes {
		if p.ended != nil {
			continue
		}
		log := slices.Clone(p.log)
		if p.freezing {
			log = append(log, outcome{unread: unreadAll})
			child.awake = true
		}
		child.processes = append(child.processes, &Process{
			PID: p.PID, Owner: p.Owner, Name: p.Name, CmdLine: p.CmdLine, Started: p.Started,
			sys: child, text: p.text, env: p.env, dir: p.dir, log: log, killed: make(chan struct{}),
		})
	}
	s.forkNetwork(child)
	return child
}

// Wake lets a fork run.
func (s *System) Wake() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stop(false)
	for _, p := range s.processes {
		go p.run()
	}
}

// Awake tells that this guest went on after a freeze, so that nobody but its script
// sets it up.
func (s *System) Awake() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.awake
}
