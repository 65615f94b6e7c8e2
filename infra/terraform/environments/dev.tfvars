# A project of its own, small, and gone for a while without harm.
environment     = "dev"
project         = "crossdock-dev"
image           = "europe-west1-docker.pkg.dev/crossdock-dev/crossdock/crossdock@sha256:0000000000000000000000000000000000000000000000000000000000000000"
operations_page = "https://docs.example.com/crossdock/operations.md"

capacity = { max_instances = 1, loads_per_instance = 2 }

mysql = {
  tier             = "db-custom-1-3840"
  disk_gib         = 20
  highly_available = false
  max_connections  = 100
  retained_backups = 7
}

partners = {
  acme = { source_system = "AcmeERP" }
}

settings = { CROSSDOCK_LOG_LEVEL = "debug" }
