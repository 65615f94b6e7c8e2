# Every program runs as itself, and can do what its code does.
resource "google_service_account" "workload" {
  for_each = local.workloads

  account_id   = "crossdock-${each.key}"
  display_name = "crossdock ${each.key}"

  depends_on = [google_project_service.this]
}

# Pub/Sub and the scheduler call a service as an account that may call that service and nothing else.
resource "google_service_account" "caller" {
  for_each = local.services

  account_id   = "crossdock-call-${each.key}"
  display_name = "calls crossdock ${each.key}"

  depends_on = [google_project_service.this]
}

resource "google_service_account_iam_member" "caller_tokens" {
  for_each = local.services

  service_account_id = google_service_account.caller[each.key].name
  role               = "roles/iam.serviceAccountOpenIdTokenCreator"
  member             = local.service_agents.pubsub
}

resource "google_cloud_run_v2_service_iam_member" "caller" {
  for_each = local.pushed_services

  name     = google_cloud_run_v2_service.this[each.key].name
  location = var.region
  role     = "roles/run.invoker"
  member   = google_service_account.caller[each.key].member
}

# One permission each: the predefined roles bring others along.
resource "google_project_iam_custom_role" "objects" {
  for_each = {
    get    = { title = "crossdock: read an object", permissions = ["storage.objects.get"] }
    list   = { title = "crossdock: list objects", permissions = ["storage.objects.list"] }
    create = { title = "crossdock: create an object", permissions = ["storage.objects.create"] }
    # Cloud Storage takes overwriting for creating and deleting.
    overwrite = {
      title       = "crossdock: write an object anew"
      permissions = ["storage.objects.create", "storage.objects.delete"]
    }
  }

  role_id     = "crossdock_object_${each.key}"
  title       = each.value.title
  permissions = each.value.permissions
}

locals {
  # Who may do what below which folder of the bucket.
  object_rights = merge(
    {
      for right in [
        { who = "validator", verb = "get", folder = "imports/" },
        { who = "validator", verb = "list", folder = "imports/" },
        { who = "stager", verb = "get", folder = "imports/" },
        { who = "reporter", verb = "list", folder = "imports/" },
        { who = "reporter", verb = "overwrite", folder = "acks/" },
        { who = "operator", verb = "get", folder = "imports/" },
        { who = "operator", verb = "list", folder = "imports/" },
        { who = "operator", verb = "overwrite", folder = "acks/" },
      ] :
      "${right.who}/${right.verb}" => merge(right, {
        member = google_service_account.workload[right.who].member
      })
    },
    local.partner_rights,
  )
}

resource "google_storage_bucket_iam_member" "objects" {
  for_each = local.object_rights

  bucket = google_storage_bucket.drops.name
  role   = google_project_iam_custom_role.objects[each.value.verb].id
  member = each.value.member

  condition {
    title = "${each.value.verb} below ${each.value.folder}"
    # A listing is asked of the bucket, with the folder as its prefix.
    expression = (
      each.value.verb == "list"
      ? "resource.name == \"projects/_/buckets/${local.bucket}\" && api.getAttribute(\"storage.googleapis.com/objectListPrefix\", \"\").startsWith(\"${each.value.folder}\")"
      : "resource.name.startsWith(\"projects/_/buckets/${local.bucket}/objects/${each.value.folder}\")"
    )
  }
}

# Who read or wrote which object, for as long as the project keeps its audit log.
resource "google_project_iam_audit_config" "storage" {
  project = var.project
  service = "storage.googleapis.com"

  dynamic "audit_log_config" {
    for_each = ["DATA_READ", "DATA_WRITE"]
    content {
      log_type = audit_log_config.value
    }
  }
}
