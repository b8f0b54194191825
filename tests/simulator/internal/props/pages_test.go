// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package props

import "testing"

// Clients that never come back for the rest of an answer cost no more and more memory.
func TestAnswersThatNobodyReadsToTheirEndAreForgotten(t *testing.T) {
	var kept pages
	one, another, foreign := collectorID{session: "one"}, collectorID{session: "one"}, collectorID{session: "other"}
	another.ref.Value = "session[1]"
	other := kept.keep(page{of: foreign})
	var tokens []string
	for range mostRests + 2 {
		tokens = append(tokens, kept.keep(page{of: one}))
	}
	if _, ok := kept.take(another, tokens[mostRests]); ok {
		t.Error("a collector reads on in an answer of another one")
	}
	for i, token := range tokens[:3] {
		if _, ok := kept.take(one, token); ok != (i == 2) {
			t.Errorf("answer %d is kept: %v", i, ok)
		}
	}
	if n := len(kept.rest); n != mostRests {
		t.Errorf("%d are kept", n)
	}
	kept.keep(page{of: one})
	if _, ok := kept.take(one, tokens[3]); !ok {
		t.Error("one that was read made no room")
	}
	kept.drop(func(of collectorID) bool { return of.session == "one" })
	if _, ok := kept.take(one, tokens[len(tokens)-1]); ok || len(kept.rest) != 1 || len(kept.tokens) != 1 {
		t.Errorf("the session has ended, and %d are kept", len(kept.rest))
	}
	if _, ok := kept.take(foreign, other); !ok || len(kept.tokens) != 0 {
		t.Error("an answer of another session is gone")
	}
}
