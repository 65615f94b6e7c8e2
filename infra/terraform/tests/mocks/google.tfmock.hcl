# What the real provider would answer, where the configuration goes on with it.
mock_data "google_project" {
  defaults = { number = "123456789012" }
}

mock_data "google_storage_project_service_account" {
  defaults = { email_address = "service-123456789012@gs-project-accounts.iam.gserviceaccount.com" }
}

mock_resource "google_sql_database_instance" {
  defaults = {
    private_ip_address = "10.81.0.3"
    dns_names = [
      { name = "public.sql.goog.", connection_type = "PUBLIC", dns_scope = "INSTANCE", record_manager = "CLOUD_SQL_AUTOMATION" },
      { name = "private.sql-psa.goog.", connection_type = "PRIVATE_SERVICES_ACCESS", dns_scope = "INSTANCE", record_manager = "CUSTOMER" },
    ]
    server_ca_cert = [{
      cert = "-----BEGIN CERTIFICATE-----", common_name = "", create_time = "", expiration_time = "", sha1_fingerprint = ""
    }]
  }
}
