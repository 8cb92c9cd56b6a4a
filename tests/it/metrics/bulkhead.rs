//! What is published of a bulkhead.

use super::recorder::Sums;
use backstop::kernel::clock::Clock;
use backstop::observe::metrics::Exporter;
use backstop::policy::bulkhead::{
    Ask, CompartmentConfig, Compartments, CompartmentsConfig, IsolatedBulkhead, IsolatedConfig,
};
use backstop::{Bulkhead, BulkheadConfig};
use futures::FutureExt;
use std::collections::BTreeMap;
use std::pin::Pin;
use std::task::Context;
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

/// Everything of one bulkhead, by metric and last label.
fn published(sums: &Sums, name: &str) -> BTreeMap<String, f64> {
    let all = [
        ("policy_calls_total", format!("{{bulkhead,{name},")),
        ("policy_rejections_total", format!("{{bulkhead,{name},")),
        ("bulkhead_waits_total", format!("{{{name},")),
        ("bulkhead_in_flight", format!("{{{name}")),
        ("bulkhead_waiting", format!("{{{name}")),
        ("bulkhead_limit", format!("{{{name}")),
    ];
    let mut published = BTreeMap::new();
    for (metric, labels) in all {
        for (series, value) in sums.all(&format!("{metric}{labels}")) {
            let label = series[metric.len() + labels.len()..].trim_end_matches('}');
            published.insert(format!("{metric} {label}").trim().to_owned(), value);
        }
    }
    published
}

#[track_caller]
fn assert_published(sums: &Sums, name: &str, expected: &[(&str, f64)]) {
    let expected: BTreeMap<_, _> = expected
        .iter()
        .map(|(series, value)| ((*series).to_owned(), *value))
        .collect();
    assert_eq!(published(sums, name), expected);
}

#[test]
fn a_bulkhead_is_published_and_its_end_too() {
    let clock = Clock::manual();
    let config = BulkheadConfig::default().max_concurrent(2).queue(2, SECOND);
    let bulkhead = Bulkhead::with_clock("rooms", config, &clock).unwrap();
    let (sums, exporter) = (Sums::new(), Exporter::new());
    let publish = || metrics::with_local_recorder(&sums, || exporter.publish());
    exporter.add(&bulkhead);
    exporter.add(&bulkhead.clone());

    drop(bulkhead.try_acquire().unwrap());
    let held = [(); 2].map(|()| bulkhead.try_acquire_owned().unwrap());
    let mut cx = Context::from_waker(futures::task::noop_waker_ref());
    let mut wait = || {
        let mut waits = Box::pin(bulkhead.acquire_owned(Ask::default()));
        assert!(waits.poll_unpin(&mut cx).is_pending());
        waits
    };
    let (first, second) = (wait(), wait());
    assert!(bulkhead.try_acquire().is_err());
    {
        let _guard = bulkhead.isolate();
        assert!(bulkhead.try_acquire().is_err());
    }
    publish();
    let expected = [
        ("bulkhead_in_flight", 2.0),
        ("bulkhead_limit", 2.0),
        ("bulkhead_waiting", 0.0),
        ("bulkhead_waits_total admitted", 0.0),
        ("bulkhead_waits_total dropped", 0.0),
        ("bulkhead_waits_total wait_over", 0.0),
        ("policy_calls_total finished", 1.0),
        ("policy_rejections_total forced_open", 1.0),
        ("policy_rejections_total full", 1.0),
        ("policy_rejections_total no_runtime", 0.0),
        ("policy_rejections_total wait_over", 0.0),
    ];
    assert_published(&sums, "rooms", &expected);

    // The isolation turned the two away, who do not know it yet.
    let heard = [first, second].map(|waits| waits.now_or_never().expect("news"));
    assert!(heard.iter().all(Result::is_err));
    let mut cx = Context::from_waker(futures::task::noop_waker_ref());
    let mut waits = [(); 2].map(|()| Box::pin(bulkhead.acquire_owned(Ask::default())));
    for wait in &mut waits {
        assert!(Pin::new(wait).poll_unpin(&mut cx).is_pending());
    }
    publish();
    assert_eq!(sums.get("bulkhead_waiting{rooms}"), Some(2.0));
    let [goes, over] = waits;
    drop(goes);
    clock.advance(SECOND);
    assert!(over.now_or_never().expect("over").is_err());
    let looked_up = sums.look_ups();
    publish();
    publish();
    assert_eq!(sums.look_ups(), looked_up, "looked up once");
    bulkhead.resize(3).unwrap();
    drop(held);
    let left = bulkhead.try_acquire_owned().unwrap();
    publish();
    let expected = [
        ("bulkhead_in_flight", 1.0),
        ("bulkhead_limit", 3.0),
        ("bulkhead_waiting", 0.0),
        ("bulkhead_waits_total admitted", 0.0),
        ("bulkhead_waits_total dropped", 1.0),
        ("bulkhead_waits_total wait_over", 1.0),
        ("policy_calls_total finished", 3.0),
        ("policy_rejections_total forced_open", 3.0),
        ("policy_rejections_total full", 1.0),
        ("policy_rejections_total no_runtime", 0.0),
        ("policy_rejections_total wait_over", 1.0),
    ];
    assert_published(&sums, "rooms", &expected);

    // Gone with its last permit: its last call is counted, and its gauges are 0.
    drop(bulkhead);
    drop(left);
    publish();
    publish();
    let mut expected = expected;
    expected[0].1 = 0.0;
    expected[1].1 = 0.0;
    expected[6].1 = 4.0;
    assert_published(&sums, "rooms", &expected);
}

