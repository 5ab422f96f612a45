package mask

import (
	"errors"
	"io"
	"slices"
)

// Writer copies its input to another writer and replaces all secrets of its [Set] by "***".
// Secrets that overlap or touch are replaced together. The result does not depend on how the
// output is divided into writes.
//
// A Writer holds back the end of the output only while it may be the start of a secret. A line
// that ends in ordinary text is written completely. A line that ends in a long encoded text,
// such as a SHA-256, may lack its last characters until more output comes, because the text may
// be wrapped. A program that shows output to a waiting user calls [Writer.Flush] when no output
// has come for a while.
//
// [Set.Writer] returns a Writer. A Writer is not safe for concurrent use.
type Writer struct {
	stream func() *stream // a func, so that no print verb shows the text that is held back
}

// errClosed is the error of a write after Close.
var errClosed = errors.New("mask: write to a closed Writer")

// blockSize limits the input that is processed, and held in memory, at once.
const blockSize = 32 << 10

// Writer returns a Writer that writes to w.
func (s *Set) Writer(w io.Writer) *Writer {
	state := &stream{set: s, dst: w, maskedTo: -1}
	return &Writer{func() *stream { return state }}
}

// Write masks p and writes as much as is certain. An error comes from the underlying writer.
// All later calls return it too, because the output would have a gap.
func (w *Writer) Write(p []byte) (int, error) {
	s, n := w.stream(), 0
	for n < len(p) && s.err == nil {
		block := p[n:min(n+blockSize, len(p))]
		s.take(block)
		s.pass(s.certainLength())
		if s.err == nil {
			n += len(block)
		}
	}
	return n, s.err
}

// Flush writes the text that is held back, although it may be the start of a secret. If the
// rest of the secret follows, that rest is masked, and only the start is readable.
func (w *Writer) Flush() error {
	s := w.stream()
	if s.err == nil {
		s.scanRest()
		s.pass(len(s.text))
	}
	return s.err
}

// Close calls Flush. It does not close the underlying writer. A later Write fails.
func (w *Writer) Close() error {
	s := w.stream()
	if errors.Is(s.err, errClosed) {
		return nil
	}
	err := w.Flush()
	if err == nil {
		s.err = errClosed
	}
	return err
}

// stream is the state of a Writer. Indexes count from the first byte that has not been written.
type stream struct {
	set     *Set
	dst     io.Writer
	err     error
	version int // of the patterns that text has been compared with

	raw  []byte // not written yet
	fold folder
	text []byte // raw, folded
	cuts []cut  // places where text lacks bytes of raw

	open     []match // matches that may continue after text, earliest first
	before   []match // open, before the last block
	short    []*node // nodes in the text whose patterns must be completed
	scanned  int     // in text: all matches that begin before it have been followed
	found    []span  // ranges of raw to mask
	maskedTo int     // the end, in raw, of the last masked range; -1 if ordinary output followed it

	out []byte // reused
}

// match is an occurrence of a pattern that matches up to the end of the text.
type match struct {
	start int // in text; negative if its start has already been written
	n     *node
}

type span struct{ start, end int }

// take appends block to the text and finds the ranges to mask.
func (s *stream) take(block []byte) {
	old := len(s.text)
	s.raw = append(s.raw, block...)
	s.text, s.cuts = s.fold.fold(s.text, s.cuts, block)

	s.before = append(s.before[:0], s.open...)
	scanned, found := s.scanned, len(s.found)
	for s.find(old); len(s.short) > 0; s.find(old) {
		s.complete()
		s.open = append(s.open[:0], s.before...)
		s.scanned, s.found = scanned, s.found[:found]
	}
}

// complete adds the rest of the patterns whose beginnings are in the text.
func (s *stream) complete() {
	s.set.mu.Lock()
	defer s.set.mu.Unlock()
	for _, n := range s.short {
		s.set.patterns().complete(n)
	}
	s.short = s.short[:0]
}

// find continues the open matches, for which the text ended at old, and looks for new ones.
func (s *stream) find(old int) {
	// The lock covers only work in memory. The output is written without it.
	s.set.mu.RLock()
	defer s.set.mu.RUnlock()
	if s.set.patterns == nil {
		s.scanned = len(s.text)
		return
	}
	p := s.set.patterns()
	if p.version != s.version {
		// Compare all text that is held back with the new patterns.
		s.version = p.version
		s.open = slices.DeleteFunc(s.open, func(m match) bool { return m.start >= 0 })
		s.scanned = 0
	}
	open := len(s.open)
	for _, m := range s.open {
		s.follow(m, old-m.start)
	}
	s.open = slices.Delete(s.open, 0, open)
	s.scan(p)
}

