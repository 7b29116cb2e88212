//! Which request is answered by what, after the token was looked at.

use serde_json::{Value, json};

use super::http::{Answer, Request};
use super::query::{equality, page, select, unquote};
use super::world::User;
use super::{World, check_headers, fault};

impl World {
    /// What a request meets before it is served: the limits of its mailbox.
    pub(super) fn arrive(&mut self, request: &Request, mailbox: Option<&str>) -> Option<Answer> {
        let now = self.now();
        self.limits.arrive(mailbox?, request.body.len(), now)
    }

    /// The answer of a server that works.
    pub(super) fn answer(&mut self, request: &Request) -> Answer {
        if let Some(answer) = self.log_in(request) {
            return answer;
        }
        if request.segments[0] == "upload" {
            return self.upload(request);
        }
        if !request.in_batch {
            let mut violations = Vec::new();
            check_headers(request, &mut self.request_ids, &mut violations);
            self.violations.extend(violations);
        }
        let Some(roles) = self.login.roles_of(request.header("authorization"), self.now()) else {
            return Answer::error(401, "InvalidAuthenticationToken", "Access token has expired or is not yet valid.");
        };
        let path: Vec<&str> = request.segments.iter().map(String::as_str).collect();
        let needs_users = || {
            (!roles.contains(&"User.Read.All"))
                .then(|| Answer::error(403, "Authorization_RequestDenied", "Insufficient privileges."))
        };
        match (request.method.as_str(), path.as_slice()) {
            ("POST", ["v1.0", "$batch"]) => self.batch(request),
            ("GET", ["v1.0", "users"]) => needs_users().unwrap_or_else(|| self.find_users(request)),
            ("GET", ["v1.0", "users", key]) => needs_users().unwrap_or_else(|| self.get_user(request, key)),
            (method, [version @ ("v1.0" | "beta"), "users", key, rest @ ..]) => {
                let import_mime = rest.last() == Some(&"importMime");
                if import_mime != (*version == "beta") {
                    return Answer::error(400, "BadRequest", "Resource not found for the segment.");
                }
                let user = match self.usable_mailbox(key, &roles, import_mime) {
                    Ok(user) => user,
                    Err(answer) => return answer,
                };
                self.in_mailbox(method, &user, rest, request, &roles)
            }
            _ => Answer::error(400, "BadRequest", "Resource not found for the segment."),
        }
    }

    /// The id of a user whose mailbox the application may use.
    fn usable_mailbox(&self, key: &str, roles: &[&str], import_mime: bool) -> Result<String, Answer> {
        let Some(user) = self.user(key) else {
            return Err(Answer::error(404, "ErrorInvalidUser", "The requested user is invalid."));
        };
        if let Some(code) = user.spec.no_mailbox {
            return Err(Answer::error(
                404,
                code,
                "The mailbox is either inactive, soft-deleted, or is hosted on-premise.",
            ));
        }
        let needed = if import_mime { "Mail-Advanced.ReadWrite.All" } else { "Mail.ReadWrite" };
        let by_rbac = !import_mime && self.rbac_scope.contains(&user.id);
        if !roles.contains(&needed) && !by_rbac {
            return Err(Answer::error(403, "ErrorAccessDenied", "Access is denied. Check credentials and try again."));
        }
        Ok(user.id.clone())
    }

    fn in_mailbox(&mut self, method: &str, user: &str, path: &[&str], request: &Request, roles: &[&str]) -> Answer {
        match (method, path) {
            ("GET", ["mailFolders"]) => self.list_folders(user, request),
            ("POST", ["mailFolders"]) => self.create_folder(user, request),
            ("GET", ["mailFolders", "inbox"]) => Answer::json(200, &json!({ "id": "inbox" })),
            ("GET", ["mailFolders", folder, "messages"]) => self.list_folder(user, folder, request),
            ("POST", ["mailFolders", folder, "messages"]) => self.create_message(user, folder, request),
            ("POST", ["mailFolders", folder, "importMime"]) => self.import_mime(user, folder, request),
            ("GET", ["messages"]) => self.find_messages(user, request),
            ("GET", ["messages", id]) => self.get_message(user, id, request),
            ("DELETE", ["messages", id]) => self.delete_message(user, id, false),
            ("POST", ["messages", id, "permanentDelete"]) => self.delete_message(user, id, true),
            ("GET", ["messages", id, "attachments"]) => self.list_attachments(user, id, request),
            ("GET", ["messages", id, "attachments", file, "$value"]) => self.get_attachment(user, id, file),
            ("POST", ["messages", id, "attachments"]) => {
                self.may_change(user, id, roles).unwrap_or_else(|| self.post_attachment(user, id, request))
            }
            ("POST", ["messages", id, "attachments", "createUploadSession"]) => {
                self.may_change(user, id, roles).unwrap_or_else(|| self.create_session(user, id, request))
            }
            _ => Answer::error(400, "BadRequest", "Resource not found for the segment."),
        }
    }

