// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package sim

import (
	"context"
	"errors"
	"net"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"
)

// ask makes a call that waits at most so long.
func (b *bench) ask(patience time.Duration) error {
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	_, err := methods.GetCurrentTime(ctx, b.client)
	return err
}

// handshake tells whether a new client gets as far as TLS within a while.
func (b *bench) handshake(patience time.Duration) error {
	conn, err := net.DialTimeout("tcp", b.sim.SDKAddress.String(), patience)
	if err != nil {
		return err
	}
	defer conn.Close()
	// Whoever listens answers that this is no TLS.
	if _, err := conn.Write([]byte("GET / HTTP/1.0\r\n\r\n")); err != nil {
		return err
	}
	if err := conn.SetReadDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	_, err = conn.Read(make([]byte, 1))
	return err
}

// whenStruck does something once the only rule has struck.
func (b *bench) whenStruck(do func()) {
	for b.sim.Front.Rules.List()[0].Hits == 0 && b.ctx.Err() == nil {
		time.Sleep(time.Millisecond)
	}
	do()
}

func TestAServerThatFallsSilent(t *testing.T) {
	const patience = 300 * time.Millisecond
	for do, greets := range map[string]bool{"silence": true, "freeze": false} {
		t.Run(do, func(t *testing.T) {
			b := start(t)
			if err := b.ask(deadline); err != nil {
				t.Fatal(err)
			}
			b.inject(map[string]any{"method": "*", "do": do})
			// A call that gives up before it has arrived strikes nothing: ask until one has.
			for asked := 0; asked < 2 || b.sim.Front.Rules.List()[0].Hits == 0; asked++ {
				if err := b.ask(patience); !errors.Is(err, context.DeadlineExceeded) {
					t.Fatalf("error %v, want none to answer", err)
				}
			}
			within := patience
			if greets {
				within = deadline
			}
			if err := b.handshake(within); (err == nil) != greets {
				t.Errorf("a new connection: %v", err)
			}
			b.control("DELETE", "/inject", nil, nil)
			if err := b.ask(deadline); err != nil {
				t.Errorf("afterwards: %v", err)
			}
		})
	}
}

func TestAServerThatIsGone(t *testing.T) {
	b := start(t)
	b.inject(map[string]any{"method": "CurrentTime", "nth": 2, "do": "gone"})
	if err := b.ask(deadline); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := b.ask(deadline); err == nil || soap.IsSoapFault(err) || errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("error %v, want a broken connection", err)
		}
	}
	b.control("DELETE", "/inject", nil, nil)
	if err := b.ask(deadline); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}

func TestAServerThatRestarts(t *testing.T) {
	b := start(t)
	restarting := func(err error) bool { return err != nil && strings.Contains(err.Error(), "503") }
	b.inject(map[string]any{"method": "CurrentTime", "do": "restart"})
	for range 2 {
		if err := b.ask(deadline); !restarting(err) {
			t.Fatalf("error %v, want 503", err)
		}
	}
	b.control("DELETE", "/inject", nil, nil)
	// It answers again, and knows no session any more.
	b.wantFault(b.callFault(b.ask(deadline)), &types.NotAuthenticated{})

	// With a time it ends by itself.
	b.inject(map[string]any{"method": "CurrentTime", "do": "restart", "delay_ms": 300})
	err := b.ask(deadline)
	if !restarting(err) {
		t.Fatalf("error %v, want 503", err)
	}
	for restarting(err) {
		err = b.ask(deadline)
	}
	b.wantFault(b.callFault(err), &types.NotAuthenticated{})
}

func TestHalfOfAnAnswer(t *testing.T) {
	b := start(t)
	b.inject(map[string]any{"method": "CurrentTime", "do": "half"})
	if err := b.ask(deadline); err == nil || soap.IsSoapFault(err) {
		t.Fatalf("error %v, want a torn answer", err)
	}
	b.inject(map[string]any{"method": "CurrentTime", "do": "half", "delay_ms": 60_000})
	if err := b.ask(300 * time.Millisecond); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("error %v, want the rest not to come", err)
	}
}

