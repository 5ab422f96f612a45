package broker_test

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/oidctoken/oidctoken/broker"
)

// pipes is an in-memory listener for a bubble.
type pipes struct {
	conns chan net.Conn
	done  chan struct{}
	close func()
}

func newPipes() *pipes {
	p := &pipes{conns: make(chan net.Conn), done: make(chan struct{})}
	p.close = sync.OnceFunc(func() { close(p.done) })
	return p
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case conn := <-p.conns:
		return conn, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error   { p.close(); return nil }
func (p *pipes) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1} }

// door is a step's endpoint that listens on pipes.
type door struct {
	t      *testing.T
	step   *broker.Step
	pipes  *pipes
	secret string
}

func newDoor(t *testing.T, config broker.Config) *door {
	t.Helper()
	d := &door{t: t, step: newStep(t, start(t, config), scope("payments", "ledger")), pipes: newPipes()}
	var err error
	if d.secret, err = d.step.ServeEndpoint(t.Context(), d.pipes, "account.vault"); err != nil {
		t.Fatal(err)
	}
	return d
}

// caller is a client's connection.
type caller struct {
	net.Conn
	reader *bufio.Reader
	gone   atomic.Bool // the endpoint closed the connection
}

func (d *door) dial() *caller {
	near, far := net.Pipe()
	d.pipes.conns <- far
	d.t.Cleanup(func() { near.Close() })
	return &caller{Conn: near, reader: bufio.NewReader(near)}
}

// watch records when the endpoint closes a connection that sends nothing more.
func (c *caller) watch() {
	go func() {
		if _, err := c.reader.Peek(1); err == io.EOF {
			c.gone.Store(true)
		}
	}()
}

// ask sends a request and returns the status, or 0 if the connection ended.
func (c *caller) ask(authorization string) int {
	if _, err := io.WriteString(c, "GET /token HTTP/1.1\r\nHost: 127.0.0.1:1\r\nAuthorization: "+authorization+"\r\n\r\n"); err != nil {
		return 0
	}
	response, err := http.ReadResponse(c.reader, nil)
	if err != nil {
		return 0
	}
	defer response.Body.Close()
	if _, err := io.Copy(io.Discard, response.Body); err != nil {
		return 0
	}
	return response.StatusCode
}

// gone returns the positions of the callers whose connections the endpoint closed.
func gone(callers []*caller) (positions []int) {
	for i, c := range callers {
		if c.gone.Load() {
			positions = append(positions, i)
		}
	}
	return positions
}

// inBubble serves an endpoint in a bubble. It fails if a request waited.
func inBubble(t *testing.T, config broker.Config, f func(d *door)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		f(newDoor(t, config))
		if waited := time.Since(began); waited != 0 {
			t.Errorf("a request waited %v", waited)
		}
	})
}

// W05: idle connections without the secret make room for new ones, the oldest first. No more
// than the limit stay open.
func TestStrangersMakeRoom(t *testing.T) {
	inBubble(t, endpointConfig(t, new(audits)), func(d *door) {
		var strangers []*caller
		for range broker.MaxStrangers {
			strangers = append(strangers, d.dial())
			strangers[len(strangers)-1].watch()
		}
		synctest.Wait()
		if got := gone(strangers); got != nil {
			t.Errorf("within the bound, %d connections were closed", len(got))
		}
		for range 3 {
			strangers = append(strangers, d.dial())
			strangers[len(strangers)-1].watch()
		}
		synctest.Wait()
		if got := gone(strangers); !slices.Equal(got, []int{0, 1, 2}) {
			t.Errorf("closed: %v, want the oldest three", got)
		}
		if got := d.dial().ask("Bearer " + d.secret); got != 200 {
			t.Errorf("the step is answered %d", got)
		}
	})
}

// W05: connections without the secret never displace connections that have shown it.
func TestStrangersDisplaceNobody(t *testing.T) {
	inBubble(t, endpointConfig(t, new(audits)), func(d *door) {
		var sessions []*caller
		for range 64 {
			sessions = append(sessions, d.dial())
			if got := sessions[len(sessions)-1].ask("bearer " + d.secret); got != 200 {
				t.Fatalf("got %d", got)
			}
		}
		for range 2 * broker.MaxConns {
			d.dial()
		}
		for i, c := range sessions {
			if got := c.ask("Bearer " + d.secret); got != 200 {
				t.Errorf("session %d is answered %d", i, got)
			}
		}
	})
}

// The limit applies to all connections together.
func TestStrangersCount(t *testing.T) {
	inBubble(t, endpointConfig(t, new(audits)), func(d *door) {
		var sessions, strangers []*caller
		for range broker.MaxConns - 2 {
			sessions = append(sessions, d.dial())
			if got := sessions[len(sessions)-1].ask("Bearer " + d.secret); got != 200 {
				t.Fatalf("got %d", got)
			}
			sessions[len(sessions)-1].watch()
		}
		for range 5 {
			strangers = append(strangers, d.dial())
			strangers[len(strangers)-1].watch()
		}
		synctest.Wait()
		if closed := gone(sessions); closed != nil {
			t.Errorf("%d sessions were closed", len(closed))
		}
		if got := gone(strangers); !slices.Equal(got, []int{0, 1, 2}) {
			t.Errorf("closed: %v, want the oldest three", got)
		}
	})
}

