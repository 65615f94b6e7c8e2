# A partner creates objects in its own folder, reads its own acks, and can do nothing else: what it
# has sent it can neither read, nor change, nor remove. It has no key; its members act by their own
# accounts. Its service account is there for what will sign upload links in its name.
resource "google_service_account" "partner" {
  for_each = var.partners

  account_id   = "partner-${each.key}"
  display_name = "crossdock partner ${each.key}"

  depends_on = [google_project_service.this]
}

locals {
  partner_rights = {
    for right in flatten([
      for name, partner in var.partners : [
        for who, member in merge(
          { for member in partner.members : member => member },
          { account = google_service_account.partner[name].member },
          ) : [
          for one in [
            { verb = "create", folder = "imports/${local.folders[name]}/" },
            { verb = "get", folder = "acks/${local.folders[name]}/" },
            { verb = "list", folder = "acks/${local.folders[name]}/" },
          ] :
          merge(one, { key = "partner/${name}/${who}/${one.verb}", member = member })
        ]
      ]
    ]) :
    right.key => { verb = right.verb, folder = right.folder, member = right.member }
  }
}

# The services' list of partners. A folder that is not in it is refused.
locals {
  partners_toml = templatefile("${path.module}/partners.toml.tftpl", {
    partners = var.partners
    folders  = local.folders
  })
}
