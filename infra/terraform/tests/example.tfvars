project         = "example"
environment     = "prod"
image           = "europe-west1-docker.pkg.dev/example/crossdock/crossdock@sha256:1111111111111111111111111111111111111111111111111111111111111111"
operations_page = "https://docs.example.com/operations.md"

partners = {
  acme  = { source_system = "AcmeERP", contacts = ["data@acme.example"], reject_limit_percent = 0.5, members = ["group:acme@example.com"] }
  other = { source_system = "Other", folder = "Other.Folder" }
}

notices = { teams = true, email_to = ["a@example.com", "b@example.com"] }
alerts  = { emails = ["ops@example.com"], pager_channels = ["projects/example/notificationChannels/1"] }
