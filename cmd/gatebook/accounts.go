package main

import (
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strconv"
	"strings"

	"gatebook/events/seal"
	"gatebook/ops/node"

	"github.com/spf13/cobra"
)

func (a *app) accountsCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "accounts --out DIR [--replicas N] [--host H] ...",
		Short: "write the configuration of NATS servers for a ledger",
		Long: `Makes the accounts of a ledger that stands on NATS servers of their own, and
writes into DIR: n1.conf, n2.conf, ... for plain nats-server, ledger.creds, the
bundle for "gatebook serve --nats", and master.key, which lies beside the bundle
wherever a ledger runs. All of them hold secrets and are 0600. Nothing is
overwritten. Without master.key nobody can read a guest's name or number again:
keep a copy.`,
		Example: `  gatebook accounts --out ./cluster
  gatebook accounts --out ./cluster --host n1.example,n2.example,n3.example
  nats-server -c ./cluster/n1.conf`,
		Args: takes(),
	}
	var out string
	var o node.ClusterOptions
	f := cmd.Flags()
	flag(f, &out, "out", "DIR", file, "the folder to write into; it is made if it is not there")
	flag(f, &o.Replicas, "replicas", "N", number, "how many servers, 1 to 5 (3)")
	flag(f, &o.Host, "host", "H,...", named, "where they listen: one for all, or one each (127.0.0.1)")
	flag(f, &o.ClientPorts, "client-ports", "P,...", numbers, "a port for clients each (from 4222)")
	flag(f, &o.RoutePorts, "route-ports", "P,...", numbers, "a port for the other servers each (from 6222)")
	flag(f, &o.StoreDirs, "store-dirs", "DIR,...", names, "an absolute folder for its store each (n1, n2, ... in DIR)")
	cmd.RunE = func(*cobra.Command, []string) error {
		if out == "" {
			return wrong("name a folder with --out DIR", "where to write is missing")
		}
		if err := generate(out, o); err != nil {
			return err
		}
		answer := writtenTo(out, o)
		return a.print(answer, func(w io.Writer) { writeAccounts(w, answer) })
	}
	return cmd
}

func generate(out string, o node.ClusterOptions) error {
	err := node.GenerateCluster(out, o)
	switch {
	case errors.Is(err, node.ErrCluster):
		return wrong("see: gatebook accounts --help", "%v", err)
	case errors.Is(err, node.ErrExists):
		return wrong("name an empty folder", "%v", err)
	case err != nil:
		return err
	}
	// All ledgers on these servers read each other's codes, so they share a key.
	_, err = seal.LoadMaster(masterKey(out), true)
	return err
}

func masterKey(dir string) string { return filepath.Join(dir, "master.key") }

// accounts is what was written.
type accounts struct {
	Dir       string   `json:"dir"`
	Servers   []string `json:"servers"`
	Bundle    string   `json:"bundle"`
	MasterKey string   `json:"master_key"`
}

func writtenTo(dir string, o node.ClusterOptions) accounts {
	a := accounts{Dir: dir, Bundle: filepath.Join(dir, "ledger.creds"), MasterKey: masterKey(dir)}
	n := o.Replicas
	if n == 0 {
		n = 3
	}
	for i := range n {
		a.Servers = append(a.Servers, filepath.Join(dir, fmt.Sprintf("n%d.conf", i+1)))
	}
	return a
}

func writeAccounts(w io.Writer, a accounts) {
	for _, conf := range a.Servers {
		pairs(w, [2]string{"server", "nats-server -c " + conf})
	}
	pairs(w, [2]string{"ledger", "gatebook serve --nats URL --creds " + a.Bundle + " --replicas " + strconv.Itoa(len(a.Servers))})
}

func names(s string) ([]string, error) { return strings.Split(s, ","), nil }

func numbers(s string) ([]int, error) {
	var all []int
	for _, one := range strings.Split(s, ",") {
		n, err := number(one)
		if err != nil {
			return nil, err
		}
		all = append(all, n)
	}
	return all, nil
}
