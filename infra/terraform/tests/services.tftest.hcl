mock_provider "google" {
  source = "./tests/mocks"
}

run "the_four_services_run_the_image_that_was_tested" {
  assert {
    condition = { for name, one in google_cloud_run_v2_service.this : name => one.template[0].containers[0].command } == {
      for name in ["validator", "stager", "upserter", "reporter"] : name => tolist([name])
    }
    error_message = "the services are not the four"
  }
  assert {
    condition     = alltrue([for one in google_cloud_run_v2_service.this : one.template[0].containers[0].image == var.image])
    error_message = "a service runs another image"
  }
  assert {
    condition     = length(google_cloud_run_v2_worker_pool.this) == 0
    error_message = "a worker pool runs though nobody asked for one"
  }
  assert {
    condition     = { for name, one in google_cloud_run_v2_job.this : name => one.template[0].template[0].containers[0].args } == { migrate = tolist(["migrate"]), operator = tolist(["status"]) }
    error_message = "the jobs are not `crossdock migrate` and `crossdock status`"
  }
}

run "an_image_without_a_digest_is_refused" {
  command = plan

  variables {
    image = "europe-west1-docker.pkg.dev/example/crossdock/crossdock:latest"
  }

  expect_failures = [var.image]
}

run "a_service_has_the_time_of_a_push_and_scales_within_its_capacity" {
  command = plan

  variables {
    capacity = { min_instances = 1, max_instances = 3, loads_per_instance = 2 }
  }

  assert {
    condition     = alltrue([for one in google_cloud_run_v2_service.this : one.template[0].timeout == "600s"])
    error_message = "a service is ended before the 600 seconds of a push"
  }
  assert {
    condition = alltrue([
      for one in google_cloud_run_v2_service.this :
      one.template[0].scaling[0].min_instance_count == 1
      && one.template[0].scaling[0].max_instance_count == 3
      && one.template[0].max_instance_request_concurrency == 2
    ])
    error_message = "a service scales otherwise than `capacity` says"
  }
}

run "a_service_is_asked_whether_it_is_well" {
  command = plan

  assert {
    condition     = alltrue([for one in google_cloud_run_v2_service.this : one.template[0].containers[0].startup_probe[0].http_get[0].path == "/health/ready"])
    error_message = "a revision without its database, or with another schema, gets messages"
  }
  assert {
    condition     = alltrue([for one in google_cloud_run_v2_service.this : one.template[0].containers[0].liveness_probe[0].http_get[0].path == "/health/live"])
    error_message = "a service that hangs is not started again"
  }
}

run "a_service_is_reached_from_inside_and_reaches_the_database_by_the_private_network" {
  command = plan

  assert {
    condition     = alltrue([for one in google_cloud_run_v2_service.this : one.ingress == "INGRESS_TRAFFIC_INTERNAL_ONLY"])
    error_message = "a service can be reached from the internet"
  }
  assert {
    condition = alltrue([
      for one in concat(
        [for each in google_cloud_run_v2_service.this : each.template[0].vpc_access[0]],
        [for each in google_cloud_run_v2_job.this : each.template[0].template[0].vpc_access[0]],
      ) :
      one.egress == "PRIVATE_RANGES_ONLY"
      && one.network_interfaces[0].network == google_compute_network.this.id
      && one.network_interfaces[0].subnetwork == google_compute_subnetwork.services.id
    ])
    error_message = "a program has no way to the private network, or sends all its traffic there"
  }
}

