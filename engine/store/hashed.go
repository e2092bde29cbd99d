package store

import (
	"context"
	"database/sql"
	"time"
)

// hashed are the rows of a table in the order of its keys, which are hashes:
// each has the time from which its age counts, or null if it stays for good.
type hashed struct {
	*retainer
	table, column string
	keep          time.Duration
	unless        string // a further condition

	after  []byte
	oldest int64 // of those that stay, in microseconds; 0: there are none
	last   *expire
}

func (k *hashed) begin(time.Time) { k.after, k.oldest, k.last = []byte{}, 0, nil }

func (k *hashed) next(ctx context.Context, now time.Time) (j *expire, done bool, due time.Time, err error) {
	cutoff := now.Add(-k.keep).UnixMicro()
	var first, old sql.NullInt64
	var end []byte
	err = k.db.QueryRowContext(ctx, `SELECT max(key), min(iif(old, NULL, at)), sum(old) FROM
		(SELECT key, `+k.column+` AS at, `+k.column+` < ?`+k.unless+` AS old FROM `+k.table+` WHERE key > ? ORDER BY key LIMIT ?)`,
		cutoff, k.after, keysAtOnce).Scan(&end, &first, &old)
	if err != nil {
		return nil, false, due, k.fail(err)
	}
	if first.Valid && (k.oldest == 0 || first.Int64 < k.oldest) {
		k.oldest = first.Int64
	}
	if end == nil {
		// Whatever comes from now on is younger. To look for what is due takes
		// going through the table, and is not done for every row.
		due = now.Add(k.keep)
		if k.oldest != 0 {
			due = earlier(due, at(k.oldest).Add(k.keep))
		}
		if soon := now.Add(max(lookAgain, k.keep/30)); due.Before(soon) {
			due = soon
		}
		return nil, true, due, nil
	}
	after := k.after
	k.after = end
	if old.Int64 == 0 {
		return nil, false, due, nil
	}
	return &expire{do: func(b *batch) (int64, error) {
		return b.w.exec(`DELETE FROM `+k.table+` WHERE key > ? AND key <= ? AND `+k.column+` < ?`+k.unless, after, end, cutoff)
	}}, false, due, nil
}

// buckets are those of keys of deliveries. Bucket 0 stays for good.
type buckets struct {
	*retainer
	keep time.Duration
}

func (*buckets) begin(time.Time) {}

func (k *buckets) next(ctx context.Context, now time.Time) (j *expire, done bool, due time.Time, err error) {
	var first sql.NullInt64
	err = k.db.QueryRowContext(ctx, `SELECT min(bucket) FROM seen WHERE bucket > 0`).Scan(&first)
	if err != nil {
		return nil, false, due, k.fail(err)
	}
	if !first.Valid {
		return nil, true, now.Add(k.keep), nil
	}
	// An hour begins with its bucket, and must have ended.
	due = time.Unix((first.Int64+1)*int64(time.Hour/time.Second), 0).Add(k.keep)
	if due.After(now) {
		return nil, true, due, nil
	}
	return &expire{do: func(b *batch) (int64, error) {
		return b.w.exec(`DELETE FROM seen WHERE (bucket, key) IN (SELECT bucket, key FROM seen WHERE bucket = ? ORDER BY key LIMIT ?)`, first.Int64, keysAtOnce)
	}}, false, due, nil
}
