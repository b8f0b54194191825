// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package vdisk

import (
	"slices"
	"sort"
)

// Span is a range of bytes: start belongs to it, end does not.
type Span struct{ Start, End int64 }

// Length is how many bytes the range has.
func (s Span) Length() int64 { return s.End - s.Start }

// Spans is a set of bytes: sorted, disjoint, and no two of them touch.
type Spans []Span

// Add puts a range into the set. A range behind all others costs no search.
func (s *Spans) Add(a Span) {
	if a.Start >= a.End {
		return
	}
	set := *s
	if n := len(set); n == 0 || set[n-1].End < a.Start {
		*s = append(set, a)
		return
	}
	first := sort.Search(len(set), func(i int) bool { return set[i].End >= a.Start })
	last := sort.Search(len(set), func(i int) bool { return set[i].Start > a.End })
	if first < last {
		a.Start, a.End = min(a.Start, set[first].Start), max(a.End, set[last-1].End)
	}
	*s = slices.Replace(set, first, last, a)
}

// Union returns what is in one of the sets, in linear time.
func (s Spans) Union(other Spans) Spans {
	out := make(Spans, 0, len(s)+len(other))
	for len(s) > 0 || len(other) > 0 {
		if len(other) == 0 || len(s) > 0 && s[0].Start <= other[0].Start {
			s, out = s[1:], out.Append(s[0])
		} else {
			other, out = other[1:], out.Append(other[0])
		}
	}
	return out
}

// With is union for a set that is not needed any more; few ranges cost little.
func (s Spans) With(other Spans) Spans {
	if len(other) > 16 {
		return s.Union(other)
	}
	for _, a := range other {
		s.Add(a)
	}
	return s
}

// Append adds a range that begins at or behind the last one's beginning.
func (s Spans) Append(a Span) Spans {
	if n := len(s); n > 0 && a.Start <= s[n-1].End {
		s[n-1].End = max(s[n-1].End, a.End)
		return s
	}
	return append(s, a)
}

// Within returns what of the set lies in a range.
func (s Spans) Within(a Span) Spans {
	if a.Start >= a.End {
		return nil
	}
	var out Spans
	for i := sort.Search(len(s), func(i int) bool { return s[i].End > a.Start }); i < len(s) && s[i].Start < a.End; i++ {
		out = append(out, Span{max(s[i].Start, a.Start), min(s[i].End, a.End)})
	}
	return out
}

// Outside returns what of a range does not lie in the set.
func (s Spans) Outside(a Span) Spans {
	var out Spans
	at := a.Start
	for _, in := range s.Within(a) {
		if at < in.Start {
			out = append(out, Span{at, in.Start})
		}
		at = in.End
	}
	if at < a.End {
		out = append(out, Span{at, a.End})
	}
	return out
}

// Aligned returns the set widened to multiples of a granule, up to a limit.
func (s Spans) Aligned(granule, limit int64) Spans {
	if granule <= 1 {
		return s
	}
	out := make(Spans, 0, len(s))
	for _, in := range s {
		end := min((in.End+granule-1)/granule*granule, limit)
		out = out.Append(Span{in.Start / granule * granule, end})
	}
	return out
}

// Bytes is how many bytes the set has.
func (s Spans) Bytes() (n int64) {
	for _, in := range s {
		n += in.Length()
	}
	return n
}
