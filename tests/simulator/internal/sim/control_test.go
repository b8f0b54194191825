// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package sim

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/vmware/govmomi/object"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"

	"vforge.vsphere/simulator/internal/apiversion"
	"vforge.vsphere/simulator/internal/core"
	"vforge.vsphere/simulator/internal/inject"
)

func (b *bench) inject(rule map[string]any) int {
	b.Helper()
	var answer map[string]any
	if status := b.control("POST", "/inject", rule, &answer); status != http.StatusOK {
		b.Fatalf("%d %v", status, answer)
	}
	return int(answer["id"].(float64))
}

func TestCallsAreCountedExactly(t *testing.T) {
	b := start(t)
	b.control("POST", "/calls/reset", nil, nil)
	const clients, each = 8, 25
	var all sync.WaitGroup
	for range clients {
		all.Add(1)
		go func() {
			defer all.Done()
			for range each {
				if _, err := methods.GetCurrentTime(b.ctx, b.client); err != nil {
					t.Error(err)
				}
			}
		}()
	}
	all.Wait()
	var calls struct {
		Total    int
		ByMethod map[string]int `json:"by_method"`
	}
	b.control("GET", "/calls", nil, &calls)
	if calls.Total != clients*each || calls.ByMethod["CurrentTime"] != clients*each || len(calls.ByMethod) != 1 {
		t.Errorf("%+v", calls)
	}
}

func TestAskingForCallsWaitsForAsManyAsAreNamed(t *testing.T) {
	b := start(t)
	b.control("POST", "/calls/reset", nil, nil)
	var calls struct{ Total int }
	b.control("GET", "/calls?method=CurrentTime&count=1&within_ms=1", nil, &calls)
	if calls.Total != 0 {
		t.Errorf("%d calls before the first", calls.Total)
	}
	// A call counts when it arrives, before its answer: the test must not end, and cancel the third, until all are answered.
	var asked sync.WaitGroup
	asked.Add(1)
	go func() {
		defer asked.Done()
		for range 3 {
			if _, err := methods.GetCurrentTime(b.ctx, b.client); err != nil {
				t.Error(err)
			}
		}
	}()
	b.control("GET", "/calls?method=CurrentTime&count=3&within_ms=60000", nil, &calls)
	asked.Wait()
	if calls.Total != 3 {
		t.Errorf("answered after %d calls", calls.Total)
	}
	for _, wrong := range []string{"count=x&within_ms=1", "count=1"} {
		if status := b.control("GET", "/calls?method=CurrentTime&"+wrong, nil, nil); status != http.StatusBadRequest {
			t.Errorf("%s: %d", wrong, status)
		}
	}
}

func TestWhichCallsARuleStrikes(t *testing.T) {
	two, ever := 2, 0
	for name, c := range map[string]struct {
		rule inject.Rule
		want string
	}{
		"the first":           {inject.Rule{}, "x........."},
		"the third":           {inject.Rule{Nth: 3}, "..x......."},
		"two from the second": {inject.Rule{Nth: 2, Times: &two}, ".xx......."},
		"all":                 {inject.Rule{Times: &ever}, "xxxxxxxxxx"},
		"all from the eighth": {inject.Rule{Nth: 8, Times: &ever}, ".......xxx"},
		"every third":         {inject.Rule{Times: &ever, Every: 3}, "x..x..x..x"},
		"every other, twice":  {inject.Rule{Nth: 2, Times: &two, Every: 2}, ".x.x......"},
	} {
		t.Run(name, func(t *testing.T) {
			r := c.rule
			r.Method, r.Do = "*", inject.DoDrop
			if err := r.Check(); err != nil {
				t.Fatal(err)
			}
			var i inject.Rules
			i.Add(r)
			got := ""
			for range c.want {
				if i.Match("Any", func() []string { return nil }) != nil {
					got += "x"
				} else {
					got += "."
				}
			}
			if got != c.want {
				t.Errorf("struck %s, want %s", got, c.want)
			}
		})
	}
}

