// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package guestos

import (
	"bytes"
	"io"
	"io/fs"
	"path"
	"regexp"
	"strconv"
	"strings"
	"time"

	"mvdan.cc/sh/v3/expand"
	"mvdan.cc/sh/v3/pattern"
	"mvdan.cc/sh/v3/syntax"
)

// config is how this shell expands words.
func (sh *shell) config() *expand.Config {
	cfg := &expand.Config{Env: (*environment)(sh), CmdSubst: sh.substitute, NoUnset: sh.nounset, ReadDir2: sh.readDir}
	if sh.noglob {
		cfg.ReadDir2 = nil
	}
	return cfg
}

// environment is the view that expansion has of a shell.
type environment shell

// Get returns a variable or a special parameter.
func (e *environment) Get(name string) expand.Variable {
	sh := (*shell)(e)
	text := func(v string) expand.Variable { return expand.Variable{Set: true, Kind: expand.String, Str: v} }
	switch name {
	case "#":
		return text(strconv.Itoa(len(sh.params)))
	case "@", "*":
		return expand.Variable{Set: true, Kind: expand.Indexed, List: append([]string{}, sh.params...)}
	case "?":
		return text(strconv.Itoa(sh.status))
	case "$":
		return text(strconv.FormatInt(sh.p.PID, 10))
	case "0":
		return text(sh.name)
	}
	if n, err := strconv.Atoi(name); err == nil {
		if n <= len(sh.params) {
			return text(sh.params[n-1])
		}
		return expand.Variable{}
	}
	return sh.vars[name]
}

// Each lists the variables.
func (e *environment) Each(f func(string, expand.Variable) bool) {
	for name, v := range e.vars {
		if !f(name, v) {
			return
		}
	}
}

// Set assigns a variable, as ${name:=value} does.
func (e *environment) Set(name string, v expand.Variable) error {
	(*shell)(e).setVar(name, v.String())
	return nil
}

func (sh *shell) setVar(name, value string) {
	v := sh.vars[name]
	v.Set, v.Kind, v.Str = true, expand.String, value
	sh.vars[name] = v
}

func (sh *shell) value(name string) string { return sh.vars[name].String() }

func (sh *shell) fields(words []*syntax.Word) []string {
	out, err := expand.Fields(sh.config(), words...)
	if err != nil {
		sh.expansionError(err)
	}
	return out
}

func (sh *shell) literal(w *syntax.Word) string {
	if w == nil {
		return ""
	}
	out, err := expand.Literal(sh.config(), w)
	if err != nil {
		sh.expansionError(err)
	}
	return out
}

func matches(pat, text string) bool {
	expr, err := pattern.Regexp(pat, pattern.EntireString)
	if err != nil {
		return false
	}
	re, err := regexp.Compile(expr)
	return err == nil && re.MatchString(text)
}

// substitute is $(...).
func (sh *shell) substitute(w io.Writer, cs *syntax.CmdSubst) error {
	sub := sh.subshell()
	var out bytes.Buffer
	sub.out = &out
	sub.stmts(cs.Stmts)
	sh.joined(sub)
	sh.subbing = sub.status
	_, err := w.Write(out.Bytes())
	return err
}

// dirEntry shows a name of a listing to expansion.
type dirEntry struct {
	name string
	dir  bool
}

func (d dirEntry) Name() string { return d.name }
func (d dirEntry) IsDir() bool  { return d.dir }
func (d dirEntry) Type() fs.FileMode {
	if d.dir {
		return fs.ModeDir
	}
	return 0
}
func (d dirEntry) Info() (fs.FileInfo, error) { return nil, fs.ErrNotExist }

// readDir lists a directory for a glob.
func (sh *shell) readDir(dir string) ([]fs.DirEntry, error) {
	o := sh.p.call(func() outcome {
		list, err := sh.p.sys.List(sh.user, sh.abs(dir))
		o := outcome{err: err}
		for _, e := range list {
			name := e.Name
			if e.Kind == Dir {
				name += "/"
			}
			o.names = append(o.names, name)
		}
		return o
	})
	sh.noteGone(o)
	var out []fs.DirEntry
	for _, name := range o.names {
		short, dir := strings.CutSuffix(name, "/")
		out = append(out, dirEntry{short, dir})
	}
	return out, o.err
}

func (sh *shell) abs(p string) string {
	if path.IsAbs(p) {
		return path.Clean(p)
	}
	return path.Join(sh.dir, p)
}

func (sh *shell) noteGone(o outcome) {
	if o.gone {
		sh.gone, sh.flow, sh.status = true, flowExit, exitKilled
	}
}

