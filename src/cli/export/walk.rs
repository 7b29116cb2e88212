//! The items of an export, read from staging one after the other and put to its filters.

use std::sync::Arc;

use chrono::{DateTime, Utc};

use super::super::context::CommandError;
use super::super::output;
use super::sink::{self, Sink};
use crate::app::{self, App, files};
use crate::export::{Filters, Finished, MANIFEST, Row, Summary};
use crate::fault::Fault;
use crate::item::Item;
use crate::ledger::{ItemNo, ItemRecord, PurgedItem};
use crate::pipeline::Loader;
use crate::resolution::MailboxId;
use crate::resolve::users::UserDirectory as _;
use crate::resolve::users::list::UserList;
use crate::staging::StagingError;
use crate::window::Window;

/// Items that are read from the ledger at a time.
const ITEMS_PER_QUERY: u32 = 200;

/// An item whose content has more bytes than this is not exported: its message would not fit into memory.
const MAX_CONTENT: u64 = 512 * 1024 * 1024;

/// The longest overlap that windows may have been read with, whatever the configuration says now.
const MAX_OVERLAP: chrono::Duration = chrono::Duration::days(31);

/// What came of an export.
pub(super) struct Exported {
    pub(super) summary: Summary,
    /// Nothing of a dry run.
    pub(super) finished: Option<Finished>,
    pub(super) filters: Filters,
    /// Items that are named in the manifest and not exported.
    pub(super) left_out: u64,
    /// Of these, items that no rule keeps out.
    pub(super) unexported: u64,
}

/// An export that is under way.
pub(super) struct Walk<'a> {
    app: &'a App,
    filters: Filters,
    loader: Loader,
    staged: Window,
    sink: Sink,
    left_out: u64,
    unexported: u64,
}

/// Where items of a window of receiving times may have been staged. A window reads back before its beginning, so that they
/// may lie under a later one; a source without windows is read whole at any time, so that they may lie under any later one.
fn staged_in(app: &App, received: Window) -> Window {
    let overlap = app.config.schedule.overlap.max(MAX_OVERLAP);
    let to = received.to.checked_add_signed(overlap).filter(|_| app.remotes.source.has_windows());
    Window { from: received.from, to: to.unwrap_or(DateTime::<Utc>::MAX_UTC) }
}

impl<'a> Walk<'a> {
    pub(super) fn new(app: &'a App, filters: Filters, sink: Sink) -> Self {
        let loader = Loader::new(Arc::clone(&app.remotes.staging));
        let staged = staged_in(app, filters.selection().received_in());
        Self { app, filters, loader, staged, sink, left_out: 0, unexported: 0 }
    }

    pub(super) async fn run(mut self) -> Result<Exported, CommandError> {
        if self.filters.are_given() {
            self.learn().await?;
        }
        let mut after = ItemNo(0);
        while let Some((records, last)) = self.records(after).await? {
            after = last;
            for record in records {
                self = self.add(&record).await?;
            }
        }
        self.name_purged().await?;
        let Self { filters, sink, left_out, unexported, .. } = self;
        let (summary, finished) = sink.finish().await?;
        Ok(Exported { summary, finished, filters, left_out, unexported })
    }

    /// The next items, and the last of them.
    async fn records(&self, after: ItemNo) -> Result<Option<(Vec<ItemRecord>, ItemNo)>, CommandError> {
        let records = self.app.ledger.items_of_window(self.staged, after, ITEMS_PER_QUERY).await?;
        let last = records.last().map(|record| record.no);
        Ok(last.map(|last| (records, last)))
    }

    /// Lets the filters see all items before any of them is judged.
    async fn learn(&mut self) -> Result<(), CommandError> {
        let mut after = ItemNo(0);
        while let Some((records, last)) = self.records(after).await? {
            after = last;
            for record in records {
                match self.loader.item(&record).await {
                    Ok((_, Ok(item))) => self.filters.learn(&item, &record.resolution.unwrap_or_default()),
                    // Named when its turn comes.
                    Ok((_, Err(_))) => {}
                    Err(error) if is_of_the_item(&error) => {}
                    Err(error) => return Err(error.into()),
                }
            }
        }
        let unknown = self.filters.unknown_addresses();
        let users = if unknown.is_empty() { None } else { self.users() };
        for address in unknown {
            let ids = self.mailboxes_of(&address, users.as_ref()).await?;
            self.filters.address_names(&address, &ids);
        }
        Ok(())
    }

    /// The mailboxes of an address that no item of the window was resolved to: those that the ledger knows by it from other times,
    /// else the one whose alias it is. A leaver's address that somebody else has now stays the leaver's.
    async fn mailboxes_of(&self, address: &str, users: Option<&UserList>) -> Result<Vec<MailboxId>, CommandError> {
        let known = self.app.ledger.mailboxes_with_address(address).await?;
        if !known.is_empty() {
            return Ok(known);
        }
        let Some((users, mailbox)) = users.and_then(|users| Some((users, users.mailbox(address)?))) else {
            return Ok(Vec::new());
        };
        Ok(std::iter::once(&mailbox.id).chain(users.former_ids(&mailbox.id)).cloned().collect())
    }