func TestRulesPickCallsByNameAndMethod(t *testing.T) {
	b := start(t)
	id := b.inject(map[string]any{"method": "InstantClone_Task", "name": "web-*", "do": "fault", "fault": "SystemError", "message": "not now", "times": 0})
	b.clone("db-1")
	_, err := b.parent().InstantClone(b.ctx, cloneSpec("web-1"))
	b.wantFault(b.callFault(err), &types.SystemError{})
	if !strings.Contains(err.Error(), "not now") {
		t.Error(err)
	}
	var list struct{ Rules []inject.Rule }
	b.control("GET", "/inject", nil, &list)
	if len(list.Rules) != 1 || list.Rules[0].Hits != 1 || list.Rules[0].Seen != 1 {
		t.Errorf("%+v", list)
	}
	if status := b.control("DELETE", fmt.Sprintf("/inject/%d", id), nil, nil); status != http.StatusOK {
		t.Error(status)
	}
	if status := b.control("DELETE", fmt.Sprintf("/inject/%d", id), nil, nil); status != http.StatusNotFound {
		t.Errorf("deleting it twice: %d", status)
	}
	b.clone("web-1")
	b.inject(map[string]any{"method": "PowerOffVM_Task", "name": "web-1", "do": "fault"})
	_, err = object.NewVirtualMachine(b.client, b.find("/DC0/vm/web-1")).PowerOff(b.ctx)
	b.wantFault(b.callFault(err), &types.SystemError{})
}

func TestInjectedTaskFaults(t *testing.T) {
	b := start(t)
	b.inject(map[string]any{"method": "InstantClone_Task", "do": "task-fault", "fault": "InsufficientResourcesFault", "message": "no memory"})
	b.inject(map[string]any{"method": "PowerOffVM_Task", "do": "task-fault", "fault": "GenericVmConfigFault"})
	task, err := b.parent().InstantClone(b.ctx, cloneSpec("x"))
	if err != nil {
		t.Fatal(err)
	}
	b.wantFault(b.taskFault(task), &types.InsufficientResourcesFault{})
	if info := b.info(task); info.Name != "InstantClone_Task" || info.Error.LocalizedMessage != "no memory" || *info.Entity != b.parent().Reference() {
		t.Errorf("info %+v", info)
	}
	task, err = b.parent().PowerOff(b.ctx)
	if err != nil {
		t.Fatal(err)
	}
	b.wantFault(b.taskFault(task), &types.GenericVmConfigFault{})
	if vm := b.read(b.parent().Reference()); vm.Runtime.PowerState != core.PoweredOn {
		t.Error("the call was carried out all the same")
	}
	b.clone("x")
}

func TestDroppedConnections(t *testing.T) {
	b := start(t)
	req := &types.InstantClone_Task{This: b.parent().Reference()}
	tasks := func() int { return len(b.sim.Reg.AllReference("Task")) }
	for do, made := range map[string]int{"drop": 0, "drop-after": 1} {
		t.Run(do, func(t *testing.T) {
			before := tasks()
			b.inject(map[string]any{"method": "InstantClone_Task", "do": do})
			req.Spec = cloneSpec(do)
			_, err := methods.InstantClone_Task(b.ctx, b.client, req)
			if err == nil || soap.IsSoapFault(err) {
				t.Fatalf("error %v, want a lost connection", err)
			}
			if got := tasks() - before; got != made {
				t.Errorf("the call made %d tasks, want %d", got, made)
			}
		})
	}
}

func TestInjectedHTTPStatusAndDelay(t *testing.T) {
	b := start(t)
	b.inject(map[string]any{"method": "CurrentTime", "do": "http-status", "status": 503})
	_, err := methods.GetCurrentTime(b.ctx, b.client)
	if err == nil || !strings.Contains(err.Error(), "503") {
		t.Errorf("error %v", err)
	}
	b.inject(map[string]any{"method": "CurrentTime", "do": "delay", "delay_ms": 1})
	if _, err := methods.GetCurrentTime(b.ctx, b.client); err != nil {
		t.Error(err)
	}
}

