environment     = "prod"
project         = "crossdock-prod"
image           = "europe-west1-docker.pkg.dev/crossdock-prod/crossdock/crossdock@sha256:0000000000000000000000000000000000000000000000000000000000000000"
operations_page = "https://docs.example.com/crossdock/operations.md"

# No drop waits for a start, and no night's delivery for another's.
capacity = { min_instances = 1, max_instances = 4 }

mysql = {
  tier            = "db-perf-optimized-N-4"
  disk_gib        = 200
  max_connections = 500
}

partners = {
  acme = {
    source_system        = "AcmeERP"
    contacts             = ["data-team@acme.example"]
    reject_limit_percent = 0.5
    members              = ["serviceAccount:exporter@acme-prod.iam.gserviceaccount.com"]
  }
}

notices = {
  teams      = true
  email_to   = ["data-operations@example.com"]
  email_from = "crossdock@example.com"
}

alerts = {
  emails         = ["data-operations@example.com"]
  pager_channels = ["projects/crossdock-prod/notificationChannels/1234567890"]
}
