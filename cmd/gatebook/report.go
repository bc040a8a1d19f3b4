package main

import (
	"encoding/json"
	"errors"
	"fmt"

	"gatebook/commands"
)

// errFound ends a command that did its work and found something wrong, which
// its result says.
var errFound = errors.New("something was found")

// status reports how a command ended and gives its exit status.
func (a *app) status(err error) int {
	if err == nil {
		return 0
	}
	if errors.Is(err, errFound) {
		return 1
	}
	r := a.refusal(err)
	a.report(r)
	switch r.Code {
	case commands.Unavailable:
		return 1
	case commands.BadRequest:
		return 2
	}
	return 3
}

// refusal is the error as callers are told of it.
func (a *app) refusal(err error) *commands.Refusal {
	r := (*commands.Refusal)(nil)
	switch {
	case errors.As(err, &r):
		return r
	case !a.began:
		return wrong("see: gatebook --help", "%v", err)
	}
	return commands.Refuse(commands.Unavailable, "", "%v", err)
}

func unavailable(err error) bool {
	r := (*commands.Refusal)(nil)
	return errors.As(err, &r) && r.Code == commands.Unavailable
}

// report writes a refusal to standard error: two lines for people, one for
// programs. Where standard error is gone too, the exit status remains.
func (a *app) report(r *commands.Refusal) {
	if a.json || !a.canRead || !a.began && a.saysJSON {
		_, _ = a.stderr.Write(errorLine(r))
		return
	}
	fmt.Fprintln(a.stderr, "gatebook: "+plain(r.Message))
	if r.Next != "" {
		fmt.Fprintln(a.stderr, "next: "+plain(r.Next))
	}
}

// errorLine has all four fields always, so that a program need not ask.
func errorLine(r *commands.Refusal) []byte {
	type body struct {
		Code    commands.Code `json:"code"`
		Message string        `json:"message"`
		Next    string        `json:"next"`
		Details any           `json:"details"`
	}
	line, err := json.Marshal(map[string]body{"error": {r.Code, r.Message, r.Next, r.Details}})
	if err != nil { // only details can fail, and they are for reading on
		return errorLine(commands.Refuse(r.Code, r.Next, "%s", r.Message))
	}
	return append(line, '\n')
}
