// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package core

import (
	"context"
	"time"

	"github.com/vmware/govmomi/vim25/types"

	"vforge.vsphere/simulator/internal/clock"
)

// endSession has vcsim forget a session, and ends the waits that it has.
func (s *Core) endSession(key string) {
	s.Props.CloseSession(key)
	ctx := s.Background("")
	m := s.Reg.SessionManager()
	// That vcsim has lost it already is no failure: it is gone either way.
	m.TerminateSession(ctx, &types.TerminateSession{This: m.Self, SessionId: []string{key}})
}

// Settle returns when all calls that came in are answered, or have been carried out for a client that is gone.
func (s *Core) Settle(ctx context.Context) {
	for s.Underway.Load() > 0 && ctx.Err() == nil {
		clock.Sleep(ctx, time.Millisecond)
	}
}

// EndSessions ends all sessions and returns how many there were.
func (s *Core) EndSessions(missingSet bool) int {
	dead := s.Sessions.Expire(missingSet)
	for _, d := range dead {
		s.endSession(d.Key)
	}
	return len(dead)
}

// EndIdleSessions ends the sessions of which nothing was heard for too long.
func (s *Core) EndIdleSessions() {
	for _, d := range s.Sessions.EndIdle() {
		s.endSession(d.Key)
	}
}
