-- Which older load is waited for, and since when: another one has a time of its own to be waited for.
ALTER TABLE load_ledger
    ADD COLUMN waiting_for VARCHAR(100) CHARACTER SET ascii COLLATE ascii_bin NULL AFTER waiting_since,
    ADD COLUMN waiting_for_since DATETIME(6) NULL AFTER waiting_for;
