//! Staging in an Azure Blob Storage container.
