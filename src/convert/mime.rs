//! The MIME form of a message (RFC 5322, RFC 2045).

use bytes::Bytes;
use mail_builder::MessageBuilder;
use mail_builder::headers::address::Address as HeaderAddress;
use mail_builder::headers::date::Date;

use super::{Mail, Message};

impl Message {
    /// The MIME form: made once, always the same bytes for the same fields.
    pub fn mime(&self) -> &Bytes {
        self.mime.get_or_init(|| write(&self.mail))
    }
}

fn write(mail: &Mail) -> Bytes {
    let address = |address: &super::Address| HeaderAddress::new_address(address.name.clone(), address.address.clone());
    let mut builder = MessageBuilder::new()
        .message_id(mail.message_id.as_str())
        .date(Date::new(mail.date.timestamp()))
        .from(address(&mail.from))
        .to(HeaderAddress::new_list(mail.to.iter().map(address).collect()))
        .subject(mail.subject.as_str())
        .text_body(mail.text.as_str());
    for attachment in &mail.attachments {
        builder =
            builder.attachment(attachment.content_type.as_str(), attachment.name.as_str(), attachment.bytes.as_ref());
    }
    builder.write_to_vec().map(Bytes::from).unwrap_or_default()
}
