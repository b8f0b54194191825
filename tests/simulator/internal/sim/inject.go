// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package sim

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"path"
	"reflect"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/vmware/govmomi/vim25/types"
)

// rule is one injected failure. Its JSON is what the control endpoint takes.
type rule struct {
	ID      int    `json:"id"`
	Method  string `json:"method"`
	Name    string `json:"name,omitempty"`
	Nth     int    `json:"nth"`
	Times   *int   `json:"times,omitempty"`
	Every   int    `json:"every"`
	Do      string `json:"do"`
	Fault   string `json:"fault,omitempty"`
	Message string `json:"message,omitempty"`
	DelayMS int    `json:"delay_ms,omitempty"`
	Status  int    `json:"status,omitempty"`
	PID     int    `json:"pid,omitempty"`
	Signal  string `json:"signal,omitempty"`
	Seen    int    `json:"seen"` // matching calls since the rule was made
	Hits    int    `json:"hits"` // calls that it struck

	removed chan struct{} // is closed when the rule is removed
}

// What a rule can do to a call.
const (
	doFault     = "fault"
	doTaskFault = "task-fault"
	doDelay     = "delay"
	doDrop      = "drop"
	doDropAfter = "drop-after"
	doStatus    = "http-status"
	doHalf      = "half"
	doExpire    = "expire"
	doSignal    = "signal"
	// What these do lasts until the rules are removed.
	doSilence = "silence"
	doFreeze  = "freeze"
	doGone    = "gone"
	doRestart = "restart"
)

var ruleActions = []string{
	doFault, doTaskFault, doDelay, doDrop, doDropAfter, doStatus, doHalf, doExpire, doSignal,
	doSilence, doFreeze, doGone, doRestart,
}

// ruleSignals are those that end programs.
var ruleSignals = map[string]syscall.Signal{
	"INT": syscall.SIGINT, "TERM": syscall.SIGTERM, "HUP": syscall.SIGHUP, "KILL": syscall.SIGKILL,
}

// check completes a rule with its defaults, or says what is wrong with it.
func (r *rule) check() error {
	if r.Method == "" {
		return errors.New(`"method" is needed: a SOAP method, or "*"`)
	}
	if !slices.Contains(ruleActions, r.Do) {
		return fmt.Errorf(`"do" is %q: one of %s is needed`, r.Do, strings.Join(ruleActions, ", "))
	}
	if _, err := path.Match(r.Name, ""); err != nil {
		return fmt.Errorf(`"name": %w`, err)
	}
	if r.Nth == 0 {
		r.Nth = 1
	}
	if r.Times == nil {
		one := 1
		r.Times = &one
	}
	if r.Nth < 1 || *r.Times < 0 || r.Every < 0 || r.DelayMS < 0 {
		return errors.New(`"nth" starts at 1; "times", "every" and "delay_ms" are not negative`)
	}
	switch r.Do {
	case doFault, doTaskFault:
		if r.Fault == "" {
			r.Fault = "SystemError"
		}
		_, err := newFault(r.Fault, r.Message)
		if r.Do == doTaskFault && r.Method != "*" && !makesTask(r.Method) {
			err = fmt.Errorf("%s makes no task", r.Method)
		}
		return err
	case doStatus:
		if r.Status == 0 {
			r.Status = http.StatusServiceUnavailable
		}
		if r.Status < 200 || r.Status > 599 {
			return fmt.Errorf(`"status" %d is no HTTP status`, r.Status)
		}
	case doSignal:
		if _, ok := ruleSignals[r.Signal]; !ok || r.PID < 2 {
			return errors.New(`"pid" of a process and "signal" are needed: INT, TERM, HUP or KILL`)
		}
	}
	return nil
}

// makesTask tells if what a method starts goes on behind its answer: as a task, or as the
// lease of an import.
func makesTask(method string) bool {
	return strings.HasSuffix(method, "_Task") || method == "ImportVApp"
}

// delay waits for as long as the rule says, or until the client that is waiting has gone.
// One that names no time holds the call until the rule is removed.
func (r *rule) delay(ctx context.Context) {
	if r.DelayMS > 0 {
		sleep(ctx, time.Duration(r.DelayMS)*time.Millisecond)
		return
	}
	select {
	case <-r.removed:
	case <-ctx.Done():
	}
}

