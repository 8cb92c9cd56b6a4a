//! A client of the auction that knows what the answers should be.

use crate::app::service::world::{Bid, World, fee};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::Request;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use std::collections::HashSet;
use std::net::SocketAddr;
use std::str::FromStr;
use std::time::Duration;
use tokio::time::timeout;

/// Why a request failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Failed {
    /// No answer: the connection broke, or there was none to be had.
    Connection,
    /// No answer in time.
    Late,
    /// An answer that says so.
    Status(u16),
    /// An answer that is not true.
    Wrong,
}

impl Failed {
    pub(crate) fn name(self) -> String {
        match self {
            Self::Connection => "connection".to_owned(),
            Self::Late => "late".to_owned(),
            Self::Status(status) => status.to_string(),
            Self::Wrong => "wrong".to_owned(),
        }
    }
}

#[derive(Clone)]
pub(crate) struct Api {
    http: Client<HttpConnector, Full<Bytes>>,
    server: SocketAddr,
    pub(crate) world: World,
    /// How long one attempt may take.
    patience: Duration,
}

impl Api {
    pub(crate) fn new(server: SocketAddr, world: World, patience: Duration) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        Self {
            http: Client::builder(TokioExecutor::new()).build(connector),
            server,
            world,
            patience,
        }
    }

    async fn send(&self, method: &str, path: &str, body: String) -> Result<String, Failed> {
        let request = Request::builder()
            .method(method)
            .uri(format!("http://{}{path}", self.server))
            .body(Full::from(body))
            .expect("a method, a path and a body");
        let answer = async {
            let response = self.http.request(request).await;
            let response = response.map_err(|_| Failed::Connection)?;
            let status = response.status();
            let body = response.into_body().collect().await;
            let body = body.map_err(|_| Failed::Connection)?.to_bytes();
            match status.as_u16() {
                200 => String::from_utf8(body.to_vec()).map_err(|_| Failed::Wrong),
                other => Err(Failed::Status(other)),
            }
        };
        timeout(self.patience, answer)
            .await
            .unwrap_or(Err(Failed::Late))
    }

    pub(crate) async fn get(&self, path: &str) -> Result<String, Failed> {
        self.send("GET", path, String::new()).await
    }

    pub(crate) async fn post(&self, path: &str) -> Result<String, Failed> {
        self.send("POST", path, String::new()).await
    }

    /// An item with its text, for which nobody can have bid less than was bid before.
    pub(crate) async fn item(&self, item: u32) -> Result<(), Failed> {
        let answer = self.get(&format!("/items/{item}")).await?;
        let mut words = answer.splitn(4, ' ');
        let number: u32 = next(&mut words)?;
        let top: u64 = next(&mut words)?;
        let bids: u64 = next(&mut words)?;
        let seeded = self.world.seeded(item);
        let (least, count) =
            seeded.fold((0, 0), |(top, count), bid| (bid.amount.max(top), count + 1));
        let text = words.next() == Some(World::text(item).as_str());
        right(number == item && text && (least..=MOST).contains(&top) && bids >= count)
    }

    pub(crate) async fn category(&self, category: u32) -> Result<(), Failed> {
        let items = numbers(&self.get(&format!("/categories/{category}")).await?)?;
        let fits =
            |item: &u64| u32::try_from(*item).is_ok_and(|item| World::category(item) == category);
        right(!items.is_empty() && items.iter().all(fits))
    }

    /// A word of that item finds items that have it.
    pub(crate) async fn search(&self, item: u32) -> Result<(), Failed> {
        let word = World::word(item, u64::from(item));
        let found = numbers(&self.get(&format!("/search/{word}")).await?)?;
        let has = |item: &u64| {
            u32::try_from(*item)
                .is_ok_and(|item| World::text(item).split(' ').any(|other| other == word))
        };
        let once: HashSet<&u64> = found.iter().collect();
        let complete = found.len() == 20 || found.contains(&u64::from(item));
        right(complete && once.len() == found.len() && found.iter().all(has))
    }

    pub(crate) async fn rating(&self, user: u32) -> Result<(), Failed> {
        let answer = numbers(&self.get(&format!("/users/{user}/rating")).await?)?;
        right(
            answer
                == [
                    World::rating(user),
                    crate::app::service::world::RATINGS_OF_A_USER,
                ],
        )
    }

    pub(crate) async fn fee(&self, amount: u64) -> Result<(), Failed> {
        let answer = numbers(&self.get(&format!("/fees/{amount}")).await?)?;
        right(answer == [fee(amount)])
    }

    /// Bids of an item, the highest first, none of those missing that were there before.
    pub(crate) async fn bids_of_item(&self, item: u32) -> Result<(), Failed> {
        let amounts = numbers(&self.get(&format!("/items/{item}/bids")).await?)?;
        let all = self
            .world
            .seeded(item)
            .all(|bid| amounts.len() == 10 || amounts.contains(&bid.amount));
        let sorted = amounts.windows(2).all(|pair| pair[0] >= pair[1]);
        right(all && sorted && amounts.first().is_some_and(|top| *top <= MOST))
    }

    pub(crate) async fn login(&self, user: u32) -> Result<u64, Failed> {
        parse(&self.post(&format!("/users/{user}/login")).await?)
    }

    /// Whose session it is.
    pub(crate) async fn who(&self, token: u64) -> Result<u32, Failed> {
        parse(&self.get(&format!("/sessions/{token}")).await?)
    }

    /// Whose session it is, and how much this user has bid for.
    pub(crate) async fn me(&self, token: u64, user: u32, least: u64) -> Result<(), Failed> {
        let answer = numbers(&self.get(&format!("/sessions/{token}/me")).await?)?;
        right(matches!(answer[..], [who, bids] if who == u64::from(user) && bids >= least))
    }

    pub(crate) async fn bid(&self, token: u64, bid: Bid) -> Result<(), Failed> {
        let Bid {
            key,
            item,
            user,
            amount,
        } = bid;
        let body = format!(r#"{{"item": {item}, "amount": {amount}, "token": {token}}}"#);
        let answer = numbers(&self.send("PUT", &format!("/bids/{key}"), body).await?)?;
        right(answer == [u64::from(item), u64::from(user), amount, fee(amount)])
    }

    /// A bid that was acknowledged is there as it was.
    pub(crate) async fn bid_of_key(&self, bid: Bid) -> Result<(), Failed> {
        let answer = numbers(&self.get(&format!("/bids/{}", bid.key)).await?)?;
        right(answer == [u64::from(bid.item), u64::from(bid.user), bid.amount])
    }
}

/// No bid is higher.
pub(crate) const MOST: u64 = 100_000;

fn right(is: bool) -> Result<(), Failed> {
    if is { Ok(()) } else { Err(Failed::Wrong) }
}

fn parse<T: FromStr>(text: &str) -> Result<T, Failed> {
    text.trim().parse().map_err(|_| Failed::Wrong)
}

fn next<'a, T: FromStr>(words: &mut impl Iterator<Item = &'a str>) -> Result<T, Failed> {
    parse(words.next().ok_or(Failed::Wrong)?)
}

fn numbers(text: &str) -> Result<Vec<u64>, Failed> {
    text.split_whitespace().map(parse).collect()
}
