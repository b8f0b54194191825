// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package vdisk

import (
	"math/rand/v2"
	"slices"
	"testing"
)

const modelSize = 64

// model is a set of bytes, one by one.
type model [modelSize]bool

func (m *model) add(a Span) {
	for i := a.Start; i < a.End; i++ {
		m[i] = true
	}
}

// spans are the bytes of the model as ranges: sorted, disjoint, none touching another.
func (m *model) spans() Spans {
	var out Spans
	for i := int64(0); i < modelSize; i++ {
		if !m[i] {
			continue
		}
		start := i
		for i < modelSize && m[i] {
			i++
		}
		out = append(out, Span{start, i})
	}
	return out
}

func randomSpan(r *rand.Rand) Span {
	start := r.Int64N(modelSize)
	return Span{start, start + r.Int64N(min(9, modelSize-start+1))}
}

func TestSpansAgreeWithASetOfBytes(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 2_000 {
		var a, b Spans
		var inA, inB model
		for range r.IntN(8) {
			x, y := randomSpan(r), randomSpan(r)
			a.Add(x)
			b.Add(y)
			inA.add(x)
			inB.add(y)
		}
		window := randomSpan(r)
		var both, within, outside model
		for i := range both {
			both[i] = inA[i] || inB[i]
			inside := window.Start <= int64(i) && int64(i) < window.End
			within[i], outside[i] = inA[i] && inside, !inA[i] && inside
		}
		for name, c := range map[string]struct{ got, want Spans }{
			"add":     {a, inA.spans()},
			"union":   {a.Union(b), both.spans()},
			"within":  {a.Within(window), within.spans()},
			"outside": {a.Outside(window), outside.spans()},
		} {
			if !slices.Equal(c.got, c.want) {
				t.Fatalf("%s of %v, %v in %v: %v, want %v", name, a, b, window, c.got, c.want)
			}
		}
	}
}

func TestSpansAreWidenedToAGranule(t *testing.T) {
	got := Spans{{1, 3}, {9, 10}, {14, 15}}.Aligned(4, 15)
	if want := (Spans{{0, 4}, {8, 15}}); !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}
