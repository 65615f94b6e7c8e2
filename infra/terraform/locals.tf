data "google_project" "this" {
  project_id = var.project
}

locals {
  # The names of docs/events.md; a test holds this file to the code.
  topology    = jsondecode(file("${path.module}/topology.json"))
  dead_letter = "dead-letter"
  events      = setsubtract(local.topology.topics, [local.dead_letter])
  services    = toset(keys(local.topology.subscriptions))

  # The reporter stays a service if it pulls: the sweep is called there.
  pushed_services = setunion(setsubtract(local.services, var.pull_workers), ["reporter"])
  jobs            = toset(["migrate", "operator"])
  workloads       = setunion(local.services, local.jobs)

  # Those who have an outcome to tell write a notice for each way that they know.
  tellers = toset(["validator", "reporter", "operator"])

  bucket    = "${var.project}-drops"
  audiences = { for service in local.services : service => "https://${service}.${var.project}" }
  folders   = { for name, partner in var.partners : name => coalesce(partner.folder, name) }

  labels = { app = "crossdock", environment = var.environment }

  service_agents = {
    pubsub = "serviceAccount:service-${data.google_project.this.number}@gcp-sa-pubsub.iam.gserviceaccount.com"
  }
}

resource "google_project_service" "this" {
  for_each = setunion(
    [
      "artifactregistry", "cloudscheduler", "compute", "dns", "iam", "logging", "monitoring", "pubsub",
      "run", "secretmanager", "servicenetworking", "sqladmin", "storage",
    ],
    length(local.collectors) == 0 ? [] : ["cloudtrace", "telemetry"],
  )

  service            = "${each.key}.googleapis.com"
  disable_on_destroy = false
}
