//! Checks that connect.

use crate::health::check::{Check, Finding, Level};
use crate::kernel::config::ConfigError;
use crate::kernel::name::Name;
use http::header::{HOST, HeaderValue, USER_AGENT};
use http::{Request, Uri};
use http_body_util::Empty;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use std::error::Error;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use tokio::net::TcpStream;

/// A check that passes if a TCP connection to `address` (`"host:port"`) comes about. It is closed at once.
///
/// That something listens says little about whether it works: where it speaks a protocol, ask it.
pub fn tcp_connect(name: impl Into<Name>, level: Level, address: impl Into<String>) -> Check {
    let address: Arc<str> = address.into().into();
    Check::new(name, level, move || {
        let address = address.clone();
        async move { TcpStream::connect(&*address).await.map(drop) }
    })
}

/// A check that gets `url`, on a connection of its own each time, and passes if the status is a 2xx. Its value is the
/// status. The body is not read.
///
/// `http` only: a check of something that answers on this machine or in this network. For TLS, write a
/// [`Check`] around the client that you have.
///
/// # Errors
///
/// A URL that is none, is not of the scheme `http`, or has no host.
pub fn http_get(name: impl Into<Name>, level: Level, url: &str) -> Result<Check, ConfigError> {
    let target = Arc::new(Target::new(url)?);
    Ok(Check::new(name, level, move || {
        let target = target.clone();
        async move { target.get().await }
    }))
}

struct Target {
    address: String,
    host: HeaderValue,
    path: Uri,
}

impl Target {
    fn new(url: &str) -> Result<Self, ConfigError> {
        let refused = || ConfigError::new("url", url, "http://host[:port]/path");
        let uri: Uri = url.parse().map_err(|_| refused())?;
        let (Some("http"), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
            return Err(refused());
        };
        if authority.host().is_empty() {
            return Err(refused());
        }
        let port = authority.port_u16().unwrap_or(80);
        let path = uri.path_and_query().map_or("/", |path| path.as_str());
        Ok(Self {
            address: format!("{}:{port}", authority.host()),
            // Without what stands before an @, which is nobody's business but the server's it is meant for.
            host: match authority.port_u16() {
                Some(port) => format!("{}:{port}", authority.host()),
                None => authority.host().to_owned(),
            }
            .parse()
            .map_err(|_| refused())?,
            path: path.parse().map_err(|_| refused())?,
        })
    }

    async fn get(&self) -> Result<Finding, Box<dyn Error + Send + Sync>> {
        let stream = TcpStream::connect(&self.address).await?;
        let (mut send, connection) = http1::handshake(TokioIo::new(stream)).await?;
        let mut request = Request::new(Empty::<&[u8]>::new());
        *request.uri_mut() = self.path.clone();
        request.headers_mut().insert(HOST, self.host.clone());
        let agent = HeaderValue::from_static("backstop-health");
        request.headers_mut().insert(USER_AGENT, agent);
        // Both in this task, so that they end with the check's run: a timeout closes the connection.
        let mut response = pin!(send.send_request(request));
        let mut connection = pin!(connection);
        let mut has_ended = false;
        let answered = poll_fn(|cx| {
            if !has_ended {
                has_ended = connection.as_mut().poll(cx).is_ready();
            }
            // What the connection has brought before it ended is there; if nothing, this is an error.
            response.as_mut().poll(cx)
        });
        let status = answered.await?.status();
        let finding = if status.is_success() {
            Finding::passed()
        } else {
            Finding::failed(format_args!("status {status}"))
        };
        Ok(finding.observed(status.as_u16(), "status"))
    }
}
