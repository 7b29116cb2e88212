//! `[users]`: who is a valid user.

use std::path::PathBuf;

use super::reader::Section;
use super::schema::{Choice, Condition, Key, SectionSchema, Shape, names};
use crate::resolve::users::graph::GraphUsersSettings;

/// Who is a valid user, and for how long an answer is believed.
#[derive(Debug, Clone)]
pub struct UsersConfig {
    /// Where users are looked up.
    pub kind: UsersKind,
    /// How long answers are kept.
    pub caching: GraphUsersSettings,
}

#[derive(Debug, Clone)]
pub enum UsersKind {
    /// Microsoft Graph, with the sign-in of `[microsoft]`, which is there then.
    Graph,
    /// A file of addresses.
    List { path: PathBuf },
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    Graph,
    List,
}

impl Choice for Kind {
    const NAMES: &'static [(&'static str, Self)] = &[("graph", Self::Graph), ("list", Self::List)];
}

pub(super) const SCHEMA: SectionSchema = SectionSchema {
    name: "users",
    keys: &[
        Key::new("kind", Shape::Choice(names::<Kind>), "\"graph\""),
        Key::new("path", Shape::Text, "\"users.csv\"").only(&[Condition::new("kind", "list")]),
        Key::new("cache", Shape::Duration, "\"12h\"").default(),
        Key::new("negative_cache", Shape::Duration, "\"15m\"").default(),
    ],
};

pub(super) fn read(section: &mut Section<'_>) -> Option<UsersConfig> {
    let kind = match section.choice("kind") {
        Some(Kind::Graph) => Some(UsersKind::Graph),
        Some(Kind::List) => section.required_path("path").map(|path| UsersKind::List { path }),
        None => None,
    };
    let cache = section.duration("cache");
    let negative_cache = section.duration("negative_cache");
    let caching = GraphUsersSettings { cache: cache?, negative_cache: negative_cache? };
    Some(UsersConfig { kind: kind?, caching })
}
