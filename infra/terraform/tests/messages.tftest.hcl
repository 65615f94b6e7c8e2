mock_provider "google" {
  source = "./tests/mocks"
}

run "every_topic_keeps_its_messages_for_a_replay" {
  assert {
    condition = toset(keys(google_pubsub_topic.this)) == toset([
      "manifest.arrived", "manifest.validated", "staged", "upserted", "reported", "failed", "dead-letter",
    ])
    error_message = "the topics are not those of docs/events.md"
  }
  assert {
    condition     = alltrue([for name, topic in google_pubsub_topic.this : topic.name == name && topic.message_retention_duration == "604800s"])
    error_message = "a topic has another name than its event, or forgets its messages before 7 days are over"
  }
  assert {
    condition     = alltrue([for one in google_pubsub_subscription.this : one.retain_acked_messages && one.message_retention_duration == "604800s"])
    error_message = "a subscription cannot be set back by 7 days"
  }
}

run "every_stage_is_pushed_what_it_takes" {
  command = plan

  assert {
    condition = { for name, one in google_pubsub_subscription.this : name => one.topic } == {
      "validator.manifest.arrived" = google_pubsub_topic.this["manifest.arrived"].id
      "stager.manifest.validated"  = google_pubsub_topic.this["manifest.validated"].id
      "upserter.staged"            = google_pubsub_topic.this["staged"].id
      "reporter.upserted"          = google_pubsub_topic.this["upserted"].id
      "reporter.failed"            = google_pubsub_topic.this["failed"].id
      "reporter.dead-letter"       = google_pubsub_topic.this["dead-letter"].id
    }
    error_message = "the subscriptions are not those of docs/events.md"
  }
  assert {
    condition     = alltrue([for one in google_pubsub_subscription.this : one.ack_deadline_seconds == 600])
    error_message = "a subscription sends a message again before the 600 seconds of a push are over"
  }
  assert {
    condition     = alltrue([for one in google_pubsub_subscription.this : one.expiration_policy[0].ttl == ""])
    error_message = "a subscription expires when nothing came for a while"
  }
  assert {
    condition = alltrue([
      for name, one in google_pubsub_subscription.this :
      one.push_config[0].push_endpoint == (
        name == "reporter.dead-letter"
        ? "${google_cloud_run_v2_service.this["reporter"].uri}/pubsub/dead-letter"
        : "${google_cloud_run_v2_service.this[split(".", name)[0]].uri}/pubsub/push"
      )
    ])
    error_message = "a subscription pushes to another place than its service's endpoint"
  }
}

run "every_push_has_a_token_that_its_service_asks_for" {
  command = plan

  assert {
    condition = alltrue([
      for name, one in google_pubsub_subscription.this :
      one.push_config[0].oidc_token[0].service_account_email == google_service_account.caller[split(".", name)[0]].email
      && one.push_config[0].oidc_token[0].audience == "https://${split(".", name)[0]}.example"
    ])
    error_message = "a push has no token, or one of another account or audience"
  }
  assert {
    condition = alltrue([
      for name, one in google_cloud_run_v2_service.this :
      { for each in one.template[0].containers[0].env : each.name => each.value }["CROSSDOCK_PUSH_AUDIENCE"] == "https://${name}.example"
      && { for each in one.template[0].containers[0].env : each.name => each.value }["CROSSDOCK_PUSH_SERVICE_ACCOUNT"] == google_service_account.caller[name].email
      && one.custom_audiences == tolist(["https://${name}.example"])
    ])
    error_message = "a service asks for another token than its subscriptions and its scheduler send"
  }
  assert {
    condition = alltrue([
      for name, one in google_service_account_iam_member.caller_tokens :
      one.service_account_id == google_service_account.caller[name].name
      && one.role == "roles/iam.serviceAccountOpenIdTokenCreator"
      && one.member == "serviceAccount:service-123456789012@gcp-sa-pubsub.iam.gserviceaccount.com"
    ]) && length(google_service_account_iam_member.caller_tokens) == 4
    error_message = "Pub/Sub may not make the tokens of its pushes, or may make others"
  }
}

