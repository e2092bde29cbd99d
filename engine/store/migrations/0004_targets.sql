-- +goose Up

-- What a held run waits for: it goes on when that is called.
ALTER TABLE runs ADD COLUMN target TEXT;
CREATE INDEX runs_target ON runs (target) WHERE target IS NOT NULL;
