# The same stages as pull workers, for loads that take longer than a push may; see var.pull_workers.
resource "google_cloud_run_v2_worker_pool" "this" {
  for_each = var.pull_workers

  name                = "${each.key}-worker"
  location            = var.region
  labels              = local.labels
  deletion_protection = var.environment == "prod"

  scaling {
    scaling_mode          = "MANUAL"
    manual_instance_count = var.capacity.max_instances
  }

  template {
    service_account = google_service_account.workload[each.key].email
    labels          = local.labels

    vpc_access {
      egress = "PRIVATE_RANGES_ONLY"
      network_interfaces {
        network    = google_compute_network.this.id
        subnetwork = google_compute_subnetwork.services.id
      }
    }

    containers {
      image   = var.image
      command = ["python", "-m", "services.${each.key}"]

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

    dynamic "containers" {
      for_each = local.collectors
      content {
        name  = "collector"
        image = containers.value

        resources {
          limits = local.limits
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

  depends_on = [google_secret_manager_secret_iam_member.reader]
}
