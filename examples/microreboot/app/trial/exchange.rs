//! What the auction depends on: a service that says what a bid costs, and sometimes stops talking.

use crate::app::service::world::fee;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

pub(crate) struct Exchange {
    pub(crate) address: SocketAddr,
    /// Connections of an earlier era get no answers any more.
    era: Arc<AtomicU64>,
}

impl Exchange {
    pub(crate) async fn open() -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let era = Arc::new(AtomicU64::new(0));
        let eras = era.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(answer(stream, eras.load(Relaxed), eras.clone()));
            }
        });
        Ok(Self { address, era })
    }

    /// All connections there are hang; new ones do not.
    pub(crate) fn hang(&self) {
        self.era.fetch_add(1, Relaxed);
    }
}

async fn answer(stream: TcpStream, born: u64, era: Arc<AtomicU64>) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let (requests, mut answers) = stream.into_split();
    let mut requests = BufReader::new(requests).lines();
    while let Some(line) = requests.next_line().await? {
        let amount = line
            .split_once(' ')
            .and_then(|(number, amount)| Some((number, amount.parse().ok()?)));
        let Some((number, amount)) = amount else {
            break;
        };
        if era.load(Relaxed) == born {
            let answer = format!("{number} {}\n", fee(amount));
            answers.write_all(answer.as_bytes()).await?;
        }
    }
    Ok(())
}
