# Run once with the variables of each environment; see tests/infra/__main__.py.
mock_provider "google" {
  source = "./tests/mocks"
}

run "an_environment_can_be_planned_from_its_variables" {
  command = plan

  assert {
    condition     = alltrue([for one in google_cloud_run_v2_service.this : one.deletion_protection == (var.environment == "prod")])
    error_message = "production's services can be deleted, or another environment's cannot"
  }
  assert {
    condition     = var.environment == "dev" || google_sql_database_instance.this.settings[0].availability_type == "REGIONAL"
    error_message = "the database has no second server, and this is not a place to play"
  }
  assert {
    condition     = length(google_monitoring_notification_channel.email) > 0 || var.environment == "dev"
    error_message = "alerts reach nobody"
  }
  assert {
    condition     = contains(keys(google_service_account.partner), "acme")
    error_message = "the partner of the example is missing"
  }
}
