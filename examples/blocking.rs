//! A breaker in blocking code: no runtime, no async.
//!
//! ```text
//! cargo run --example blocking
//! ```
//!
//! The client asks a server over plain TCP; the server fails for a while and comes back.

use backstop::kernel::clock::Clock;
use backstop::policy::circuit_breaker::State;
use backstop::{CircuitBreaker, CircuitBreakerConfig, Error};
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::Ordering::SeqCst;
use std::sync::atomic::{AtomicBool, AtomicUsize};
use std::thread;
use std::time::Duration;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let server = start_server()?;
    let config = CircuitBreakerConfig::default()
        .consecutive_failures(3)
        // Short, for the demo: 300 ms open, at most 1 s.
        .open_wait(Duration::from_millis(300), 2.0, Duration::from_secs(1))
        .probes(2);
    let breaker = CircuitBreaker::new("time-server", config)?;
    let ask = || breaker.call_blocking(|| ask(server));

    println!("healthy: {:?}, breaker {}", ask()?, breaker.state());

    // A failing call returns its own error, until there were three in a row.
    SICK.store(true, SeqCst);
    for _ in 0..3 {
        let Err(Error::Inner(error)) = ask() else {
            panic!("a sick server does not answer")
        };
        println!("sick: {error}, breaker {}", breaker.state());
    }
    assert_eq!(breaker.state(), State::Open);

    // From now on calls are rejected and the server is left alone.
    let reached = REACHED.load(SeqCst);
    let Err(Error::Rejected(rejection)) = ask() else {
        panic!("an open breaker let a call through")
    };
    let retry_after = rejection
        .retry_after()
        .expect("an open breaker knows when it will try again");
    println!("rejected: {rejection}");
    assert_eq!(REACHED.load(SeqCst), reached);

    // The server heals. After the wait two probes are let through; both succeed: closed.
    SICK.store(false, SeqCst);
    let clock = Clock::system();
    clock.park_until(clock.now() + retry_after);
    for _ in 0..2 {
        println!("probe: {:?}, breaker {}", ask()?, breaker.state());
    }
    assert_eq!(breaker.state(), State::Closed);
    Ok(())
}

/// One question to the server. The timeout bounds the call: a breaker judges calls that end.
fn ask(server: SocketAddr) -> io::Result<String> {
    let timeout = Duration::from_secs(1);
    let mut stream = TcpStream::connect_timeout(&server, timeout)?;
    stream.set_read_timeout(Some(timeout))?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    if answer.is_empty() {
        Err(io::ErrorKind::UnexpectedEof.into())
    } else {
        Ok(answer)
    }
}

static SICK: AtomicBool = AtomicBool::new(false);
static REACHED: AtomicUsize = AtomicUsize::new(0);

/// Starts the server on a thread; sick, it closes the connection without an answer.
fn start_server() -> io::Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let address = listener.local_addr()?;
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            REACHED.fetch_add(1, SeqCst);
            if !SICK.load(SeqCst) {
                // A client that went away is no concern of the server.
                let _ = stream.write_all(b"noon");
            }
        }
    });
    Ok(address)
}
