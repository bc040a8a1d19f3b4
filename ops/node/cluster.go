package node

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"text/template"
)

const (
	bundleName  = "ledger.creds"
	clientPort  = 4222
	routePort   = 6222
	mostServers = 5
)

// ErrCluster is what options that describe no cluster give.
var ErrCluster = errors.New("malformed cluster")

// ClusterOptions says what servers GenerateCluster writes configurations for.
type ClusterOptions struct {
	// Replicas is how many servers, 1 to 5; 3 if zero.
	Replicas int
	// Host is where the servers listen: one for all, or one each, separated by
	// commas. 127.0.0.1 if empty.
	Host string
	// ClientPorts and RoutePorts have one port each; from 4222 and 6222 if nil.
	ClientPorts []int
	RoutePorts  []int
	// StoreDirs has one folder each, on the machine of that server; n1, n2, ...
	// beside the configurations if nil.
	StoreDirs []string
}

// GenerateCluster makes a ledger's accounts on servers of their own: in dir the
// configurations n1.conf, n2.conf, ... for plain nats-server, and the bundle
// ledger.creds for the ledger. All of them hold secrets and are 0600. Nothing is
// overwritten; the bundle comes last, so where it stands the rest does.
func GenerateCluster(dir string, o ClusterOptions) error {
	if err := generateCluster(dir, o); err != nil {
		return fmt.Errorf("generate cluster: %w", err)
	}
	return nil
}

func generateCluster(dir string, o ClusterOptions) error {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return err
	}
	servers, err := o.servers(dir)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	if err := refuseTaken(dir, servers); err != nil {
		return err
	}
	keys, err := newKeyring()
	if err != nil {
		return err
	}
	plan, err := newClusterPlan(keys, servers)
	if err != nil {
		return err
	}
	for _, s := range servers {
		conf, err := plan.conf(s)
		if err != nil {
			return err
		}
		if err := CreateSecret(filepath.Join(dir, s.Name+".conf"), conf); err != nil {
			return err
		}
	}
	return createBundle(filepath.Join(dir, bundleName), keys)
}

func createBundle(path string, keys keyring) error {
	b, err := newBundle(keys)
	if err != nil {
		return err
	}
	data, err := b.marshal()
	if err != nil {
		return err
	}
	return CreateSecret(path, data)
}

// refuseTaken looks before anything is written, so that a second call leaves
// nothing behind.
func refuseTaken(dir string, servers []clusterServer) error {
	names := []string{bundleName}
	for _, s := range servers {
		names = append(names, s.Name+".conf")
	}
	for _, name := range names {
		path := filepath.Join(dir, name)
		if _, err := os.Lstat(path); err == nil {
			return fmt.Errorf("%s: %w; name an empty folder", path, ErrExists)
		}
	}
	return nil
}

// clusterServer is one server as its configuration names it.
type clusterServer struct {
	Name   string
	Listen string
	Route  string
	Store  string
}

func (o ClusterOptions) servers(dir string) ([]clusterServer, error) {
	n := o.Replicas
	if n == 0 {
		n = 3
	}
	if n < 1 || n > mostServers {
		return nil, fmt.Errorf("%w: %d replicas, not 1 to %d", ErrCluster, n, mostServers)
	}
	hosts, err := spreadHosts(o.Host, n)
	if err != nil {
		return nil, err
	}
	servers := make([]clusterServer, n)
	for i := range servers {
		name := "n" + strconv.Itoa(i+1)
		servers[i] = clusterServer{Name: name, Store: filepath.Join(dir, name)}
		s := &servers[i]
		if s.Listen, err = portOf(hosts, o.ClientPorts, clientPort, i); err != nil {
			return nil, fmt.Errorf("%w: client ports: %w", ErrCluster, err)
		}
		if s.Route, err = portOf(hosts, o.RoutePorts, routePort, i); err != nil {
			return nil, fmt.Errorf("%w: route ports: %w", ErrCluster, err)
		}
		if o.StoreDirs == nil {
			continue
		}
		if len(o.StoreDirs) != n {
			return nil, fmt.Errorf("%w: %d store folders for %d servers", ErrCluster, len(o.StoreDirs), n)
		}
		if s.Store = o.StoreDirs[i]; !filepath.IsAbs(s.Store) {
			return nil, fmt.Errorf("%w: store folder %q is not absolute", ErrCluster, s.Store)
		}
	}
	return servers, nil
}

