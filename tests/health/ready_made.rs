//! Ready-made checks.

use backstop::health::check::{Check, CheckConfig, Level, Status};
use backstop::health::checks;
use backstop::health::failure_detector::{FailureDetector, FailureDetectorConfig};
use backstop::health::tree::{Component, HealthTree};
use backstop::kernel::clock::Clock;
use backstop::kernel::ratio::Ratio;
use backstop::{CircuitBreaker, CircuitBreakerConfig};
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

/// What the check's first run comes to, on the real clock: its I/O takes the time it takes.
async fn first(check: Check) -> (Status, String) {
    let check = check.config(
        CheckConfig::default()
            .failure_threshold(1)
            .period(Duration::from_secs(60))
            .timeout(Duration::from_secs(60)),
    );
    let tree = HealthTree::builder("shop")
        .component(Component::new("part").check(check))
        .clock(Clock::system())
        .build()
        .unwrap();
    let mut watch = tree.watch();
    tree.start().unwrap();
    let known = |status| matches!(status, Status::Healthy | Status::Unhealthy);
    let health = watch.until(|health| known(health.status)).await.unwrap();
    (health.status, format!("{:?}", tree.snapshot()))
}

async fn listener() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

/// Answers one request with these bytes, and hands out what was asked.
async fn answering(answer: &'static [u8]) -> (SocketAddr, tokio::task::JoinHandle<String>) {
    let (listener, address) = listener().await;
    let asked = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut asked = Vec::new();
        while !asked.ends_with(b"\r\n\r\n") {
            asked.push(stream.read_u8().await.unwrap());
        }
        stream.write_all(answer).await.unwrap();
        String::from_utf8(asked).unwrap()
    });
    (address, asked)
}

#[tokio::test]
async fn a_connection_comes_about_or_not() {
    let (listener, address) = listener().await;
    let check = || checks::tcp_connect("port", Level::Critical, address.to_string());
    assert_eq!(first(check()).await.0, Status::Healthy);
    drop(listener);
    let (status, told) = first(check()).await;
    assert_eq!(status, Status::Unhealthy);
    assert!(told.contains("refused"), "{told}");
}

#[tokio::test]
async fn an_answer_is_a_2xx_or_not() {
    for (answer, status, part) in [
        (
            &b"HTTP/1.1 204 No Content\r\n\r\n"[..],
            Status::Healthy,
            "204",
        ),
        (
            b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
            Status::Healthy,
            "200",
        ),
        (
            b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n",
            Status::Unhealthy,
            "status 503",
        ),
        (
            b"HTTP/1.1 301 Moved\r\nLocation: /\r\n\r\n",
            Status::Unhealthy,
            "status 301",
        ),
        (b"no HTTP at all\r\n\r\n", Status::Unhealthy, "HTTP"),
        (b"", Status::Unhealthy, "connection"),
    ] {
        let (address, asked) = answering(answer).await;
        let url = format!("http://{address}/ready?full=1");
        let check = checks::http_get("upstream", Level::Critical, &url).unwrap();
        let (found, told) = first(check).await;
        assert_eq!(found, status, "{told}");
        assert!(told.contains(part), "{told}");
        let asked = asked.await.unwrap();
        assert!(
            asked.starts_with("GET /ready?full=1 HTTP/1.1\r\n"),
            "{asked}"
        );
        assert!(asked.contains(&format!("host: {address}\r\n")), "{asked}");
    }
}

#[test]
fn a_url_that_is_none_is_refused() {
    for url in [
        "",
        "/ready",
        "https://x/",
        "http://",
        "ftp://x",
        "http:///x",
        "no url",
    ] {
        let refused = checks::http_get("x", Level::Critical, url).unwrap_err();
        assert_eq!(refused.field(), "url", "{url}");
    }
    checks::http_get("x", Level::Critical, "http://localhost").unwrap();
}

#[tokio::test]
async fn disk_and_memory_are_measured() {
    let dir = tempfile::tempdir().unwrap();
    let disk = |least| checks::disk_space("disk", Level::Critical, dir.path(), least);
    assert_eq!(first(disk(1)).await.0, Status::Healthy);
    let (status, told) = first(disk(u64::MAX)).await;
    assert_eq!(status, Status::Unhealthy);
    assert!(told.contains("bytes free at"), "{told}");
    let nowhere = dir.path().join("nowhere");
    let nowhere = checks::disk_space("disk", Level::Critical, nowhere, 1);
    assert_eq!(first(nowhere).await.0, Status::Unhealthy);

    let memory = |share| checks::memory(Level::Critical, Ratio::new(share).unwrap());
    assert_eq!(first(memory(1.0)).await.0, Status::Healthy);
    let (status, told) = first(memory(0.000_001)).await;
    assert_eq!(status, Status::Unhealthy);
    assert!(told.contains("bytes are used"), "{told}");
}

