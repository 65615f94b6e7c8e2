# Counted from the log lines that docs/operations/logs.md lists.
locals {
  programs = "resource.type=(\"cloud_run_revision\" OR \"cloud_run_worker_pool\" OR \"cloud_run_job\")"

  log_metrics = {
    # Every line by its name: an alert and a tile of the dashboard ask for the one that they mean.
    events = {
      filter = "${local.programs} AND jsonPayload.message=~\"^[a-z]+\\.[a-z_]+$\""
      labels = { event = "EXTRACT(jsonPayload.message)", stage = "EXTRACT(jsonPayload.stage)" }
    }
    # An event is sent right after its commit; what the sweep has to send stood in the outbox.
    late_events = {
      filter = "${local.programs} AND jsonPayload.message=\"sweep.pass\" AND jsonPayload.published>0"
      labels = {}
    }
    sweeps = {
      filter = "resource.type=\"cloud_scheduler_job\" AND resource.labels.job_id=\"${google_cloud_scheduler_job.sweep.name}\" AND jsonPayload.\"@type\":\"AttemptFinished\" AND severity=\"INFO\""
      labels = {}
    }
    # What nobody foresaw comes with the place in the code; a process that ended has no line of ours.
    bugs = {
      filter = "${local.programs} AND ((severity>=\"ERROR\" AND jsonPayload.stack_trace:*) OR textPayload:\"Traceback\")"
      labels = {}
    }
    # A folder that spoke for another partner.
    wrong_partners = {
      filter = "${local.programs} AND jsonPayload.security=true"
      labels = {}
    }
  }
}

resource "google_logging_metric" "this" {
  for_each = local.log_metrics

  name             = "crossdock/${each.key}"
  filter           = each.value.filter
  label_extractors = each.value.labels

  metric_descriptor {
    metric_kind = "DELTA"
    value_type  = "INT64"
    unit        = "1"

    dynamic "labels" {
      for_each = each.value.labels
      content {
        key        = labels.key
        value_type = "STRING"
      }
    }
  }

  depends_on = [google_project_service.this]
}
