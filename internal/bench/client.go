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

// clientFlag makes this program the client of itself. A process of its own for
// the client leaves the measuring process with the server's work alone.
const clientFlag = "-client"

// client asks the server at address as it is told, a line "N PATH" at a time,
// and answers each with a line that is empty if all went well.
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

// get gets a path n times, one after the other.
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
		response.Body.Close() // which was read to its end
		if err != nil {
			return err
		}
		if response.StatusCode != http.StatusOK || length == 0 {
			return fmt.Errorf("%s: status %d, %d bytes", path, response.StatusCode, length)
		}
	}
	return nil
}

// visitor is a client in another process.
type visitor struct {
	orders  io.WriteCloser
	answers *bufio.Reader
	command *exec.Cmd
}

func newVisitor(ctx context.Context, address string) (*visitor, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	v := &visitor{command: exec.CommandContext(ctx, self, clientFlag, address)}
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

// get has the client get a path n times.
func (v *visitor) get(path string, n int) error {
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

// close ends the client.
func (v *visitor) close() error {
	if err := v.orders.Close(); err != nil {
		return err
	}
	return v.command.Wait()
}
