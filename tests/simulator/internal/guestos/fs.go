// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package guestos

import (
	"errors"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"
	"time"
)

// Kind tells files, directories and links apart.
type Kind int

// The kinds of nodes.
const (
	File Kind = iota
	Dir
	Link
)

// Errors of the file system, beside fs.ErrNotExist, fs.ErrExist and
// fs.ErrPermission.
var (
	ErrNotDir   = errors.New("not a directory")
	ErrIsDir    = errors.New("is a directory")
	ErrNotEmpty = errors.New("directory not empty")
	ErrLoop     = errors.New("too many levels of symbolic links")
)

// maxLinks is how many symbolic links a path may lead through, as in Linux.
const maxLinks = 40

// Node is a file, directory or link. Nodes are never changed, only replaced, so
// that a clone can share its parent's.
type Node struct {
	Kind     Kind
	Data     []byte
	Mode     int64 // permission bits
	Owner    string
	Target   string // of a link
	Modified time.Time
	// device is what a write to this file does instead of storing, read what a read
	// gives.
	device func(*System, string) error
	read   func(*System) string
}

// fileSystem maps clean absolute paths to nodes.
type fileSystem struct{ nodes map[string]*Node }

func newFileSystem() *fileSystem {
	return &fileSystem{nodes: map[string]*Node{"/": {Kind: Dir, Mode: 0o755, Owner: root}}}
}

func (f *fileSystem) copy() *fileSystem { return &fileSystem{nodes: maps.Clone(f.nodes)} }

// resolve follows links: those in the directories of p, and with follow the last
// one too. The path that it returns has none left; its node may be nil when only the
// last part does not exist.
func (f *fileSystem) resolve(p string, follow bool) (string, *Node, error) {
	rest := strings.Split(strings.TrimPrefix(path.Clean("/"+p), "/"), "/")
	at, links := "/", 0
	for len(rest) > 0 && rest[0] != "" {
		next := path.Join(at, rest[0])
		last := len(rest) == 1
		node := f.nodes[next]
		rest = rest[1:]
		switch {
		case node == nil && last:
			return next, nil, nil
		case node == nil:
			return next, nil, fs.ErrNotExist
		case node.Kind == Link && (!last || follow):
			if links++; links > maxLinks {
				return next, nil, ErrLoop
			}
			target := node.Target
			if !path.IsAbs(target) {
				target = path.Join(at, target)
			}
			rest = append(strings.Split(strings.TrimPrefix(path.Clean(target), "/"), "/"), rest...)
			at = "/"
		case node.Kind != Dir && !last:
			return next, nil, ErrNotDir
		default:
			at = next
		}
	}
	return at, f.nodes[at], nil
}

func (f *fileSystem) stat(p string, follow bool) (string, *Node, error) {
	at, node, err := f.resolve(p, follow)
	if err == nil && node == nil {
		err = fs.ErrNotExist
	}
	return at, node, err
}

// put replaces or makes a node; its directory must be there.
func (f *fileSystem) put(p string, node *Node) error {
	parent := f.nodes[path.Dir(p)]
	if parent == nil {
		return fs.ErrNotExist
	}
	if parent.Kind != Dir {
		return ErrNotDir
	}
	f.nodes[p] = node
	return nil
}

// children lists the names in a directory, sorted.
func (f *fileSystem) children(dir string) []string {
	prefix := strings.TrimSuffix(dir, "/") + "/"
	var out []string
	for p := range f.nodes {
		if name, ok := strings.CutPrefix(p, prefix); ok && name != "" && !strings.Contains(name, "/") {
			out = append(out, name)
		}
	}
	slices.Sort(out)
	return out
}

// removeAll takes a node away with all below it.
func (f *fileSystem) removeAll(p string) {
	for q := range f.nodes {
		if q == p || strings.HasPrefix(q, p+"/") {
			delete(f.nodes, q)
		}
	}
}

// mkdirAll makes a directory and those above it.
func (f *fileSystem) mkdirAll(p, owner string, now time.Time) {
	if f.nodes[p] != nil {
		return
	}
	f.mkdirAll(path.Dir(p), owner, now)
	f.nodes[p] = &Node{Kind: Dir, Mode: 0o755, Owner: owner, Modified: now}
}
