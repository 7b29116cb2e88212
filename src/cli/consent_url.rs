//! `consent-url`: the link by which an administrator grants the application its permissions.

use super::context::{CommandError, CommandResult, Context, Exit};
use super::output;
use crate::app::remotes;
use crate::config::NeededSecrets;

pub(super) fn run(context: &Context) -> CommandResult {
    let config = context.config(NeededSecrets::None)?;
    let Some(microsoft) = &config.microsoft else {
        let text = "the configuration has no section [microsoft], so there is nothing to consent to";
        return Err(CommandError::Usage(text.to_owned()));
    };
    let Some(client_id) = microsoft.client_id() else {
        let text = "a managed identity takes no consent: grant its permissions to its service principal instead";
        return Err(CommandError::Usage(text.to_owned()));
    };
    let endpoints = remotes::endpoints(microsoft)?;
    let redirect = microsoft.redirect_uri.as_ref().map(reqwest::Url::as_str);
    let url = endpoints.consent_url(&microsoft.tenant_id, client_id, redirect)?;
    output::print(&format!("{url}\n"))?;
    Ok(Exit::Done)
}
