// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package guestos

import (
	"io/fs"
	"path"
	"strconv"
	"strings"
	"time"
)

// flags splits a program's arguments: letters of short flags, long flags, the rest.
func (i *invocation) flags() (short string, long map[string]bool, rest []string) {
	long = make(map[string]bool)
	args := i.args[1:]
	for n, a := range args {
		switch {
		case a == "--":
			return short, long, append(rest, args[n+1:]...)
		case strings.HasPrefix(a, "--"):
			long[a[2:]] = true
		case len(a) > 1 && a[0] == '-':
			short += a[1:]
		default:
			rest = append(rest, a)
		}
	}
	return short, long, rest
}

// each runs f for each path and reports its errors.
func (i *invocation) each(paths []string, f func(p string) error) int {
	code := 0
	for _, p := range paths {
		if err := f(p); err != nil {
			code = i.fail(1, "%s: %s", p, errText(err))
		}
	}
	return code
}

func sleepFor(i *invocation) int {
	var total time.Duration
	for _, text := range i.args[1:] {
		d, err := time.ParseDuration(text)
		if err != nil {
			d, err = time.ParseDuration(text + "s")
		}
		if err != nil {
			return i.fail(1, "invalid time interval '%s'", text)
		}
		total += d
	}
	i.p.pause(total)
	return 0
}

func (i *invocation) input(paths []string) ([]byte, int) {
	if len(paths) == 0 {
		data := make([]byte, i.in.Len())
		_, _ = i.in.Read(data) // from memory: it never fails
		return data, 0
	}
	var all []byte
	code := i.each(paths, func(p string) error {
		if p == "-" {
			return nil
		}
		data, err := i.sys.Read(i.user, i.abs(p))
		all = append(all, data...)
		return err
	})
	return all, code
}

func cat(i *invocation) int {
	_, _, rest := i.flags()
	data, code := i.input(rest)
	i.out.Write(data)
	return code
}

func ls(i *invocation) int {
	short, _, rest := i.flags()
	if len(rest) == 0 {
		rest = []string{"."}
	}
	code := 0
	for _, p := range rest {
		node, err := i.sys.Stat(i.abs(p))
		if err == nil && (node.Kind != Dir || strings.Contains(short, "d")) {
			i.out.WriteString(p + "\n")
			continue
		}
		var list []Entry
		if err == nil {
			list, err = i.sys.List(i.user, i.abs(p))
		}
		if err != nil {
			code = i.fail(2, "cannot access '%s': %s", p, errText(err))
			continue
		}
		for _, e := range list {
			i.out.WriteString(e.Name + "\n")
		}
	}
	return code
}

func readlink(i *invocation) int {
	short, _, rest := i.flags()
	code := 0
	for _, p := range rest {
		i.sys.mu.Lock()
		at, node, err := i.sys.files.resolve(i.abs(p), strings.ContainsAny(short, "fe") || i.args[0] == "realpath")
		i.sys.mu.Unlock()
		switch {
		case err != nil:
			code = 1
		case node != nil && node.Kind == Link:
			i.out.WriteString(node.Target + "\n")
		case strings.ContainsAny(short, "fe") || i.args[0] == "realpath":
			i.out.WriteString(at + "\n")
		default:
			code = 1
		}
	}
	return code
}

func basename(i *invocation) int {
	if len(i.args) < 2 {
		return i.fail(1, "missing operand")
	}
	name := path.Base(i.args[1])
	if len(i.args) > 2 && name != i.args[2] {
		name = strings.TrimSuffix(name, i.args[2])
	}
	i.out.WriteString(name + "\n")
	return 0
}

func dirname(i *invocation) int {
	if len(i.args) < 2 {
		return i.fail(1, "missing operand")
	}
	i.out.WriteString(path.Dir(i.args[1]) + "\n")
	return 0
}

func rm(i *invocation) int {
	short, long, rest := i.flags()
	force, all := strings.Contains(short, "f") || long["force"], strings.ContainsAny(short, "rR") || long["recursive"]
	return i.each(rest, func(p string) error {
		err := i.sys.Remove(i.user, i.abs(p))
		if err == ErrIsDir && all {
			err = i.sys.RemoveDir(i.user, i.abs(p), true)
		}
		if force && isMissing(err) {
			return nil
		}
		return err
	})
}

func isMissing(err error) bool { return err == fs.ErrNotExist }

func rmdir(i *invocation) int {
	_, _, rest := i.flags()
	return i.each(rest, func(p string) error { return i.sys.RemoveDir(i.user, i.abs(p), false) })
}

func mkdir(i *invocation) int {
	short, long, rest := i.flags()
	parents := strings.Contains(short, "p") || long["parents"]
	if strings.Contains(short, "m") && len(rest) > 0 { // the mode is its own word
		rest = rest[1:]
	}
	return i.each(rest, func(p string) error {
		err := i.sys.Mkdir(i.user, i.abs(p), parents)
		if node, there := i.sys.Stat(i.abs(p)); parents && there == nil && node.Kind == Dir {
			return nil
		}
		return err
	})
}

