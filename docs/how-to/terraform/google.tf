# Keys for buckets on Google: a scratch bucket, and the account whose tokens the hub narrows for each user.
# The Kubernetes cluster is GKE with Workload Identity. Change what is marked with ◀.

variable "project" {
  type        = string
  description = "Project that the hub and its buckets are in."
}

resource "google_storage_bucket" "scratch" {
  project                     = var.project
  name                        = "example-scratch" # ◀ names of buckets are the world's
  location                    = "EUROPE-WEST1"
  uniform_bucket_level_access = true # without it a token cannot be narrowed
  public_access_prevention    = "enforced"

  # What `expire_days` in the hub's description tells people: the hub deletes nothing itself.
  lifecycle_rule {
    condition {
      age = 7
    }
    action {
      type = "Delete"
    }
  }
}

# The credential service's account. It may open every bucket of the hub; what a user's token may open, of that, is less.
resource "google_service_account" "credentials" {
  project      = var.project
  account_id   = "research-hub-credentials"
  display_name = "The research hub's credential service"
}

resource "google_storage_bucket_iam_member" "scratch" {
  bucket = google_storage_bucket.scratch.name # ◀ and the others
  role   = "roles/storage.objectUser"
  member = "serviceAccount:${google_service_account.credentials.email}"
}

# Only the service's own account of Kubernetes may be it.
resource "google_service_account_iam_member" "credentials" {
  service_account_id = google_service_account.credentials.name
  role               = "roles/iam.workloadIdentityUser"
  member             = "serviceAccount:${var.project}.svc.id.goog[hub/credentials]"
}

output "account" {
  description = "For the annotation iam.gke.io/gcp-service-account in credentials.yaml."
  value       = google_service_account.credentials.email
}