func spreadHosts(host string, n int) ([]string, error) {
	if host == "" {
		host = "127.0.0.1"
	}
	hosts := strings.Split(host, ",")
	for len(hosts) < n && !strings.Contains(host, ",") {
		hosts = append(hosts, host)
	}
	if len(hosts) != n {
		return nil, fmt.Errorf("%w: %d hosts for %d servers", ErrCluster, len(hosts), n)
	}
	return hosts, nil
}

// portOf is the i-th host:port. Without ports, servers that share a host count
// up from the first, others have the same.
func portOf(hosts []string, ports []int, first, i int) (string, error) {
	port := first
	if ports != nil {
		if len(ports) != len(hosts) {
			return "", fmt.Errorf("%d for %d servers", len(ports), len(hosts))
		}
		port = ports[i]
	} else if len(hosts) > 1 && hosts[0] == hosts[1] {
		port += i
	}
	if port < 1 || port > 65535 {
		return "", fmt.Errorf("%d is no port", port)
	}
	return net.JoinHostPort(hosts[i], strconv.Itoa(port)), nil
}

// clusterPlan is what the configurations share.
type clusterPlan struct {
	clusterServer
	Servers  []clusterServer
	Password string // of the routes: who joins as a server sees everything
	Operator string
	System   string
	Accounts map[string]string
}

func newClusterPlan(keys keyring, servers []clusterServer) (clusterPlan, error) {
	operator, err := keys.operatorClaims().Encode(keys.operator.key)
	if err != nil {
		return clusterPlan{}, fmt.Errorf("sign operator: %w", err)
	}
	accounts, err := keys.accounts(nil)
	if err != nil {
		return clusterPlan{}, err
	}
	return clusterPlan{
		Servers: servers, Password: rand.Text(),
		Operator: operator, System: keys.system.id, Accounts: accounts,
	}, nil
}

func (p clusterPlan) conf(s clusterServer) ([]byte, error) {
	p.clusterServer = s
	tmpl, err := template.New("conf").Parse(confTemplate)
	if err != nil {
		return nil, fmt.Errorf("parse configuration: %w", err)
	}
	var out bytes.Buffer
	if err := tmpl.Execute(&out, p); err != nil {
		return nil, fmt.Errorf("write configuration of %s: %w", s.Name, err)
	}
	return out.Bytes(), nil
}

// confTemplate is for plain nats-server. The accounts are kept in a folder of
// each server, where pushed revocations survive; the preloaded ones count only
// where there is nothing newer. The servers compare their accounts every five
// seconds: that is how one that was away learns what was revoked meanwhile.
const confTemplate = `# Server {{.Name}} of a gatebook ledger, for: nats-server -c {{.Name}}.conf
# It holds the password of the routes: keep it 0600.
server_name: {{printf "%q" .Name}}
listen: {{printf "%q" .Listen}}
ping_interval: "2s"
ping_max: 3
no_fast_producer_stall: true

jetstream {
  store_dir: {{printf "%q" .Store}}
  # A ledger's word rests on this. Without it a power cut takes back what was
  # acknowledged up to two minutes before.
  sync_interval: always
  limits { default_max_consumers: -1 }
}
{{if gt (len .Servers) 1}}
cluster {
  name: "gatebook"
  listen: {{printf "%q" .Route}}
  authorization { user: "route", password: {{printf "%q" .Password}}, timeout: 2 }
  routes: [{{range .Servers}}{{if ne .Name $.Name}}
    "nats://route:{{$.Password}}@{{.Route}}"{{end}}{{end}}
  ]
}
{{end}}
operator: {{printf "%q" .Operator}}
system_account: {{.System}}
resolver { type: full, dir: {{printf "%q" (print .Store "/accounts")}}, allow_delete: false, interval: "5s" }
resolver_preload {
{{- range $id, $jwt := .Accounts}}
  {{$id}}: {{printf "%q" $jwt}}
{{- end}}
}
`