func TestSessionsThatEndEveryFewCalls(t *testing.T) {
	b := start(t)
	b.inject(map[string]any{"method": "CurrentTime", "nth": 3, "every": 3, "times": 0, "do": "expire"})
	for call := 1; call <= 6; call++ {
		err := b.ask(deadline)
		if call%3 != 0 {
			if err != nil {
				t.Fatalf("call %d: %v", call, err)
			}
			continue
		}
		b.wantFault(b.callFault(err), &types.NotAuthenticated{})
		b.client = b.login(b.sim.Cfg.Username, b.sim.Cfg.Password)
	}
}

func TestASignalAtACall(t *testing.T) {
	b := start(t)
	sleeper := exec.Command("sleep", "60")
	if err := sleeper.Start(); err != nil {
		t.Fatal(err)
	}
	b.inject(map[string]any{"method": "CurrentTime", "do": "signal", "pid": sleeper.Process.Pid, "signal": "TERM"})
	if err := b.ask(deadline); err != nil {
		t.Error(err)
	}
	var ended *exec.ExitError
	if err := sleeper.Wait(); !errors.As(err, &ended) || ended.Sys().(syscall.WaitStatus).Signal() != syscall.SIGTERM {
		t.Errorf("the process ended with %v", err)
	}
}

// A session that ends while a call is held up is told as any other, also where a shim
// would have answered: the fault names the object that was called.
func TestASessionThatEndsDuringACall(t *testing.T) {
	b := start(t)
	parent := b.parent().Reference()
	for method, call := range map[string]func() (types.ManagedObjectReference, error){
		"PowerOffVM_Task": func() (types.ManagedObjectReference, error) {
			_, err := methods.PowerOffVM_Task(b.ctx, b.client, &types.PowerOffVM_Task{This: parent})
			return parent, err
		},
		"CreatePropertyCollector": func() (types.ManagedObjectReference, error) {
			this := b.client.ServiceContent.PropertyCollector
			_, err := methods.CreatePropertyCollector(b.ctx, b.client, &types.CreatePropertyCollector{This: this})
			return this, err
		},
		"CreateTemporaryFileInGuest": func() (types.ManagedObjectReference, error) {
			this := types.ManagedObjectReference{Type: "GuestFileManager", Value: "guestOperationsFileManager"}
			_, err := methods.CreateTemporaryFileInGuest(b.ctx, b.client, &types.CreateTemporaryFileInGuest{
				This: this, Vm: parent, Auth: &types.NamePasswordAuthentication{}, Prefix: "a", Suffix: "b",
			})
			return this, err
		},
	} {
		rule := b.inject(map[string]any{"method": method, "do": "delay"}) // until it is removed
		var ended sync.WaitGroup
		ended.Add(1)
		go b.whenStruck(func() {
			defer ended.Done()
			b.sim.EndSessions(false)
			b.sim.Front.Rules.Remove(rule)
		})
		called, err := call()
		ended.Wait()
		fault := b.callFault(err)
		b.wantFault(fault, &types.NotAuthenticated{})
		if told, ok := fault.(types.NotAuthenticated); !ok || told.Object == nil || *told.Object != called {
			t.Errorf("%s: the fault is about another object: %+v", method, fault)
		}
		b.client = b.login(b.sim.Cfg.Username, b.sim.Cfg.Password)
	}
}

// The same where the session ends after the front has looked at it.
func TestAShimTakesNoCallOver(t *testing.T) {
	b := start(t)
	ctx := b.sim.Background("")
	ctx.Session = nil
	ref := b.parent().Reference()
	method := &simulator.Method{Name: "PowerOffVM_Task", This: ref}
	handler, fault := b.sim.route(ctx, method)
	b.wantFault(fault, &types.NotAuthenticated{})
	if handler != nil || method.This != ref {
		t.Errorf("%v takes over a call on %v", handler, method.This)
	}
}
