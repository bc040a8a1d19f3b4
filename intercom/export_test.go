package intercom

// DropLine ends the connection for good, as the client does when the server
// says something that it takes for final.
func (i *Intercom) DropLine() {
	i.line.mu.Lock()
	nc := i.line.nc
	i.line.mu.Unlock()
	nc.Close()
}

// LoseDisk takes the state folder away.
func (i *Intercom) LoseDisk() { _ = i.journal.Close() }
