variable "name" {
  description = "The name of the application and of the resource group."
  type        = string
  default     = "whatsapp-archiver"
}

variable "location" {
  description = "The Azure region."
  type        = string
}

variable "storage_account_name" {
  description = "The storage account for staging: 3 to 24 lower-case letters and digits, unique in all of Azure."
  type        = string
}

variable "key_vault_name" {
  description = "The Key Vault: unique in all of Azure."
  type        = string
}

variable "immutability_days" {
  description = "How long blobs in staging can be neither changed nor deleted; 0 for no policy. Purging waits for it."
  type        = number
  default     = 0
}

variable "restore_days" {
  description = "How many days overwritten and deleted blobs can be restored, 1 to 365."
  type        = number
  default     = 30
}

variable "secrets_officers" {
  description = "Object ids of the people or groups that write the secrets."
  type        = list(string)
  default     = []
}

variable "oidc_issuer_url" {
  description = "The cluster's OIDC issuer, for workload identity; empty for none."
  type        = string
  default     = ""
}

variable "namespace" {
  description = "The namespace that the chart is installed in."
  type        = string
  default     = "whatsapp-archiver"
}

variable "service_account" {
  description = "The service account that the chart makes: the release's name, where it contains whatsapp-archiver."
  type        = string
  default     = "whatsapp-archiver"
}
