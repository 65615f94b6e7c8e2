# With `collector_image` a collector stands beside each service and pull worker, takes what
# docs/tracing.md and docs/metrics.md tell of, and writes it as that service.
locals {
  collectors = var.collector_image == null ? [] : [var.collector_image]

  collector_rights = var.collector_image == null ? {} : {
    for right in setproduct(local.services, ["roles/cloudtrace.agent", "roles/monitoring.metricWriter"]) :
    join("/", right) => { who = right[0], role = right[1] }
  }
}

resource "google_project_iam_member" "collector" {
  for_each = local.collector_rights

  project = var.project
  role    = each.value.role
  member  = google_service_account.workload[each.value.who].member
}