#[tokio::test]
async fn an_open_circuit_fails() {
    let breaker = CircuitBreaker::new("payments", CircuitBreakerConfig::default()).unwrap();
    let check = || checks::circuit_breaker(Level::Critical, &breaker);
    assert_eq!(first(check()).await.0, Status::Healthy);
    breaker.force_open();
    let (status, told) = first(check()).await;
    assert_eq!(status, Status::Unhealthy);
    assert!(
        told.contains("the circuit payments is forced_open"),
        "{told}"
    );
}

#[tokio::test]
async fn a_silent_sender_fails_and_so_does_one_never_heard_of() {
    let clock = Clock::manual();
    let config = FailureDetectorConfig::default();
    let node = FailureDetector::with_clock("node-7", config, &clock).unwrap();
    let check = || checks::failure_detector(Level::Critical, &node);
    let (status, told) = first(check()).await;
    assert_eq!(status, Status::Unhealthy);
    assert!(told.contains("no heartbeat of node-7 yet"), "{told}");
    node.heartbeat();
    assert_eq!(first(check()).await.0, Status::Healthy);
    clock.advance(Duration::from_secs(60));
    let (status, told) = first(check()).await;
    assert_eq!(status, Status::Unhealthy);
    assert!(told.contains("no heartbeat of node-7 for 60s"), "{told}");
}

#[cfg(feature = "durable")]
#[tokio::test]
async fn an_old_checkpoint_fails_and_so_does_none() {
    use backstop::durable::snapshot::{Checkpoint, CheckpointStore, Mark, MemoryStore};
    use std::sync::Arc;

    let clock = Clock::manual();
    let store: Arc<dyn CheckpointStore> = Arc::new(MemoryStore::new());
    let most = Duration::from_secs(600);
    let check = || checks::checkpoint_age(Level::Critical, &store, "ledger", most, clock.clock());
    let (status, told) = first(check()).await;
    assert_eq!(status, Status::Unhealthy);
    assert!(told.contains("no good checkpoint of ledger"), "{told}");

    let save = |sequence| {
        let checkpoint = Checkpoint {
            sequence,
            wall: clock.clock().wall(),
            type_name: "ledger".to_owned(),
            version: 1,
            codec: "postcard".to_owned(),
            digest: None,
            payload: vec![7],
        };
        store.save("ledger", &checkpoint).unwrap();
    };
    save(1);
    clock.advance(most);
    assert_eq!(first(check()).await.0, Status::Healthy);
    clock.advance(Duration::from_secs(1));
    let (status, told) = first(check()).await;
    assert_eq!(status, Status::Unhealthy, "{told}");
    assert!(told.contains("601s old"), "{told}");
    save(2);
    assert_eq!(first(check()).await.0, Status::Healthy);
    // A newer one that is suspect is none.
    store.mark("ledger", 2, Mark::Suspect).unwrap();
    assert_eq!(first(check()).await.0, Status::Unhealthy);
}

/// A tree whose part `part` has this check, on a manual clock.
fn manual(check: Check) -> (HealthTree, backstop::kernel::clock::ManualClock) {
    let clock = Clock::manual();
    let check = check.config(CheckConfig::default().failure_threshold(1));
    let tree = HealthTree::builder("shop")
        .component(Component::new("part").check(check))
        .clock(&clock)
        .build()
        .unwrap();
    (tree, clock)
}

/// Takes connections that nobody answers: its queue is full, so that the system drops what knocks.
async fn blackhole() -> (TcpListener, Vec<tokio::net::TcpStream>) {
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(1).unwrap();
    let address = listener.local_addr().unwrap();
    let mut queued = Vec::new();
    // Full once a connection does not come about at once, as all do on loopback.
    'full: for _ in 0..64 {
        let mut connecting = Box::pin(tokio::net::TcpStream::connect(address));
        for _ in 0..1_000 {
            if let Some(stream) = futures::FutureExt::now_or_never(&mut connecting) {
                queued.push(stream.unwrap());
                continue 'full;
            }
            tokio::task::yield_now().await;
        }
        return (listener, queued);
    }
    panic!("64 connections in a queue of one");
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_blackhole_is_a_timeout_each_period() {
    let (listener, _queued) = blackhole().await;
    let address = listener.local_addr().unwrap();
    let url = format!("http://{address}/");
    for check in [
        checks::tcp_connect("port", Level::Critical, address.to_string()),
        checks::http_get("port", Level::Critical, &url).unwrap(),
    ] {
        let (tree, clock) = manual(check);
        let port = tree.check("part", "port").unwrap();
        tree.start().unwrap();
        let mut events = tree.subscribe(std::num::NonZeroUsize::MIN.saturating_add(63));
        for _ in 0..60 {
            for _ in 0..20 {
                tokio::task::yield_now().await;
            }
            clock.advance(Duration::from_millis(500));
        }
        let snapshot = port.snapshot();
        let result = snapshot.result.unwrap();
        assert_eq!(result.message.as_deref(), Some("no answer within 1s"));
        assert_eq!(tree.status(), Status::Unhealthy);
        let changes = std::iter::from_fn(|| events.try_recv()).count();
        assert!(changes <= 4, "it failed once, and stayed so: {changes}");
    }
}

