package broker

import (
	"net"
	"sync"
)

// maxConns is how many connections an endpoint has at once: a step must not use
// up the host's descriptors.
const maxConns = 32

// bounded is a listener with at most maxConns connections.
type bounded struct {
	net.Listener
	slots  chan struct{}
	closed chan struct{}
	close  func() error
}

func newBounded(l net.Listener) *bounded {
	b := &bounded{Listener: l, slots: make(chan struct{}, maxConns), closed: make(chan struct{})}
	b.close = sync.OnceValue(func() error {
		close(b.closed)
		return l.Close()
	})
	return b
}

func (b *bounded) Accept() (net.Conn, error) {
	select {
	case b.slots <- struct{}{}:
	case <-b.closed:
		return nil, net.ErrClosed
	}
	conn, err := b.Listener.Accept()
	if err != nil {
		<-b.slots
		return nil, err
	}
	return &boundedConn{Conn: conn, release: sync.OnceFunc(func() { <-b.slots })}, nil
}

func (b *bounded) Close() error { return b.close() }

type boundedConn struct {
	net.Conn
	release func()
}

func (c *boundedConn) Close() error {
	defer c.release()
	return c.Conn.Close()
}
