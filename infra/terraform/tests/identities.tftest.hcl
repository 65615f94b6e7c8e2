mock_provider "google" {
  source = "./tests/mocks"
}

run "every_program_runs_as_itself" {
  assert {
    condition     = toset(keys(google_service_account.workload)) == toset(["validator", "stager", "upserter", "reporter", "migrate", "operator"])
    error_message = "a program has no account of its own"
  }
  assert {
    condition     = alltrue([for name, one in google_cloud_run_v2_service.this : one.template[0].service_account == google_service_account.workload[name].email])
    error_message = "a service runs as another"
  }
  assert {
    condition     = alltrue([for name, one in google_cloud_run_v2_job.this : one.template[0].template[0].service_account == google_service_account.workload[name].email])
    error_message = "a job runs as another"
  }
}

run "a_pull_worker_runs_as_its_stage" {
  variables {
    pull_workers = ["validator", "stager", "upserter", "reporter"]
  }

  assert {
    condition     = length(google_cloud_run_v2_worker_pool.this) == 4 && alltrue([for name, one in google_cloud_run_v2_worker_pool.this : one.template[0].service_account == google_service_account.workload[name].email])
    error_message = "a pull worker runs as another"
  }
}

run "a_service_can_be_called_by_its_own_caller_and_by_nobody_else" {
  command = plan

  assert {
    condition = { for name, one in google_cloud_run_v2_service_iam_member.caller : name => [one.name, one.role, one.member] } == {
      for name in ["validator", "stager", "upserter", "reporter"] :
      name => [google_cloud_run_v2_service.this[name].name, "roles/run.invoker", google_service_account.caller[name].member]
    }
    error_message = "somebody else than its caller may call a service"
  }
}

run "an_operator_may_look_at_each_subscription_and_take_nothing_from_it" {
  command = plan

  assert {
    condition = (
      keys(google_pubsub_subscription_iam_member.operator) == keys(google_pubsub_subscription.this)
      && alltrue([
        for one in google_pubsub_subscription_iam_member.operator :
        one.role == "roles/pubsub.viewer" && one.member == google_service_account.workload["operator"].member
      ])
    )
    error_message = "`crossdock doctor` cannot see a subscription, or an operator may take messages"
  }
}

run "a_program_publishes_events_and_only_pubsub_publishes_dead_letters" {
  command = plan

  assert {
    condition = toset(keys(google_pubsub_topic_iam_member.service)) == toset([
      for pair in setproduct(
        ["validator", "stager", "upserter", "reporter", "operator"],
        ["manifest.arrived", "manifest.validated", "staged", "upserted", "reported", "failed"],
      ) : "${pair[0]}/${pair[1]}"
    ])
    error_message = "a stage cannot send what waits in the outbox, or somebody can publish who has nothing to say"
  }
  assert {
    condition = alltrue([
      for key, one in google_pubsub_topic_iam_member.service :
      one.role == "roles/pubsub.publisher"
      && one.topic == google_pubsub_topic.this[split("/", key)[1]].id
      && one.member == google_service_account.workload[split("/", key)[0]].member
    ])
    error_message = "a right to publish is another than its name says"
  }
}

run "the_bucket_lets_each_program_do_what_its_code_does" {
  command = plan

  assert {
    condition = {
      for key, one in google_storage_bucket_iam_member.objects : key => [one.role, one.member, one.condition[0].expression]
      if !startswith(key, "partner/")
      } == {
      "validator/get"      = [google_project_iam_custom_role.objects["get"].id, google_service_account.workload["validator"].member, "resource.name.startsWith(\"projects/_/buckets/example-drops/objects/imports/\")"]
      "validator/list"     = [google_project_iam_custom_role.objects["list"].id, google_service_account.workload["validator"].member, "resource.name == \"projects/_/buckets/example-drops\" && api.getAttribute(\"storage.googleapis.com/objectListPrefix\", \"\").startsWith(\"imports/\")"]
      "stager/get"         = [google_project_iam_custom_role.objects["get"].id, google_service_account.workload["stager"].member, "resource.name.startsWith(\"projects/_/buckets/example-drops/objects/imports/\")"]
      "reporter/list"      = [google_project_iam_custom_role.objects["list"].id, google_service_account.workload["reporter"].member, "resource.name == \"projects/_/buckets/example-drops\" && api.getAttribute(\"storage.googleapis.com/objectListPrefix\", \"\").startsWith(\"imports/\")"]
      "reporter/overwrite" = [google_project_iam_custom_role.objects["overwrite"].id, google_service_account.workload["reporter"].member, "resource.name.startsWith(\"projects/_/buckets/example-drops/objects/acks/\")"]
      "operator/get"       = [google_project_iam_custom_role.objects["get"].id, google_service_account.workload["operator"].member, "resource.name.startsWith(\"projects/_/buckets/example-drops/objects/imports/\")"]
      "operator/list"      = [google_project_iam_custom_role.objects["list"].id, google_service_account.workload["operator"].member, "resource.name == \"projects/_/buckets/example-drops\" && api.getAttribute(\"storage.googleapis.com/objectListPrefix\", \"\").startsWith(\"imports/\")"]
      "operator/overwrite" = [google_project_iam_custom_role.objects["overwrite"].id, google_service_account.workload["operator"].member, "resource.name.startsWith(\"projects/_/buckets/example-drops/objects/acks/\")"]
    }
    error_message = "a program may do more in the bucket than it does, or less; or elsewhere"
  }
  assert {
    condition = { for verb, role in google_project_iam_custom_role.objects : verb => role.permissions } == {
      get       = toset(["storage.objects.get"])
      list      = toset(["storage.objects.list"])
      create    = toset(["storage.objects.create"])
      overwrite = toset(["storage.objects.create", "storage.objects.delete"])
    }
    error_message = "a role for objects brings another permission along"
  }
}

