// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package guestos

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"mvdan.cc/sh/v3/expand"
)

// builtins are what the shell does itself.
var builtins map[string]func(*shell, []string) int

// nested are the programs that run others: they need the shell.
var nested map[string]func(*shell, []string) int

func init() {
	yes := func(*shell, []string) int { return 0 }
	builtins = map[string]func(*shell, []string) int{
		":": yes, "true": yes, "false": func(*shell, []string) int { return 1 },
		"echo": echo, "printf": printf, "test": bracket, "[": bracket, "cd": changeDir, "pwd": workDir,
		"exit": exitShell, "return": returnShell, "break": breakLoop, "continue": breakLoop,
		"set": setOptions, "shift": shiftParams, "unset": unsetVars, "eval": evalText, ".": source, "source": source,
		"exec": execCommand, "command": commandName, "type": commandName, "read": readLine, "trap": trapSignal,
		"umask": yes, "wait": yes, "export": yes, "readonly": yes, "local": yes,
	}
	nested = map[string]func(*shell, []string) int{
		"sh": runShell, "bash": runShell, "dash": runShell,
		"env": runEnv, "nohup": runRest, "setsid": runRest, "sync": yes, "timeout": runTimeout, "sudo": runRest,
	}
}

func (sh *shell) print(format string, args ...any) int {
	if _, err := fmt.Fprintf(sh.out, format, args...); err != nil {
		sh.fail(1, "write error: %s", errText(err))
		return 1
	}
	return 0
}

func echo(sh *shell, args []string) int {
	words, end := args[1:], "\n"
	for len(words) > 0 && (words[0] == "-n" || words[0] == "-e" || words[0] == "-ne" || words[0] == "-en") {
		if strings.Contains(words[0], "n") {
			end = ""
		}
		words = words[1:]
	}
	return sh.print("%s", strings.Join(words, " ")+end)
}

func printf(sh *shell, args []string) int {
	if len(args) < 2 {
		sh.fail(exitUsage, "printf: usage: printf format [arguments]")
		return exitUsage
	}
	var out strings.Builder
	for rest := args[2:]; ; {
		text, used, err := expand.Format(sh.config(), args[1], rest)
		if err != nil {
			sh.fail(1, "printf: %v", err)
			return 1
		}
		out.WriteString(text)
		if rest = rest[used:]; used == 0 || len(rest) == 0 {
			break
		}
	}
	return sh.print("%s", out.String())
}

func changeDir(sh *shell, args []string) int {
	to := sh.value("HOME")
	if len(args) > 1 {
		to = args[1]
	}
	node := sh.stat(to, true)
	if node == nil || node.Kind != Dir {
		sh.fail(1, "cd: %s: No such file or directory", to)
		return 1
	}
	sh.dir = sh.abs(to)
	sh.setVar("PWD", sh.dir)
	return 0
}

func workDir(sh *shell, _ []string) int { return sh.print("%s\n", sh.dir) }

func (sh *shell) number(args []string, otherwise int) int {
	if len(args) < 2 {
		return otherwise
	}
	n, err := strconv.Atoi(args[1])
	if err != nil {
		sh.fail(exitUsage, "%s: %s: numeric argument required", args[0], args[1])
		return exitUsage
	}
	return n
}

func exitShell(sh *shell, args []string) int {
	code := sh.number(args, sh.status) & 0xff
	sh.flow = flowExit
	return code
}

func returnShell(sh *shell, args []string) int {
	code := sh.number(args, sh.status) & 0xff
	sh.flow = flowReturn
	return code
}

func breakLoop(sh *shell, args []string) int {
	if sh.loops == 0 {
		return 0
	}
	sh.levels = min(max(sh.number(args, 1), 1), sh.loops)
	sh.flow = flowBreak
	if args[0] == "continue" {
		sh.flow = flowContinue
	}
	return 0
}

func setOptions(sh *shell, args []string) int {
	rest := args[1:]
	for len(rest) > 0 {
		flag := rest[0]
		if flag == "--" {
			sh.params = slices.Clone(rest[1:])
			return 0
		}
		if len(flag) < 2 || !strings.ContainsAny(flag[:1], "-+") {
			sh.params = slices.Clone(rest)
			return 0
		}
		var code int
		if rest, code = sh.setFlag(flag, rest[1:]); code != 0 {
			return code
		}
	}
	return 0
}

// setFlag applies a flag such as -eu or -o pipefail and returns the words after it.
func (sh *shell) setFlag(flag string, rest []string) ([]string, int) {
	on := flag[0] == '-'
	for _, c := range flag[1:] {
		name := map[rune]string{'e': "errexit", 'u': "nounset", 'f': "noglob", 'x': "xtrace", 'v': "verbose", 'n': "noexec"}[c]
		if c == 'o' && len(rest) > 0 {
			name, rest = rest[0], rest[1:]
		}
		switch name {
		case "errexit":
			sh.errexit = on
		case "nounset":
			sh.nounset = on
		case "noglob":
			sh.noglob = on
		case "pipefail":
			sh.pipefail = on
		case "noexec":
			sh.noexec = on
		case "xtrace", "verbose", "posix":
		default:
			sh.fail(exitUsage, "set: %s: invalid option", flag)
			return rest, exitUsage
		}
	}
	return rest, 0
}