func TestADelayWithoutATimeLastsUntilItsRuleIsRemoved(t *testing.T) {
	b := start(t)
	id := b.inject(map[string]any{"method": "CurrentTime", "do": "delay"})
	answered := make(chan error, 1)
	go func() {
		_, err := methods.GetCurrentTime(b.ctx, b.client)
		answered <- err
	}()
	for hits := 0; hits == 0; {
		var answer struct{ Rules []inject.Rule }
		b.control("GET", "/inject", nil, &answer)
		hits = answer.Rules[0].Hits
	}
	select {
	case err := <-answered:
		t.Fatalf("it was answered (%v) before the rule was removed", err)
	case <-time.After(50 * time.Millisecond):
	}
	b.control("DELETE", fmt.Sprintf("/inject/%d", id), nil, nil)
	if err := <-answered; err != nil {
		t.Error(err)
	}
}

func TestCallsOfAClientThatIsGoneAreWaitedFor(t *testing.T) {
	b := start(t)
	b.inject(map[string]any{"method": "CurrentTime", "do": "delay"})
	ctx, cancel := context.WithCancel(b.ctx)
	defer cancel()
	go b.whenStruck(cancel)
	if _, err := methods.GetCurrentTime(ctx, b.client); err == nil {
		t.Error("it was answered")
	}
	b.control("GET", "/calls?settled", nil, nil)
	if under := b.sim.Underway.Load(); under != 0 {
		t.Errorf("%d calls are under way", under)
	}
}

func TestControlRefusesNonsense(t *testing.T) {
	b := start(t)
	for name, c := range map[string]struct {
		method, path string
		body         any
		status       int
		says         string
	}{
		"no such path":         {"GET", "/nothing", nil, 404, "nothing answers"},
		"no such VM":           {"GET", "/vms/nobody", nil, 404, "nobody"},
		"no such host":         {"POST", "/hosts/nobody", map[string]any{"maintenance": true}, 404, "nobody"},
		"host without state":   {"POST", "/hosts/DC0_C0_H0", map[string]any{}, 400, "maintenance"},
		"misspelt field":       {"PATCH", "/vms/golden-parent", map[string]any{"forzen": true}, 400, "forzen"},
		"rule without do":      {"POST", "/inject", map[string]any{"method": "*"}, 400, "do"},
		"rule of no method":    {"POST", "/inject", map[string]any{"do": "drop"}, 400, "method"},
		"unknown fault":        {"POST", "/inject", map[string]any{"method": "*", "do": "fault", "fault": "Nope"}, 400, "Nope"},
		"type, not a fault":    {"POST", "/inject", map[string]any{"method": "*", "do": "fault", "fault": "TaskInfo"}, 400, "no fault"},
		"task of no task":      {"POST", "/inject", map[string]any{"method": "Login", "do": "task-fault"}, 400, "makes no task"},
		"bad glob":             {"POST", "/inject", map[string]any{"method": "*", "do": "drop", "name": "["}, 400, "name"},
		"bad status":           {"POST", "/inject", map[string]any{"method": "*", "do": "http-status", "status": 42}, 400, "42"},
		"rule that is none":    {"DELETE", "/inject/77", nil, 404, "77"},
		"negative latency":     {"POST", "/latency", map[string]any{"ms": -1}, 400, "ms"},
		"odd expiry":           {"POST", "/sessions/expire", map[string]any{"as": "smoke"}, 400, "smoke"},
		"user of no name":      {"POST", "/users", map[string]any{"password": "x"}, 400, "username"},
		"VM of no name":        {"POST", "/vms", map[string]any{}, 400, "name"},
		"VM in no folder":      {"POST", "/vms", map[string]any{"name": "x", "folder": "/nowhere"}, 404, "nowhere"},
		"VM on no network":     {"POST", "/vms", map[string]any{"name": "x", "networks": []string{"none"}}, 404, "none"},
		"name that is taken":   {"POST", "/vms", map[string]any{"name": "golden-parent"}, 409, "golden-parent"},
		"fewer deltas":         {"PATCH", "/vms/golden-parent", map[string]any{"delta_levels": -1}, 400, "delta_levels"},
		"odd tools":            {"PATCH", "/vms/golden-parent", map[string]any{"tools": "rusty"}, 400, "tools"},
		"freezing what is off": {"PATCH", "/vms/server-00002", map[string]any{"frozen": true}, 400, "powered on"},
	} {
		t.Run(name, func(t *testing.T) {
			var answer map[string]any
			status := b.control(c.method, c.path, c.body, &answer)
			if text, _ := answer["error"].(string); status != c.status || !strings.Contains(text, c.says) {
				t.Errorf("%d %v, want %d and %q", status, answer, c.status, c.says)
			}
		})
	}
}

