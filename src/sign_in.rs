//! Signing in to Microsoft: access tokens by client secret, certificate, workload identity or managed identity.
