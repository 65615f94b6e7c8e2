locals {
  # What docs/settings.md asks for; the secret ones stand in secrets.tf.
  plain_settings = {
    for workload in local.workloads : workload => merge(
      {
        CROSSDOCK_PROJECT       = var.project
        CROSSDOCK_BUCKET        = google_storage_bucket.drops.name
        CROSSDOCK_PARTNERS_FILE = "/etc/crossdock/partners/partners.toml"
        # Beside the public authorities, the one that vouches for the database.
        SSL_CERT_FILE = "/etc/crossdock/mysql-ca/ca.pem"
      },
      contains(local.services, workload) ? {
        CROSSDOCK_PUSH_AUDIENCE        = local.audiences[workload]
        CROSSDOCK_PUSH_SERVICE_ACCOUNT = google_service_account.caller[workload].email
      } : {},
      length(var.notices.email_to) > 0 && contains(local.tellers, workload) ? merge(
        { CROSSDOCK_EMAIL_TO = join(",", var.notices.email_to) },
        var.notices.email_from == null ? {} : { CROSSDOCK_EMAIL_FROM = var.notices.email_from },
      ) : {},
      length(local.collectors) > 0 && contains(local.services, workload) ? {
        OTEL_EXPORTER_OTLP_ENDPOINT = "http://localhost:4318"
      } : {},
      var.settings,
    )
  }

  mounted_files = {
    "partners-toml" = { folder = "/etc/crossdock/partners", file = "partners.toml" }
    "mysql-ca"      = { folder = "/etc/crossdock/mysql-ca", file = "ca.pem" }
  }

  limits = { cpu = "1", memory = "512Mi" }
}

resource "google_cloud_run_v2_service" "this" {
  for_each = local.pushed_services

  name                = each.key
  location            = var.region
  labels              = local.labels
  ingress             = "INGRESS_TRAFFIC_INTERNAL_ONLY"
  custom_audiences    = [local.audiences[each.key]]
  deletion_protection = var.environment == "prod"

  template {
    service_account                  = google_service_account.workload[each.key].email
    timeout                          = "600s"
    max_instance_request_concurrency = var.capacity.loads_per_instance
    execution_environment            = "EXECUTION_ENVIRONMENT_GEN2"
    labels                           = local.labels

    scaling {
      min_instance_count = var.capacity.min_instances
      max_instance_count = var.capacity.max_instances
    }

    vpc_access {
      egress = "PRIVATE_RANGES_ONLY"
      network_interfaces {
        network    = google_compute_network.this.id
        subnetwork = google_compute_subnetwork.services.id
      }
    }

    containers {
      image   = var.image
      command = [each.key]

      ports {
        container_port = 8080
      }

      resources {
        limits = local.limits
        # Traces leave between two requests, too.
        cpu_idle          = length(local.collectors) == 0
        startup_cpu_boost = true
      }

      # A revision that does not find its database, or an older schema, gets no messages.
      startup_probe {
        period_seconds    = 10
        timeout_seconds   = 5
        failure_threshold = 12
        http_get {
          path = "/health/ready"
        }
      }

      liveness_probe {
        period_seconds    = 30
        timeout_seconds   = 10
        failure_threshold = 3
        http_get {
          path = "/health/live"
        }
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
          limits   = local.limits
          cpu_idle = false
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
