//! CK2: errors that are handled in place.

use super::MINUTE;
use super::bench::{Bench, Moody, config, stocked};
use backstop::supervise::budget::RestartBudget;
use backstop::supervise::checkpointed::{BadState, Origin};

#[tokio::test(start_paused = true)]
async fn ck2a_a_child_handles_an_error_in_place_and_goes_on() {
    let mut bench = Bench::started(Moody::keeping(3), config()).await;
    bench.begun().await;
    bench.told();
    assert!(bench.recovers("a bad message").await);
    bench.save(1).await.unwrap();
    assert_eq!(bench.told(), ["recovered", "saved"]);
    let tree = bench.supervisor.as_ref().unwrap().snapshot();
    assert_eq!(tree.child("count").unwrap().incarnation, 1);
    assert!(bench.is_quiet());
    bench.stop().await;
}

#[tokio::test(start_paused = true)]
async fn ck2b_too_many_errors_and_a_bad_state_are_given_back() {
    let few = config().recoveries(RestartBudget::new(2, MINUTE));
    let mut bench = Bench::started(stocked(2), few).await;
    bench.begun().await;
    assert!(bench.recovers("one").await && bench.recovers("two").await);
    tokio::time::advance(MINUTE + super::SECOND).await;
    assert!(bench.recovers("one").await && bench.recovers("two").await);
    assert!(!bench.recovers("three").await);
    assert_eq!(bench.origin().await, (Origin::Newest, Some(2)));
    assert!(!bench.recovers(BadState::new("it is")).await);
    assert_eq!(bench.origin().await, (Origin::Newest, Some(1)));
    bench.stop().await;
}
