locals {
  subscriptions = merge(
    {
      for pair in flatten([
        for service, topics in local.topology.subscriptions : [
          for topic in topics : { service = service, topic = topic }
        ]
      ]) :
      "${pair.service}.${pair.topic}" => merge(pair, { path = "/pubsub/push", gives_up = true })
    },
    {
      # A letter that was given up here would be lost, so this one has no dead-letter policy.
      (local.topology.dead_letter_subscription) = {
        service  = "reporter"
        topic    = local.dead_letter
        path     = "/pubsub/dead-letter"
        gives_up = false
      }
    },
  )

  pulled = { for name, one in local.subscriptions : name => one if contains(var.pull_workers, one.service) }
}

resource "google_pubsub_subscription" "this" {
  for_each = local.subscriptions

  name   = each.key
  topic  = google_pubsub_topic.this[each.value.topic].id
  labels = local.labels

  # The longest there is, and the longest that a push may take.
  ack_deadline_seconds       = 600
  message_retention_duration = "604800s"
  retain_acked_messages      = true

  expiration_policy {
    ttl = ""
  }

  # Without one a dead-letter policy gives messages up within seconds of an outage.
  retry_policy {
    minimum_backoff = "10s"
    maximum_backoff = "600s"
  }

  dynamic "dead_letter_policy" {
    for_each = each.value.gives_up ? [1] : []
    content {
      dead_letter_topic     = google_pubsub_topic.this[local.dead_letter].id
      max_delivery_attempts = 10
    }
  }

  dynamic "push_config" {
    for_each = contains(var.pull_workers, each.value.service) ? [] : [1]
    content {
      push_endpoint = "${google_cloud_run_v2_service.this[each.value.service].uri}${each.value.path}"

      oidc_token {
        service_account_email = google_service_account.caller[each.value.service].email
        audience              = local.audiences[each.value.service]
      }
    }
  }

  depends_on = [google_pubsub_topic_iam_member.dead_letters, google_cloud_run_v2_service_iam_member.caller]
}

# To give a message up Pub/Sub takes it from the subscription, as any subscriber.
resource "google_pubsub_subscription_iam_member" "dead_letters" {
  for_each = { for name, one in local.subscriptions : name => one if one.gives_up }

  subscription = google_pubsub_subscription.this[each.key].name
  role         = "roles/pubsub.subscriber"
  member       = local.service_agents.pubsub
}

resource "google_pubsub_subscription_iam_member" "worker" {
  for_each = local.pulled

  subscription = google_pubsub_subscription.this[each.key].name
  role         = "roles/pubsub.subscriber"
  member       = google_service_account.workload[each.value.service].member
}

# `crossdock doctor` looks whether each is as it must be.
resource "google_pubsub_subscription_iam_member" "operator" {
  for_each = local.subscriptions

  subscription = google_pubsub_subscription.this[each.key].name
  role         = "roles/pubsub.viewer"
  member       = google_service_account.workload["operator"].member
}
