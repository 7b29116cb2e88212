//! `health`: whether the local daemon is ready.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use anyhow::Context as _;

use super::context::{CommandError, CommandResult, Context, Exit, block_on};
use super::output;
use crate::config::NeededSecrets;
use crate::http::{HttpClient, HttpOptions, Remote};

pub(super) fn run(context: &Context) -> CommandResult {
    let config = context.config(NeededSecrets::None)?;
    let Some(http) = &config.http else {
        return Err(CommandError::Usage(
            "the configuration has no section [http], so the daemon serves nobody and its health can't be checked: add [http], \
             or take the health check away (docker run --no-healthcheck)"
                .to_owned(),
        ));
    };
    let address = local(http.listen);
    block_on(async {
        const MAX_REPLY: u64 = 64 * 1024;
        let client = HttpClient::build(&HttpOptions::default())?;
        let url = reqwest::Url::parse(&format!("http://{address}/readyz"))?;
        let reply = client.send(Remote::Health, client.get(url), MAX_REPLY).await;
        let reply = reply.with_context(|| format!("no answer at {address} (http.listen): does the daemon run?"))?;
        output::print(&String::from_utf8_lossy(&reply.body))?;
        Ok(if reply.status.is_success() { Exit::Done } else { Exit::Failed })
    })
}

/// The address to reach a listener on this machine by: one that listens everywhere is on the loopback address too.
fn local(listen: SocketAddr) -> SocketAddr {
    let address = match listen.ip() {
        IpAddr::V4(address) if address.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(address) if address.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        address => address,
    };
    SocketAddr::new(address, listen.port())
}
