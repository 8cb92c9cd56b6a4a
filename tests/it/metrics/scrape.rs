//! A real Prometheus exporter on loopback, and a client that scrapes it over HTTP.

use backstop::observe::metrics::Exporter;
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusRecorder};
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

pub(super) struct Prometheus {
    pub(super) recorder: PrometheusRecorder,
    address: SocketAddr,
}

/// What one scrape answered.
#[derive(Debug, Default)]
pub(super) struct Scraped {
    pub(super) samples: Vec<Sample>,
    /// Metric to `counter`, `gauge` or `histogram`.
    pub(super) types: BTreeMap<String, String>,
    pub(super) helps: BTreeMap<String, String>,
}

#[derive(Debug)]
pub(super) struct Sample {
    pub(super) name: String,
    pub(super) labels: BTreeMap<String, String>,
    pub(super) value: f64,
}

impl Prometheus {
    /// Serves on a free port; histograms have these buckets.
    pub(super) fn start(buckets: &[f64]) -> Self {
        for _ in 0..100 {
            let free = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
            let address = free.local_addr().unwrap();
            drop(free);
            let builder = PrometheusBuilder::new()
                .with_http_listener(address)
                .set_buckets(buckets)
                .unwrap();
            // Another process can take the port in between; then there are others.
            if let Ok((recorder, server)) = builder.build() {
                tokio::spawn(server);
                return Self { recorder, address };
            }
        }
        panic!("no free port on loopback");
    }

    /// Publishes to this recorder.
    pub(super) fn publish(&self, exporter: &Exporter) {
        metrics::with_local_recorder(&self.recorder, || exporter.publish());
    }

    /// Publishes, and scrapes what came of it.
    pub(super) async fn after_publish(&self, exporter: &Exporter) -> Scraped {
        self.publish(exporter);
        self.scrape().await
    }

    pub(super) async fn scrape(&self) -> Scraped {
        let request = async {
            let mut stream = TcpStream::connect(self.address).await.unwrap();
            let get = b"GET /metrics HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
            stream.write_all(get).await.unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await.unwrap();
            answer
        };
        let answer = tokio::time::timeout(Duration::from_secs(60), request)
            .await
            .expect("a server in this process answers within a minute");
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 200"), "{head}");
        assert!(head.contains("content-length:"), "{head}");
        Scraped::parse(body)
    }
}

impl Scraped {
    fn parse(text: &str) -> Self {
        let mut scraped = Self::default();
        for line in text.lines().filter(|line| !line.is_empty()) {
            let mut words = line.splitn(4, ' ');
            match (words.next(), words.next(), words.next(), words.next()) {
                (Some("#"), Some("TYPE"), Some(name), Some(kind)) => {
                    let before = scraped.types.insert(name.to_owned(), kind.to_owned());
                    assert_eq!(before, None, "{name} has two types");
                }
                (Some("#"), Some("HELP"), Some(name), Some(help)) => {
                    scraped.helps.insert(name.to_owned(), help.to_owned());
                }
                _ => scraped.samples.push(Sample::parse(line)),
            }
        }
        scraped
    }

    /// The series of `metric` for the policy `name`: the value of the remaining label (empty if
    /// there is none), and the figure.
    pub(super) fn of(&self, metric: &str, name: &str) -> BTreeMap<&str, f64> {
        self.of_policy("circuit_breaker", metric, name)
    }

    /// The same of a policy of another type.
    pub(super) fn of_policy(&self, policy: &str, metric: &str, name: &str) -> BTreeMap<&str, f64> {
        let mut found = BTreeMap::new();
        for sample in &self.samples {
            let labels = &sample.labels;
            if sample.name != metric || labels.get("name").is_none_or(|of| of != name) {
                continue;
            }
            if let Some(of) = labels.get("policy") {
                assert_eq!(of, policy);
            }
            let mut rest = labels
                .iter()
                .filter(|(key, _)| !["name", "policy"].contains(&key.as_str()));
            let label = rest.next().map_or("", |(_, value)| value.as_str());
            assert!(rest.next().is_none(), "{sample:?}");
            let twice = found.insert(label, sample.value);
            assert_eq!(twice, None, "{sample:?} is there twice");
        }
        found
    }
}

impl Sample {
    /// `name{key="value",...} figure`; no value of these tests needs escapes.
    fn parse(line: &str) -> Self {
        let (series, value) = line.rsplit_once(' ').expect(line);
        let (name, labels) = series.split_once('{').unwrap_or((series, "}"));
        let labels = labels.strip_suffix('}').expect(line);
        let label = |pair: &str| {
            let (key, value) = pair.split_once('=').expect(line);
            (key.to_owned(), value.trim_matches('"').to_owned())
        };
        Self {
            name: name.to_owned(),
            labels: labels
                .split(',')
                .filter(|pair| !pair.is_empty())
                .map(label)
                .collect(),
            value: value.parse().expect(line),
        }
    }
}