// stat looks at a file; with follow at what a link leads to.
func (sh *shell) stat(p string, follow bool) *Node {
	o := sh.p.call(func() outcome {
		s := sh.p.sys
		s.mu.Lock()
		defer s.mu.Unlock()
		_, node, err := s.files.stat(sh.abs(p), follow)
		return outcome{node: node, err: err}
	})
	sh.noteGone(o)
	if o.err != nil {
		return nil
	}
	return o.node
}

// readFile reads a file whole.
func (sh *shell) readFile(p string) ([]byte, error) {
	o := sh.p.call(func() outcome {
		data, err := sh.p.sys.Read(sh.user, sh.abs(p))
		return outcome{out: data, err: err}
	})
	sh.noteGone(o)
	return o.out, o.err
}

// fileWriter appends to a file.
type fileWriter struct {
	sh   *shell
	path string
}

func (w *fileWriter) Write(data []byte) (int, error) {
	text := append([]byte(nil), data...)
	o := w.sh.p.call(func() outcome {
		return outcome{err: w.sh.p.sys.Write(w.sh.user, w.path, text, 0o644, Append)}
	})
	w.sh.noteGone(o)
	if o.err != nil {
		return 0, o.err
	}
	return len(data), nil
}

// redirect applies one redirection; it is false when there is an error.
func (sh *shell) redirect(r *syntax.Redirect) bool {
	switch r.Op {
	case syntax.Hdoc, syntax.DashHdoc:
		text, err := expand.Document(sh.config(), r.Hdoc)
		if err != nil {
			sh.expansionError(err)
			return false
		}
		if r.Op == syntax.DashHdoc {
			text = regexp.MustCompile(`(?m)^\t+`).ReplaceAllString(text, "")
		}
		sh.in = bytes.NewReader([]byte(text))
		return true
	case syntax.WordHdoc:
		sh.in = bytes.NewReader([]byte(sh.literal(r.Word) + "\n"))
		return true
	case syntax.RdrIn:
		return sh.openInput(sh.literal(r.Word))
	}
	to, ok := sh.descriptor(r)
	if !ok {
		return false
	}
	target := sh.literal(r.Word)
	if r.Op == syntax.DplOut {
		return sh.duplicate(to, target)
	}
	if r.Op == syntax.DplIn {
		sh.in = bytes.NewReader(nil)
		return true
	}
	w, ok := sh.openOutput(target, r.Op == syntax.AppOut || r.Op == syntax.AppAll)
	if !ok {
		return false
	}
	*to = w
	if r.Op == syntax.RdrAll || r.Op == syntax.AppAll {
		sh.errs = w
	}
	return true
}

func (sh *shell) descriptor(r *syntax.Redirect) (*io.Writer, bool) {
	switch {
	case r.N == nil || r.N.Value == "1" || r.N.Value == "0":
		return &sh.out, true
	case r.N.Value == "2":
		return &sh.errs, true
	}
	sh.fail(exitUsage, "file descriptor %s is not simulated", r.N.Value)
	return nil, false
}

func (sh *shell) duplicate(to *io.Writer, from string) bool {
	switch from {
	case "1":
		*to = sh.out
	case "2":
		*to = sh.errs
	case "-":
		*to = io.Discard
	default:
		sh.fail(exitUsage, "file descriptor %s is not simulated", from)
		return false
	}
	return true
}

func (sh *shell) openInput(p string) bool {
	data, err := sh.readFile(p)
	if err != nil {
		sh.fail(1, "%s: %s", p, errText(err))
		return false
	}
	sh.in = bytes.NewReader(data)
	return true
}

func (sh *shell) openOutput(p string, appending bool) (io.Writer, bool) {
	full := sh.abs(p)
	how := Replace
	if appending {
		how = Append
	}
	o := sh.p.call(func() outcome { return outcome{err: sh.p.sys.Write(sh.user, full, nil, 0o644, how)} })
	sh.noteGone(o)
	if o.err != nil {
		sh.fail(1, "%s: %s", p, errText(o.err))
		return nil, false
	}
	return &fileWriter{sh, full}, !sh.gone
}

// tick is the time that a script sees; it is remembered like everything else.
func (sh *shell) tick() time.Time {
	o := sh.p.call(func() outcome { return outcome{text: time.Now().UTC().Format(time.RFC3339Nano)} })
	t, err := time.Parse(time.RFC3339Nano, o.text)
	if err != nil {
		return time.Time{}
	}
	return t
}
