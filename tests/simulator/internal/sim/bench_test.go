// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package sim

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"reflect"
	"testing"
	"time"

	"github.com/vmware/govmomi/object"
	"github.com/vmware/govmomi/property"
	"github.com/vmware/govmomi/session"
	"github.com/vmware/govmomi/vim25"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"

	"vforge.vsphere/simulator/internal/accounts"
	"vforge.vsphere/simulator/internal/settings"
)

// deadline bounds whatever a test waits for. Nothing comes near it, with the race detector on
// a busy machine neither.
const deadline = 5 * time.Minute

// bench is a simulator with a client that is logged in.
type bench struct {
	*testing.T
	sim    *Sim
	client *vim25.Client
	ctx    context.Context
}

// start runs a simulator for one test.
func start(t *testing.T, change ...func(*settings.Config)) *bench {
	t.Helper()
	t.Parallel() // most of a simulator's start is waiting for vcsim's own tasks
	cfg := settings.DefaultConfig()
	cfg.StateDir, cfg.CloneTime, cfg.GuestTime = t.TempDir(), 0, 0
	cfg.Clusters, cfg.Hosts, cfg.VMs = 2, 1, 2
	for _, c := range change {
		c(&cfg)
	}
	s, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	ctx, cancel := context.WithTimeout(context.Background(), deadline)
	t.Cleanup(cancel)
	b := &bench{T: t, sim: s, ctx: ctx}
	b.client = b.login(cfg.Username, s.Cfg.Password)
	return b
}

// connect returns a client that verifies the certificate and has not logged in.
func (b *bench) connect() *vim25.Client {
	b.Helper()
	sc := soap.NewClient(b.sim.URL(), false)
	if err := sc.SetRootCAs(b.sim.Cfg.StateDir + "/ca.pem"); err != nil {
		b.Fatal(err)
	}
	c, err := vim25.NewClient(b.ctx, sc)
	if err != nil {
		b.Fatal(err)
	}
	return c
}

func (b *bench) login(name, password string) *vim25.Client {
	b.Helper()
	c := b.connect()
	if err := session.NewManager(c).Login(b.ctx, url.UserPassword(name, password)); err != nil {
		b.Fatal(err)
	}
	return c
}

// as logs in as a user with just these privileges.
func (b *bench) as(privileges ...string) *vim25.Client {
	b.Helper()
	b.sim.Auth.Add(accounts.User{Name: "someone@vsphere.local", Password: "secret", Privileges: privileges})
	return b.login("someone@vsphere.local", "secret")
}

// control sends a request to the control endpoint.
func (b *bench) control(method, path string, body, into any) int {
	b.Helper()
	var text bytes.Buffer
	if body != nil {
		if err := json.NewEncoder(&text).Encode(body); err != nil {
			b.Fatal(err)
		}
	}
	req, err := http.NewRequestWithContext(b.ctx, method, b.sim.ControlURL()+path, &text)
	if err != nil {
		b.Fatal(err)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		b.Fatal(err)
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(res.Body)
	if err != nil {
		b.Fatal(err)
	}
	if into != nil {
		if err := json.Unmarshal(answer, into); err != nil {
			b.Fatalf("%s %s: %v in %s", method, path, err, answer)
		}
	}
	return res.StatusCode
}

// patch sets the state of a VM through the control endpoint.
func (b *bench) patch(name string, state map[string]any) {
	b.Helper()
	var answer map[string]any
	if status := b.control("PATCH", "/vms/"+url.PathEscape(name), state, &answer); status != http.StatusOK {
		b.Fatalf("PATCH %s: %d %v", name, status, answer)
	}
}

// find returns an object by inventory path.
func (b *bench) find(path string) types.ManagedObjectReference {
	b.Helper()
	ref, err := object.NewSearchIndex(b.client).FindByInventoryPath(b.ctx, path)
	if err != nil {
		b.Fatal(err)
	}
	if ref == nil {
		b.Fatalf("there is no %s", path)
	}
	return ref.Reference()
}

func (b *bench) parent() *object.VirtualMachine {
	b.Helper()
	return object.NewVirtualMachine(b.client, b.find("/DC0/vm/golden-parent"))
}

// read reads a VM whole.
func (b *bench) read(ref types.ManagedObjectReference) mo.VirtualMachine {
	b.Helper()
	var vm mo.VirtualMachine
	if err := property.DefaultCollector(b.client).RetrieveOne(b.ctx, ref, nil, &vm); err != nil {
		b.Fatal(err)
	}
	return vm
}

// clone makes an instant clone and returns it.
func (b *bench) clone(name string, change ...func(*types.VirtualMachineInstantCloneSpec)) types.ManagedObjectReference {
	b.Helper()
	task, err := b.parent().InstantClone(b.ctx, cloneSpec(name, change...))
	if err != nil {
		b.Fatal(err)
	}
	return b.result(task)
}

func cloneSpec(name string, change ...func(*types.VirtualMachineInstantCloneSpec)) types.VirtualMachineInstantCloneSpec {
	spec := types.VirtualMachineInstantCloneSpec{Name: name}
	for _, c := range change {
		c(&spec)
	}
	return spec
}

// result waits for a task to succeed and returns the object that it made.
func (b *bench) result(task *object.Task) types.ManagedObjectReference {
	b.Helper()
	info, err := task.WaitForResult(b.ctx, nil)
	if err != nil {
		b.Fatal(err)
	}
	ref, _ := info.Result.(types.ManagedObjectReference)
	return ref
}

// taskFault waits for a task to fail and returns its fault.
func (b *bench) taskFault(task *object.Task) types.BaseMethodFault {
	b.Helper()
	_, err := task.WaitForResult(b.ctx, nil)
	var failed interface{ Fault() types.BaseMethodFault }
	if !errors.As(err, &failed) {
		b.Fatalf("the task ended with %v, not with a fault", err)
	}
	return failed.Fault()
}

// callFault returns the fault that a call raised.
func (b *bench) callFault(err error) types.AnyType {
	b.Helper()
	if !soap.IsSoapFault(err) {
		b.Fatalf("the call ended with %v, not with a fault", err)
	}
	return soap.ToSoapFault(err).VimFault()
}

// wantFault fails the test unless fault is of the type of want.
func (b *bench) wantFault(fault types.AnyType, want types.BaseMethodFault) {
	b.Helper()
	got := reflect.TypeOf(fault)
	if got != nil && got.Kind() == reflect.Pointer {
		got = got.Elem()
	}
	if got != reflect.TypeOf(want).Elem() {
		b.Fatalf("fault %v, want %v", got, reflect.TypeOf(want).Elem())
	}
}

// until waits, by property updates, for a VM to be as ready says.
func (b *bench) until(ref types.ManagedObjectReference, ready func(mo.VirtualMachine) bool) mo.VirtualMachine {
	b.Helper()
	var vm mo.VirtualMachine
	err := property.Wait(b.ctx, property.DefaultCollector(b.client), ref, []string{"guest.net", "guest.toolsRunningStatus", "runtime.powerState"},
		func([]types.PropertyChange) bool {
			vm = b.read(ref)
			return ready(vm)
		})
	if err != nil {
		b.Fatal(err)
	}
	return vm
}

// destroy powers a VM off and deletes it.
func (b *bench) destroy(ref types.ManagedObjectReference) {
	b.Helper()
	vm := object.NewVirtualMachine(b.client, ref)
	off, err := vm.PowerOff(b.ctx)
	if err != nil {
		b.Fatal(err)
	}
	b.result(off)
	gone, err := vm.Destroy(b.ctx)
	if err != nil {
		b.Fatal(err)
	}
	b.result(gone)
}
