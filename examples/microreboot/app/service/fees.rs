//! What a bid costs, as the exchange says, over connections that are made once.

use super::fail::Fail;
use super::slot::Damage;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::Mutex;

const CONNECTIONS: usize = 4;

pub(crate) struct Fees {
    connections: Vec<Mutex<Connection>>,
    next: AtomicUsize,
    requests: AtomicU64,
    skew: AtomicU64,
}

struct Connection {
    answers: Lines<BufReader<OwnedReadHalf>>,
    requests: OwnedWriteHalf,
}

impl Fees {
    pub(crate) async fn connect(exchange: SocketAddr) -> Result<Self, Fail> {
        let mut connections = Vec::new();
        for _ in 0..CONNECTIONS {
            let stream = TcpStream::connect(exchange).await.map_err(Fail::broken)?;
            stream.set_nodelay(true).map_err(Fail::broken)?;
            let (answers, requests) = stream.into_split();
            let answers = BufReader::new(answers).lines();
            connections.push(Mutex::new(Connection { answers, requests }));
        }
        Ok(Self {
            connections,
            next: AtomicUsize::new(0),
            requests: AtomicU64::new(0),
            skew: AtomicU64::new(0),
        })
    }

    /// It waits for as long as the exchange takes: that there is no timeout is the mistake in it.
    pub(crate) async fn of(&self, amount: u64) -> Result<u64, Fail> {
        let place = self.next.fetch_add(1, Relaxed) % CONNECTIONS;
        let number = self.requests.fetch_add(1, Relaxed);
        let mut connection = self.connections[place].lock().await;
        let request = format!("{number} {amount}\n");
        let sent = connection.requests.write_all(request.as_bytes()).await;
        sent.map_err(Fail::broken)?;
        // Whoever gave up before left an answer behind.
        loop {
            let line = connection.answers.next_line().await.map_err(Fail::broken)?;
            let line = line.ok_or_else(|| Fail::broken("the exchange has hung up"))?;
            let (of, fee) = line.split_once(' ').unwrap_or_default();
            if of.parse() == Ok(number) {
                let fee: u64 = fee.parse().map_err(Fail::broken)?;
                return Ok(fee + self.skew.load(Relaxed));
            }
        }
    }
}

impl Damage for Fees {
    fn mislead(&self) {
        self.skew.store(1, Relaxed);
    }
}
