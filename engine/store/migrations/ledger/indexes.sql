DROP TABLE entries_old;

CREATE UNIQUE INDEX entries_id ON entries (id);
CREATE UNIQUE INDEX entries_number ON entries (tenant, number);
-- Billed once: by session or key, and by step.
CREATE UNIQUE INDEX entries_key ON entries (tenant, source, key, meter) WHERE kind = 'usage';
CREATE UNIQUE INDEX entries_step ON entries (step) WHERE step IS NOT NULL;
CREATE INDEX entries_corrects ON entries (corrects) WHERE corrects <> '';
-- The newest one of a month, customer and meter has the total.
CREATE INDEX entries_month ON entries (tenant, period, customer, meter, number);
CREATE INDEX entries_closed ON entries (tenant, period) WHERE kind = 'close';
CREATE INDEX entries_at ON entries (at);

-- REPLACE deletes without asking a trigger for DELETE.
CREATE TRIGGER entries_once BEFORE INSERT ON entries
WHEN EXISTS (SELECT 1 FROM entries WHERE seq = NEW.seq OR id = NEW.id OR (tenant = NEW.tenant AND number = NEW.number))
    OR EXISTS (SELECT 1 FROM entries WHERE step = NEW.step AND step IS NOT NULL)
    OR NEW.kind = 'usage' AND EXISTS (SELECT 1 FROM entries
        WHERE kind = 'usage' AND tenant = NEW.tenant AND source = NEW.source AND key = NEW.key AND meter = NEW.meter)
BEGIN
    SELECT RAISE(ABORT, 'ledger entries are never replaced');
END;

CREATE TRIGGER entries_keep BEFORE UPDATE ON entries
BEGIN
    SELECT RAISE(ABORT, 'ledger entries are never changed');
END;

CREATE TRIGGER entries_stay BEFORE DELETE ON entries
BEGIN
    SELECT RAISE(ABORT, 'ledger entries are never deleted');
END;

CREATE TRIGGER chains_grow BEFORE UPDATE ON chains
WHEN NEW.tenant <> OLD.tenant OR NEW.number <= OLD.number
BEGIN
    SELECT RAISE(ABORT, 'the end of a ledger only moves on');
END;

CREATE TRIGGER chains_stay BEFORE DELETE ON chains
BEGIN
    SELECT RAISE(ABORT, 'the end of a ledger is never deleted');
END;