run "a_pull_worker_has_what_its_service_has_and_scales_as_far" {
  command = plan

  variables {
    pull_workers = ["validator", "stager", "upserter", "reporter"]
    capacity     = { min_instances = 1, max_instances = 3, loads_per_instance = 2 }
  }

  assert {
    condition     = alltrue([for one in google_cloud_run_v2_worker_pool.this : one.scaling[0].manual_instance_count == 3])
    error_message = "there are more pull workers than `capacity` says, or fewer"
  }
  assert {
    condition = alltrue([
      for one in google_cloud_run_v2_worker_pool.this :
      one.template[0].vpc_access[0].egress == "PRIVATE_RANGES_ONLY"
      && one.template[0].vpc_access[0].network_interfaces[0].network == google_compute_network.this.id
      && one.template[0].vpc_access[0].network_interfaces[0].subnetwork == google_compute_subnetwork.services.id
    ])
    error_message = "a pull worker has no way to the private network, or sends all its traffic there"
  }
  assert {
    condition = {
      for name, one in google_cloud_run_v2_worker_pool.this :
      name => join(" ", sort([for each in one.template[0].containers[0].env : each.value_source[0].secret_key_ref[0].secret if length(each.value_source) > 0]))
      } == {
      validator = "mysql-url-validator smtp-url teams-webhook-url"
      stager    = "mysql-url-stager"
      upserter  = "mysql-url-upserter"
      reporter  = "mysql-url-reporter smtp-url teams-webhook-url"
    }
    error_message = "a pull worker gets another's secret, or lacks one"
  }
}

run "secret_settings_come_from_secret_manager_and_go_to_those_who_need_them" {
  command = plan

  assert {
    condition = {
      for name, one in merge(
        { for name, each in google_cloud_run_v2_service.this : name => each.template[0].containers[0] },
        { for name, each in google_cloud_run_v2_job.this : name => each.template[0].template[0].containers[0] },
      ) : name => { for each in one.env : each.name => each.value_source[0].secret_key_ref[0].secret if length(each.value_source) > 0 }
      } == {
      validator = { CROSSDOCK_MYSQL_URL = "mysql-url-validator", CROSSDOCK_TEAMS_WEBHOOK_URL = "teams-webhook-url", CROSSDOCK_SMTP_URL = "smtp-url" }
      stager    = { CROSSDOCK_MYSQL_URL = "mysql-url-stager" }
      upserter  = { CROSSDOCK_MYSQL_URL = "mysql-url-upserter" }
      reporter  = { CROSSDOCK_MYSQL_URL = "mysql-url-reporter", CROSSDOCK_TEAMS_WEBHOOK_URL = "teams-webhook-url", CROSSDOCK_SMTP_URL = "smtp-url" }
      migrate   = { CROSSDOCK_MYSQL_URL = "mysql-url-migrate" }
      operator  = { CROSSDOCK_MYSQL_URL = "mysql-url-operator", CROSSDOCK_TEAMS_WEBHOOK_URL = "teams-webhook-url", CROSSDOCK_SMTP_URL = "smtp-url" }
    }
    error_message = "a program gets another's secret, or a secret as plain text, or lacks one"
  }
  assert {
    condition = {
      for each in google_cloud_run_v2_service.this["reporter"].template[0].containers[0].env : each.name => each.value
      if length(each.value_source) == 0
      } == {
      CROSSDOCK_PROJECT              = "example"
      CROSSDOCK_BUCKET               = "example-drops"
      CROSSDOCK_PARTNERS_FILE        = "/etc/crossdock/partners/partners.toml"
      SSL_CERT_FILE                  = "/etc/crossdock/mysql-ca/ca.pem"
      CROSSDOCK_PUSH_AUDIENCE        = "https://reporter.example"
      CROSSDOCK_PUSH_SERVICE_ACCOUNT = google_service_account.caller["reporter"].email
      CROSSDOCK_EMAIL_TO             = "a@example.com,b@example.com"
    }
    error_message = "the reporter lacks a setting, or has one that nobody gave"
  }
}

run "without_notices_no_secret_is_made_for_them" {
  command = plan

  variables {
    notices = {}
  }

  assert {
    condition     = length(setintersection(keys(google_secret_manager_secret.this), ["teams-webhook-url", "smtp-url"])) == 0
    error_message = "a secret is made that nobody fills, and services wait for it"
  }
}

