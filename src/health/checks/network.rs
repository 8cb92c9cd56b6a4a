//! Checks that connect.

use crate::health::check::{Check, Finding, Inside, Level, RunResult};
use crate::kernel::config::ConfigError;
use crate::kernel::name::Name;
use http::header::{HOST, HeaderValue, USER_AGENT};
use http::{Request, Uri};
use http_body_util::Empty;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use std::error::Error;
use std::future::{Future, poll_fn, ready};
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::pin::{Pin, pin};
use std::sync::Arc;
use tokio::net::TcpStream;

/// A check that passes if a TCP connection to `address` (`"host:port"`) comes about. It is closed at once.
///
/// That something listens says little about whether it works: where it speaks a protocol, ask it.
///
/// The host is looked up each time, by the system. A look-up cannot be aborted: while one goes on, the
/// check fails, and none is begun beside it.
pub fn tcp_connect(name: impl Into<Name>, level: Level, address: impl Into<String>) -> Check {
    let address = Address::new(address.into());
    connecting(name.into(), level, address, |_stream| {
        ready(Ok(Finding::passed()))
    })
}

/// A check that gets `url`, on a connection of its own each time, and passes if the status is a 2xx. Its value is the
/// status. The body is not read: the connection is closed once the head is there, however much may come
/// behind it. The host is looked up as by [`tcp_connect`].
///
/// `http` only: a check of something that answers on this machine or in this network. For TLS, write a
/// [`Check`] around the client that you have.
///
/// # Errors
///
/// A URL that is none, is not of the scheme `http`, or has no host.
pub fn http_get(name: impl Into<Name>, level: Level, url: &str) -> Result<Check, ConfigError> {
    let target = Arc::new(Target::new(url)?);
    let address = target.address.clone();
    Ok(connecting(name.into(), level, address, move |stream| {
        let target = target.clone();
        async move { target.get(stream).await }
    }))
}

type Found = Result<Finding, Box<dyn Error + Send + Sync>>;

/// A check that connects, and then does this.
fn connecting<F>(
    name: Name,
    level: Level,
    address: Address,
    then: impl Fn(TcpStream) -> F + Send + Sync + 'static,
) -> Check
where
    F: Future<Output = Found> + Send + 'static,
{
    let then = Arc::new(then);
    let work = move |inside| {
        let (address, then) = (address.clone(), then.clone());
        let run: Pin<Box<dyn Future<Output = RunResult> + Send>> = Box::pin(async move {
            match address.connect(inside).await {
                Ok((stream, _inside)) => RunResult::of(then(stream).await),
                Err(error) => RunResult::of(Found::Err(error.into())),
            }
        });
        run
    };
    Check::with_work(name, level, Some(Arc::new(work)))
}

/// `host:port`, and who knows where that is.
#[derive(Clone)]
struct Address {
    text: Arc<str>,
    look_up: fn(&str) -> io::Result<Vec<SocketAddr>>,
}

impl Address {
    fn new(text: String) -> Self {
        Self {
            text: text.into(),
            look_up: |text| text.to_socket_addrs().map(Iterator::collect),
        }
    }

    async fn connect(&self, inside: Inside) -> io::Result<(TcpStream, Inside)> {
        let (found, inside) = self.find(inside).await?;
        let mut failure = None;
        for address in found {
            match TcpStream::connect(address).await {
                Ok(stream) => return Ok((stream, inside)),
                Err(error) => failure = Some(error),
            }
        }
        Err(failure.unwrap_or_else(|| io::Error::other("the host has no address")))
    }

    /// As `TcpStream::connect` does it, but that the run is not over before the look-up is: else one that
    /// hangs would be followed by another in each period, each on a thread.
    async fn find(&self, inside: Inside) -> io::Result<(Vec<SocketAddr>, Inside)> {
        if let Ok(address) = self.text.parse() {
            return Ok((vec![address], inside));
        }
        let (text, look_up) = (self.text.clone(), self.look_up);
        let found = tokio::task::spawn_blocking(move || (look_up(&text), inside));
        let (found, inside) = found.await.map_err(io::Error::other)?;
        Ok((found?, inside))
    }
}

struct Target {
    address: Address,
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
            address: Address::new(format!("{}:{port}", authority.host())),
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

    async fn get(&self, stream: TcpStream) -> Found {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::health::check::{CheckConfig, CheckState};
    use crate::health::tree::HealthTree;
    use crate::kernel::clock::Clock;
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::sync::mpsc;
    use std::time::Duration;

    static LOOK_UPS: AtomicU32 = AtomicU32::new(0);
    static STUCK: parking_lot::Mutex<Option<mpsc::Receiver<()>>> = parking_lot::Mutex::new(None);

    /// Answers once somebody says so, as a name server that is far away.
    #[expect(clippy::unnecessary_wraps, reason = "it stands for one that can fail")]
    fn stuck(_: &str) -> io::Result<Vec<SocketAddr>> {
        LOOK_UPS.fetch_add(1, Ordering::SeqCst);
        let told = STUCK.lock().take();
        if let Some(told) = told {
            let _ = told.recv();
        }
        Ok(Vec::new())
    }

    #[tokio::test]
    async fn a_look_up_that_hangs_is_not_doubled() {
        let (release, told) = mpsc::channel();
        *STUCK.lock() = Some(told);
        let address = Address {
            text: "far:80".into(),
            look_up: stuck,
        };
        let check = connecting("port".into(), Level::Critical, address, |_| {
            ready(Ok(Finding::passed()))
        });
        let clock = Clock::manual();
        let tree = HealthTree::builder("shop")
            .check(check.config(CheckConfig::on_change()))
            .clock(&clock)
            .build()
            .expect("a valid tree");
        tree.start().expect("a runtime");
        let seconds = async |seconds: u32, until: &str| {
            let port = tree.check("shop", "port").expect("it is there");
            for _ in 0..seconds {
                for _ in 0..20 {
                    tokio::task::yield_now().await;
                }
                clock.advance(Duration::from_secs(1));
            }
            loop {
                tokio::task::yield_now().await;
                let snapshot = port.snapshot();
                let message = snapshot.result.and_then(|result| result.message);
                let message = message.as_deref().unwrap_or_default();
                if message.contains(until) {
                    return (snapshot.state, LOOK_UPS.load(Ordering::SeqCst));
                }
                clock.advance(Duration::from_millis(100));
            }
        };
        while LOOK_UPS.load(Ordering::SeqCst) == 0 {
            tokio::task::yield_now().await;
        }
        let failing = CheckState::Failing(Level::Critical);
        assert_eq!(seconds(2, "no answer within").await, (failing, 1));
        assert_eq!(seconds(100, "has not ended").await, (failing, 1));
        drop(release);
        let (state, _) = seconds(10, "the host has no address").await;
        assert_eq!(
            (state, LOOK_UPS.load(Ordering::SeqCst) > 1),
            (failing, true)
        );
    }
}
