package store

import "container/list"

// lru holds what was used last. Nothing is dropped before trim is called: what
// a transaction has changed must not be read back before it is written.
type lru[K comparable, V any] struct {
	byKey map[K]*list.Element
	order *list.List // of entry[K, V], newest first
}

type entry[K comparable, V any] struct {
	key   K
	value V
}

func newLRU[K comparable, V any]() lru[K, V] { return lru[K, V]{map[K]*list.Element{}, list.New()} }

func (c *lru[K, V]) get(key K) (value V, ok bool) {
	e := c.byKey[key]
	if e == nil {
		return value, false
	}
	c.order.MoveToFront(e)
	return e.Value.(entry[K, V]).value, true
}

func (c *lru[K, V]) put(key K, value V) {
	c.byKey[key] = c.order.PushFront(entry[K, V]{key, value})
}

func (c *lru[K, V]) drop(key K) {
	if e := c.byKey[key]; e != nil {
		c.order.Remove(e)
		delete(c.byKey, key)
	}
}

func (c *lru[K, V]) trim(limit int) {
	for c.order.Len() > limit {
		e := c.order.Remove(c.order.Back()).(entry[K, V])
		delete(c.byKey, e.key)
	}
}
