// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package guestos

import (
	"regexp"
	"strconv"

	"mvdan.cc/sh/v3/expand"
	"mvdan.cc/sh/v3/syntax"
)

// bracket is test, also written [.
func bracket(sh *shell, args []string) int {
	words := args[1:]
	if args[0] == "[" {
		if len(words) == 0 || words[len(words)-1] != "]" {
			sh.fail(exitUsage, "[: missing ]")
			return exitUsage
		}
		words = words[:len(words)-1]
	}
	t := &tester{sh: sh, words: words}
	if len(words) == 0 {
		return 1
	}
	truth := t.or()
	if len(t.words) > 0 || t.bad {
		sh.fail(exitUsage, "%s: unexpected operator", args[0])
		return exitUsage
	}
	return oneIf(!truth)
}

// tester reads an expression of test, word by word.
type tester struct {
	sh    *shell
	words []string
	bad   bool
}

func (t *tester) next() string {
	if len(t.words) == 0 {
		t.bad = true
		return ""
	}
	w := t.words[0]
	t.words = t.words[1:]
	return w
}

func (t *tester) at(word string) bool { return len(t.words) > 0 && t.words[0] == word }

func (t *tester) or() bool {
	truth := t.and()
	for t.at("-o") {
		t.next()
		right := t.and()
		truth = truth || right
	}
	return truth
}

func (t *tester) and() bool {
	truth := t.primary()
	for t.at("-a") {
		t.next()
		right := t.primary()
		truth = truth && right
	}
	return truth
}

func (t *tester) primary() bool {
	switch {
	case len(t.words) >= 3 && isBinary(t.words[1]):
		left, op, right := t.next(), t.next(), t.next()
		return t.sh.compare(left, op, right, &t.bad)
	case t.at("!") && len(t.words) > 1:
		t.next()
		return !t.primary()
	case t.at("(") && len(t.words) > 1:
		t.next()
		truth := t.or()
		if t.next() != ")" {
			t.bad = true
		}
		return truth
	case len(t.words) >= 2 && len(t.words[0]) == 2 && t.words[0][0] == '-':
		op := t.next()
		return t.sh.about(op, t.next(), &t.bad)
	}
	return t.next() != ""
}

func isBinary(op string) bool {
	switch op {
	case "=", "==", "!=", "-eq", "-ne", "-lt", "-le", "-gt", "-ge", "<", ">", "-nt", "-ot", "-ef":
		return true
	}
	return false
}

// compare is a test of two words.
func (sh *shell) compare(left, op, right string, bad *bool) bool {
	switch op {
	case "=", "==":
		return left == right
	case "!=":
		return left != right
	case "<":
		return left < right
	case ">":
		return left > right
	}
	a, err1 := strconv.Atoi(left)
	b, err2 := strconv.Atoi(right)
	if err1 != nil || err2 != nil {
		*bad = true
		return false
	}
	switch op {
	case "-eq":
		return a == b
	case "-ne":
		return a != b
	case "-lt":
		return a < b
	case "-le":
		return a <= b
	case "-gt":
		return a > b
	case "-ge":
		return a >= b
	}
	*bad = true
	return false
}

// about is a test of one word.
func (sh *shell) about(op, word string, bad *bool) bool {
	switch op {
	case "-n":
		return word != ""
	case "-z":
		return word == ""
	case "-h", "-L":
		node := sh.stat(word, false)
		return node != nil && node.Kind == Link
	case "-t":
		return false
	}
	node := sh.stat(word, true)
	switch op {
	case "-e", "-a":
		return node != nil
	case "-f":
		return node != nil && node.Kind == File && node.device == nil
	case "-d":
		return node != nil && node.Kind == Dir
	case "-s":
		return node != nil && (node.Kind == Dir || len(node.Data) > 0)
	case "-r":
		return node != nil && may(sh.user, sh.abs(word), node, false) == nil
	case "-w":
		return node != nil && may(sh.user, sh.abs(word), node, true) == nil
	case "-x":
		return node != nil && node.Mode&0o111 != 0
	case "-c":
		return node != nil && node.device != nil
	case "-b", "-p", "-S":
		return false
	}
	*bad = true
	return false
}

// condition is [[ ... ]].
func (sh *shell) condition(x syntax.TestExpr) bool {
	bad := false
	switch x := x.(type) {
	case *syntax.Word:
		return sh.literal(x) != ""
	case *syntax.ParenTest:
		return sh.condition(x.X)
	case *syntax.UnaryTest:
		if x.Op == syntax.TsNot {
			return !sh.condition(x.X)
		}
		if w, ok := x.X.(*syntax.Word); ok {
			return sh.about(x.Op.String(), sh.literal(w), &bad)
		}
	case *syntax.BinaryTest:
		switch x.Op {
		case syntax.AndTest:
			return sh.condition(x.X) && sh.condition(x.Y)
		case syntax.OrTest:
			return sh.condition(x.X) || sh.condition(x.Y)
		}
		left, ok1 := x.X.(*syntax.Word)
		right, ok2 := x.Y.(*syntax.Word)
		if ok1 && ok2 {
			return sh.conditionPair(sh.literal(left), x.Op.String(), right, &bad)
		}
	}
	return false
}

func (sh *shell) conditionPair(left, op string, right *syntax.Word, bad *bool) bool {
	switch op {
	case "=", "==", "!=":
		p, err := expand.Pattern(sh.config(), right)
		if err != nil {
			sh.expansionError(err)
			return false
		}
		return matches(p, left) == (op != "!=")
	case "=~":
		re, err := regexp.Compile(sh.literal(right))
		return err == nil && re.MatchString(left)
	}
	return sh.compare(left, op, sh.literal(right), bad)
}
