//! Checks that run.

use backstop::health::check::{Check, Level, Status};
use backstop::health::tree::{Component, HealthTree};

#[tokio::test(start_paused = true)]
async fn a_failing_check_makes_its_tree_unhealthy() {
    let ping = Check::new("ping", Level::Critical, || async {
        Err::<(), _>(std::io::Error::other("refused"))
    });
    let tree = HealthTree::builder("shop")
        .component(Component::new("db").check(ping))
        .build()
        .expect("a valid tree");
    tree.start().expect("a runtime");
    assert_eq!(tree.status(), Status::Starting);
    let health = tree.watch().changed().await.expect("the tree is there");
    assert_eq!(health.status, Status::Unhealthy);
    assert!(tree.snapshot().to_string().contains("refused"));
}
