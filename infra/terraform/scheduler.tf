# Recovery: sends again what was lost, wakes what waits, gives notices that are due.
resource "google_cloud_scheduler_job" "sweep" {
  name             = "sweep"
  region           = var.region
  schedule         = "* * * * *"
  time_zone        = "Etc/UTC"
  attempt_deadline = "180s"

  http_target {
    http_method = "POST"
    uri         = "${google_cloud_run_v2_service.this["reporter"].uri}/sweep"

    oidc_token {
      service_account_email = google_service_account.caller["reporter"].email
      audience              = local.audiences["reporter"]
    }
  }

  depends_on = [google_project_service.this, google_cloud_run_v2_service_iam_member.caller]
}