run "the_list_of_partners_is_made_of_the_same_map_as_their_rights" {
  command = plan

  assert {
    condition     = google_secret_manager_secret_version.file["partners-toml"].secret_data == file("tests/partners.expected")
    error_message = "partners.toml does not say what var.partners says"
  }
  assert {
    condition = alltrue([
      for one in google_cloud_run_v2_service.this :
      { for volume in one.template[0].volumes : volume.secret[0].secret => volume.secret[0].items[*].path } == {
        "partners-toml" = tolist(["partners.toml"])
        "mysql-ca"      = tolist(["ca.pem"])
      }
      && { for mount in one.template[0].containers[0].volume_mounts : mount.name => mount.mount_path } == {
        "partners-toml" = "/etc/crossdock/partners"
        "mysql-ca"      = "/etc/crossdock/mysql-ca"
      }
    ])
    error_message = "a service does not find its list of partners or the database's authority where its settings say"
  }
}

run "images_are_kept_under_tags_that_never_move" {
  command = plan

  assert {
    condition     = google_artifact_registry_repository.images.format == "DOCKER" && google_artifact_registry_repository.images.docker_config[0].immutable_tags
    error_message = "a tag can be moved to another image"
  }
  assert {
    condition     = one([for each in google_artifact_registry_repository.images.cleanup_policies : each.most_recent_versions[0].keep_count if each.action == "KEEP"]) == 20
    error_message = "there may be no older image to go back to"
  }
}

run "without_a_collector_nothing_is_traced_and_a_service_rests_between_requests" {
  command = plan

  assert {
    condition = alltrue([
      for one in google_cloud_run_v2_service.this :
      length(one.template[0].containers) == 1
      && one.template[0].containers[0].resources[0].cpu_idle
      && !contains(one.template[0].containers[0].env[*].name, "OTEL_EXPORTER_OTLP_ENDPOINT")
    ])
    error_message = "a service exports to nobody, or pays for a processor that it has no use of"
  }
  assert {
    condition     = length(google_project_iam_member.collector) == 0
    error_message = "a service may write traces though it has none"
  }
}

run "a_collector_stands_beside_every_service_and_pull_worker" {
  command = plan

  variables {
    collector_image = "europe-west1-docker.pkg.dev/example/crossdock/collector@sha256:1111111111111111111111111111111111111111111111111111111111111111"
    pull_workers    = ["stager"]
  }

  assert {
    condition = alltrue([
      for one in concat(values(google_cloud_run_v2_service.this), values(google_cloud_run_v2_worker_pool.this)) :
      one.template[0].containers[*].image == tolist([var.image, var.collector_image])
      && one([for each in one.template[0].containers[0].env : each.value if each.name == "OTEL_EXPORTER_OTLP_ENDPOINT"]) == "http://localhost:4318"
    ])
    error_message = "a service or a pull worker has no collector, or does not know where it is"
  }
  assert {
    condition     = alltrue(flatten([for one in google_cloud_run_v2_service.this : [for each in one.template[0].containers : !each.resources[0].cpu_idle]]))
    error_message = "a service cannot send its traces between two requests"
  }
  assert {
    condition     = alltrue([for one in google_cloud_run_v2_service.this : length([for each in one.template[0].containers : each if length(each.ports) > 0]) == 1])
    error_message = "more than one container of a service takes requests"
  }
  assert {
    condition = toset([for one in google_project_iam_member.collector : "${one.member} ${one.role}"]) == toset([
      for pair in setproduct(["validator", "stager", "upserter", "reporter"], ["roles/cloudtrace.agent", "roles/monitoring.metricWriter"]) :
      "${google_service_account.workload[pair[0]].member} ${pair[1]}"
    ])
    error_message = "a service may not write its traces and metrics, or may do more"
  }
  assert {
    condition     = length(setsubtract(["cloudtrace", "telemetry"], keys(google_project_service.this))) == 0
    error_message = "the project takes no traces"
  }
}

run "a_collector_without_a_digest_is_refused" {
  command = plan

  variables {
    collector_image = "europe-west1-docker.pkg.dev/example/crossdock/collector:latest"
  }

  expect_failures = [var.collector_image]
}
