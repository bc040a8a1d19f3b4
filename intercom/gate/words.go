package gate

import (
	"errors"
	"strings"
)

// words splits a command line as a shell would, and does nothing else that a
// shell does: no variables, no globs, no pipes, no substitution.
//
//	'...'  taken as it stands
//	"..."  a backslash keeps the next of " \ $ ` as it stands
//	\x     x as it stands
func words(line string) ([]string, error) {
	if strings.ContainsRune(line, 0) {
		return nil, errors.New("split command: zero byte")
	}
	s := splitter{rest: line}
	for s.rest != "" {
		if err := s.step(); err != nil {
			return nil, err
		}
	}
	s.end()
	if len(s.out) == 0 || s.out[0] == "" {
		return nil, errors.New("split command: no program named")
	}
	return s.out, nil
}

type splitter struct {
	rest string
	out  []string
	word strings.Builder
	open bool // a word has begun; true for '' too, which is an empty word
}

func (s *splitter) step() error {
	c := s.take()
	switch c {
	case ' ', '\t', '\n', '\r':
		s.end()
		return nil
	case '\'':
		return s.single()
	case '"':
		return s.double()
	case '\\':
		if s.rest == "" {
			return errors.New("split command: nothing after the last backslash")
		}
		c = s.take()
	}
	s.put(c)
	return nil
}

func (s *splitter) single() error {
	in, after, closed := strings.Cut(s.rest, "'")
	if !closed {
		return errors.New("split command: a ' is never closed")
	}
	s.word.WriteString(in)
	s.open, s.rest = true, after
	return nil
}

func (s *splitter) double() error {
	s.open = true
	for s.rest != "" {
		c := s.take()
		if c == '"' {
			return nil
		}
		if c == '\\' && s.rest != "" && strings.IndexByte("\"\\$`", s.rest[0]) >= 0 {
			c = s.take()
		}
		s.put(c)
	}
	return errors.New(`split command: a " is never closed`)
}

func (s *splitter) take() byte {
	c := s.rest[0]
	s.rest = s.rest[1:]
	return c
}

func (s *splitter) put(c byte) {
	s.word.WriteByte(c)
	s.open = true
}

func (s *splitter) end() {
	if s.open {
		s.out = append(s.out, s.word.String())
	}
	s.word.Reset()
	s.open = false
}
