mock_provider "google" {
  source = "./tests/mocks"
}

run "the_bucket_keeps_what_is_overwritten_or_removed" {
  assert {
    condition     = google_storage_bucket.drops.versioning[0].enabled
    error_message = "versioning is off"
  }
  assert {
    condition     = google_storage_bucket.drops.soft_delete_policy[0].retention_duration_seconds == 604800
    error_message = "a removed generation cannot be brought back for a week"
  }
  assert {
    condition     = google_storage_bucket.drops.force_destroy == false
    error_message = "the bucket would be destroyed with what is in it"
  }
}

run "nobody_gets_into_the_bucket_by_an_acl_or_from_the_street" {
  command = plan

  assert {
    condition     = google_storage_bucket.drops.uniform_bucket_level_access
    error_message = "access is not uniform"
  }
  assert {
    condition     = google_storage_bucket.drops.public_access_prevention == "enforced"
    error_message = "public access is not prevented"
  }
}

run "raw_files_are_kept_for_90_days_and_no_longer" {
  command = plan

  assert {
    condition = one([
      for rule in google_storage_bucket.drops.lifecycle_rule : tolist(rule.condition)[0]
      if tolist(rule.action)[0].type == "Delete"
    ]).age == 90
    error_message = "objects are not deleted at 90 days, or by more than one rule"
  }
  assert {
    condition = one([
      for rule in google_storage_bucket.drops.lifecycle_rule : tolist(rule.condition)[0]
      if tolist(rule.action)[0].type == "Delete"
    ]).with_state == "ANY"
    error_message = "older generations outlive the 90 days"
  }
}

run "a_manifests_arrival_is_notified" {
  command = plan

  assert {
    condition     = google_storage_notification.arrivals.event_types == toset(["OBJECT_FINALIZE"])
    error_message = "the bucket does not tell of finished objects, or tells of more"
  }
  assert {
    condition     = google_storage_notification.arrivals.object_name_prefix == "imports/"
    error_message = "the bucket does not tell of imports/, or tells of more"
  }
  assert {
    condition     = google_storage_notification.arrivals.topic == google_pubsub_topic.this["manifest.arrived"].id
    error_message = "the bucket tells another topic than manifest.arrived"
  }
  assert {
    condition = (
      google_pubsub_topic_iam_member.bucket.topic == google_pubsub_topic.this["manifest.arrived"].id
      && google_pubsub_topic_iam_member.bucket.role == "roles/pubsub.publisher"
      && google_pubsub_topic_iam_member.bucket.member == "serviceAccount:service-123456789012@gs-project-accounts.iam.gserviceaccount.com"
    )
    error_message = "Cloud Storage may not publish on manifest.arrived"
  }
}
