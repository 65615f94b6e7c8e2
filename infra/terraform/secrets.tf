# Terraform makes the boxes; what is inside is put in by a person and never comes into the state.
# The two files at the end are no secrets, but Cloud Run mounts files from here.
locals {
  secrets = merge(
    { for workload in local.workloads : "mysql-url-${workload}" => toset([workload]) },
    var.notices.teams ? { "teams-webhook-url" = local.tellers } : {},
    length(var.notices.email_to) > 0 ? { "smtp-url" = local.tellers } : {},
    { for name in keys(local.files) : name => local.workloads },
  )

  files = {
    "partners-toml" = local.partners_toml
    "mysql-ca"      = join("\n", google_sql_database_instance.this.server_ca_cert[*].cert)
  }

  # Environment variable → secret, for each program.
  secret_settings = {
    for workload in local.workloads : workload => merge(
      { CROSSDOCK_MYSQL_URL = "mysql-url-${workload}" },
      var.notices.teams && contains(local.tellers, workload) ? { CROSSDOCK_TEAMS_WEBHOOK_URL = "teams-webhook-url" } : {},
      length(var.notices.email_to) > 0 && contains(local.tellers, workload) ? { CROSSDOCK_SMTP_URL = "smtp-url" } : {},
    )
  }
}

resource "google_secret_manager_secret" "this" {
  for_each = local.secrets

  secret_id           = each.key
  labels              = local.labels
  deletion_protection = true

  replication {
    user_managed {
      replicas {
        location = var.region
      }
    }
  }

  depends_on = [google_project_service.this]
}

resource "google_secret_manager_secret_iam_member" "reader" {
  for_each = merge([
    for secret, readers in local.secrets : {
      for reader in readers : "${secret}/${reader}" => { secret = secret, reader = reader }
    }
  ]...)

  secret_id = google_secret_manager_secret.this[each.value.secret].id
  role      = "roles/secretmanager.secretAccessor"
  member    = google_service_account.workload[each.value.reader].member
}

resource "google_secret_manager_secret_version" "file" {
  for_each = local.files

  secret      = google_secret_manager_secret.this[each.key].id
  secret_data = each.value
}