    /// Each part of a batch is answered, fails and is throttled alone; answers come in any order.
    fn batch(&mut self, request: &Request) -> Answer {
        let body = request.json().unwrap_or_default();
        let parts = body["requests"].as_array().cloned().unwrap_or_default();
        if parts.is_empty() || parts.len() > 20 {
            return Answer::error(400, "BadRequest", "A batch has 1 to 20 requests.");
        }
        let mut responses: Vec<Value> = parts.iter().map(|part| self.part_of_batch(part, request)).collect();
        responses.reverse();
        Answer::json(200, &json!({ "responses": responses }))
    }

    fn part_of_batch(&mut self, part: &Value, whole: &Request) -> Value {
        let url = part["url"].as_str().unwrap_or_default();
        let headers = whole.headers.clone();
        let method = part["method"].as_str().unwrap_or_default();
        let request = Request { headers, in_batch: true, ..Request::of(method, &format!("/v1.0{url}")) };
        let mailbox = self.mailbox_of(&request);
        let refused = self.arrive(&request, mailbox.as_deref());
        let answer = refused.unwrap_or_else(|| match self.next_act(&request) {
            Some(fault::Act::Reply { status, code, retry_after }) => {
                fault::with_retry_after(Answer::error(status, code, "commanded"), retry_after, self.now())
            }
            Some(other) => panic!("{other:?} can't happen in a batch"),
            None => self.answer(&request),
        });
        if let Some(mailbox) = mailbox {
            self.limits.leave(&mailbox);
        }
        self.log(&request, &answer, false);
        let headers: Value = answer.headers.iter().map(|(name, value)| ((*name).to_owned(), json!(value))).collect();
        let body: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        json!({ "id": part["id"], "status": answer.status, "headers": headers, "body": body })
    }

    /// The user that a look-up for `address` is answered with by mistake.
    fn mistaken_for(&self, address: &str) -> Option<&User> {
        let (asked, other) = self.mistaken.as_ref()?;
        address.contains(asked).then(|| self.user(other)).flatten()
    }

    fn get_user(&self, request: &Request, key: &str) -> Answer {
        match self.mistaken_for(key).or_else(|| self.user(key)) {
            Some(user) => Answer::json(200, &select(request, describe(user))),
            None => Answer::error(404, "Request_ResourceNotFound", &format!("Resource '{key}' does not exist.")),
        }
    }

    fn find_users(&self, request: &Request) -> Answer {
        let filter = request.query("$filter").unwrap_or_default();
        let any = filter.strip_prefix("proxyAddresses/any(p:p eq ").and_then(|rest| unquote(rest.strip_suffix(')')?));
        let same = |one: &str, other: &str| one.eq_ignore_ascii_case(other);
        let matches = |user: &&User| match (&any, equality(filter)) {
            (Some(wanted), _) => proxy_addresses(user).iter().any(|address| same(address, wanted)),
            (None, Some((name, wanted))) if name == "mail" => {
                user.spec.mail.as_ref().is_some_and(|mail| same(mail, &wanted))
            }
            (None, Some((name, wanted))) if name == "userPrincipalName" => same(&user.spec.principal_name, &wanted),
            _ => false,
        };
        if any.is_none() && equality(filter).is_none() {
            return Answer::error(400, "Request_UnsupportedQuery", "Unsupported or invalid query filter clause.");
        }
        if let Some(other) = self.mistaken_for(filter) {
            return page(request, &self.origin, vec![describe(other)]);
        }
        page(request, &self.origin, self.users.iter().filter(matches).map(describe).collect())
    }
}

fn describe(user: &User) -> Value {
    json!({
        "id": user.id, "mail": user.spec.mail, "userPrincipalName": user.spec.principal_name,
        "proxyAddresses": proxy_addresses(user), "displayName": "Somebody",
    })
}

fn proxy_addresses(user: &User) -> Vec<String> {
    let primary = user.spec.mail.iter().map(|mail| format!("SMTP:{mail}"));
    primary.chain(user.spec.aliases.iter().map(|alias| format!("smtp:{alias}"))).collect()
}
