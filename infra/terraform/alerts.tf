# Each alert links to the section of docs/operations.md that tells what to do. What wakes somebody
# cannot wait until morning; a partner's mistake never does.
locals {
  counted = { for name, metric in google_logging_metric.this : name => "metric.type=\"logging.googleapis.com/user/${metric.name}\"" }

  # condition: a filter, the aligner that makes one number of `window_seconds`, and the number that is
  # too much. A missing number is no alarm, save for `absent`.
  alerts = {
    stuck-load = {
      title = "A load is stuck and waits for a person"
      pages = true
      conditions = {
        "a load was tried too often" = {
          events = ["load.needs_attention"], window_seconds = 300, above = 0
        }
        "a message has waited for half an hour" = {
          filter  = "metric.type=\"pubsub.googleapis.com/subscription/oldest_unacked_message_age\" AND resource.type=\"pubsub_subscription\" AND resource.labels.subscription_id=monitoring.regex.full_match(\"(${join("|", keys(local.subscriptions))})\")"
          aligner = "ALIGN_MAX", window_seconds = 300, above = 1800
        }
      }
    }
    failed-load = {
      title = "A load failed: the partner has to act"
      pages = false
      conditions = {
        "a load or a manifest was rejected" = {
          events = ["load.rejected", "arrival.refused"], window_seconds = 300, above = 0
        }
      }
    }
    dead-letter = {
      title = "A message was given up"
      pages = false
      conditions = {
        "a letter was kept" = {
          events = ["letter.kept", "letter.not_kept"], window_seconds = 300, above = 0
        }
        "letters wait for the reporter" = {
          filter  = "metric.type=\"pubsub.googleapis.com/subscription/num_undelivered_messages\" AND resource.type=\"pubsub_subscription\" AND resource.labels.subscription_id=\"${local.topology.dead_letter_subscription}\""
          aligner = "ALIGN_MIN", window_seconds = 900, above = 0
        }
      }
    }
    outbox-age = {
      title = "Events stand in the outbox"
      pages = true
      conditions = {
        "the sweep has to send events again and again" = {
          filter = local.counted["late_events"], aligner = "ALIGN_SUM", window_seconds = 900, above = 5
        }
        "events are not taken" = {
          events = ["events.left_to_sweep", "events.not_published"], window_seconds = 900, above = 5
        }
      }
    }
    variance = {
      title = "Production is not what a load should have left"
      pages = true
      conditions = {
        "a load does not reconcile" = {
          events = ["load.does_not_reconcile"], window_seconds = 300, above = 0
        }
      }
    }
    dead-channel = {
      title = "A channel does not take notices"
      pages = false
      conditions = {
        "notices were not taken for an hour" = {
          events = ["notice.not_delivered", "notice.receivers_refused"], window_seconds = 3600, above = 5
        }
      }
    }
    sweep = {
      title = "The sweep does not run"
      pages = true
      conditions = {
        "no pass came to its end" = {
          filter = local.counted["sweeps"], aligner = "ALIGN_SUM", window_seconds = 600, absent = true
        }
      }
    }
    database = {
      title = "The database does not answer, or is nearly full"
      pages = true
      conditions = {
        "the server is down" = {
          filter  = "metric.type=\"cloudsql.googleapis.com/database/up\" AND resource.type=\"cloudsql_database\""
          aligner = "ALIGN_MAX", window_seconds = 300, below = 1
        }
        "messages are put off" = {
          events = ["message.postponed", "letter.postponed"], window_seconds = 600, above = 20
        }
        "passes of the sweep break off" = {
          events = ["sweep.pass_failed"], window_seconds = 600, above = 5
        }
        "its disk is nearly full" = {
          filter  = "metric.type=\"cloudsql.googleapis.com/database/disk/utilization\" AND resource.type=\"cloudsql_database\""
          aligner = "ALIGN_MEAN", window_seconds = 900, above = 0.85
        }
        "its connections are nearly used up" = {
          filter  = "metric.type=\"cloudsql.googleapis.com/database/network/connections\" AND resource.type=\"cloudsql_database\""
          aligner = "ALIGN_MAX", window_seconds = 300, above = floor(var.mysql.max_connections * 0.9)
        }
      }
    }
    bug = {
      title = "A fault that nobody foresaw"
      pages = true
      conditions = {
        "a line has a stack trace" = {
          filter = local.counted["bugs"], aligner = "ALIGN_SUM", window_seconds = 300, above = 0
        }
      }
    }
    wrong-partner = {
      title = "A folder spoke for another partner"
      pages = false
      conditions = {
        "a manifest named another partner's source_system" = {
          filter = local.counted["wrong_partners"], aligner = "ALIGN_SUM", window_seconds = 300, above = 0
        }
      }
    }
    impostor = {
      title = "Somebody claims to be Pub/Sub or the scheduler"
      pages = true
      conditions = {
        "a caller had a wrong token" = {
          events = ["push.token_refused"], window_seconds = 300, above = 0
        }
      }
    }
  }
}

resource "google_monitoring_notification_channel" "email" {
  for_each = var.alerts.emails

  display_name = "crossdock ${var.environment}: ${each.key}"
  type         = "email"
  labels       = { email_address = each.key }
}

resource "google_monitoring_alert_policy" "this" {
  for_each = local.alerts

  display_name = "crossdock ${var.environment}: ${each.value.title}"
  combiner     = "OR"
  severity     = each.value.pages ? "CRITICAL" : "WARNING"
  user_labels  = local.labels
  notification_channels = concat(
    values(google_monitoring_notification_channel.email)[*].id,
    each.value.pages ? sort(var.alerts.pager_channels) : [],
  )

  documentation {
    subject   = "crossdock ${var.environment}: ${each.value.title}"
    mime_type = "text/markdown"
    content   = "What it means and what to do: ${var.operations_page}#alert-${each.key}"
    links {
      display_name = "What to do"
      url          = "${var.operations_page}#alert-${each.key}"
    }
  }

  dynamic "conditions" {
    for_each = { for title, one in each.value.conditions : title => one if !can(one.absent) }
    content {
      display_name = conditions.key
      condition_threshold {
        filter = try(
          conditions.value.filter,
          "${local.counted["events"]} AND metric.labels.event=one_of(\"${join("\",\"", conditions.value.events)}\")",
        )
        comparison      = can(conditions.value.below) ? "COMPARISON_LT" : "COMPARISON_GT"
        threshold_value = try(conditions.value.below, conditions.value.above)
        duration        = "0s"
        aggregations {
          alignment_period     = "${conditions.value.window_seconds}s"
          per_series_aligner   = try(conditions.value.aligner, "ALIGN_SUM")
          cross_series_reducer = can(conditions.value.below) ? "REDUCE_MIN" : try(conditions.value.aligner, "ALIGN_SUM") == "ALIGN_SUM" ? "REDUCE_SUM" : "REDUCE_MAX"
        }
      }
    }
  }

  dynamic "conditions" {
    for_each = { for title, one in each.value.conditions : title => one if can(one.absent) }
    content {
      display_name = conditions.key
      condition_absent {
        filter   = conditions.value.filter
        duration = "${conditions.value.window_seconds}s"
        aggregations {
          alignment_period     = "60s"
          per_series_aligner   = conditions.value.aligner
          cross_series_reducer = "REDUCE_SUM"
        }
      }
    }
  }

  alert_strategy {
    auto_close = "86400s"
  }
}
