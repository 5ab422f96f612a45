package mask

import (
	"errors"
	"io"
	"slices"
)

// A Writer passes what is written to it on to another writer, with all secrets of
// its [Set] replaced by "***". Secrets that overlap or touch each other are
// replaced together. The result does not depend on how the output is divided into
// writes.
//
// It holds back the end of the output as long as that may be the start of a
// secret, and no longer: a line that ends in ordinary text is passed on whole. (One
// that ends in a long encoded text, such as a SHA-256, may lack its last characters
// until more comes, since it may be wrapped. Whoever shows output to a waiting
// person calls [Writer.Flush] when nothing has come for a while.)
//
// A Writer comes from [Set.Writer] and is for one goroutine at a time.
type Writer struct {
	stream func() *stream // a func, so that no print verb shows what is held back
}

// errClosed answers a write after Close.
var errClosed = errors.New("mask: write to a closed Writer")

// blockSize bounds what is worked on, and held in memory, at once.
const blockSize = 32 << 10

// Writer returns a Writer that passes on to w.
func (s *Set) Writer(w io.Writer) *Writer {
	state := &stream{set: s, dst: w, maskedTo: -1}
	return &Writer{func() *stream { return state }}
}

// Write masks p and passes on as much as is certain. An error is that of the
// underlying writer; it lasts, since the output would have a gap.
func (w *Writer) Write(p []byte) (int, error) {
	s, n := w.stream(), 0
	for n < len(p) && s.err == nil {
		block := p[n:min(n+blockSize, len(p))]
		s.take(block)
		s.pass(s.settled())
		if s.err == nil {
			n += len(block)
		}
	}
	return n, s.err
}

// Flush passes on what is held back, though it may be the start of a secret. If the
// rest of the secret follows after all, it is masked: only the start is readable.
func (w *Writer) Flush() error {
	s := w.stream()
	if s.err == nil {
		s.scanRest()
		s.pass(len(s.text))
	}
	return s.err
}

// Close flushes. It does not close the underlying writer. A later Write fails.
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

// stream is the state of a Writer. Indexes count from the first byte that has not
// been passed on.
type stream struct {
	set     *Set
	dst     io.Writer
	err     error
	version int // of the patterns that text has been compared with

	raw  []byte // not passed on yet
	fold folder
	text []byte // raw, folded
	cuts []cut  // where text lacks bytes of raw

	open     []match // those that go on beyond text, earliest first
	before   []match // open, before the last block
	short    []*node // those in the text whose patterns have to be completed
	scanned  int     // in text: a match that begins before it is open, found or none
	found    []span  // of raw, to be masked
	maskedTo int     // the end, in raw, of the range that was last masked; -1 if ordinary output came after it

	out []byte // reused
}

// match is an occurrence of a pattern that is complete up to the end of the text.
type match struct {
	start int // in text; negative if its start had to be passed on
	n     *node
}

type span struct{ start, end int }

// take adds block to the text and finds what there is to mask in it.
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

// find goes on with the open matches, for which text ended at old, and looks for
// others.
func (s *stream) find(old int) {
	// A lock for the work in memory alone: the output is written without it.
	s.set.mu.RLock()
	defer s.set.mu.RUnlock()
	if s.set.patterns == nil {
		s.scanned = len(s.text)
		return
	}
	p := s.set.patterns()
	if p.version != s.version {
		// All that is held back is compared with the new patterns.
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

// scan follows all matches that start in the text, up to a place near its end
// at which a pattern may begin: how it goes on is cheaper to find out with the
// next bytes.
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

// scanRest follows what scan has left, since the text is passed on now.
func (s *stream) scanRest() {
	s.set.mu.RLock()
	defer s.set.mu.RUnlock()
	for ; s.scanned < len(s.text); s.scanned++ {
		s.follow(match{s.scanned, &s.set.patterns().root}, 0)
	}
}

// follow takes m, which is complete for its first done bytes, as far as text goes.
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

// rawIndex is the index in raw of the byte text[i].
func (s *stream) rawIndex(i int) int {
	if i < 0 {
		return 0
	}
	return i + s.shiftAt(i)
}

// shiftAt is the number of bytes of raw that text[:i] and the place before text[i] lack.
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

// settled is the length of the text that no open match can change.
func (s *stream) settled() int {
	if len(s.open) == 0 {
		return s.scanned
	}
	return max(0, s.open[0].start) // before scanned
}

// pass writes the first n bytes of text, masked, and forgets them.
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

// maskUpTo moves raw[:end] to out. Of a masked range that goes on beyond end only
// the part before it counts as masked so far; maskedTo knows of the rest.
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
