locals {
  tile_defaults = { aligner = "ALIGN_SUM", reducer = "REDUCE_SUM", by = [] }

  tiles = [
    { title = "Loads that came to a milestone", filter = "${local.counted["events"]} AND metric.labels.event=\"stage.finished\"", by = ["metric.labels.stage"] },
    { title = "Loads and manifests that were rejected", filter = "${local.counted["events"]} AND metric.labels.event=one_of(\"load.rejected\",\"arrival.refused\")", by = ["metric.labels.event"] },
    { title = "Faults that are tried again, by stage", filter = "${local.counted["events"]} AND metric.labels.event=one_of(\"stage.postponed\",\"message.postponed\")", by = ["metric.labels.stage"] },
    { title = "Loads that need attention", filter = "${local.counted["events"]} AND metric.labels.event=\"load.needs_attention\"" },
    { title = "Leases lost and heartbeats missed", filter = "${local.counted["events"]} AND metric.labels.event=one_of(\"stage.lease_lost\",\"heartbeat.missed\")", by = ["metric.labels.event"] },
    { title = "Passes of the sweep, and events that it had to send", filter = local.counted["late_events"] },
    { title = "Oldest message that nobody took, in seconds", filter = "metric.type=\"pubsub.googleapis.com/subscription/oldest_unacked_message_age\" AND resource.type=\"pubsub_subscription\"", aligner = "ALIGN_MAX", reducer = "REDUCE_MAX", by = ["resource.labels.subscription_id"] },
    { title = "Dead letters that wait for the reporter", filter = "metric.type=\"pubsub.googleapis.com/subscription/num_undelivered_messages\" AND resource.type=\"pubsub_subscription\" AND resource.labels.subscription_id=\"${local.topology.dead_letter_subscription}\"", aligner = "ALIGN_MAX", reducer = "REDUCE_MAX" },
    { title = "Instances of the services", filter = "metric.type=\"run.googleapis.com/container/instance_count\" AND resource.type=\"cloud_run_revision\"", aligner = "ALIGN_MAX", reducer = "REDUCE_SUM", by = ["resource.labels.service_name"] },
    { title = "Connections to the database", filter = "metric.type=\"cloudsql.googleapis.com/database/network/connections\" AND resource.type=\"cloudsql_database\"", aligner = "ALIGN_MAX", reducer = "REDUCE_MAX" },
    { title = "The database's processor, from 0 to 1", filter = "metric.type=\"cloudsql.googleapis.com/database/cpu/utilization\" AND resource.type=\"cloudsql_database\"", aligner = "ALIGN_MEAN", reducer = "REDUCE_MAX" },
    { title = "The database's disk, from 0 to 1", filter = "metric.type=\"cloudsql.googleapis.com/database/disk/utilization\" AND resource.type=\"cloudsql_database\"", aligner = "ALIGN_MEAN", reducer = "REDUCE_MAX" },
  ]
}

resource "google_monitoring_dashboard" "this" {
  dashboard_json = templatefile("${path.module}/dashboard.json.tftpl", {
    title = "crossdock ${var.environment}"
    tiles = [for tile in local.tiles : merge(local.tile_defaults, tile)]
  })

  depends_on = [google_project_service.this]
}
