-- Where in a trace an event was written: whoever publishes it, also much later, goes on from there.
ALTER TABLE outbox ADD COLUMN traceparent VARCHAR(55) CHARACTER SET ascii COLLATE ascii_bin NULL;