func TestVMsMadeThroughTheControlEndpoint(t *testing.T) {
	b := start(t)
	for _, folder := range []string{"/DC0/vm", "/DC0/vm/DC0_F0"} {
		var vm map[string]any
		status := b.control("POST", "/vms", map[string]any{
			"name": "a/b 100% grün", "folder": folder, "host": "DC0_C1_H0", "datastore": "LocalDS_1",
			"networks": []string{"VM Network", "DC0_DVPG1"}, "extra_config": map[string]string{"k": "v"},
		}, &vm)
		if status != http.StatusOK || vm["path"] != folder+"/a%2fb 100%25 grün" || vm["host"] != "/DC0/host/DC0_C1/DC0_C1_H0" {
			t.Errorf("%d %v", status, vm)
		}
		if nics, _ := vm["nics"].([]any); len(nics) != 2 {
			t.Errorf("cards %v", vm["nics"])
		}
	}
	var answer map[string]any
	if status := b.control("GET", "/vms/a%2Fb%20100%25%20gr%C3%BCn", nil, &answer); status != http.StatusConflict {
		t.Errorf("two VMs of a name: %d %v", status, answer)
	}
}

func TestOnlySoapIsAnswered(t *testing.T) {
	b := start(t)
	for name, body := range map[string]string{"nothing": "", "no XML": "hello", "no body": "<Envelope/>"} {
		t.Run(name, func(t *testing.T) {
			req, err := http.NewRequestWithContext(b.ctx, "POST", b.sim.URL().String(), bytes.NewBufferString(body))
			if err != nil {
				t.Fatal(err)
			}
			err = b.client.Do(b.ctx, req, func(res *http.Response) error {
				if res.StatusCode != http.StatusInternalServerError {
					return errors.New(res.Status)
				}
				return nil
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
}

func TestVersionsCompare(t *testing.T) {
	for _, c := range []struct {
		a, b string
		less bool
	}{
		{"6.5", "6.7", true}, {"6.7", "6.7", false}, {"6.7", "6.5", false}, {"6.7.3", "6.8.7", true}, {"8.0.0.0", "8.0.0.1", true},
		{"7.0.3.2", "8.0.0.0", true}, {"2.5u2", "6.7", true}, {"10.0", "9.0", false},
	} {
		if got := apiversion.Less(c.a, c.b); got != c.less {
			t.Errorf("%s before %s: %v", c.a, c.b, got)
		}
	}
	for action, want := range map[string]string{
		"urn:vim25/6.5": "6.5", `"urn:vim25/7.0.3.0"`: "7.0.3.0", "urn:vim25/9.1.0.0": "8.0.3.0", "urn:vim25/8.0.3.1": "8.0.3.0", "": "8.0.3.0",
	} {
		if got := apiversion.OfRequest(action, "8.0.3.0"); got != want {
			t.Errorf("%q is spoken as %s, want %s", action, got, want)
		}
	}
	if p := apiversion.Prior("6.7"); p[0] != "6.5" || p[len(p)-1] != "2.5" {
		t.Errorf("prior versions %v", p)
	}
}
