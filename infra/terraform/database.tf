locals {
  # A stage holds its own connection, its heartbeat's, two that send files, and opens others shortly.
  connections_per_load = 6
  most_connections = (
    length(local.services) * var.capacity.max_instances * var.capacity.loads_per_instance
    * local.connections_per_load
  )
  # For the operator, migrations, backups and Google's own agents.
  spare_connections = 50

  mysql_flags = {
    # The stager fills the staging tables with LOAD DATA LOCAL, from memory; see SECURITY.md.
    local_infile         = "on"
    character_set_server = "utf8mb4"
    default_time_zone    = "+00:00"
    max_connections      = tostring(var.mysql.max_connections)
    # Who takes over a load finds its dead worker's connections there.
    performance_schema = "on"
    # A commit that was answered outlives the machine.
    innodb_flush_log_at_trx_commit = "1"
    sync_binlog                    = "1"
  }

  # The name that the server's certificate is for, with a dot at its end.
  mysql_name = one([
    for one in google_sql_database_instance.this.dns_names : one.name
    if one.connection_type == "PRIVATE_SERVICES_ACCESS" && one.dns_scope == "INSTANCE"
  ])
}

resource "google_sql_database_instance" "this" {
  # checkov:skip=CKV_GCP_6:ENCRYPTED_ONLY asks every connection for TLS; clients are known by their passwords
  # checkov:skip=CKV_GCP_79:The version stands in var.mysql, for an upgrade is decided and rehearsed
  # checkov:skip=CKV_GCP_50:LOAD DATA LOCAL is how rows get in; the client gives no file, only its own stream
  name                = "crossdock"
  database_version    = var.mysql.version
  region              = var.region
  deletion_protection = true

  settings {
    tier                        = var.mysql.tier
    edition                     = startswith(var.mysql.tier, "db-perf-optimized-") ? "ENTERPRISE_PLUS" : "ENTERPRISE"
    availability_type           = var.mysql.highly_available ? "REGIONAL" : "ZONAL"
    disk_type                   = "PD_SSD"
    disk_size                   = var.mysql.disk_gib
    disk_autoresize             = true
    deletion_protection_enabled = true
    retain_backups_on_delete    = true
    user_labels                 = local.labels

    dynamic "database_flags" {
      for_each = local.mysql_flags
      content {
        name  = database_flags.key
        value = database_flags.value
      }
    }

    ip_configuration {
      ipv4_enabled       = false
      private_network    = google_compute_network.this.id
      allocated_ip_range = google_compute_global_address.database.name
      ssl_mode           = "ENCRYPTED_ONLY"
      server_ca_mode     = "GOOGLE_MANAGED_CAS_CA"
    }

    backup_configuration {
      enabled                        = true
      binary_log_enabled             = true
      start_time                     = "02:00"
      location                       = var.region
      transaction_log_retention_days = 7

      backup_retention_settings {
        retained_backups = var.mysql.retained_backups
        retention_unit   = "COUNT"
      }
    }

    maintenance_window {
      day          = 7
      hour         = 3
      update_track = "stable"
    }

    insights_config {
      query_insights_enabled = true
      # Only the shape of a statement: what it was bound to may be a partner's data.
      record_application_tags = false
      record_client_address   = false
    }
  }

  lifecycle {
    prevent_destroy = true

    precondition {
      condition     = local.most_connections + local.spare_connections <= var.mysql.max_connections
      error_message = "capacity allows ${local.most_connections} connections, and ${local.spare_connections} are kept for others: raise mysql.max_connections to ${local.most_connections + local.spare_connections}, or lower capacity."
    }
  }

  depends_on = [google_service_networking_connection.database]
}

resource "google_sql_database" "this" {
  name      = "crossdock"
  instance  = google_sql_database_instance.this.name
  charset   = "utf8mb4"
  collation = "utf8mb4_0900_bin"
}