func mv(i *invocation) int {
	_, _, rest := i.flags()
	if len(rest) != 2 {
		return i.fail(1, "two paths are needed")
	}
	return i.each(rest[:1], func(p string) error { return i.sys.Move(i.user, i.abs(p), i.abs(rest[1]), true) })
}

func cp(i *invocation) int {
	_, _, rest := i.flags()
	if len(rest) != 2 {
		return i.fail(1, "two paths are needed")
	}
	return i.each(rest[:1], func(p string) error {
		data, err := i.sys.Read(i.user, i.abs(p))
		if err != nil {
			return err
		}
		to := i.abs(rest[1])
		if node, err := i.sys.Stat(to); err == nil && node.Kind == Dir {
			to = path.Join(to, path.Base(p))
		}
		node, err := i.sys.Stat(i.abs(p))
		if err != nil {
			return err
		}
		return i.sys.Write(i.user, to, data, node.Mode, Replace)
	})
}

func chmod(i *invocation) int {
	if len(i.args) < 3 {
		return i.fail(1, "missing operand")
	}
	mode, err := strconv.ParseInt(i.args[1], 8, 32)
	if err != nil && i.args[1] != "+x" && i.args[1] != "a+x" && i.args[1] != "u+x" {
		return i.fail(1, "invalid mode: '%s'", i.args[1])
	}
	return i.each(i.args[2:], func(p string) error {
		m := mode
		if err != nil {
			node, there := i.sys.Stat(i.abs(p))
			if there != nil {
				return there
			}
			m = node.Mode | 0o111
		}
		return i.sys.Change(i.user, i.abs(p), m, "")
	})
}

func chown(i *invocation) int {
	_, _, rest := i.flags()
	if len(rest) < 2 {
		return i.fail(1, "missing operand")
	}
	owner, _, _ := strings.Cut(rest[0], ":")
	return i.each(rest[1:], func(p string) error { return i.sys.Change(i.user, i.abs(p), -1, owner) })
}

func ln(i *invocation) int {
	short, _, rest := i.flags()
	if len(rest) != 2 || !strings.Contains(short, "s") {
		return i.fail(1, "only ln -s TARGET LINK is simulated")
	}
	return i.each(rest[1:], func(p string) error {
		if strings.Contains(short, "f") {
			if err := i.sys.Remove(i.user, i.abs(p)); err != nil && !isMissing(err) {
				return err
			}
		}
		return i.sys.Symlink(i.user, rest[0], i.abs(p))
	})
}

func touch(i *invocation) int {
	_, _, rest := i.flags()
	return i.each(rest, func(p string) error { return i.sys.Write(i.user, i.abs(p), nil, 0o644, Append) })
}

func mktemp(i *invocation) int {
	short, _, rest := i.flags()
	dir, prefix := "", "tmp."
	if len(rest) > 0 {
		dir, prefix = path.Dir(i.abs(rest[0])), strings.TrimRight(path.Base(rest[0]), "X")
	}
	name, err := i.sys.Temp(i.user, dir, prefix, "", strings.Contains(short, "d"))
	if err != nil {
		return i.fail(1, "failed to create file: %s", errText(err))
	}
	i.out.WriteString(name + "\n")
	return 0
}

func tee(i *invocation) int {
	short, _, rest := i.flags()
	how := Replace
	if strings.Contains(short, "a") {
		how = Append
	}
	data, _ := i.input(nil)
	i.out.Write(data)
	return i.each(rest, func(p string) error { return i.sys.Write(i.user, i.abs(p), data, 0o644, how) })
}

func date(i *invocation) int {
	now := time.Now().UTC()
	format := "Mon Jan _2 15:04:05 UTC 2006"
	for _, a := range i.args[1:] {
		switch a {
		case "+%s":
			i.out.WriteString(strconv.FormatInt(now.Unix(), 10) + "\n")
			return 0
		case "-Is", "-Iseconds", "--iso-8601=seconds", "+%FT%TZ":
			format = time.RFC3339
		case "+%F":
			format = time.DateOnly
		}
	}
	i.out.WriteString(now.Format(format) + "\n")
	return 0
}

func id(i *invocation) int {
	short, _, _ := i.flags()
	number := "1000"
	if isAdmin(i.user) {
		number = "0"
	}
	switch {
	case i.args[0] == "whoami" || strings.Contains(short, "n"):
		i.out.WriteString(i.user + "\n")
	case strings.ContainsAny(short, "ug"):
		i.out.WriteString(number + "\n")
	default:
		i.out.WriteString("uid=" + number + "(" + i.user + ") gid=" + number + "(" + i.user + ")\n")
	}
	return 0
}

func uname(i *invocation) int {
	short, _, _ := i.flags()
	switch {
	case strings.Contains(short, "n"):
		i.out.WriteString(i.sys.HostName() + "\n")
	case strings.Contains(short, "r"):
		i.out.WriteString("6.1.0-28-amd64\n")
	case strings.Contains(short, "m"):
		i.out.WriteString("x86_64\n")
	default:
		i.out.WriteString("Linux\n")
	}
	return 0
}
