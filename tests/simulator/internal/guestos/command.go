// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package guestos

import (
	"bytes"
	"fmt"
	"path"
	"strings"

	"mvdan.cc/sh/v3/expand"
	"mvdan.cc/sh/v3/syntax"
)

// simple carries out assignments and a command.
func (sh *shell) simple(c *syntax.CallExpr) {
	sh.subbing = -1
	args := sh.fields(c.Args)
	if sh.flow != flowNone {
		return
	}
	if len(args) == 0 {
		for _, a := range c.Assigns {
			sh.assign(a)
		}
		if sh.flow == flowNone {
			sh.status = max(sh.subbing, 0)
		}
		return
	}
	saved := make(map[string]expand.Variable)
	for _, a := range c.Assigns {
		saved[a.Name.Value] = sh.vars[a.Name.Value]
		sh.assign(a)
		v := sh.vars[a.Name.Value]
		v.Exported = true
		sh.vars[a.Name.Value] = v
	}
	if sh.flow == flowNone {
		sh.run(args)
	}
	for name, v := range saved {
		sh.restore(name, v)
	}
}

func (sh *shell) restore(name string, v expand.Variable) {
	if v.Set {
		sh.vars[name] = v
	} else {
		delete(sh.vars, name)
	}
}

func (sh *shell) assign(a *syntax.Assign) {
	if a.Array != nil || a.Index != nil {
		sh.fail(exitUsage, "arrays are not simulated")
		sh.flow = flowExit
		return
	}
	if sh.vars[a.Name.Value].ReadOnly {
		sh.fail(1, "%s: readonly variable", a.Name.Value)
		sh.flow = flowExit
		return
	}
	value := sh.literal(a.Value)
	if a.Append {
		value = sh.value(a.Name.Value) + value
	}
	sh.setVar(a.Name.Value, value)
}

// declare is export, readonly, local and their like.
func (sh *shell) declare(c *syntax.DeclClause) {
	sh.subbing = -1
	for _, a := range c.Args {
		if a.Name == nil { // an option, or words
			continue
		}
		name := a.Name.Value
		if c.Variant.Value == "local" {
			sh.makeLocal(name)
		}
		if !a.Naked {
			sh.assign(a)
		}
		v := sh.vars[name]
		switch c.Variant.Value {
		case "export":
			v.Exported = true
			sh.vars[name] = v
		case "readonly":
			v.ReadOnly = true
			sh.vars[name] = v
		}
	}
	if sh.flow == flowNone {
		sh.status = 0
	}
}

func (sh *shell) makeLocal(name string) {
	if len(sh.locals) == 0 {
		return
	}
	frame := sh.locals[len(sh.locals)-1]
	if _, ok := frame[name]; !ok {
		frame[name] = sh.vars[name]
	}
	delete(sh.vars, name)
}

// callFunction runs a function with its own parameters and local variables.
func (sh *shell) callFunction(body *syntax.Stmt, args []string) {
	params := sh.params
	sh.params = args
	frame := make(map[string]expand.Variable)
	sh.locals = append(sh.locals, frame)
	sh.calls++
	sh.stmt(body)
	sh.calls--
	sh.locals = sh.locals[:len(sh.locals)-1]
	for name, v := range frame {
		sh.restore(name, v)
	}
	sh.params = params
	if sh.flow == flowReturn {
		sh.flow = flowNone
	}
}

// run finds out what a command is and runs it.
func (sh *shell) run(args []string) {
	name := args[0]
	if body, ok := sh.funcs[name]; ok {
		sh.callFunction(body, args[1:])
		return
	}
	if f, ok := builtins[name]; ok {
		sh.status = f(sh, args)
		return
	}
	file, code := sh.lookUp(name)
	if sh.flow != flowNone {
		return
	}
	switch code {
	case exitNotFound:
		if strings.Contains(name, "/") {
			sh.fail(code, "%s: No such file or directory", name)
		} else {
			sh.fail(code, "%s: not found", name)
		}
		return
	case exitCannotExec:
		sh.fail(code, "%s: Permission denied", name)
		return
	}
	args = append([]string{file}, args[1:]...)
	if sh.troubled(args) {
		return
	}
	base := path.Base(file)
	if f, ok := nested[base]; ok && isProgram(file) {
		sh.status = f(sh, append([]string{base}, args[1:]...))
		return
	}
	if f, ok := builtins[base]; ok && isProgram(file) {
		sh.status = f(sh, append([]string{base}, args[1:]...))
		return
	}
	if f, ok := programs[base]; ok && isProgram(file) {
		sh.program(f, append([]string{base}, args[1:]...))
		return
	}
	sh.scriptFile(file, args[1:])
}

func isProgram(file string) bool {
	return path.Dir(file) == "/usr/bin" || path.Dir(file) == "/usr/sbin"
}

// lookUp finds a command's file: by its path, or along PATH.
func (sh *shell) lookUp(name string) (file string, code int) {
	o := sh.p.call(func() outcome {
		s := sh.p.sys
		s.mu.Lock()
		defer s.mu.Unlock()
		dirs := strings.Split(sh.value("PATH"), ":")
		if strings.Contains(name, "/") {
			dirs, name = []string{path.Dir(sh.abs(name))}, path.Base(name)
		}
		found := outcome{code: exitNotFound}
		for _, dir := range dirs {
			at, node, err := s.files.stat(path.Join(dir, name), true)
			switch {
			case err != nil || node.Kind != File:
			case node.Mode&0o111 == 0:
				found.code = exitCannotExec
			default:
				return outcome{text: at}
			}
		}
		return found
	})
	sh.noteGone(o)
	return o.text, o.code
}