run "what_nobody_can_take_becomes_a_dead_letter_and_a_dead_letter_is_never_given_up" {
  command = plan

  assert {
    condition = alltrue([
      for name, one in google_pubsub_subscription.this :
      one.dead_letter_policy[0].dead_letter_topic == google_pubsub_topic.this["dead-letter"].id
      && one.dead_letter_policy[0].max_delivery_attempts == 10
      if name != "reporter.dead-letter"
    ])
    error_message = "a subscription does not give a message up after 10 deliveries"
  }
  assert {
    condition     = length(google_pubsub_subscription.this["reporter.dead-letter"].dead_letter_policy) == 0
    error_message = "a dead letter can be given up, and would be lost"
  }
  assert {
    condition = alltrue([
      for one in google_pubsub_subscription.this :
      one.retry_policy[0].minimum_backoff == "10s" && one.retry_policy[0].maximum_backoff == "600s"
    ])
    error_message = "a subscription has no retry policy: an outage would make dead letters within seconds"
  }
  assert {
    condition = (
      google_pubsub_topic_iam_member.dead_letters.topic == google_pubsub_topic.this["dead-letter"].id
      && google_pubsub_topic_iam_member.dead_letters.role == "roles/pubsub.publisher"
      && google_pubsub_topic_iam_member.dead_letters.member == "serviceAccount:service-123456789012@gcp-sa-pubsub.iam.gserviceaccount.com"
    )
    error_message = "Pub/Sub's agent may not publish dead letters"
  }
  assert {
    condition = toset(keys(google_pubsub_subscription_iam_member.dead_letters)) == setsubtract(
      keys(google_pubsub_subscription.this), ["reporter.dead-letter"]
      ) && alltrue([
        for name, one in google_pubsub_subscription_iam_member.dead_letters :
        one.subscription == google_pubsub_subscription.this[name].name
        && one.role == "roles/pubsub.subscriber"
        && one.member == "serviceAccount:service-123456789012@gcp-sa-pubsub.iam.gserviceaccount.com"
    ])
    error_message = "Pub/Sub's agent may not take a message from a subscription to give it up"
  }
}

run "the_scheduler_calls_the_sweep_with_a_token" {
  command = plan

  assert {
    condition = (
      google_cloud_scheduler_job.sweep.schedule == "* * * * *"
      && google_cloud_scheduler_job.sweep.http_target[0].http_method == "POST"
      && google_cloud_scheduler_job.sweep.http_target[0].uri == "${google_cloud_run_v2_service.this["reporter"].uri}/sweep"
    )
    error_message = "POST /sweep of the reporter is not called every minute"
  }
  assert {
    condition = (
      google_cloud_scheduler_job.sweep.http_target[0].oidc_token[0].service_account_email == google_service_account.caller["reporter"].email
      && google_cloud_scheduler_job.sweep.http_target[0].oidc_token[0].audience == "https://reporter.example"
    )
    error_message = "the scheduler has another token than the reporter asks for"
  }
}

run "a_pull_worker_takes_the_same_subscription_without_a_push" {
  command = plan

  variables {
    pull_workers = ["stager", "reporter"]
  }

  assert {
    condition = { for name, one in google_pubsub_subscription.this : name => length(one.push_config) } == {
      "validator.manifest.arrived" = 1
      "stager.manifest.validated"  = 0
      "upserter.staged"            = 1
      "reporter.upserted"          = 0
      "reporter.failed"            = 0
      "reporter.dead-letter"       = 0
    }
    error_message = "a pulled subscription is pushed too, or another one is not pushed any more"
  }
  assert {
    condition = { for name, one in google_cloud_run_v2_worker_pool.this : name => one.template[0].containers[0].command } == {
      reporter = tolist(["python", "-m", "services.reporter"])
      stager   = tolist(["python", "-m", "services.stager"])
    }
    error_message = "a worker pool does not run its stage's pull worker"
  }
  assert {
    condition = toset(keys(google_pubsub_subscription_iam_member.worker)) == toset([
      "stager.manifest.validated", "reporter.upserted", "reporter.failed", "reporter.dead-letter",
    ])
    error_message = "a pull worker may not take what is its own, or may take more"
  }
  assert {
    condition     = toset(keys(google_cloud_run_v2_service.this)) == toset(["validator", "upserter", "reporter"])
    error_message = "the reporter is no service any more, and the sweep cannot be called; or the stager still is one"
  }
}
