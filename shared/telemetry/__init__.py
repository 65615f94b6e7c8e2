"""What the project tells of itself while it works: traces and metrics, by OpenTelemetry."""
