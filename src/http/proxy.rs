//! The proxy of the environment, for https alone and never for this machine. Plain http goes to this machine only, so a proxy
//! would carry its credentials in clear text to another.

use reqwest::{ClientBuilder, NoProxy, Proxy};

use super::HttpError;

/// Gives `builder` the proxy that `variable` reads from the environment, or none.
pub(super) fn of(
    builder: ClientBuilder,
    variable: impl Fn(&str) -> Option<String>,
) -> Result<ClientBuilder, HttpError> {
    let first = |names: &[&str]| {
        let values = names.iter().filter_map(|name| variable(name));
        values.map(|value| value.trim().to_owned()).find(|value| !value.is_empty())
    };
    let builder = builder.no_proxy();
    let Some(address) = first(&["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"]) else {
        return Ok(builder);
    };
    // The address may hold a credential, so the error doesn't repeat it.
    let proxy = Proxy::https(address)
        .map_err(|_| HttpError::Invalid { detail: "HTTPS_PROXY (or ALL_PROXY) isn't a proxy's address".to_owned() })?;
    let direct = first(&["NO_PROXY", "no_proxy"]).unwrap_or_default();
    let direct = NoProxy::from_string(&format!("localhost,127.0.0.0/8,::1,{direct}"));
    Ok(builder.proxy(proxy.no_proxy(direct)))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::io::AsyncReadExt as _;
    use tokio::net::TcpListener;

    use super::*;

    fn builder() -> ClientBuilder {
        #[expect(clippy::disallowed_methods, reason = "the builder under test")]
        reqwest::Client::builder().timeout(Duration::from_secs(30))
    }

    /// The first line that reaches whatever listens when `url` is asked for, with these variables.
    async fn first_line(listener: TcpListener, url: &str, variables: Vec<(&str, String)>) -> String {
        let variable =
            |wanted: &str| variables.iter().find(|(name, _)| *name == wanted).map(|(_, value)| value.clone());
        let client = of(builder(), variable).unwrap().build().unwrap();
        let request = client.get(url).build().unwrap();
        let answer = async {
            let (mut connection, _) = listener.accept().await.unwrap();
            let mut bytes = vec![0; 1024];
            let length = connection.read(&mut bytes).await.unwrap();
            String::from_utf8_lossy(&bytes[..length]).lines().next().unwrap_or_default().to_owned()
        };
        // Nobody answers, so the request fails when the connection goes.
        let (line, _) = tokio::join!(answer, client.execute(request));
        line
    }

    async fn listener() -> (TcpListener, String) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        (listener, address)
    }

    #[tokio::test]
    async fn https_takes_the_proxy() {
        for name in ["HTTPS_PROXY", "https_proxy", "ALL_PROXY"] {
            let (proxy, address) = listener().await;
            let line = first_line(proxy, "https://archive.invalid/path", vec![(name, address)]).await;
            assert_eq!(line, "CONNECT archive.invalid:443 HTTP/1.1");
        }
    }

    #[tokio::test]
    async fn this_machine_takes_none() {
        let dead = "http://192.0.2.1:1".to_owned();
        let (server, address) = listener().await;
        let variables = vec![("HTTPS_PROXY", dead.clone()), ("HTTP_PROXY", dead.clone()), ("ALL_PROXY", dead)];
        let line = first_line(server, &format!("{address}/path"), variables).await;
        assert_eq!(line, "GET /path HTTP/1.1");
    }

    #[test]
    fn a_wrong_address_is_reported_without_being_shown() {
        let error = of(builder(), |_| Some("http://ana:secret@[bad".to_owned())).unwrap_err();
        assert!(!format!("{error} {error:?}").contains("secret"), "{error}");
    }
}
