package main

import "os"

// flatLog appends to a file. Whoever waits while one fsync is under way shares
// the next.
type flatLog struct {
	file  *os.File
	queue chan entry
	done  chan error // of the last flush, after the queue was closed
}

type entry struct {
	text []byte
	done chan error
}

func openLog(path string) (*flatLog, error) {
	f, err := os.Create(path)
	if err != nil {
		return nil, err
	}
	l := &flatLog{f, make(chan entry, 4096), make(chan error, 1)}
	go l.loop()
	return l, nil
}

// append returns when text is on disk.
func (l *flatLog) append(text []byte) error {
	e := entry{text, make(chan error, 1)}
	l.queue <- e
	return <-e.done
}

func (l *flatLog) loop() {
	var buf []byte
	var waiting []entry
	for e := range l.queue {
		buf, waiting = append(append(buf[:0], e.text...), '\n'), append(waiting[:0], e)
		for range len(l.queue) {
			e := <-l.queue
			buf, waiting = append(append(buf, e.text...), '\n'), append(waiting, e)
		}
		_, err := l.file.Write(buf)
		if err == nil {
			err = datasync(l.file)
		}
		for _, e := range waiting {
			e.done <- err
		}
	}
	l.done <- l.file.Close()
}

func (l *flatLog) close() error {
	close(l.queue)
	return <-l.done
}
