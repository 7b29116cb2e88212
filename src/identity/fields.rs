//! What identities are digests of: fields in a fixed order, each with its length before it, so that no two lists of fields give
//! the same bytes. Frozen: see [`super`].

use std::borrow::Cow;

use crate::digest::{Digest, Digester};
use crate::item::{Chat, Item, Participant, StatedTime};

/// In which form values count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// Version 1: as they came.
    AsItCame,
    /// Version 2: numbers by their digits, one line end, one name of a group.
    Usual,
}

pub(super) struct Fields<'a> {
    digester: Digester,
    item: &'a Item,
    form: Form,
    /// Whether some value counts in another form than it came in.
    is_changed: bool,
}

impl<'a> Fields<'a> {
    pub(super) fn new(purpose: &str, item: &'a Item, form: Form) -> Self {
        let mut fields = Self { digester: Digester::default(), item, form, is_changed: false };
        fields.text(purpose);
        fields
    }

    pub(super) fn count(&mut self, count: usize) {
        self.digester.update(&(count as u64).to_be_bytes());
    }

    pub(super) fn text(&mut self, text: &str) {
        self.count(text.len());
        self.digester.update(text.as_bytes());
    }

    /// A missing field is an empty one.
    pub(super) fn optional(&mut self, text: Option<&str>) {
        self.text(text.unwrap_or_default());
    }

    /// Text of any number of lines.
    pub(super) fn lines(&mut self, text: Option<&str>) {
        let text = text.unwrap_or_default();
        match self.form {
            Form::AsItCame => self.text(text),
            Form::Usual => {
                let lines = with_one_line_end(text);
                self.is_changed |= matches!(lines, Cow::Owned(_));
                self.text(&lines);
            }
        }
    }

    pub(super) fn number(&mut self, number: Option<i64>) {
        self.optional(number.map(|number| number.to_string()).as_deref());
    }

    pub(super) fn time(&mut self, time: Option<StatedTime>) {
        self.number(time.map(|time| time.millis));
    }

    pub(super) fn participant(&mut self, participant: Option<&'a Participant>) {
        let value = participant.map(|participant| self.value(participant));
        self.optional(value.as_deref());
    }

    /// The digest of other fields of the item.
    pub(super) fn digest_of(&mut self, other: Self) {
        self.is_changed |= other.is_changed;
        self.text(&other.finish().to_string());
    }

    pub(super) fn sorted(&mut self, participants: impl Iterator<Item = &'a Participant>) {
        let mut values: Vec<Cow<'_, str>> = participants.map(|participant| self.value(participant)).collect();
        values.sort_unstable();
        self.count(values.len());
        for value in values {
            self.text(&value);
        }
    }

    /// The chat: the group's id, else the sorted values of sender and recipients. Version 1 knows no group by its
    /// `groupData.id`. A broadcast list is known to its sender alone, so that id makes no chat.
    pub(super) fn chat(&mut self) {
        let item = self.item;
        let data_id = match &item.chat {
            Chat::Group(name) if self.form == Form::Usual => name.data_id.as_deref(),
            _ => None,
        };
        let group_id = item.chat.name().and_then(|name| name.id.as_deref());
        self.is_changed |= group_id.is_none() && data_id.is_some();
        let group_id = group_id.or(data_id);
        if let Some(group_id) = group_id {
            self.text("group");
            self.text(group_id);
        } else {
            self.text("participants");
            self.sorted(item.sender.iter().chain(&item.recipients));
        }
    }

    /// Whether the same fields have another digest in the form in which they came.
    pub(super) fn is_changed(&self) -> bool {
        self.is_changed
    }

    pub(super) fn finish(self) -> Digest {
        self.digester.finish()
    }

    fn value(&mut self, participant: &'a Participant) -> Cow<'a, str> {
        match self.form {
            Form::AsItCame => Cow::Borrowed(&participant.value),
            Form::Usual => {
                let value = participant.usual_value();
                self.is_changed |= value != participant.value;
                value
            }
        }
    }
}

/// Whatever ends a line, as LF.
fn with_one_line_end(text: &str) -> Cow<'_, str> {
    const OTHERS: [char; 4] = ['\r', '\u{85}', '\u{2028}', '\u{2029}'];
    if !text.contains(OTHERS) {
        return Cow::Borrowed(text);
    }
    Cow::Owned(text.replace("\r\n", "\n").replace(OTHERS, "\n"))
}
