package oidctokentest

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
)

const (
	endlessBody = 16 << 20 // bytes; more than an Exchanger should read
	maxTaken    = 1 << 20  // bytes of it that may be taken, with what lies in buffers
)

// redirects returns handlers that send the request, and so the JWT, elsewhere.
func redirects() map[string]func(*exchangerRun) http.Handler {
	all := make(map[string]func(*exchangerRun) http.Handler)
	for _, code := range []int{301, 302, 303, 307, 308} {
		for name, location := range map[string]string{
			"host": "http://" + strangerHost + "/", "path": "http://" + endpointHost + "/elsewhere",
		} {
			all[strconv.Itoa(code)+" to another "+name] = func(r *exchangerRun) http.Handler {
				return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
					if req.URL.Path == "/elsewhere" {
						r.Error("Exchange followed a redirect")
					}
					w.Header().Set("Location", location+"?"+r.stolen())
					w.WriteHeader(code)
				})
			}
		}
	}
	return all
}

// stolen returns the JWT that a hostile cloud got, behind its signature: what cuts a
// text off leaves the worst of it.
func (r *exchangerRun) stolen() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.jwts) == 0 {
		return ""
	}
	jwt := r.jwts[len(r.jwts)-1]
	return signatureOf(jwt) + "." + jwt
}

func signatureOf(jwt string) string { return jwt[strings.LastIndexByte(jwt, '.')+1:] }

// altered returns the good answer, altered.
func (r *exchangerRun) altered(alter func(w http.ResponseWriter, a *CloudAnswer)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		a := r.test.Answer(req, r.value, defaultLifetime)
		alter(w, &a)
		writeCloud(w, a)
	})
}

// tooLong returns a good answer with endless space behind it.
func (r *exchangerRun) tooLong() http.Handler {
	space := bytes.Repeat([]byte(" "), 32<<10)
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		writeCloud(w, r.test.Answer(req, r.value, defaultLifetime))
		taken := 0
		for taken < endlessBody {
			n, err := w.Write(space)
			taken += n
			if err != nil {
				break
			}
		}
		if taken > maxTaken {
			r.Errorf("Exchange took %d bytes of an endless answer, want at most %d", taken, maxTaken)
		}
	})
}

// bomb returns a good answer, padded with much space and compressed without
// having been requested so.
func (r *exchangerRun) bomb() http.Handler {
	return r.altered(func(w http.ResponseWriter, a *CloudAnswer) {
		var b bytes.Buffer
		z := gzip.NewWriter(&b)
		space := strings.Repeat(" ", 1<<20)
		_, err := io.WriteString(z, a.Body)
		for i := 0; i < endlessBody/len(space) && err == nil; i++ {
			_, err = io.WriteString(z, space)
		}
		if err == nil {
			err = z.Close()
		}
		if err != nil {
			r.Errorf("gzip: %v", err)
		}
		w.Header().Set("Content-Encoding", "gzip")
		a.Body = b.String()
	})
}

func (r *exchangerRun) manyHeaders() http.Handler {
	return r.altered(func(w http.ResponseWriter, _ *CloudAnswer) {
		for i := range 4096 {
			w.Header().Set(fmt.Sprintf("X-Header-%d", i), r.stolen())
		}
	})
}

// cutOff promises more than comes.
func (r *exchangerRun) cutOff() http.Handler {
	return r.altered(func(w http.ResponseWriter, a *CloudAnswer) {
		w.Header().Set("Content-Length", strconv.Itoa(len(a.Body)))
		a.Body = a.Body[:len(a.Body)/2]
	})
}

func (r *exchangerRun) empty() http.Handler {
	return r.altered(func(_ http.ResponseWriter, a *CloudAnswer) { a.Body = "" })
}

// html returns the answer of a captive portal or a proxy.
func (r *exchangerRun) html() http.Handler {
	return r.altered(func(_ http.ResponseWriter, a *CloudAnswer) {
		a.ContentType, a.Body = "text/html; charset=utf-8", "<!DOCTYPE html><title>Sign in</title>"
	})
}

// otherType returns a good answer with another Content-Type.
func (r *exchangerRun) otherType() http.Handler {
	return r.altered(func(_ http.ResponseWriter, a *CloudAnswer) { a.ContentType = "text/html; charset=utf-8" })
}

// raw returns an answer beneath HTTP.
func (r *exchangerRun) raw(answer func() string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			r.Errorf("the cloud's connection: %v", err)
			return
		}
		defer conn.Close()
		_, _ = io.WriteString(conn, answer()) // who went away needs no error
	})
}

func (r *exchangerRun) notHTTP() http.Handler {
	return r.raw(func() string { return "SMTP " + r.stolen() + "\r\n\r\n" })
}

func (r *exchangerRun) echoInStatus() http.Handler {
	return r.raw(func() string { return "HTTP/1.1 400 " + r.stolen() + "\r\nContent-Length: 0\r\n\r\n" })
}

func (r *exchangerRun) echoInType() http.Handler {
	return r.altered(func(_ http.ResponseWriter, a *CloudAnswer) { a.ContentType = "text/" + r.stolen() })
}

// echo returns the JWT in an answer of status 200.
func (r *exchangerRun) echo() http.Handler {
	return r.altered(func(_ http.ResponseWriter, a *CloudAnswer) { a.Body = r.stolen() })
}

func (r *exchangerRun) echoInRefusal() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		writeCloud(w, r.test.Refusal("cannot verify "+r.stolen()))
	})
}
