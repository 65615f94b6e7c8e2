# `crossdock` inside the network: `migrate` brings the schema up to date, `operator` runs any command:
#   gcloud run jobs execute operator --region REGION --wait --args=status,LOAD_ID
locals {
  job_arguments = { migrate = ["migrate"], operator = ["status"] }
}

resource "google_cloud_run_v2_job" "this" {
  for_each = local.jobs

  name                = each.key
  location            = var.region
  labels              = local.labels
  deletion_protection = var.environment == "prod"

  template {
    template {
      service_account = google_service_account.workload[each.key].email
      timeout         = "3600s"
      max_retries     = 0

      vpc_access {
        egress = "PRIVATE_RANGES_ONLY"
        network_interfaces {
          network    = google_compute_network.this.id
          subnetwork = google_compute_subnetwork.services.id
        }
      }

      containers {
        image   = var.image
        command = ["python", "-m", "crossdock"]
        args    = local.job_arguments[each.key]

        resources {
          limits = local.limits
        }

        dynamic "env" {
          for_each = local.plain_settings[each.key]
          content {
            name  = env.key
            value = env.value
          }
        }

        dynamic "env" {
          for_each = local.secret_settings[each.key]
          content {
            name = env.key
            value_source {
              secret_key_ref {
                secret  = google_secret_manager_secret.this[env.value].secret_id
                version = "latest"
              }
            }
          }
        }

        dynamic "volume_mounts" {
          for_each = local.mounted_files
          content {
            name       = volume_mounts.key
            mount_path = volume_mounts.value.folder
          }
        }
      }

      dynamic "volumes" {
        for_each = local.mounted_files
        content {
          name = volumes.key
          secret {
            secret = google_secret_manager_secret.this[volumes.key].secret_id
            items {
              version = google_secret_manager_secret_version.file[volumes.key].version
              path    = volumes.value.file
            }
          }
        }
      }
    }
  }

  depends_on = [google_secret_manager_secret_iam_member.reader]
}