// troubled has a program hang or fail when a test wants it to.
func (sh *shell) troubled(args []string) bool {
	hit := false
	o := sh.p.call(func() outcome {
		hang, code, fails := sh.p.sys.trouble(args)
		if hang {
			<-sh.p.killed
		}
		return outcome{code: code, text: map[bool]string{true: "fails"}[fails]}
	})
	sh.noteGone(o)
	if o.text != "" {
		hit = true
		fmt.Fprintf(sh.errs, "%s: simulated failure\n", path.Base(args[0]))
		sh.status = o.code
	}
	return hit || o.gone
}

// invocation is one run of a program: all that it gets and gives.
type invocation struct {
	sys  *System
	p    *Process
	user string
	args []string
	env  func(string) string
	abs  func(string) string
	in   *bytes.Reader
	out  bytes.Buffer
	errs bytes.Buffer
}

// fail is the usual end of a program that cannot do what it is asked.
func (i *invocation) fail(code int, format string, args ...any) int {
	fmt.Fprintf(&i.errs, "%s: %s\n", i.args[0], fmt.Sprintf(format, args...))
	return code
}

// program runs a program as one step of the process.
func (sh *shell) program(f func(*invocation) int, args []string) {
	o := sh.p.call(func() outcome {
		i := &invocation{sys: sh.p.sys, p: sh.p, user: sh.user, args: args, env: sh.value, abs: sh.abs, in: sh.in}
		code := f(i)
		return outcome{out: i.out.Bytes(), errs: i.errs.Bytes(), code: code, unread: sh.in.Len()}
	})
	if o.gone {
		sh.noteGone(o)
		return
	}
	if read := sh.in.Len() - o.unread; o.unread != unreadAll && read > 0 { // while catching up nobody has read
		if _, err := sh.in.Seek(int64(read), 1); err != nil {
			sh.fail(1, "%v", err)
		}
	}
	sh.emit(o.out, o.errs)
	if sh.flow == flowNone {
		sh.status = o.code
	}
}

// emit writes what a program printed. What cannot be written is lost, as into a
// full disk.
func (sh *shell) emit(out, errs []byte) {
	if len(out) > 0 {
		_, _ = sh.out.Write(out)
	}
	if len(errs) > 0 {
		_, _ = sh.errs.Write(errs)
	}
}

// scriptFile runs a file as a script in a shell of its own.
func (sh *shell) scriptFile(file string, args []string) {
	text, err := sh.readFile(file)
	if err != nil {
		sh.fail(exitCannotExec, "%s: %s", file, errText(err))
		return
	}
	if first, _, _ := strings.Cut(string(text), "\n"); strings.HasPrefix(first, "#!") {
		words := strings.Fields(first[2:])
		if len(words) > 0 && path.Base(words[0]) == "env" {
			words = words[1:]
		}
		if len(words) == 0 || nested[path.Base(words[0])] == nil {
			sh.fail(exitNotFound, "%s: bad interpreter", file)
			return
		}
		sh.status = runShell(sh, append(append([]string{path.Base(words[0])}, words[1:]...), append([]string{file}, args...)...))
		return
	}
	sh.status = runShell(sh, append([]string{"sh", file}, args...))
}

// child is a shell that shares nothing but the environment.
func (sh *shell) child(name string, params []string) *shell {
	sub := sh.subshell()
	sub.name, sub.params = name, params
	sub.funcs = make(map[string]*syntax.Stmt)
	sub.errexit, sub.nounset, sub.pipefail, sub.noglob, sub.noexec = false, false, false, false, false
	sub.tested = 0
	for k, v := range sub.vars {
		if !v.Exported {
			delete(sub.vars, k)
		}
	}
	return sub
}

// runShell is sh [-eux] [-c TEXT | FILE] [ARG...].
func runShell(sh *shell, args []string) int {
	sub := sh.child(args[0], nil)
	rest := args[1:]
	command := false
	for len(rest) > 0 && len(rest[0]) > 1 && strings.ContainsAny(rest[0][:1], "-+") {
		flag := rest[0]
		rest = rest[1:]
		if flag == "--" {
			break
		}
		if strings.Contains(flag[1:], "c") && flag[1] != '-' {
			command, flag = true, strings.Replace(flag, "c", "", 1)
		}
		if flag == "-l" || flag == "--login" || flag == "--norc" || flag == "--noprofile" || flag == "-" {
			continue
		}
		var code int
		if rest, code = sub.setFlag(flag, rest); code != 0 {
			return code
		}
	}
	switch {
	case command && len(rest) == 0:
		sh.fail(exitUsage, "-c: option requires an argument")
		return exitUsage
	case command:
		if len(rest) > 1 {
			sub.name, sub.params = rest[1], rest[2:]
		}
		sub.script(rest[0], sub.name)
	case len(rest) > 0:
		text, err := sub.readFile(rest[0])
		if err != nil {
			sh.fail(exitNotFound, "%s: %s", rest[0], errText(err))
			return exitNotFound
		}
		sub.name, sub.params = rest[0], rest[1:]
		sub.script(string(text), rest[0])
	default:
		text := make([]byte, sh.in.Len())
		_, _ = sh.in.Read(text) // from memory: it never fails
		sub.in = bytes.NewReader(nil)
		sub.script(string(text), sub.name)
	}
	sh.joined(sub)
	return sh.status
}
