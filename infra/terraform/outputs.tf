output "bucket" {
  description = "Where partners deliver: gs://BUCKET/imports/FOLDER/LOAD_ID/."
  value       = google_storage_bucket.drops.name
}

output "image_repository" {
  description = "Where images are pushed to."
  value       = "${var.region}-docker.pkg.dev/${var.project}/${google_artifact_registry_repository.images.repository_id}"
}

output "mysql_host" {
  description = "The host of the database URLs; its certificate is for this name."
  value       = trimsuffix(local.mysql_name, ".")
}

output "mysql_accounts" {
  description = "The MySQL account of the database URL in each of these secrets; infra/mysql makes them."
  value       = { for workload in local.workloads : "mysql-url-${workload}" => "crossdock_${workload}" }
}

output "secrets" {
  description = "The secrets that a person fills."
  value       = sort(setsubtract(keys(local.secrets), keys(local.files)))
}

output "partner_accounts" {
  description = "The account of each partner."
  value       = { for name, account in google_service_account.partner : name => account.email }
}
