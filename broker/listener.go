package broker

import (
	"container/list"
	"net"
	"net/http"
	"sync"
)

// Limits of an endpoint's connections. They bound the descriptors and the memory that a step,
// or another user of the machine, can take from the host.
const (
	maxConns     = 1024 // all connections
	maxStrangers = 512  // connections that have not shown the step's secret
)

// pool is a listener that limits an endpoint's connections. A new connection does not wait if
// another one can be closed in its place. The pool closes the oldest connection that has not
// shown the secret. If there is no such connection, it closes the connection that has been idle
// for longest. So connections without the secret neither delay nor displace connections with
// it. Accept waits only while the step is using all connections.
type pool struct {
	net.Listener

	mu        sync.Mutex
	room      sync.Cond // a connection ended or became idle, or the pool was closed
	strangers list.List // of *pooledConn without the secret, the oldest first
	idle      list.List // of *pooledConn with the secret, the longest idle first
	busy      int       // connections with the secret that are not idle
	closed    bool
}

// pooledConn is a connection of a pool.
type pooledConn struct {
	net.Conn
	pool *pool

	// Guarded by pool.mu. A connection that is in no list and not busy has ended.
	in   *list.List // pool.strangers or pool.idle; nil if it is in neither list
	at   *list.Element
	busy bool
}

func newPool(l net.Listener) *pool {
	p := &pool{Listener: l}
	p.room.L = &p.mu
	return p
}

// Accept waits for a connection. It closes other connections if there are too many.
func (p *pool) Accept() (net.Conn, error) {
	conn, err := p.Listener.Accept()
	if err != nil {
		return nil, err
	}
	c := &pooledConn{Conn: conn, pool: p}
	if !p.admit(c) {
		conn.Close() // the error has no effect
		return nil, net.ErrClosed
	}
	return c, nil
}

// admit makes room for c. It returns false if the pool is closed.
func (p *pool) admit(c *pooledConn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for !p.closed && (p.strangers.Len() >= maxStrangers || p.strangers.Len()+p.idle.Len()+p.busy >= maxConns) {
		victim := p.strangers.Front()
		if victim == nil {
			victim = p.idle.Front()
		}
		if victim == nil {
			p.room.Wait()
			continue
		}
		other := victim.Value.(*pooledConn)
		other.take()
		other.Conn.Close() // the error has no effect: the server goroutine ends
	}
	if p.closed {
		return false
	}
	c.put(&p.strangers)
	return true
}

// Close ends Accept.
func (p *pool) Close() error {
	p.mu.Lock()
	p.closed = true
	p.room.Broadcast()
	p.mu.Unlock()
	return p.Listener.Close()
}

// put appends c to a list. The caller holds p.mu.
func (c *pooledConn) put(in *list.List) { c.in, c.at = in, in.PushBack(c) }

// take removes c from its list or from the busy connections. It returns false if c has ended.
// The caller holds p.mu.
func (c *pooledConn) take() bool {
	switch {
	case c.in != nil:
		c.in.Remove(c.at)
		c.in, c.at = nil, nil
	case c.busy:
		c.busy = false
		c.pool.busy--
	default:
		return false
	}
	return true
}

// authorized records that the current request of c has shown the secret.
func (c *pooledConn) authorized() {
	c.pool.mu.Lock()
	defer c.pool.mu.Unlock()
	if c.in == &c.pool.strangers && c.take() {
		c.busy = true
		c.pool.busy++
	}
}

// changed handles a change of a connection's state (see http.Server.ConnState). A connection
// without the secret stays in its list.
func (c *pooledConn) changed(state http.ConnState) {
	c.pool.mu.Lock()
	defer c.pool.mu.Unlock()
	switch {
	case state == http.StateActive && c.in == &c.pool.idle && c.take():
		c.busy = true
		c.pool.busy++
	case state == http.StateIdle && c.busy && c.take():
		c.put(&c.pool.idle)
		c.pool.room.Signal()
	}
}

// Close removes c from its pool.
func (c *pooledConn) Close() error {
	c.pool.mu.Lock()
	if c.take() {
		c.pool.room.Signal()
	}
	c.pool.mu.Unlock()
	return c.Conn.Close()
}