/// Answers with this head and then with the same bytes for as long as they are taken; how many were.
async fn endless(head: &'static [u8], part: Vec<u8>) -> (SocketAddr, tokio::task::JoinHandle<u64>) {
    let (listener, address) = listener().await;
    let sent = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.write_all(head).await.unwrap();
        let mut sent = 0;
        while stream.write_all(&part).await.is_ok() {
            sent += part.len() as u64;
            assert!(sent < 1 << 30, "a gigabyte was taken");
        }
        sent
    });
    (address, sent)
}

#[tokio::test]
async fn a_body_without_end_is_not_read() {
    let head = b"HTTP/1.1 200 OK\r\nContent-Length: 1073741824\r\n\r\n";
    let chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    for (head, part) in [
        (&head[..], vec![b'x'; 1 << 16]),
        // A byte at a time.
        (&chunked[..], b"1\r\nx\r\n".to_vec()),
    ] {
        let (address, sent) = endless(head, part).await;
        let url = format!("http://{address}/");
        let check = checks::http_get("upstream", Level::Critical, &url).unwrap();
        assert_eq!(first(check).await.0, Status::Healthy);
        // The connection is closed, so that the sender hears of it: what is in the system's buffers
        // at most was sent.
        let sent = sent.await.unwrap();
        assert!(sent < 64 << 20, "{sent} bytes were taken");
    }
}

#[tokio::test]
async fn a_head_without_end_is_an_error() {
    let head = b"HTTP/1.1 200 OK\r\nX-Long: ";
    let (address, sent) = endless(head, vec![b'x'; 1 << 12]).await;
    let url = format!("http://{address}/");
    let check = checks::http_get("upstream", Level::Critical, &url).unwrap();
    let (status, told) = first(check).await;
    assert_eq!(status, Status::Unhealthy, "{told}");
    let sent = sent.await.unwrap();
    assert!(sent < 64 << 20, "{sent} bytes were taken");
}

#[tokio::test]
async fn a_head_that_stays_away_is_a_timeout_and_closes_the_connection() {
    let (listener, address) = listener().await;
    let url = format!("http://{address}/");
    let (tree, clock) = manual(checks::http_get("up", Level::Critical, &url).unwrap());
    tree.start().unwrap();
    let (mut stream, _) = listener.accept().await.unwrap();
    stream.write_all(b"HTTP/1.1 200 OK\r\n").await.unwrap();
    let mut asked = [0; 3];
    stream.read_exact(&mut asked).await.unwrap();
    assert_eq!((&asked, tree.status()), (b"GET", Status::Starting));
    clock.advance(Duration::from_secs(1));
    // To its end, which comes once the check was aborted.
    let mut rest = Vec::new();
    let _ = stream.read_to_end(&mut rest).await;
    let mut watch = tree.watch();
    let failed = watch.until(|health| health.status == Status::Unhealthy);
    assert!(failed.await.is_some());
    assert!(tree.snapshot().to_string().contains("no answer within 1s"));
}

#[tokio::test]
async fn a_disk_that_goes_away_fails_and_passes_when_it_is_back() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("data");
    let (tree, clock) = manual(checks::disk_space("disk", Level::Critical, &path, 1));
    tree.start().unwrap();
    for (is_there, wanted) in [
        (false, Status::Unhealthy),
        (true, Status::Healthy),
        (false, Status::Unhealthy),
    ] {
        if is_there {
            std::fs::create_dir(&path).unwrap();
        } else {
            let _ = std::fs::remove_dir(&path);
        }
        // Through timeouts too, should the disk be slow.
        let is_reached = || {
            let told = tree.snapshot().to_string();
            tree.status() == wanted && told.contains("No such file") != is_there
        };
        while !is_reached() {
            clock.advance(Duration::from_millis(500));
            for _ in 0..1_000 {
                tokio::task::yield_now().await;
            }
        }
    }
}
