// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package props

import (
	"slices"
	"sync"

	"github.com/vmware/govmomi/vim25/types"

	"vforge.vsphere/simulator/internal/ids"
)

// mostRests is how many answers of one collector can wait for the client to read on. Of more the oldest is forgotten: clients
// that were broken off, or have seen enough, never come back for theirs.
const mostRests = 100

// CloseSession drops all that a session has which has ended: its collectors, and answers that it has not read to their end.
func (p *Server) CloseSession(key string) {
	p.Hub.closeSession(key)
	p.pages.drop(func(of collectorID) bool { return of.session == key })
}

// pages keeps the rest of answers that were cut into pages, by token.
type pages struct {
	mu   sync.Mutex
	rest map[string]page
	// tokens are those of each collector, the oldest first.
	tokens map[collectorID][]string
}

type page struct {
	of      collectorID
	size    int
	objects []types.ObjectContent
	// more are the objects that were selected and are read when their page is asked for.
	more []types.ManagedObjectReference
	set  []types.PropertySpec
}

// first returns the first page of objects, and the token of the rest.
func (p *pages) first(of collectorID, objects []types.ObjectContent, size int) ([]types.ObjectContent, string) {
	if size <= 0 || len(objects) <= size {
		return objects, ""
	}
	return objects[:size], p.keep(page{of: of, size: size, objects: objects[size:]})
}

// take removes what a token stands for.
func (p *pages) take(of collectorID, token string) (page, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	rest, ok := p.rest[token]
	if !ok || rest.of != of {
		return page{}, false
	}
	p.forget(of, token)
	return rest, true
}

// forget drops what a token stands for. The caller holds the lock.
func (p *pages) forget(of collectorID, token string) {
	delete(p.rest, token)
	left := slices.DeleteFunc(p.tokens[of], func(t string) bool { return t == token })
	if p.tokens[of] = left; len(left) == 0 {
		delete(p.tokens, of)
	}
}

// drop forgets what the collectors have not given out that have gone.
func (p *pages) drop(gone func(collectorID) bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for of, tokens := range p.tokens {
		if gone(of) {
			for _, token := range tokens {
				delete(p.rest, token)
			}
			delete(p.tokens, of)
		}
	}
}

// keep gives a token for the rest of an answer.
func (p *pages) keep(rest page) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.rest == nil {
		p.rest, p.tokens = make(map[string]page), make(map[collectorID][]string)
	}
	if waiting := p.tokens[rest.of]; len(waiting) == mostRests {
		p.forget(rest.of, waiting[0])
	}
	token := ids.NewToken()
	p.rest[token] = rest
	p.tokens[rest.of] = append(p.tokens[rest.of], token)
	return token
}
