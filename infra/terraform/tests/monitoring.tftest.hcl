mock_provider "google" {
  source = "./tests/mocks"
}

run "every_alert_tells_what_to_do" {
  assert {
    condition = { for name, one in google_monitoring_alert_policy.this : name => one.documentation[0].links[0].url } == {
      for name in ["stuck-load", "failed-load", "dead-letter", "outbox-age", "variance", "dead-channel", "sweep", "database", "bug", "wrong-partner", "impostor"] :
      name => "https://docs.example.com/operations.md#alert-${name}"
    }
    error_message = "an alert is missing, or does not link to its section of docs/operations.md"
  }
}

run "a_partners_mistake_wakes_nobody_and_a_bug_always_does" {
  command = plan

  assert {
    condition = { for name, one in google_monitoring_alert_policy.this : name => one.severity } == {
      stuck-load    = "CRITICAL"
      failed-load   = "WARNING"
      dead-letter   = "WARNING"
      outbox-age    = "CRITICAL"
      variance      = "CRITICAL"
      dead-channel  = "WARNING"
      sweep         = "CRITICAL"
      database      = "CRITICAL"
      bug           = "CRITICAL"
      wrong-partner = "WARNING"
      impostor      = "CRITICAL"
    }
    error_message = "an alert is taken too lightly, or too seriously"
  }
  assert {
    condition = alltrue([
      for one in google_monitoring_alert_policy.this :
      contains(one.notification_channels, google_monitoring_notification_channel.email["ops@example.com"].id)
      && contains(one.notification_channels, "projects/example/notificationChannels/1") == (one.severity == "CRITICAL")
    ])
    error_message = "an alert that cannot wait wakes nobody, or one that can wait does"
  }
}

run "alerts_ask_for_the_log_lines_that_the_programs_write" {
  command = plan

  assert {
    condition = {
      for name, one in google_monitoring_alert_policy.this : name => join(" ", sort(flatten([
        for each in one.conditions : [for line in regexall("\"([a-z]+\\.[a-z_]+)\"", each.condition_threshold[0].filter) : line[0]]
        if length(each.condition_threshold) > 0
      ])))
      } == {
      stuck-load    = "load.needs_attention"
      failed-load   = "arrival.refused load.rejected"
      dead-letter   = "letter.kept letter.not_kept"
      outbox-age    = "events.left_to_sweep events.not_published"
      variance      = "load.does_not_reconcile"
      dead-channel  = "notice.not_delivered notice.receivers_refused"
      sweep         = ""
      database      = "letter.postponed message.postponed sweep.pass_failed"
      bug           = ""
      wrong-partner = ""
      impostor      = "push.token_refused"
    }
    error_message = "an alert asks for other lines than it is about"
  }
  assert {
    condition     = google_logging_metric.this["events"].label_extractors["event"] == "EXTRACT(jsonPayload.message)"
    error_message = "lines are not counted by their names"
  }
  assert {
    condition     = endswith(google_logging_metric.this["bugs"].filter, "AND ((severity>=\"ERROR\" AND jsonPayload.stack_trace:*) OR textPayload:\"Traceback\")")
    error_message = "a stack trace is not counted as a bug"
  }
  assert {
    condition = (
      endswith(google_logging_metric.this["wrong_partners"].filter, "AND jsonPayload.security=true")
      && strcontains(google_monitoring_alert_policy.this["wrong-partner"].conditions[0].condition_threshold[0].filter, "crossdock/wrong_partners")
    )
    error_message = "a folder that speaks for another partner raises no alarm"
  }
  assert {
    condition = (
      google_logging_metric.this["late_events"].filter == "resource.type=(\"cloud_run_revision\" OR \"cloud_run_worker_pool\" OR \"cloud_run_job\") AND jsonPayload.message=\"sweep.pass\" AND jsonPayload.published>0"
      && anytrue([
        for one in google_monitoring_alert_policy.this["outbox-age"].conditions :
        strcontains(one.condition_threshold[0].filter, "crossdock/late_events")
      ])
    )
    error_message = "events that stand in the outbox raise no alarm"
  }
}

run "an_alarm_is_raised_before_it_is_too_late" {
  command = plan

  # More than so many in so many seconds.
  assert {
    condition = {
      for name, one in google_monitoring_alert_policy.this : name => join(", ", sort([
        for each in one.conditions :
        "${one(each.condition_threshold).threshold_value} in ${one(one(each.condition_threshold).aggregations).alignment_period}"
        if length(each.condition_threshold) > 0
      ]))
      } == {
      stuck-load    = "0 in 300s, 1800 in 300s"
      failed-load   = "0 in 300s"
      dead-letter   = "0 in 300s, 0 in 900s"
      outbox-age    = "5 in 900s, 5 in 900s"
      variance      = "0 in 300s"
      dead-channel  = "5 in 3600s"
      sweep         = ""
      database      = "0.85 in 900s, 1 in 300s, 20 in 600s, 450 in 300s, 5 in 600s"
      bug           = "0 in 300s"
      wrong-partner = "0 in 300s"
      impostor      = "0 in 300s"
    }
    error_message = "an alert waits for more, or for longer, than it should"
  }
}

run "what_sends_no_line_when_it_fails_is_watched_too" {
  command = plan

  assert {
    condition     = google_monitoring_alert_policy.this["sweep"].conditions[0].condition_absent[0].duration == "600s"
    error_message = "a sweep that does not run raises no alarm"
  }
  assert {
    condition = anytrue([
      for one in google_monitoring_alert_policy.this["stuck-load"].conditions :
      strcontains(one.condition_threshold[0].filter, "oldest_unacked_message_age") && one.condition_threshold[0].threshold_value == 1800
    ])
    error_message = "a message that nobody takes raises no alarm"
  }
  assert {
    condition = anytrue([
      for one in google_monitoring_alert_policy.this["dead-letter"].conditions :
      strcontains(one.condition_threshold[0].filter, "resource.labels.subscription_id=\"reporter.dead-letter\"") && one.condition_threshold[0].threshold_value == 0
    ])
    error_message = "dead letters that the reporter does not take raise no alarm"
  }
  assert {
    condition = anytrue([
      for one in google_monitoring_alert_policy.this["database"].conditions :
      strcontains(one.condition_threshold[0].filter, "database/up") && one.condition_threshold[0].comparison == "COMPARISON_LT" && one.condition_threshold[0].threshold_value == 1
    ])
    error_message = "a database that is down raises no alarm"
  }
}

run "the_dashboard_shows_loads_faults_messages_and_the_database" {
  command = plan

  assert {
    condition     = length(jsondecode(google_monitoring_dashboard.this.dashboard_json).mosaicLayout.tiles) == 12
    error_message = "the dashboard is no JSON, or has lost a tile"
  }
  assert {
    condition = alltrue([
      for tile in jsondecode(google_monitoring_dashboard.this.dashboard_json).mosaicLayout.tiles :
      tile.xPos + tile.width <= 12 && startswith(tile.widget.xyChart.dataSets[0].timeSeriesQuery.timeSeriesFilter.filter, "metric.type=")
    ])
    error_message = "a tile lies outside of the dashboard, or shows nothing"
  }
}
