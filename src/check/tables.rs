//! The mapping file and the user list: whether they can be read, and whether they fit each other.

use std::collections::BTreeSet;

use super::finding::Finding;
use crate::app::files;
use crate::config::NamedTables;
use crate::digits::counted;
use crate::resolve::mapping::Mapping;
use crate::resolve::users::list::UserList;

/// Addresses that are named at the most.
const MAX_NAMED: usize = 5;

/// What is to be said of the tables that are named.
pub fn of(named: &NamedTables) -> Vec<Finding> {
    let (mapping, users) = (files::read_mapping(named), files::read_users(named));
    let mut findings = vec![match &mapping {
        Ok(Some(mapping)) if mapping.is_empty() => Finding::warning("mapping", "no number is mapped".to_owned()),
        Ok(Some(mapping)) => Finding::ok("mapping", counted(mapping.len() as u64, "number", "numbers")),
        Ok(None) => Finding::ok("mapping", "none; participants are found by their e-mail property".to_owned()),
        Err(problems) => Finding::wrong("mapping", problems.to_string(), problems.remedy()),
    }];
    match &users {
        Ok(Some(users)) if users.is_empty() => {
            findings.push(Finding::warning("users", "the list has no users: nobody gets a copy".to_owned()));
        }
        Ok(Some(users)) => {
            let detail = counted(users.len() as u64, "user in the list", "users in the list");
            findings.push(Finding::ok("users", detail));
        }
        Ok(None) => {}
        Err(problems) => findings.push(Finding::wrong("users", problems.to_string(), problems.remedy())),
    }
    if let (Ok(Some(mapping)), Ok(Some(users))) = (&mapping, &users) {
        findings.extend(unlisted(mapping, users));
    }
    findings
}

/// The warning of mapped addresses that no user of the list has: their copies would fail.
fn unlisted(mapping: &Mapping, users: &UserList) -> Option<Finding> {
    let unlisted: BTreeSet<&str> = mapping.addresses().filter(|address| users.mailbox(address).is_none()).collect();
    let named: Vec<&str> = unlisted.iter().copied().take(MAX_NAMED).collect();
    let more = if unlisted.len() > named.len() { ", …" } else { "" };
    let addresses = counted(unlisted.len() as u64, "mapped address is", "mapped addresses are");
    let detail = format!("{addresses} not in the user list: {}{more}", named.join(", "));
    (!unlisted.is_empty()).then(|| Finding::warning("mapping", detail))
}
