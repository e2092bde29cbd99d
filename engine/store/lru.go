package store

import "container/list"

// lru holds what was used last. Nothing is dropped before trim is called: what
// a transaction has changed must not be read back before it is written.
type lru[V any] struct {
	byKey map[string]*list.Element
	order *list.List // of *kept[V], newest first
	size  int64      // bytes, roughly
}

type kept[V any] struct {
	key   string
	value V
	size  int64
}

func newLRU[V any]() lru[V] { return lru[V]{byKey: map[string]*list.Element{}, order: list.New()} }

func (c *lru[V]) get(key string) (value V, ok bool) {
	e := c.byKey[key]
	if e == nil {
		return value, false
	}
	c.order.MoveToFront(e)
	return e.Value.(*kept[V]).value, true
}

func (c *lru[V]) put(key string, value V, size int) {
	c.byKey[key] = c.order.PushFront(&kept[V]{key, value, int64(size)})
	c.size += int64(size)
}

// resize notes how large what is there has become.
func (c *lru[V]) resize(key string, size int) {
	if e := c.byKey[key]; e != nil {
		k := e.Value.(*kept[V])
		c.size += int64(size) - k.size
		k.size = int64(size)
	}
}

// last lets key go before all others.
func (c *lru[V]) last(key string) {
	if e := c.byKey[key]; e != nil {
		c.order.MoveToBack(e)
	}
}

func (c *lru[V]) drop(key string) {
	if e := c.byKey[key]; e != nil {
		c.remove(e)
	}
}

// trim drops what was not used for longest until the rest has at most so many bytes.
func (c *lru[V]) trim(size int64) {
	for c.size > size {
		c.remove(c.order.Back())
	}
}

func (c *lru[V]) remove(e *list.Element) {
	k := c.order.Remove(e).(*kept[V])
	delete(c.byKey, k.key)
	c.size -= k.size
}
