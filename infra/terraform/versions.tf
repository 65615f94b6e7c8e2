terraform {
  required_version = ">= 1.11"

  required_providers {
    google = {
      source  = "hashicorp/google"
      version = "~> 8.7"
    }
  }

  # Which bucket keeps the state is said at `terraform init -backend-config=bucket=…`.
  backend "gcs" {
    prefix = "crossdock"
  }
}

provider "google" {
  project = var.project
  region  = var.region
}
