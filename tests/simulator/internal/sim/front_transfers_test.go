// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package sim

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"testing"

	"github.com/vmware/govmomi/object"
	"github.com/vmware/govmomi/vim25/types"
)

const anyFile = "golden-parent/golden-parent.vmdk"

// got reads a file as far as it comes.
func (b *bench) got(ctx context.Context, path string) (status, length int, err error) {
	b.Helper()
	address := *b.sim.URL()
	address.Path, address.RawQuery = "/folder/"+path, "dcPath=DC0&dsName=LocalDS_0"
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address.String(), nil)
	if err != nil {
		b.Fatal(err)
	}
	res, err := b.client.Client.Client.Do(req)
	if err != nil {
		return 0, 0, err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	return res.StatusCode, len(text), err
}

func TestWhatRulesDoToTransfers(t *testing.T) {
	b := start(t)
	status, whole, err := b.got(b.ctx, anyFile)
	if status != http.StatusOK || err != nil {
		t.Fatal(status, err)
	}
	for name, c := range map[string]struct {
		rule           map[string]any
		status, length int
		fails          bool
	}{
		"cut":          {map[string]any{"do": "cut", "bytes": 10}, http.StatusOK, 10, true},
		"stall":        {map[string]any{"do": "stall", "bytes": 7, "delay_ms": 20}, http.StatusOK, 7, true},
		"slow":         {map[string]any{"do": "slow", "rate": 10_000}, http.StatusOK, whole, false},
		"drop":         {map[string]any{"do": "drop"}, 0, 0, true},
		"drop-after":   {map[string]any{"do": "drop-after"}, 0, 0, true},
		"late":         {map[string]any{"do": "late", "delay_ms": 5}, http.StatusOK, whole, false},
		"http-status":  {map[string]any{"do": "http-status"}, http.StatusServiceUnavailable, 1, false},
		"status-after": {map[string]any{"do": "status-after"}, http.StatusGatewayTimeout, 1, false},
	} {
		t.Run(name, func(t *testing.T) {
			c.rule["method"] = "GET /folder"
			// A client of HTTP tries again by itself what it lost before the first byte.
			c.rule["times"] = 0
			id := b.inject(c.rule)
			defer b.control("DELETE", "/inject", nil, nil)
			status, length, err := b.got(b.ctx, anyFile)
			if status != c.status || length != c.length || (err != nil) != c.fails {
				t.Errorf("rule %d: status %d, %d bytes, %v", id, status, length, err)
			}
		})
	}
	var calls struct{ Files map[string]int }
	if b.control("GET", "/calls", nil, &calls); calls.Files["GET /folder"] < 7 {
		t.Errorf("%v", calls.Files)
	}
	b.control("POST", "/calls/reset", nil, nil)
	calls.Files = nil
	if b.control("GET", "/calls", nil, &calls); len(calls.Files) != 0 {
		t.Errorf("%v", calls.Files)
	}
}

// One that stalls for good is let go when its client goes.
func TestATransferThatStallsEndsWithItsClient(t *testing.T) {
	b := start(t)
	b.inject(map[string]any{"method": "GET /folder", "do": "stall", "bytes": 5})
	ctx, cancel := context.WithCancel(b.ctx)
	defer cancel()
	go b.whenStruck(cancel)
	if _, _, err := b.got(ctx, anyFile); err == nil {
		t.Error("it came whole")
	}
	if status, _, err := b.got(b.ctx, anyFile); status != http.StatusOK || err != nil {
		t.Error(status, err)
	}
}

func TestAnUploadThatIsCut(t *testing.T) {
	b := start(t)
	b.inject(map[string]any{"method": "POST /nfc", "do": "cut", "bytes": 40_000})
	im := b.imported("appliance")
	l := im.ready()
	if _, err := im.put(l, 0, bytes.NewReader(content(2<<20, 1))); err == nil {
		t.Error("the connection was to be cut")
	}
	if err := im.abort(); err != nil {
		t.Fatal(err)
	}
	b.nothingOf("appliance")
	b.noOrphans()
}

func TestALeaseThatTimesOut(t *testing.T) {
	b := start(t)
	b.inject(map[string]any{"method": "POST /nfc", "do": "lease-timeout"})
	im := b.imported("appliance")
	l := im.ready()
	if res, err := im.put(l, 0, bytes.NewReader(content(1<<20, 1))); err == nil && res.StatusCode != http.StatusNotFound {
		t.Errorf("%v, %v", res, err)
	}
	b.wantFault(b.callFault(im.complete()), &types.Timedout{})
	var leases struct{ Open int }
	if b.control("GET", "/leases?within_ms=60000", nil, &leases); leases.Open != 0 {
		t.Errorf("%d leases live", leases.Open)
	}
	b.nothingOf("appliance")
	b.noOrphans()
}

func TestATaskThatDoesItsWorkAndFails(t *testing.T) {
	b := start(t)
	b.inject(map[string]any{"method": "PowerOffVM_Task", "do": "task-fault-after", "fault": "SystemError", "message": "late"})
	task, err := b.parent().PowerOff(b.ctx)
	if err != nil {
		t.Fatal(err)
	}
	b.wantFault(b.taskFault(task), &types.SystemError{})
	if info := b.info(task); info.Name != "PowerOffVM_Task" || info.Error.LocalizedMessage != "late" || *info.Entity != b.parent().Reference() {
		t.Errorf("info %+v", info)
	}
	if vm := b.read(b.parent().Reference()); vm.Runtime.PowerState != types.VirtualMachinePowerStatePoweredOff {
		t.Error("the work was not done")
	}
	// What is refused at once is refused.
	b.inject(map[string]any{"method": "PowerOffVM_Task", "do": "task-fault-after"})
	gone := object.NewVirtualMachine(b.client, types.ManagedObjectReference{Type: "VirtualMachine", Value: "vm-none"})
	_, err = gone.PowerOff(b.ctx)
	b.wantFault(b.callFault(err), &types.ManagedObjectNotFound{})
}

func TestRulesThatFitNoTransfer(t *testing.T) {
	b := start(t)
	for _, rule := range []map[string]any{
		{"method": "GET /folder", "do": "task-fault"},
		{"method": "GET /folder", "do": "half"},
		{"method": "CloneVM_Task", "do": "cut", "bytes": 5},
		{"method": "GET /folder", "do": "slow"},
		{"method": "GET /folder", "do": "cut", "bytes": -1},
		{"method": "ImportVApp", "do": "task-fault-after"},
	} {
		if status := b.control("POST", "/inject", rule, nil); status != http.StatusBadRequest {
			t.Errorf("%v: %d", rule, status)
		}
	}
}

// The work is done while the answer is held.
func TestAnAnswerThatIsLate(t *testing.T) {
	b := start(t)
	id := b.inject(map[string]any{"method": "PowerOffVM_Task", "do": "late"})
	answered := make(chan error, 1)
	go func() {
		_, err := b.parent().PowerOff(b.ctx)
		answered <- err
	}()
	for b.read(b.parent().Reference()).Runtime.PowerState != types.VirtualMachinePowerStatePoweredOff {
		select {
		case err := <-answered:
			t.Fatal("answered before the work was done", err)
		default:
		}
	}
	select {
	case err := <-answered:
		t.Error("the answer was not held", err)
	default:
	}
	b.control("DELETE", fmt.Sprintf("/inject/%d", id), nil, nil)
	if err := <-answered; err != nil {
		t.Error(err)
	}
}
