// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package front

import (
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"syscall"
	"time"

	"github.com/vmware/govmomi/vim25/types"

	"vforge.vsphere/simulator/internal/clock"
	"vforge.vsphere/simulator/internal/inject"
)

// transfers of files are counted by their method and the first part of their path, such as "PUT /nfc", and rules are about
// them by that name.
func transferName(r *http.Request) string {
	first, _, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	return r.Method + " /" + first
}

// counted counts the requests to a handler of files, and has rules act on them.
func (s *Front) counted(h http.HandlerFunc) http.HandlerFunc {
	return s.ruled(transferName, &s.FilesMoved, h)
}

// ruled has rules act on the requests to a handler, which are counted by their names.
func (s *Front) ruled(name func(*http.Request) string, calls *inject.Calls, h http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		named := name(r)
		calls.Add(named)
		rule := s.Rules.Match(named, func() []string { return nil })
		if rule == nil || !rule.OfTransfers() {
			h(w, r)
			return
		}
		s.actOnTransfer(w, r, rule, h)
	}
}

// actOnTransfer does to a transfer what a rule says.
func (s *Front) actOnTransfer(w http.ResponseWriter, r *http.Request, rule *inject.Rule, h http.HandlerFunc) {
	switch rule.Do {
	case inject.DoStatus:
		http.Error(w, rule.Message, rule.Status)
		return
	case inject.DoStatusAfter:
		h(httptest.NewRecorder(), r)
		http.Error(w, rule.Message, rule.Status)
		return
	case inject.DoDrop:
		inject.HangUp(w)
		return
	case inject.DoDropAfter:
		h(httptest.NewRecorder(), r)
		inject.HangUp(w)
		return
	case inject.DoLate:
		whole := httptest.NewRecorder()
		h(whole, r)
		rule.Delay(r.Context())
		pass(w, whole)
		return
	case inject.DoCut, inject.DoStall, inject.DoSlow:
		inject.Transfer(w, r, rule, h)
		return
	case inject.DoDelay:
		rule.Delay(r.Context())
	default:
		s.upset(r, rule)
	}
	h(w, r)
}

// upset does what a rule does beside a call that is answered all the same.
func (s *Front) upset(r *http.Request, rule *inject.Rule) {
	switch rule.Do {
	case inject.DoExpire:
		s.EndSessions(false)
	case inject.DoLeaseTimeout:
		s.Leases.FailAll(&types.Timedout{})
	case inject.DoSignal:
		if err := syscall.Kill(rule.PID, inject.RuleSignals[rule.Signal]); err != nil {
			log.Printf("vforge-sim: sending a signal to %d: %v", rule.PID, err)
		}
		clock.Sleep(r.Context(), time.Duration(rule.DelayMS)*time.Millisecond)
	}
}