    fn users(&self) -> Option<UserList> {
        files::read_users(&self.app.config.tables()).unwrap_or_else(|problems| {
            eprintln!("aliases of mailboxes are not known, because the user list can't be read: {problems}");
            None
        })
    }

    async fn add(mut self, record: &ItemRecord) -> Result<Self, CommandError> {
        let (raw, item) = match self.loader.item(record).await {
            Ok(read) => read,
            Err(error) => return self.unreadable(record, None, error),
        };
        let item = match item {
            Ok(item) => item,
            // Its receiving time can't be read either, so it is named whenever its window overlaps.
            Err(error) => {
                self.leave_out(record, None, &error.to_string(), true)?;
                return Ok(self);
            }
        };
        let resolution = record.resolution.clone().unwrap_or_default();
        if !self.filters.takes(&item, &resolution) {
            return Ok(self);
        }
        let size: u64 = record.attachments.iter().map(|attachment| attachment.size).sum();
        if item.encrypted {
            self.leave_out(record, Some(&item), "its content is encrypted", true)?;
            return Ok(self);
        }
        if size > MAX_CONTENT {
            let problem = format!("its attachments have {size} bytes; they are in staging");
            self.leave_out(record, Some(&item), &problem, false)?;
            return Ok(self);
        }
        self.sink = match self.sink {
            Sink::Counts(mut counts) => {
                counts.add(&item, record);
                Sink::Counts(counts)
            }
            Sink::Files(exporter) => {
                let attachments = match self.loader.attachments(record, &raw, &record.attachments).await {
                    Ok(attachments) => attachments,
                    Err(error) => {
                        self.sink = Sink::Files(exporter);
                        return self.unreadable(record, Some(&item), error);
                    }
                };
                let domain = self.app.config.mailbox.placeholder_address_domain.clone();
                Sink::Files(sink::write(exporter, item, attachments, record, resolution, domain).await?)
            }
        };
        Ok(self)
    }

    /// Leaves out an item that staging gives back damaged, or not at all; fails where it is staging that can't be read.
    fn unreadable(
        mut self,
        record: &ItemRecord,
        item: Option<&Item>,
        error: StagingError,
    ) -> Result<Self, CommandError> {
        if !is_of_the_item(&error) {
            return Err(error.into());
        }
        self.leave_out(record, item, &error.to_string(), false)?;
        Ok(self)
    }

    fn leave_out(
        &mut self,
        record: &ItemRecord,
        item: Option<&Item>,
        problem: &str,
        by_rule: bool,
    ) -> Result<(), CommandError> {
        let name = record.name();
        eprintln!("left out: item {name}: {problem}");
        self.left_out += 1;
        self.unexported += u64::from(!by_rule);
        let row = Row {
            item: name,
            message_id: None,
            sent: item.map(|item| item.time.at),
            owner: item.and_then(|item| item.owner.as_ref()).map(|owner| owner.value.clone()),
            problem: Some(format!("not exported: {}", app::local_paths(&self.app.config).taken_out(problem))),
        };
        self.sink.leave_out(&row)
    }

    /// Names the items that staging doesn't have any more. Of these only the owner is known.
    async fn name_purged(&mut self) -> Result<(), CommandError> {
        let (mut after, mut purged) = (ItemNo(0), 0_u64);
        loop {
            let items = self.app.ledger.purged_items(self.staged, after, ITEMS_PER_QUERY).await?;
            let Some(last) = items.last() else { break };
            after = last.no;
            for PurgedItem { name, owner, .. } in items {
                if !self.filters.may_take_of(owner.as_deref()) {
                    continue;
                }
                purged += 1;
                let problem =
                    "not exported: purged from staging (staging.retain), so that its time and content are not known";
                self.sink.leave_out(&Row { item: name, owner, problem: Some(problem.to_owned()), ..Row::default() })?;
            }
        }
        if purged > 0 {
            let (one, several) = ("item that may be of this time is", "items that may be of this time are");
            let items = output::counted(purged, one, several);
            let named = if matches!(self.sink, Sink::Files(_)) {
                format!("; {MANIFEST} names what is missing")
            } else {
                String::new()
            };
            eprintln!("{items} purged from staging (staging.retain) and can't be exported{named}");
        }
        Ok(())
    }
}

/// Whether it is this item that staging gives back damaged, or not at all, and not staging that can't be read.
fn is_of_the_item(error: &StagingError) -> bool {
    Fault::from(error) == Fault::Defer || matches!(error, StagingError::TooLarge { .. })
}
