mock_provider "google" {
  source = "./tests/mocks"
}

run "the_database_is_reached_by_the_private_network_and_by_tls_alone" {
  assert {
    condition = (
      google_sql_database_instance.this.settings[0].ip_configuration[0].ipv4_enabled == false
      && google_sql_database_instance.this.settings[0].ip_configuration[0].private_network == google_compute_network.this.id
      && length(google_sql_database_instance.this.settings[0].ip_configuration[0].authorized_networks) == 0
    )
    error_message = "the database has a public address"
  }
  assert {
    condition     = google_sql_database_instance.this.settings[0].ip_configuration[0].ssl_mode == "ENCRYPTED_ONLY"
    error_message = "the database takes connections without TLS"
  }
  assert {
    condition = (
      google_service_networking_connection.database.network == google_compute_network.this.id
      && google_service_networking_connection.database.reserved_peering_ranges == tolist([google_compute_global_address.database.name])
    )
    error_message = "the database's network is not joined to the services'"
  }
}

run "the_databases_certificate_is_for_the_name_that_clients_use" {
  command = plan

  assert {
    condition     = google_sql_database_instance.this.settings[0].ip_configuration[0].server_ca_mode == "GOOGLE_MANAGED_CAS_CA"
    error_message = "the server's certificate does not name its host"
  }
  assert {
    condition = (
      google_dns_managed_zone.database.dns_name == "private.sql-psa.goog."
      && google_dns_managed_zone.database.visibility == "private"
      && google_dns_record_set.database.name == "private.sql-psa.goog."
      && google_dns_record_set.database.rrdatas == tolist(["10.81.0.3"])
      && output.mysql_host == "private.sql-psa.goog"
    )
    error_message = "the name of the certificate does not lead to the database"
  }
  assert {
    condition     = google_secret_manager_secret_version.file["mysql-ca"].secret_data == "-----BEGIN CERTIFICATE-----"
    error_message = "services are not given the authority that vouches for the database"
  }
}

run "from_the_services_network_nothing_is_reached_but_the_database" {
  command = plan

  assert {
    condition = (
      google_compute_firewall.to_database.direction == "EGRESS"
      && google_compute_firewall.to_database.destination_ranges == toset(["10.81.0.0/20"])
      && one(google_compute_firewall.to_database.allow).protocol == "tcp"
      && one(google_compute_firewall.to_database.allow).ports == tolist(["3306"])
    )
    error_message = "the way to the database is closed, or wider than its port"
  }
  assert {
    condition = (
      google_compute_firewall.nothing_else.direction == "EGRESS"
      && google_compute_firewall.nothing_else.destination_ranges == toset(["0.0.0.0/0"])
      && one(google_compute_firewall.nothing_else.deny).protocol == "all"
      && google_compute_firewall.nothing_else.priority > google_compute_firewall.to_database.priority
    )
    error_message = "other ways out of the network are open"
  }
}

run "the_database_can_be_brought_back_to_any_moment_of_a_week" {
  command = plan

  assert {
    condition = (
      google_sql_database_instance.this.settings[0].backup_configuration[0].enabled
      && google_sql_database_instance.this.settings[0].backup_configuration[0].binary_log_enabled
      && google_sql_database_instance.this.settings[0].backup_configuration[0].transaction_log_retention_days == 7
    )
    error_message = "there are no backups, or no binary log to go on from them"
  }
  assert {
    condition     = google_sql_database_instance.this.settings[0].backup_configuration[0].backup_retention_settings[0].retained_backups == 30
    error_message = "backups of a month are not kept"
  }
}

run "the_database_is_not_deleted_by_mistake" {
  command = plan

  assert {
    condition = (
      google_sql_database_instance.this.deletion_protection
      && google_sql_database_instance.this.settings[0].deletion_protection_enabled
      && google_sql_database_instance.this.settings[0].retain_backups_on_delete
    )
    error_message = "the database, or its backups with it, can be deleted"
  }
}

run "the_server_has_the_settings_that_the_stages_count_on" {
  command = plan

  assert {
    condition = { for flag in google_sql_database_instance.this.settings[0].database_flags : flag.name => flag.value } == {
      local_infile                   = "on"
      character_set_server           = "utf8mb4"
      default_time_zone              = "+00:00"
      max_connections                = "500"
      performance_schema             = "on"
      innodb_flush_log_at_trx_commit = "1"
      sync_binlog                    = "1"
    }
    error_message = "the server's flags are others than the stages count on"
  }
  assert {
    condition     = google_sql_database.this.charset == "utf8mb4" && google_sql_database.this.collation == "utf8mb4_0900_bin"
    error_message = "the database does not compare text byte for byte"
  }
  assert {
    condition     = google_sql_database_instance.this.settings[0].availability_type == "REGIONAL"
    error_message = "there is no second server"
  }
}

run "more_loads_than_the_database_has_connections_for_are_refused" {
  command = plan

  variables {
    capacity = { max_instances = 5 }
  }

  expect_failures = [google_sql_database_instance.this]
}
