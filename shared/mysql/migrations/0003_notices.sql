-- Since when a channel is dead shows in the age of what it has not taken.
ALTER TABLE notification ADD COLUMN written_at DATETIME(6) NULL AFTER body;
