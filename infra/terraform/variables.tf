variable "project" {
  description = "The Google Cloud project. One environment has one project: the topics' names are the same in each."
  type        = string
}

variable "region" {
  description = "Where everything runs and lies."
  type        = string
  default     = "europe-west1"
}

variable "environment" {
  description = "The environment's name; it labels what is made, and stands in alerts."
  type        = string

  validation {
    condition     = contains(["dev", "staging", "prod"], var.environment)
    error_message = "environment is dev, staging or prod."
  }
}

variable "image" {
  description = "The container image of all services, by digest, so that what was tested is what runs."
  type        = string

  validation {
    condition     = can(regex("@sha256:[0-9a-f]{64}$", var.image))
    error_message = "image names a digest: REGION-docker.pkg.dev/PROJECT/crossdock/crossdock@sha256:…"
  }
}

variable "partners" {
  description = <<-EOT
    Who may deliver, by a short name. The services' partners.toml is made of it, and so are the
    partner's rights in the bucket.
      folder                its folder below imports/ and acks/; without it, its name
      source_system         what its manifests must say
      contacts              mail addresses for people to look up
      reject_limit_percent  how much of a file may be rejected
      members               who acts for the partner, as IAM names them: serviceAccount:…, group:…
  EOT
  type = map(object({
    folder               = optional(string)
    source_system        = string
    contacts             = optional(list(string), [])
    reject_limit_percent = optional(number, 1)
    members              = optional(set(string), [])
  }))
  default = {}

  validation {
    condition     = alltrue([for name in keys(var.partners) : can(regex("^[a-z][a-z0-9-]{0,20}[a-z0-9]$", name))])
    error_message = "A partner's name has 2 to 22 lower-case letters, digits and hyphens: it becomes a part of an account's name."
  }
  validation {
    condition = alltrue([
      for name, partner in var.partners : can(regex("^[A-Za-z0-9][A-Za-z0-9._-]*$", coalesce(partner.folder, name)))
    ])
    error_message = "A partner's folder has letters, digits, dots, underscores and hyphens: it stands in IAM conditions."
  }
  validation {
    condition = length(var.partners) == length(toset([
      for name, partner in var.partners : coalesce(partner.folder, name)
    ]))
    error_message = "No two partners share a folder."
  }
  validation {
    condition = alltrue(flatten([
      for partner in values(var.partners) : [for member in partner.members : !startswith(member, "all")]
    ]))
    error_message = "allUsers and allAuthenticatedUsers are nobody's identity."
  }
}

variable "pull_workers" {
  description = <<-EOT
    The services whose messages are pulled by a worker pool in place of being pushed. None by
    default: a worker pool runs, and costs, all the time, and does not scale by itself. A stage
    needs it once its largest load takes longer than the 600 seconds that a push may take.
  EOT
  type        = set(string)
  default     = []

  validation {
    condition     = length(setsubtract(var.pull_workers, ["validator", "stager", "upserter", "reporter"])) == 0
    error_message = "pull_workers are some of validator, stager, upserter and reporter."
  }
}

variable "capacity" {
  description = <<-EOT
    What each service may use at most.
      min_instances      kept warm
      max_instances      push: how far it scales out; pull: how many workers run
      loads_per_instance how many messages one instance works on at the same time (push)
  EOT
  type = object({
    min_instances      = optional(number, 0)
    max_instances      = optional(number, 4)
    loads_per_instance = optional(number, 4)
  })
  default = {}
}

variable "mysql" {
  description = <<-EOT
    The database server.
      version            Cloud SQL's name of it
      tier               the machine
      disk_gib           what it begins with; it grows by itself
      highly_available   with a second server in another zone
      max_connections    has to be enough for `capacity`, or the plan fails
      retained_backups   daily backups that are kept
  EOT
  type = object({
    version          = optional(string, "MYSQL_8_4")
    tier             = optional(string, "db-perf-optimized-N-2")
    disk_gib         = optional(number, 100)
    highly_available = optional(bool, true)
    max_connections  = optional(number, 500)
    retained_backups = optional(number, 30)
  })
  default = {}
}

variable "notices" {
  description = <<-EOT
    How outcomes are told to people, beside the log and the partner's ack.
      teams       a Teams webhook, whose URL is in the secret teams-webhook-url
      email_to    who gets mails, through the server in the secret smtp-url
      email_from  whom they come from; else the mail server's user
  EOT
  type = object({
    teams      = optional(bool, false)
    email_to   = optional(list(string), [])
    email_from = optional(string)
  })
  default = {}
}

variable "alerts" {
  description = <<-EOT
    Who is told when something needs a person.
      emails          mail addresses; they get every alert
      pager_channels  notification channels that wake somebody; they get what cannot wait
  EOT
  type = object({
    emails         = optional(set(string), [])
    pager_channels = optional(set(string), [])
  })
  default = {}
}

variable "operations_page" {
  description = "Where docs/operations.md can be read; each alert links to its section there."
  type        = string

  validation {
    condition     = startswith(var.operations_page, "https://")
    error_message = "operations_page is an https URL, without an anchor."
  }
}

variable "collector_image" {
  description = <<-EOT
    The image of an OpenTelemetry collector, by digest, with its configuration in it: it takes OTLP
    over HTTP at localhost:4318. Without it nothing is traced. With it a service has its processor
    outside of requests too, which costs more.
  EOT
  type        = string
  default     = null

  validation {
    condition     = var.collector_image == null || can(regex("@sha256:[0-9a-f]{64}$", var.collector_image))
    error_message = "collector_image names a digest: REGION-docker.pkg.dev/PROJECT/crossdock/collector@sha256:…"
  }
}

variable "settings" {
  description = "Further settings of every service by their names in the environment; see docs/settings.md."
  type        = map(string)
  default     = {}
}