func shiftParams(sh *shell, args []string) int {
	n := sh.number(args, 1)
	if n < 0 || n > len(sh.params) {
		sh.fail(1, "shift: can't shift that many")
		return 1
	}
	sh.params = sh.params[n:]
	return 0
}

func unsetVars(sh *shell, args []string) int {
	for _, name := range args[1:] {
		if name == "-v" || name == "-f" {
			continue
		}
		delete(sh.vars, name)
		delete(sh.funcs, name)
	}
	return 0
}

func evalText(sh *shell, args []string) int {
	sh.status = 0
	sh.script(strings.Join(args[1:], " "), "eval")
	return sh.status
}

func source(sh *shell, args []string) int {
	if len(args) < 2 {
		sh.fail(exitUsage, "%s: filename argument required", args[0])
		return exitUsage
	}
	text, err := sh.readFile(args[1])
	if err != nil {
		sh.fail(1, "%s: %s", args[1], errText(err))
		return 1
	}
	params := sh.params
	if len(args) > 2 {
		sh.params = args[2:]
	}
	sh.status = 0
	sh.script(string(text), args[1])
	sh.params = params
	if sh.flow == flowReturn {
		sh.flow = flowNone
	}
	return sh.status
}

func execCommand(sh *shell, args []string) int {
	if len(args) == 1 {
		return 0
	}
	sh.run(args[1:])
	sh.flow = flowExit
	return sh.status
}

// commandName is "command -v NAME", "type NAME", and "command NAME ARGS".
func commandName(sh *shell, args []string) int {
	rest := args[1:]
	if args[0] == "command" && (len(rest) == 0 || rest[0] != "-v" && rest[0] != "-V") {
		if len(rest) == 0 {
			return 0
		}
		delete(sh.funcs, rest[0])
		sh.run(rest)
		return sh.status
	}
	if args[0] == "command" {
		rest = rest[1:]
	}
	code := 1
	for _, name := range rest {
		if _, ok := builtins[name]; ok || sh.funcs[name] != nil {
			code = sh.print("%s\n", name)
			continue
		}
		file, missing := sh.lookUp(name)
		if missing != 0 {
			return 1
		}
		code = sh.print("%s\n", file)
	}
	return code
}

func readLine(sh *shell, args []string) int {
	names := args[1:]
	raw := false
	for len(names) > 0 && strings.HasPrefix(names[0], "-") {
		raw = raw || strings.Contains(names[0], "r")
		names = names[1:]
	}
	var line strings.Builder
	code := 1
	for {
		b, err := sh.in.ReadByte()
		if err != nil {
			break
		}
		if b == '\n' {
			code = 0
			break
		}
		line.WriteByte(b)
	}
	if len(names) == 0 {
		names = []string{"REPLY"}
	}
	values := expand.ReadFields(sh.config(), line.String(), len(names), raw)
	for i, name := range names {
		value := ""
		if i < len(values) {
			value = values[i]
		}
		sh.setVar(name, value)
	}
	return code
}

func trapSignal(sh *shell, args []string) int {
	if len(args) < 3 {
		return 0
	}
	for _, signal := range args[2:] {
		if signal == "EXIT" || signal == "0" {
			sh.onExit = args[1]
			if args[1] == "-" {
				sh.onExit = ""
			}
		}
	}
	return 0
}

// runRest runs the command that its arguments are.
func runRest(sh *shell, args []string) int {
	rest := args[1:]
	for len(rest) > 0 && strings.HasPrefix(rest[0], "-") {
		rest = rest[1:]
	}
	if len(rest) == 0 {
		return 0
	}
	sub := sh.subshell()
	sub.run(rest)
	sh.joined(sub)
	return sh.status
}

// runTimeout runs a command; it never takes long enough here for its time to run out.
func runTimeout(sh *shell, args []string) int {
	if len(args) < 3 {
		sh.fail(125, "timeout: missing operand")
		return 125
	}
	return runRest(sh, args[1:])
}

func runEnv(sh *shell, args []string) int {
	sub := sh.subshell()
	rest := args[1:]
	for len(rest) > 0 {
		name, value, ok := strings.Cut(rest[0], "=")
		if !ok {
			break
		}
		sub.export(name, value)
		rest = rest[1:]
	}
	if len(rest) > 0 {
		sub.run(rest)
		sh.joined(sub)
		return sh.status
	}
	var lines []string
	for name, v := range sub.vars {
		if v.Exported {
			lines = append(lines, name+"="+v.String())
		}
	}
	slices.Sort(lines)
	return sh.print("%s\n", strings.Join(lines, "\n"))
}
