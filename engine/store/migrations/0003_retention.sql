-- +goose Up

-- Of keys of once: that have their session in them, its seq and when they were
-- used up: long after the session they may be forgotten. Null: never.
ALTER TABLE guards ADD COLUMN session INTEGER;
ALTER TABLE guards ADD COLUMN used INTEGER;

-- Until when an event could be counted with it that comes in time; null: not
-- known, or it stays until its digest is made.
ALTER TABLE gathered ADD COLUMN until INTEGER;

-- When other rules took their place; null: they are in force.
ALTER TABLE revisions ADD COLUMN replaced INTEGER;
