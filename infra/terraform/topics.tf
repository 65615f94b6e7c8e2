resource "google_pubsub_topic" "this" {
  # checkov:skip=CKV_GCP_83:Messages are names and numbers of loads; Google's own keys will do
  for_each = toset(local.topology.topics)

  name   = each.key
  labels = local.labels

  # So long a subscription can be set back to a time before a mistake.
  message_retention_duration = "604800s"

  message_storage_policy {
    allowed_persistence_regions = [var.region]
  }

  depends_on = [google_project_service.this]
}

# A stage sends whatever waits in the outbox, also what another stage has left there.
resource "google_pubsub_topic_iam_member" "service" {
  for_each = {
    for pair in setproduct(setunion(local.services, ["operator"]), local.events) :
    "${pair[0]}/${pair[1]}" => { workload = pair[0], topic = pair[1] }
  }

  topic  = google_pubsub_topic.this[each.value.topic].id
  role   = "roles/pubsub.publisher"
  member = google_service_account.workload[each.value.workload].member
}

resource "google_pubsub_topic_iam_member" "dead_letters" {
  topic  = google_pubsub_topic.this[local.dead_letter].id
  role   = "roles/pubsub.publisher"
  member = local.service_agents.pubsub
}