// strikes counts a matching call and tells if the rule acts on it.
func (r *rule) strikes() bool {
	r.Seen++
	if r.Seen < r.Nth || (*r.Times > 0 && r.Hits >= *r.Times) {
		return false
	}
	if r.Every > 0 && (r.Seen-r.Nth)%r.Every != 0 {
		return false
	}
	r.Hits++
	return true
}

// newFault makes a fault of the API by the name of its type.
func newFault(name, message string) (types.BaseMethodFault, error) {
	kind, ok := types.TypeFunc()(name)
	if !ok {
		return nil, fmt.Errorf("%q is no type of the API", name)
	}
	fault, ok := reflect.New(kind).Interface().(types.BaseMethodFault)
	if !ok {
		return nil, fmt.Errorf("%q is no fault", name)
	}
	fillRequired(reflect.ValueOf(fault).Elem())
	if message != "" {
		fault.GetMethodFault().FaultMessage = []types.LocalizableMessage{{Key: "vforge.injected", Message: message}}
	}
	return fault, nil
}

// fillRequired gives a fault the properties without which clients cannot read it:
// references, other faults and power states. Every other zero value is a legal one.
func fillRequired(fault reflect.Value) {
	for i := range fault.NumField() {
		field := fault.Field(i)
		if strings.Contains(fault.Type().Field(i).Tag.Get("xml"), "omitempty") {
			continue
		}
		switch value := field.Addr().Interface().(type) {
		case *types.ManagedObjectReference:
			*value = types.ManagedObjectReference{Type: "VirtualMachine", Value: "vm-injected"}
			if fault.Type().Field(i).Name == "Task" {
				*value = types.ManagedObjectReference{Type: "Task", Value: "task-injected"}
			}
		case *types.LocalizedMethodFault:
			*value = types.LocalizedMethodFault{Fault: &types.SystemError{}}
		case *types.VirtualMachinePowerState:
			*value = types.VirtualMachinePowerStatePoweredOff
		default:
			if field.Kind() == reflect.Struct {
				fillRequired(field)
			}
		}
	}
}

// injector holds the rules in the order in which they came.
type injector struct {
	mu    sync.Mutex
	next  int
	rules []*rule
}

func (i *injector) add(r rule) int {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.next++
	r.ID, r.Seen, r.Hits, r.removed = i.next, 0, 0, make(chan struct{})
	i.rules = append(i.rules, &r)
	return r.ID
}

func (i *injector) list() []rule {
	i.mu.Lock()
	defer i.mu.Unlock()
	out := make([]rule, 0, len(i.rules))
	for _, r := range i.rules {
		out = append(out, *r)
	}
	return out
}

// remove takes one rule away, or with id 0 all of them.
func (i *injector) remove(id int) bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	before := len(i.rules)
	i.rules = slices.DeleteFunc(i.rules, func(r *rule) bool {
		gone := id == 0 || r.ID == id
		if gone {
			close(r.removed)
		}
		return gone
	})
	return id == 0 || len(i.rules) < before
}

// match returns the first rule that acts on a call. All rules that the call matches
// count it, and names is asked at most once.
func (i *injector) match(method string, names func() []string) *rule {
	i.mu.Lock()
	defer i.mu.Unlock()
	var struck *rule
	var known []string
	asked := false
	for _, r := range i.rules {
		if r.Method != "*" && r.Method != method {
			continue
		}
		if r.Do == doTaskFault && !makesTask(method) {
			continue
		}
		if r.Name != "" {
			if !asked {
				known, asked = names(), true
			}
			if !slices.ContainsFunc(known, r.nameMatches) {
				continue
			}
		}
		if struck == nil && r.strikes() {
			copied := *r
			struck = &copied
		} else if struck != nil {
			r.Seen++
		}
	}
	return struck
}

// nameMatches compares with a name as it was sent or as it is kept: in a glob of
// Go a star stops at a slash, and names may hold one.
func (r *rule) nameMatches(name string) bool {
	hide := func(s string) string { return strings.ReplaceAll(s, "/", "\x00") }
	for _, n := range []string{name, escapeName(name)} {
		if ok, err := path.Match(hide(r.Name), hide(n)); err == nil && ok {
			return true
		}
	}
	return false
}
