// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package taskqueue

import (
	"testing"

	"github.com/vmware/govmomi/vim25/types"
)

func TestOfAllThatFitTheOldestBegins(t *testing.T) {
	place := func(name string) Place {
		return Place{types.ManagedObjectReference{Type: "HostSystem", Value: name}, 1}
	}
	left, right := place("left"), place("right")
	begun := make(chan string)
	var q Queues
	submit := func(name, source string, places ...Place) (end chan struct{}) {
		end = make(chan struct{})
		q.Submit(&Job{Source: types.ManagedObjectReference{Value: source}, Places: places, Run: func() { begun <- name; <-end }})
		return end
	}
	both := submit("both", "a", left, right)
	if got := <-begun; got != "both" {
		t.Fatal(got)
	}
	first, second, third := submit("first", "a", left), submit("second", "a", right), submit("third", "b", right)
	close(both)
	for range 2 {
		if <-begun == "third" {
			t.Fatal("the third one began, and an older one waits")
		}
	}
	close(first)
	close(second)
	if got := <-begun; got != "third" {
		t.Fatal(got)
	}
	close(third)
}
