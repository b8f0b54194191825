// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package snaptree

import (
	"slices"

	"github.com/vmware/govmomi/vim25/types"
)

// Node is one snapshot in the tree that a VM shows.
type Node = types.VirtualMachineSnapshotTree

// Refs lists the snapshots of a tree, all branches of it.
func Refs(tree []Node) []types.ManagedObjectReference {
	var refs []types.ManagedObjectReference
	for _, node := range tree {
		refs = append(refs, node.Snapshot)
		refs = append(refs, Refs(node.ChildSnapshotList)...)
	}
	return refs
}

// PathTo lists the nodes from the root of a tree down to a snapshot; it is empty
// for one that is not there.
func PathTo(tree []Node, ref types.ManagedObjectReference) []Node {
	for _, node := range tree {
		if node.Snapshot == ref {
			return []Node{node}
		}
		if below := PathTo(node.ChildSnapshotList, ref); below != nil {
			return append([]Node{node}, below...)
		}
	}
	return nil
}

// Edit copies a tree with each node as edit makes it: the nodes that take its place.
// Trees are never changed in place, as clients are shown them without a copy.
func Edit(tree []Node, edit func(Node) []Node) []Node {
	var out []Node
	for _, node := range tree {
		node.ChildSnapshotList = Edit(node.ChildSnapshotList, edit)
		out = append(out, edit(node)...)
	}
	return out
}

// With adds a node below a snapshot or, without one, as a root.
func With(tree []Node, below *types.ManagedObjectReference, added Node) []Node {
	if below == nil {
		return append(slices.Clone(tree), added)
	}
	return Edit(tree, func(node Node) []Node {
		if node.Snapshot == *below {
			node.ChildSnapshotList = append(node.ChildSnapshotList, added)
		}
		return []Node{node}
	})
}

// Without takes snapshots out of a tree; the children of one that goes rise to its
// place.
func Without(tree []Node, gone map[types.ManagedObjectReference]bool) []Node {
	return Edit(tree, func(node Node) []Node {
		if gone[node.Snapshot] {
			return node.ChildSnapshotList
		}
		return []Node{node}
	})
}
