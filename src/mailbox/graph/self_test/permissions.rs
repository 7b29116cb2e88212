//! Which permission is missing, by name.

use super::Finding;
use crate::graph::{Call, Graph, Version};
use crate::http::Remote;
use crate::mailbox::graph::{Method, fault};
use crate::resolution::Mailbox;
use crate::sign_in::{Audience, SignIn, SignInError};

/// Any of these lets the application look users up.
const USERS: [&str; 4] = ["User.Read.All", "User.ReadWrite.All", "Directory.Read.All", "Directory.ReadWrite.All"];

/// Signs in and looks which of the permissions that are needed the application has: `users` to look users up, `method`
/// to import. A token doesn't show RBAC for Applications, so where `Mail.ReadWrite` isn't in it, `probe` is tried.
pub async fn check_permissions(
    graph: &Graph,
    users: bool,
    method: Option<Method>,
    probe: Option<&Mailbox>,
) -> Vec<Finding> {
    let token = match graph.sign_in().token_for(Audience::Graph).await {
        Ok(token) => token,
        Err(error) => return vec![signed_out(error)],
    };
    let roles = token.roles();
    let has = |wanted: &str| roles.iter().any(|role| role == wanted);
    let mut findings = vec![Finding::good("sign in", format!("until {}", token.expires().to_rfc3339()))];
    if users {
        findings.push(match USERS.into_iter().find(|permission| has(permission)) {
            Some(permission) => granted(permission),
            None => missing("User.Read.All", ""),
        });
    }
    let Some(method) = method else { return findings };
    if method == Method::ImportMime {
        let permission = method.permission();
        findings.push(if has(permission) { granted(permission) } else { missing(permission, "") });
    }
    // Folders and look-ups need it whatever the method.
    findings.push(if has("Mail.ReadWrite") { granted("Mail.ReadWrite") } else { by_rbac(graph, probe).await });
    findings
}

/// Signs in for IMAP, and looks whether the application may open mailboxes with it.
pub async fn check_imap_permission(sign_in: &SignIn) -> Vec<Finding> {
    const PERMISSION: &str = "IMAP.AccessAsApp";
    let token = match sign_in.token_for(Audience::Outlook).await {
        Ok(token) => token,
        Err(error) => return vec![signed_out(error)],
    };
    let more = " (it is one of Office 365 Exchange Online), and give its service principal FullAccess to the mailboxes";
    let is_granted = token.roles().iter().any(|role| role == PERMISSION);
    vec![
        Finding::good("sign in for IMAP", format!("until {}", token.expires().to_rfc3339())),
        if is_granted { granted(PERMISSION) } else { missing(PERMISSION, more) },
    ]
}

fn granted(permission: &str) -> Finding {
    Finding::good(format!("permission {permission}"), "granted")
}

fn missing(permission: &str, more: &str) -> Finding {
    Finding::bad(
        format!("permission {permission}"),
        "the application doesn't have it",
        format!(
            "Add it to the application as an application permission, then let an administrator open the link that `whatsapp-archiver consent-url` prints{more}"
        ),
    )
}

fn signed_out(error: SignInError) -> Finding {
    match error {
        SignInError::Refused { detail, remedy } => Finding::bad("sign in", detail, remedy),
        other => Finding::bad("sign in", other.to_string(), "Fix this and try again"),
    }
}

/// Whether the RBAC role opens the mailbox of `probe`.
async fn by_rbac(graph: &Graph, probe: Option<&Mailbox>) -> Finding {
    let more = "; or give it the RBAC role Application Mail.ReadWrite for the archived users, and prove it with \
                `whatsapp-archiver check --mailbox ADDRESS`";
    let Some(mailbox) = probe else { return missing("Mail.ReadWrite", more) };
    let path = ["users", mailbox.id.0.as_str(), "mailFolders"];
    let call = graph.url(Version::V1, &path, &[("$top", "1"), ("$select", "id")]).map(Call::get);
    let result = match call {
        Ok(call) => graph.call(Remote::Mailbox, &call).await,
        Err(error) => Err(error),
    };
    match result {
        Ok(_) => Finding::good("permission Mail.ReadWrite", format!("for {}, by an RBAC role", mailbox.address)),
        Err(error) if error.is("ErrorAccessDenied") => missing("Mail.ReadWrite", more),
        Err(error) => {
            let error = fault::of_read(&error, "Mail.ReadWrite").to_string();
            Finding::bad("permission Mail.ReadWrite", error, "Fix this and try again")
        }
    }
}
