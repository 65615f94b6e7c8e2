# Where partners deliver (imports/) and find what became of it (acks/).
resource "google_storage_bucket" "drops" {
  # checkov:skip=CKV_GCP_62:Data access is in the audit log (identities.tf), which names who it was
  name     = local.bucket
  location = var.region
  labels   = local.labels

  uniform_bucket_level_access = true
  public_access_prevention    = "enforced"
  force_destroy               = false

  # What is overwritten or removed stays as an older generation until it is 90 days old. A retention
  # policy of the bucket would exclude versions, and acks are written anew.
  versioning {
    enabled = true
  }

  lifecycle_rule {
    condition {
      age        = 90
      with_state = "ANY"
    }
    action {
      type = "Delete"
    }
  }

  lifecycle_rule {
    condition {
      age = 7
    }
    action {
      type = "AbortIncompleteMultipartUpload"
    }
  }

  # An administrator who removes generations can take that back for a week.
  soft_delete_policy {
    retention_duration_seconds = 7 * 24 * 3600
  }

  lifecycle {
    prevent_destroy = true
  }

  depends_on = [google_project_service.this]
}

data "google_storage_project_service_account" "this" {
  project = var.project
}

resource "google_storage_notification" "arrivals" {
  bucket             = google_storage_bucket.drops.name
  topic              = google_pubsub_topic.this["manifest.arrived"].id
  payload_format     = "JSON_API_V1"
  event_types        = ["OBJECT_FINALIZE"]
  object_name_prefix = "imports/"

  depends_on = [google_pubsub_topic_iam_member.bucket]
}

resource "google_pubsub_topic_iam_member" "bucket" {
  topic  = google_pubsub_topic.this["manifest.arrived"].id
  role   = "roles/pubsub.publisher"
  member = "serviceAccount:${data.google_storage_project_service_account.this.email_address}"
}