// scan follows all matches that start in the text. It stops near the end at a place where a
// pattern may begin. With the next bytes, it is cheaper to find out how that place continues.
func (s *stream) scan(p *patterns) {
	i := p.filter.next(s.text, s.scanned)
	for ; i+gram <= len(s.text); i = p.filter.next(s.text, i+1) {
		s.follow(match{i, &p.root}, 0)
	}
	for i < len(s.text) && !p.mayBegin(s.text[i:]) {
		i++
	}
	s.scanned = i
}

// scanRest follows the matches that scan left for later, because the text is written now.
func (s *stream) scanRest() {
	s.set.mu.RLock()
	defer s.set.mu.RUnlock()
	for ; s.scanned < len(s.text); s.scanned++ {
		s.follow(match{s.scanned, &s.set.patterns().root}, 0)
	}
}

// follow continues m, of which done bytes are matched, up to the end of the text.
func (s *stream) follow(m match, done int) {
	for m.start+done < len(s.text) {
		if done == len(m.n.key) {
			if m.n = m.n.child(s.text[m.start+done]); m.n == nil {
				return
			}
		}
		done += commonPrefix(m.n.key[done:], s.text[m.start+done:])
		if done == len(m.n.key) {
			if m.n.isEnd {
				s.found = append(s.found, span{s.rawIndex(m.start), s.rawIndex(m.start+done-1) + 1})
			}
			if len(m.n.short) > 0 {
				s.short = append(s.short, m.n)
			}
		} else if m.start+done < len(s.text) {
			return
		}
	}
	if done < len(m.n.key) || len(m.n.next) > 0 {
		s.open = append(s.open, m)
	}
}

// rawIndex returns the index in raw of text[i].
func (s *stream) rawIndex(i int) int {
	if i < 0 {
		return 0
	}
	return i + s.shiftAt(i)
}

// shiftAt returns the number of bytes of raw that were removed up to and directly before
// text[i].
func (s *stream) shiftAt(i int) int {
	n, isExact := slices.BinarySearchFunc(s.cuts, i, func(c cut, i int) int { return c.at - i })
	if isExact {
		n++
	}
	if n == 0 {
		return 0
	}
	return s.cuts[n-1].shift
}

// certainLength returns the length of the text that no open match can change.
func (s *stream) certainLength() int {
	if len(s.open) == 0 {
		return s.scanned
	}
	return max(0, s.open[0].start) // which is before scanned
}

// pass masks the first n bytes of text, writes them and drops them.
func (s *stream) pass(n int) {
	shift := s.shiftAt(n)
	s.maskUpTo(n + shift)

	s.raw = s.raw[:copy(s.raw, s.raw[n+shift:])]
	s.text = s.text[:copy(s.text, s.text[n:])]
	s.maskedTo = max(-1, s.maskedTo-n-shift)
	s.cuts = slices.DeleteFunc(s.cuts, func(c cut) bool { return c.at <= n })
	for i := range s.cuts {
		s.cuts[i].at -= n
		s.cuts[i].shift -= shift
	}
	s.scanned -= n
	for i := range s.open {
		s.open[i].start -= n
	}
	for i := range s.found {
		s.found[i].start -= n + shift
		s.found[i].end -= n + shift
	}
	if len(s.out) == 0 {
		return
	}
	written, err := s.dst.Write(s.out)
	if err == nil && written < len(s.out) {
		err = io.ErrShortWrite
	}
	s.err = err
	s.out = s.out[:0]
}

// maskUpTo appends raw[:end] to out, masked. If a masked range continues after end, maskedTo
// records its end.
func (s *stream) maskUpTo(end int) {
	slices.SortFunc(s.found, func(a, b span) int { return a.start - b.start })
	used := 0
	for _, f := range s.found {
		if f.start >= end {
			break
		}
		used++
		if f.start > s.maskedTo {
			s.out = append(s.out, s.raw[max(0, s.maskedTo):f.start]...)
			s.out = append(s.out, replacement...)
		}
		s.maskedTo = max(s.maskedTo, f.end)
	}
	s.found = slices.Delete(s.found, 0, used)
	if from := max(0, s.maskedTo); from < end {
		s.out = append(s.out, s.raw[from:end]...)
	}
}