run "a_partner_creates_in_its_own_folder_reads_its_own_acks_and_can_do_nothing_else" {
  command = plan

  assert {
    condition = {
      for key, one in google_storage_bucket_iam_member.objects : key => [one.role, one.member, one.condition[0].expression]
      if startswith(key, "partner/")
      } == merge([
        for who in [
          { key = "partner/acme/group:acme@example.com", member = "group:acme@example.com", folder = "acme" },
          { key = "partner/acme/account", member = google_service_account.partner["acme"].member, folder = "acme" },
          { key = "partner/other/account", member = google_service_account.partner["other"].member, folder = "Other.Folder" },
          ] : {
          "${who.key}/create" = [google_project_iam_custom_role.objects["create"].id, who.member, "resource.name.startsWith(\"projects/_/buckets/example-drops/objects/imports/${who.folder}/\")"]
          "${who.key}/get"    = [google_project_iam_custom_role.objects["get"].id, who.member, "resource.name.startsWith(\"projects/_/buckets/example-drops/objects/acks/${who.folder}/\")"]
          "${who.key}/list"   = [google_project_iam_custom_role.objects["list"].id, who.member, "resource.name == \"projects/_/buckets/example-drops\" && api.getAttribute(\"storage.googleapis.com/objectListPrefix\", \"\").startsWith(\"acks/${who.folder}/\")"]
        }
    ]...)
    error_message = "a partner may do more than create in its folder and read its acks, or less"
  }
}

run "a_partner_that_could_be_taken_for_another_is_refused" {
  command = plan

  variables {
    partners = {
      acme  = { source_system = "A", folder = "same" }
      other = { source_system = "B", folder = "same" }
    }
  }

  expect_failures = [var.partners]
}

run "a_folder_that_would_change_an_iam_condition_is_refused" {
  command = plan

  variables {
    partners = { acme = { source_system = "A", folder = "a\") || true || (\"" } }
  }

  expect_failures = [var.partners]
}

run "nobody_delivers_for_a_partner_without_a_name" {
  command = plan

  variables {
    partners = { acme = { source_system = "A", members = ["allUsers"] } }
  }

  expect_failures = [var.partners]
}

run "who_touched_which_object_is_written_down" {
  command = plan

  assert {
    condition = (
      google_project_iam_audit_config.storage.service == "storage.googleapis.com"
      && toset([for one in google_project_iam_audit_config.storage.audit_log_config : one.log_type]) == toset(["DATA_READ", "DATA_WRITE"])
    )
    error_message = "reads or writes of objects are not in the audit log"
  }
}

run "every_program_has_a_mysql_account_of_its_own" {
  command = plan

  assert {
    condition = output.mysql_accounts == {
      mysql-url-validator = "crossdock_validator"
      mysql-url-stager    = "crossdock_stager"
      mysql-url-upserter  = "crossdock_upserter"
      mysql-url-reporter  = "crossdock_reporter"
      mysql-url-migrate   = "crossdock_migrate"
      mysql-url-operator  = "crossdock_operator"
    }
    error_message = "two programs share a MySQL account, or one has none"
  }
  assert {
    condition = alltrue([
      for secret in keys(output.mysql_accounts) :
      [for key, one in google_secret_manager_secret_iam_member.reader : key if startswith(key, "${secret}/")]
      == ["${secret}/${trimprefix(secret, "mysql-url-")}"]
    ])
    error_message = "a program's MySQL password can be read by another program"
  }
}

run "a_program_reads_its_own_secrets_only" {
  command = plan

  assert {
    condition = toset(keys(google_secret_manager_secret_iam_member.reader)) == setunion(
      [for name in ["validator", "stager", "upserter", "reporter", "migrate", "operator"] : "mysql-url-${name}/${name}"],
      [for name in ["validator", "reporter", "operator"] : "teams-webhook-url/${name}"],
      [for name in ["validator", "reporter", "operator"] : "smtp-url/${name}"],
      [for pair in setproduct(["partners-toml", "mysql-ca"], ["validator", "stager", "upserter", "reporter", "migrate", "operator"]) : "${pair[0]}/${pair[1]}"],
    )
    error_message = "a program may read another's secret, or not its own"
  }
  assert {
    condition = alltrue([
      for key, one in google_secret_manager_secret_iam_member.reader :
      one.role == "roles/secretmanager.secretAccessor"
      && one.secret_id == google_secret_manager_secret.this[split("/", key)[0]].id
      && one.member == google_service_account.workload[split("/", key)[1]].member
    ])
    error_message = "a right to a secret is another than its name says"
  }
  assert {
    condition     = toset(keys(google_secret_manager_secret_version.file)) == toset(["partners-toml", "mysql-ca"])
    error_message = "a secret's content would stand in Terraform's state"
  }
}
