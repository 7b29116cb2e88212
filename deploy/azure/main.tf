# What the archiver needs in Entra ID and Azure: an application that signs in by workload identity, its permissions for Microsoft
# Graph, a container for staging, and a Key Vault for the secrets that remain. The scope of Mail.ReadWrite is set in Exchange Online:
# docs/administration.md, "Only the archived mailboxes".

terraform {
  required_version = ">= 1.5"
  required_providers {
    azuread = {
      source  = "hashicorp/azuread"
      version = "~> 3.0"
    }
    azurerm = {
      source  = "hashicorp/azurerm"
      version = "~> 4.42"
    }
  }
}

provider "azurerm" {
  features {}
  # Shared keys are off: the provider signs in to storage with Entra ID too.
  storage_use_azuread = true
}

data "azurerm_client_config" "this" {}

# ---- the application

data "azuread_application_published_app_ids" "known" {}

data "azuread_service_principal" "graph" {
  client_id = data.azuread_application_published_app_ids.known.result["MicrosoftGraph"]
}

resource "azuread_application" "archiver" {
  display_name     = var.name
  sign_in_audience = "AzureADMyOrg"

  required_resource_access {
    resource_app_id = data.azuread_service_principal.graph.client_id
    resource_access {
      id   = data.azuread_service_principal.graph.app_role_ids["User.Read.All"]
      type = "Role"
    }
  }
}

resource "azuread_service_principal" "archiver" {
  client_id = azuread_application.archiver.client_id
}

# Granting needs an administrator. Mail.ReadWrite isn't granted here on purpose: it would open every mailbox.
resource "azuread_app_role_assignment" "users" {
  app_role_id         = data.azuread_service_principal.graph.app_role_ids["User.Read.All"]
  principal_object_id = azuread_service_principal.archiver.object_id
  resource_object_id  = data.azuread_service_principal.graph.object_id
}

resource "azuread_application_federated_identity_credential" "cluster" {
  count          = var.oidc_issuer_url == "" ? 0 : 1
  application_id = azuread_application.archiver.id
  display_name   = "${var.name}-cluster"
  audiences      = ["api://AzureADTokenExchange"]
  issuer         = var.oidc_issuer_url
  subject        = "system:serviceaccount:${var.namespace}:${var.service_account}"
}

# ---- staging

resource "azurerm_resource_group" "archiver" {
  name     = var.name
  location = var.location
}

resource "azurerm_storage_account" "staging" {
  name                            = var.storage_account_name
  resource_group_name             = azurerm_resource_group.archiver.name
  location                        = azurerm_resource_group.archiver.location
  account_tier                    = "Standard"
  account_replication_type        = "ZRS"
  min_tls_version                 = "TLS1_2"
  shared_access_key_enabled       = false
  allow_nested_items_to_be_public = false

  # What is overwritten or deleted can be restored for a while, and is then gone: what the archiver purges after staging.retain is
  # kept that much longer. Versioning would keep it for ever.
  blob_properties {
    delete_retention_policy {
      days = var.restore_days
    }
  }
}

resource "azurerm_storage_container" "staging" {
  name                  = "whatsapp-archiver"
  storage_account_id    = azurerm_storage_account.staging.id
  container_access_type = "private"
}

# Not locked: locking can't be undone. Lock it once the period is agreed.
resource "azurerm_storage_container_immutability_policy" "staging" {
  count                                 = var.immutability_days == 0 ? 0 : 1
  storage_container_resource_manager_id = azurerm_storage_container.staging.id
  immutability_period_in_days           = var.immutability_days
  locked                                = false
}

resource "azurerm_role_assignment" "staging" {
  scope                = azurerm_storage_container.staging.id
  role_definition_name = "Storage Blob Data Contributor"
  principal_id         = azuread_service_principal.archiver.object_id
}

# ---- secrets that remain: TeleMessage's password, the token of the status pages, the key that signs reports. The chart's keyVault
# mounts them in the pods, which read the vault as the application.

resource "azurerm_key_vault" "archiver" {
  name                       = var.key_vault_name
  resource_group_name        = azurerm_resource_group.archiver.name
  location                   = azurerm_resource_group.archiver.location
  tenant_id                  = data.azurerm_client_config.this.tenant_id
  sku_name                   = "standard"
  rbac_authorization_enabled = true
  purge_protection_enabled   = true
}

# Who may write them: without one of these, nobody can, not even who applied this.
resource "azurerm_role_assignment" "officers" {
  for_each             = toset(var.secrets_officers)
  scope                = azurerm_key_vault.archiver.id
  role_definition_name = "Key Vault Secrets Officer"
  principal_id         = each.value
}

resource "azurerm_role_assignment" "secrets" {
  scope                = azurerm_key_vault.archiver.id
  role_definition_name = "Key Vault Secrets User"
  principal_id         = azuread_service_principal.archiver.object_id
}
