// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package inject

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"path"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"vforge.vsphere/simulator/internal/clock"
	"vforge.vsphere/simulator/internal/faults"
	"vforge.vsphere/simulator/internal/naming"
)

// Rule is one injected failure. Its JSON is what the control endpoint takes.
type Rule struct {
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
	Bytes   int64  `json:"bytes,omitempty"` // of a transfer, before it is cut or stalls
	Rate    int64  `json:"rate,omitempty"`  // bytes a second
	PID     int    `json:"pid,omitempty"`
	Signal  string `json:"signal,omitempty"`
	Seen    int    `json:"seen"` // matching calls since the rule was made
	Hits    int    `json:"hits"` // calls that it struck

	removed chan struct{} // is closed when the rule is removed
}

// What a rule can do to a call.
const (
	DoFault          = "fault"
	DoTaskFault      = "task-fault"
	DoTaskFaultAfter = "task-fault-after"
	DoDelay          = "delay"
	DoLate           = "late"
	DoDrop           = "drop"
	DoDropAfter      = "drop-after"
	DoStatus         = "http-status"
	DoStatusAfter    = "status-after"
	DoHalf           = "half"
	DoExpire         = "expire"
	DoLeaseTimeout   = "lease-timeout"
	DoSignal         = "signal"
	// These are of transfers alone: of files to and from hosts, datastores and guests.
	DoCut   = "cut"
	DoStall = "stall"
	DoSlow  = "slow"
	// What these do lasts until the rules are removed.
	DoSilence = "silence"
	DoFreeze  = "freeze"
	DoGone    = "gone"
	DoRestart = "restart"
)

var ruleActions = []string{
	DoFault, DoTaskFault, DoTaskFaultAfter, DoDelay, DoLate, DoDrop, DoDropAfter, DoStatus, DoStatusAfter, DoHalf, DoExpire,
	DoLeaseTimeout, DoSignal,
	DoCut, DoStall, DoSlow,
	DoSilence, DoFreeze, DoGone, DoRestart,
}

// RuleSignals are those that end programs.
var RuleSignals = map[string]syscall.Signal{
	"INT": syscall.SIGINT, "TERM": syscall.SIGTERM, "HUP": syscall.SIGHUP, "KILL": syscall.SIGKILL,
}

// Check completes a rule with its defaults, or says what is wrong with it.
func (r *Rule) Check() error {
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
	if r.Nth < 1 || *r.Times < 0 || r.Every < 0 || r.DelayMS < 0 || r.Bytes < 0 {
		return errors.New(`"nth" starts at 1; "times", "every", "delay_ms" and "bytes" are not negative`)
	}
	if !r.fits() {
		return fmt.Errorf("%s cannot be done to %s", r.Do, r.Method)
	}
	switch r.Do {
	case DoSlow:
		if r.Rate < 1 {
			return errors.New(`"rate" is needed: bytes a second`)
		}
	case DoFault, DoTaskFault, DoTaskFaultAfter:
		if r.Fault == "" {
			r.Fault = "SystemError"
		}
		_, err := faults.New(r.Fault, r.Message)
		if (r.Do == DoTaskFault && !makesTask(r.Method) || r.Do == DoTaskFaultAfter && !isTask(r.Method)) && r.Method != "*" {
			err = fmt.Errorf("%s makes no task", r.Method)
		}
		return err
	case DoStatus, DoStatusAfter:
		if r.Status == 0 && r.Do == DoStatusAfter {
			r.Status = http.StatusGatewayTimeout
		} else if r.Status == 0 {
			r.Status = http.StatusServiceUnavailable
		}
		if r.Status < 200 || r.Status > 599 {
			return fmt.Errorf(`"status" %d is no HTTP status`, r.Status)
		}
	case DoSignal:
		if _, ok := RuleSignals[r.Signal]; !ok || r.PID < 2 {
			return errors.New(`"pid" of a process and "signal" are needed: INT, TERM, HUP or KILL`)
		}
	}
	return nil
}

// OfTransfers tells if a rule is about requests that are no SOAP calls, such as "PUT /nfc".
func (r *Rule) OfTransfers() bool { return strings.Contains(r.Method, " ") }

// fits tells if what the rule does can be done to what it is about.
func (r *Rule) fits() bool {
	switch r.Do {
	case DoCut, DoStall, DoSlow:
		return r.OfTransfers()
	case DoDelay, DoLate, DoDrop, DoDropAfter, DoStatus, DoStatusAfter, DoExpire, DoLeaseTimeout, DoSignal:
		return true
	}
	return !r.OfTransfers()
}

// isTask tells if a method makes a task.
func isTask(method string) bool { return strings.HasSuffix(method, "_Task") }

// makesTask tells if what a method starts goes on behind its answer: as a task, or as the
// lease of an import or an export.
func makesTask(method string) bool {
	return isTask(method) || slices.Contains([]string{"ImportVApp", "ExportVm", "ExportSnapshot"}, method)
}

// Delay waits for as long as the rule says, or until the client that is waiting has gone.
// One that names no time holds the call until the rule is removed.
func (r *Rule) Delay(ctx context.Context) {
	if r.DelayMS > 0 {
		clock.Sleep(ctx, time.Duration(r.DelayMS)*time.Millisecond)
		return
	}
	select {
	case <-r.removed:
	case <-ctx.Done():
	}
}

// strikes counts a matching call and tells if the rule acts on it.
func (r *Rule) strikes() bool {
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

// Rules holds the rules in the order in which they came.
type Rules struct {
	mu    sync.Mutex
	next  int
	rules []*Rule
}

// Add adds a rule and returns its number.
func (i *Rules) Add(r Rule) int {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.next++
	r.ID, r.Seen, r.Hits, r.removed = i.next, 0, 0, make(chan struct{})
	i.rules = append(i.rules, &r)
	return r.ID
}

// List returns the rules, with how often they matched and struck.
func (i *Rules) List() []Rule {
	i.mu.Lock()
	defer i.mu.Unlock()
	out := make([]Rule, 0, len(i.rules))
	for _, r := range i.rules {
		out = append(out, *r)
	}
	return out
}

// Remove takes one rule away, or with id 0 all of them.
func (i *Rules) Remove(id int) bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	before := len(i.rules)
	i.rules = slices.DeleteFunc(i.rules, func(r *Rule) bool {
		gone := id == 0 || r.ID == id
		if gone {
			close(r.removed)
		}
		return gone
	})
	return id == 0 || len(i.rules) < before
}

// Match returns the first rule that acts on a call, or on a transfer where it is named; "*" is all SOAP calls. All rules that the call matches
// count it, and names is asked at most once.
func (i *Rules) Match(method string, names func() []string) *Rule {
	i.mu.Lock()
	defer i.mu.Unlock()
	var struck *Rule
	var known []string
	asked := false
	for _, r := range i.rules {
		if r.Method != "*" && r.Method != method {
			continue
		}
		if r.Do == DoTaskFault && !makesTask(method) || r.Do == DoTaskFaultAfter && !isTask(method) {
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
func (r *Rule) nameMatches(name string) bool {
	hide := func(s string) string { return strings.ReplaceAll(s, "/", "\x00") }
	for _, n := range []string{name, naming.Escape(name)} {
		if ok, err := path.Match(hide(r.Name), hide(n)); err == nil && ok {
			return true
		}
	}
	return false
}
