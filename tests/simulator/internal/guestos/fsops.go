// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package guestos

import (
	"bytes"
	"encoding/hex"
	"errors"
	"io/fs"
	"path"
	"strings"
	"time"
)

// Entry is one file of a listing.
type Entry struct {
	Name string
	Node
}

// List describes a file, or what is in a directory, sorted by name.
func (s *System) List(user, p string) ([]Entry, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	at, node, err := s.files.stat(p, true)
	if err == nil {
		err = may(user, at, node, false)
	}
	if err != nil {
		return nil, err
	}
	if node.Kind != Dir {
		return []Entry{{p, *node}}, nil
	}
	var out []Entry
	for _, name := range s.files.children(at) {
		child := s.files.nodes[path.Join(at, name)]
		if child.Kind == Link { // a listing describes what a link leads to
			if _, target, err := s.files.stat(path.Join(at, name), true); err == nil {
				followed := *target
				followed.Target = child.Target
				child = &followed
			}
		}
		out = append(out, Entry{name, *child})
	}
	return out, nil
}

// Mkdir makes a directory, with parents also those above it.
func (s *System) Mkdir(user, p string, parents bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	at, node, err := s.files.resolve(p, true)
	if err != nil && !parents {
		return err
	}
	if err != nil { // a directory above it is missing
		at, node = path.Clean(p), nil
	}
	if node != nil {
		return fs.ErrExist
	}
	if err := may(user, at, nil, true); err != nil {
		return err
	}
	if parents {
		s.files.mkdirAll(at, user, time.Now())
		return nil
	}
	return s.files.put(at, &Node{Kind: Dir, Mode: 0o755, Owner: user, Modified: time.Now()})
}

// Remove deletes a file or a link.
func (s *System) Remove(user, p string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	at, node, err := s.files.stat(p, false)
	switch {
	case err != nil:
		return err
	case node.Kind == Dir:
		return ErrIsDir
	}
	if err := may(user, at, node, true); err != nil {
		return err
	}
	delete(s.files.nodes, at)
	return nil
}

// RemoveDir deletes a directory; with all also what is in it.
func (s *System) RemoveDir(user, p string, all bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	at, node, err := s.files.stat(p, false)
	switch {
	case err != nil:
		return err
	case node.Kind != Dir:
		return ErrNotDir
	case !all && len(s.files.children(at)) > 0:
		return ErrNotEmpty
	}
	if err := may(user, at, node, true); err != nil {
		return err
	}
	s.files.removeAll(at)
	return nil
}

// Move renames a file or a directory.
func (s *System) Move(user, from, to string, overwrite bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	src, node, err := s.files.stat(from, false)
	if err != nil {
		return err
	}
	dst, there, err := s.files.resolve(to, true)
	if err != nil {
		return err
	}
	if there != nil && there.Kind == Dir && node.Kind != Dir {
		dst = path.Join(dst, path.Base(src))
		there = s.files.nodes[dst]
	}
	if there != nil && !overwrite {
		return fs.ErrExist
	}
	for _, side := range []struct {
		path string
		node *Node
	}{{src, node}, {dst, there}} {
		if err := may(user, side.path, side.node, true); err != nil {
			return err
		}
	}
	if err := s.files.put(dst, node); err != nil {
		return err
	}
	for p, n := range s.files.nodes {
		if below, ok := strings.CutPrefix(p, src+"/"); ok {
			s.files.nodes[path.Join(dst, below)] = n
			delete(s.files.nodes, p)
		}
	}
	if dst != src {
		delete(s.files.nodes, src)
	}
	return nil
}

// Change replaces the mode or the owner of a file; what is negative or empty stays.
func (s *System) Change(user, p string, mode int64, owner string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	at, node, err := s.files.stat(p, true)
	if err != nil {
		return err
	}
	if !isAdmin(user) && (node.Owner != user || owner != "") {
		return fs.ErrPermission
	}
	changed := *node
	if mode >= 0 {
		changed.Mode = mode
	}
	if owner != "" {
		changed.Owner = owner
	}
	s.files.nodes[at] = &changed
	return nil
}

// Symlink makes a link.
func (s *System) Symlink(user, target, p string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	at, node, err := s.files.resolve(p, false)
	if err != nil {
		return err
	}
	if node != nil {
		return fs.ErrExist
	}
	if err := may(user, at, nil, true); err != nil {
		return err
	}
	return s.files.put(at, &Node{Kind: Link, Mode: 0o777, Owner: user, Target: target, Modified: time.Now()})
}

// Temp makes an empty file, or a directory, with a name that nobody has, and returns
// its path.
func (s *System) Temp(user, dir, prefix, suffix string, asDir bool) (string, error) {
	if dir == "" {
		dir = "/tmp"
	}
	name := path.Join(dir, prefix+hex.EncodeToString(random(4))+suffix)
	if _, err := s.Stat(dir); err != nil {
		return "", err
	}
	if asDir {
		return name, s.Mkdir(user, name, false)
	}
	return name, s.Write(user, name, nil, 0o600, Create)
}

// Files lists the paths of the files that are not the image's own.
func (s *System) Files() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []string
	for p, n := range s.files.nodes {
		if n.Kind == File && image().nodes[p] != n && !strings.HasPrefix(p, "/sys/") {
			out = append(out, p)
		}
	}
	return out
}

// CanWrite tells what would come of writing a file.
func (s *System) CanWrite(user, p string, overwrite bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	at, node, err := s.files.resolve(p, true)
	if err != nil {
		return err
	}
	how := Create
	if overwrite {
		how = Replace
	}
	return s.writable(user, at, node, how)
}

// Place puts a file on the disk, with the directories above it. A script can be executed.
func (s *System) Place(p string, data []byte) error {
	if err := s.Mkdir(root, path.Dir(p), true); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	mode := int64(0o644)
	if bytes.HasPrefix(data, []byte("#!")) {
		mode = 0o755
	}
	return s.Write(root, p, data, mode, Replace)
}
