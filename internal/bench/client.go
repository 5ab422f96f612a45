//go:build unix

package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
)

// clientFlag starts this program as the client of a measurement. The client runs in a
// process of its own, so that only the server's work counts in the measuring process.
const clientFlag = "-client"

// client reads lines of the form "N PATH" and requests each path N times from the server
// at address. It writes one line for each: an error, or an empty line.
func client(address string, orders io.Reader, answers io.Writer) error {
	conn, err := net.Dial("tcp", address)
	if err != nil {
		return err
	}
	defer conn.Close()
	replies := bufio.NewReader(conn)
	lines := bufio.NewScanner(orders)
	for lines.Scan() {
		var n int
		var path string
		if _, err := fmt.Sscanf(lines.Text(), "%d %s", &n, &path); err != nil {
			return fmt.Errorf("order %q: %w", lines.Text(), err)
		}
		answer := ""
		if err := get(conn, replies, path, n); err != nil {
			answer = strings.ReplaceAll(err.Error(), "\n", " ")
		}
		if _, err := fmt.Fprintln(answers, answer); err != nil {
			return err
		}
	}
	return lines.Err()
}

// get requests a path n times, one request after the other.
func get(conn io.Writer, replies *bufio.Reader, path string, n int) error {
	request := []byte("GET " + path + " HTTP/1.1\r\nHost: tokens.example.com\r\n\r\n")
	for range n {
		if _, err := conn.Write(request); err != nil {
			return err
		}
		response, err := http.ReadResponse(replies, nil)
		if err != nil {
			return err
		}
		length, err := io.Copy(io.Discard, response.Body)
		response.Body.Close() // no error: it was read to its end
		if err != nil {
			return err
		}
		if response.StatusCode != http.StatusOK || length == 0 {
			return fmt.Errorf("%s: status %d, %d bytes", path, response.StatusCode, length)
		}
	}
	return nil
}

// clientProcess is a client in another process.
type clientProcess struct {
	orders  io.WriteCloser
	answers *bufio.Reader
	command *exec.Cmd
}

func newClientProcess(ctx context.Context, address string) (*clientProcess, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	v := &clientProcess{command: exec.CommandContext(ctx, self, clientFlag, address)}
	v.command.Stderr = os.Stderr
	if v.orders, err = v.command.StdinPipe(); err != nil {
		return nil, err
	}
	answers, err := v.command.StdoutPipe()
	if err != nil {
		return nil, err
	}
	v.answers = bufio.NewReader(answers)
	return v, v.command.Start()
}

// get makes the client request a path n times.
func (v *clientProcess) get(path string, n int) error {
	if _, err := fmt.Fprintln(v.orders, n, path); err != nil {
		return err
	}
	answer, err := v.answers.ReadString('\n')
	if err != nil {
		return fmt.Errorf("no answer from the client: %w", err)
	}
	if answer != "\n" {
		return fmt.Errorf("the client failed: %s", strings.TrimSpace(answer))
	}
	return nil
}

// close stops the client and waits for it.
func (v *clientProcess) close() error {
	if err := v.orders.Close(); err != nil {
		return err
	}
	return v.command.Wait()
}
