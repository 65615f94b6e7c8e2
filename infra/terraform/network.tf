# The services' way to the database, and to nothing else that is private. What is public (Google's
# own interfaces, Teams, the mail server) they reach without this network.
resource "google_compute_network" "this" {
  name                    = "crossdock"
  auto_create_subnetworks = false

  depends_on = [google_project_service.this]
}

resource "google_compute_subnetwork" "services" {
  name                     = "crossdock-services"
  region                   = var.region
  network                  = google_compute_network.this.id
  ip_cidr_range            = "10.80.0.0/24"
  private_ip_google_access = true

  log_config {
    aggregation_interval = "INTERVAL_10_MIN"
    flow_sampling        = 0.5
    metadata             = "INCLUDE_ALL_METADATA"
  }
}

resource "google_compute_global_address" "database" {
  name          = "crossdock-database"
  network       = google_compute_network.this.id
  purpose       = "VPC_PEERING"
  address_type  = "INTERNAL"
  address       = "10.81.0.0"
  prefix_length = 20
}

resource "google_service_networking_connection" "database" {
  network                 = google_compute_network.this.id
  service                 = "servicenetworking.googleapis.com"
  reserved_peering_ranges = [google_compute_global_address.database.name]
}

resource "google_compute_firewall" "to_database" {
  name               = "crossdock-to-database"
  network            = google_compute_network.this.name
  direction          = "EGRESS"
  priority           = 1000
  destination_ranges = ["${google_compute_global_address.database.address}/${google_compute_global_address.database.prefix_length}"]

  allow {
    protocol = "tcp"
    ports    = ["3306"]
  }
}

resource "google_compute_firewall" "nothing_else" {
  name               = "crossdock-nothing-else"
  network            = google_compute_network.this.name
  direction          = "EGRESS"
  priority           = 65000
  destination_ranges = ["0.0.0.0/0"]

  deny {
    protocol = "all"
  }
}

# The server's certificate is for its name, and the client holds it to that name.
resource "google_dns_managed_zone" "database" {
  # checkov:skip=CKV_GCP_16:DNSSEC is for public zones; this one is seen from one network only
  name       = "crossdock-database"
  dns_name   = local.mysql_name
  visibility = "private"
  labels     = local.labels

  private_visibility_config {
    networks {
      network_url = google_compute_network.this.id
    }
  }
}

resource "google_dns_record_set" "database" {
  managed_zone = google_dns_managed_zone.database.name
  name         = local.mysql_name
  type         = "A"
  ttl          = 60
  rrdatas      = [google_sql_database_instance.this.private_ip_address]
}