// A request with a wrong secret ends its connection.
func TestWrongSecretGivesNoPlace(t *testing.T) {
	inBubble(t, endpointConfig(t, new(audits)), func(d *door) {
		c := d.dial()
		if got := c.ask("Bearer x" + d.secret); got != 401 {
			t.Errorf("got %d, want 401", got)
		}
		if _, err := c.reader.ReadByte(); err != io.EOF {
			t.Errorf("the connection is still open: %v", err)
		}
	})
}

// Idle connections of the step make room for its new ones, the longest idle first. No more than
// the limit stay open.
func TestIdleSessionsMakeRoom(t *testing.T) {
	inBubble(t, endpointConfig(t, new(audits)), func(d *door) {
		var sessions []*caller
		session := func() {
			c := d.dial()
			sessions = append(sessions, c)
			if got := c.ask("Bearer " + d.secret); got != 200 {
				t.Fatalf("session %d is answered %d", len(sessions), got)
			}
			synctest.Wait() // the connection is idle
		}
		for range broker.MaxConns {
			session()
		}
		for i := range 2 { // these two become idle last
			if got := sessions[i].ask("Bearer " + d.secret); got != 200 {
				t.Errorf("within the bound, session %d is answered %d", i, got)
			}
			synctest.Wait()
		}
		for range 3 {
			session()
		}
		for _, c := range sessions {
			c.watch()
		}
		synctest.Wait()
		if got := gone(sessions); !slices.Equal(got, []int{2, 3, 4}) {
			t.Errorf("closed: %v, want the three that were idle for longest", got)
		}
	})
}

// 300 simultaneous requests on separate connections all get a response without waiting.
func TestManyAtOnce(t *testing.T) {
	inBubble(t, endpointConfig(t, new(audits)), func(d *door) {
		var group sync.WaitGroup
		for range 300 {
			c := d.dial() // accepted before the first connection sends anything
			group.Go(func() {
				if got := c.ask("Bearer " + d.secret); got != 200 {
					t.Errorf("got %d", got)
				}
			})
		}
		group.Wait()
	})
}

// blockingStore is a store of connectors that blocks all callers until it is opened.
type blockingStore struct {
	broker.Connectors
	open    atomic.Pointer[chan struct{}] // nil means that the store is open
	callers atomic.Int32
}

func (h *blockingStore) Connector(ctx context.Context, key broker.ConnectorKey) (*broker.Connector, error) {
	if open := h.open.Load(); open != nil {
		h.callers.Add(1)
		<-*open
	}
	return h.Connectors.Connector(ctx, key)
}

// The endpoint never closes a connection while it handles a request of it. A connection above
// the limit waits until another becomes idle.
func TestBusySessionsStay(t *testing.T) {
	config := endpointConfig(t, new(audits))
	store := &blockingStore{Connectors: config.Connectors}
	config.Connectors = store
	inBubble(t, config, func(d *door) {
		open := make(chan struct{})
		store.open.Store(&open)
		var answered sync.WaitGroup
		ask := func(c *caller) {
			if got := c.ask("Bearer " + d.secret); got != 200 {
				t.Errorf("got %d", got)
			}
		}
		for range broker.MaxConns {
			c := d.dial()
			answered.Go(func() { ask(c) })
			synctest.Wait() // the connection has shown the secret
		}
		late := d.dial()
		answered.Go(func() { ask(late) })
		synctest.Wait()
		if got := store.callers.Load(); got != broker.MaxConns {
			t.Errorf("%d requests are served at once, want %d", got, broker.MaxConns)
		}
		store.open.Store(nil)
		close(open)
		answered.Wait()
	})
}

// If a step closes while a connection waits for room, all connections end.
func TestCloseWhileFull(t *testing.T) {
	config := endpointConfig(t, new(audits))
	store := &blockingStore{Connectors: config.Connectors}
	config.Connectors = store
	inBubble(t, config, func(d *door) {
		open := make(chan struct{})
		store.open.Store(&open)
		for range broker.MaxConns {
			c := d.dial()
			go c.ask("Bearer " + d.secret)
			synctest.Wait()
		}
		late := d.dial()
		late.watch()
		closed := make(chan error, 1)
		go func() { closed <- d.step.Close() }()
		synctest.Wait()
		if !late.gone.Load() {
			t.Error("the connection that waits is left open")
		}
		close(open)
		if err := <-closed; err != nil {
			t.Error(err)
		}
	})
}

// The endpoint closes a connection that sends its header byte by byte.
func TestSlowHeader(t *testing.T) {
	config := endpointConfig(t, new(audits))
	synctest.Test(t, func(t *testing.T) {
		d := newDoor(t, config)
		began := time.Now()
		c := d.dial()
		c.watch() // without a reader, the endpoint's last write blocks
		for {
			if _, err := io.WriteString(c, "G"); err != nil {
				break
			}
			time.Sleep(100 * time.Millisecond)
		}
		if waited := time.Since(began); waited > 6*time.Second {
			t.Errorf("it is waited for %v", waited)
		}
	})
}
