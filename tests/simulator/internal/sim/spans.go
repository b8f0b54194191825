// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package sim

import (
	"slices"
	"sort"
)

// span is a range of bytes: start belongs to it, end does not.
type span struct{ start, end int64 }

func (s span) length() int64 { return s.end - s.start }

// spans is a set of bytes: sorted, disjoint, and no two of them touch.
type spans []span

// add puts a range into the set. A range behind all others costs no search.
func (s *spans) add(a span) {
	if a.start >= a.end {
		return
	}
	set := *s
	if n := len(set); n == 0 || set[n-1].end < a.start {
		*s = append(set, a)
		return
	}
	first := sort.Search(len(set), func(i int) bool { return set[i].end >= a.start })
	last := sort.Search(len(set), func(i int) bool { return set[i].start > a.end })
	if first < last {
		a.start, a.end = min(a.start, set[first].start), max(a.end, set[last-1].end)
	}
	*s = slices.Replace(set, first, last, a)
}

// union returns what is in one of the sets, in linear time.
func (s spans) union(other spans) spans {
	out := make(spans, 0, len(s)+len(other))
	for len(s) > 0 || len(other) > 0 {
		if len(other) == 0 || len(s) > 0 && s[0].start <= other[0].start {
			s, out = s[1:], out.append(s[0])
		} else {
			other, out = other[1:], out.append(other[0])
		}
	}
	return out
}

// with is union for a set that is not needed any more; few ranges cost little.
func (s spans) with(other spans) spans {
	if len(other) > 16 {
		return s.union(other)
	}
	for _, a := range other {
		s.add(a)
	}
	return s
}

// append adds a range that begins at or behind the last one's beginning.
func (s spans) append(a span) spans {
	if n := len(s); n > 0 && a.start <= s[n-1].end {
		s[n-1].end = max(s[n-1].end, a.end)
		return s
	}
	return append(s, a)
}

// within returns what of the set lies in a range.
func (s spans) within(a span) spans {
	if a.start >= a.end {
		return nil
	}
	var out spans
	for i := sort.Search(len(s), func(i int) bool { return s[i].end > a.start }); i < len(s) && s[i].start < a.end; i++ {
		out = append(out, span{max(s[i].start, a.start), min(s[i].end, a.end)})
	}
	return out
}

// outside returns what of a range does not lie in the set.
func (s spans) outside(a span) spans {
	var out spans
	at := a.start
	for _, in := range s.within(a) {
		if at < in.start {
			out = append(out, span{at, in.start})
		}
		at = in.end
	}
	if at < a.end {
		out = append(out, span{at, a.end})
	}
	return out
}

// aligned returns the set widened to multiples of a granule, up to a limit.
func (s spans) aligned(granule, limit int64) spans {
	if granule <= 1 {
		return s
	}
	out := make(spans, 0, len(s))
	for _, in := range s {
		end := min((in.end+granule-1)/granule*granule, limit)
		out = out.append(span{in.start / granule * granule, end})
	}
	return out
}

func (s spans) bytes() (n int64) {
	for _, in := range s {
		n += in.length()
	}
	return n
}
