# As production in all but size: what is released was here first.
environment     = "staging"
project         = "crossdock-staging"
image           = "europe-west1-docker.pkg.dev/crossdock-staging/crossdock/crossdock@sha256:0000000000000000000000000000000000000000000000000000000000000000"
operations_page = "https://docs.example.com/crossdock/operations.md"

capacity = { max_instances = 2 }

mysql = {
  tier            = "db-custom-2-7680"
  disk_gib        = 50
  max_connections = 300
}

partners = {
  acme = { source_system = "AcmeERP", members = ["serviceAccount:exporter@acme-staging.iam.gserviceaccount.com"] }
}

alerts = { emails = ["crossdock-staging@example.com"] }
