output "tenant_id" {
  description = "microsoft.tenant_id, and keyVault.tenantId of the chart"
  value       = data.azurerm_client_config.this.tenant_id
}

output "client_id" {
  description = "microsoft.client_id, and workloadIdentity.clientId of the chart"
  value       = azuread_application.archiver.client_id
}

output "object_id" {
  description = "The object id that New-ServicePrincipal in Exchange Online asks for"
  value       = azuread_service_principal.archiver.object_id
}

output "staging_endpoint" {
  description = "staging.endpoint"
  value       = trimsuffix(azurerm_storage_account.staging.primary_blob_endpoint, "/")
}

output "key_vault_name" {
  description = "keyVault.name of the chart"
  value       = azurerm_key_vault.archiver.name
}