/// A bulkhead that does not count its calls has none to show; 0 would be wrong.
#[test]
fn finished_calls_are_published_where_they_are_counted() {
    let config = BulkheadConfig::default().totals(false);
    let bulkhead = Bulkhead::with_clock("quiet", config, Clock::manual()).unwrap();
    let (sums, exporter) = (Sums::new(), Exporter::new());
    exporter.add(&bulkhead);
    let finished = || {
        drop(bulkhead.try_acquire().unwrap());
        metrics::with_local_recorder(&sums, || exporter.publish());
        sums.get("policy_calls_total{bulkhead,quiet,finished}")
    };
    assert_eq!(finished(), None);
    bulkhead.reconfigure(BulkheadConfig::default()).unwrap();
    assert_eq!(finished(), Some(1.0));
    bulkhead.reconfigure(config).unwrap();
    assert_eq!(finished(), Some(1.0), "it stays where it is");
}

#[test]
fn compartments_and_isolated_bulkheads_are_published_as_bulkheads() {
    let config = CompartmentsConfig::new()
        .total(3)
        .compartment("a", CompartmentConfig::new(2))
        .compartment("b", CompartmentConfig::new(3));
    let set = Compartments::with_clock("set", config, Clock::manual()).unwrap();
    let isolated =
        IsolatedBulkhead::with_clock("apart", IsolatedConfig::new(1), Clock::tokio()).unwrap();
    let (sums, exporter) = (Sums::new(), Exporter::new());
    let publish = || metrics::with_local_recorder(&sums, || exporter.publish());
    set.iter().for_each(|compartment| exporter.add(compartment));
    exporter.add(&isolated);

    let a = set.require("a").unwrap();
    drop(a.try_acquire().unwrap());
    let _held = [(); 2].map(|()| a.try_acquire_owned().unwrap());
    assert!(a.try_acquire().is_err());
    let _elsewhere = isolated.admission().try_acquire_owned().unwrap();
    publish();
    let with_a = [
        ("bulkhead_in_flight", 2.0),
        ("bulkhead_limit", 2.0),
        ("bulkhead_waiting", 0.0),
        ("bulkhead_waits_total admitted", 0.0),
        ("bulkhead_waits_total dropped", 0.0),
        ("bulkhead_waits_total wait_over", 0.0),
        ("policy_calls_total finished", 1.0),
        ("policy_rejections_total forced_open", 0.0),
        ("policy_rejections_total full", 1.0),
        ("policy_rejections_total no_runtime", 0.0),
        ("policy_rejections_total wait_over", 0.0),
    ];
    assert_published(&sums, "set/a", &with_a);
    let published = published(&sums, "apart");
    assert_eq!(published.get("bulkhead_in_flight"), Some(&1.0));
}
