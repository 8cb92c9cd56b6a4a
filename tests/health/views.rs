//! What is shown of a tree.

use super::rig::{SECOND, build, reported, reporter, with_checks};
use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use backstop::health::check::{Finding, Level, Probe, Status};
use backstop::health::tree::{Detail, HealthJson, HealthRoutes, HealthTree};
use backstop::kernel::clock::Clock;
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tower::ServiceExt;

fn tree() -> HealthTree {
    let checks = [
        reported("ping", Level::Critical),
        reported("disk", Level::Maintenance),
    ];
    build(
        HealthTree::builder("shop")
            .clock(Clock::manual())
            .check(reported("loop", Level::Critical).probe(Probe::Liveness))
            .component(with_checks("db", checks)),
    )
}

fn view(tree: &HealthTree, detail: Detail) -> Value {
    let json = HealthJson::new(&tree.snapshot(), detail);
    serde_json::to_value(&json).expect("it can be written")
}

#[test]
fn hc6c_health_json_has_the_fields_of_the_draft() {
    let tree = tree();
    reporter(&tree, "shop", "loop").passed();
    reporter(&tree, "db", "ping").report(Finding::failed("password=secret").observed(7, "ms"));
    reporter(&tree, "db", "disk").report(Finding::failed("97 % full").observed(f64::NAN, "%"));
    let full = view(&tree, Detail::Full);
    assert_eq!(full["status"], "fail");
    assert_eq!(full["notes"], json!(["unhealthy", "needs attention"]));
    let ping = &full["checks"]["db:ping"][0];
    assert_eq!(ping["status"], "fail");
    assert_eq!(ping["componentType"], "readiness");
    assert_eq!(
        (&ping["observedValue"], &ping["observedUnit"]),
        (&json!(7.0), &json!("ms"))
    );
    assert_eq!(ping["output"], "password=secret");
    let time = ping["time"].as_str().expect("a text");
    assert!(humantime::parse_rfc3339(time).is_ok(), "{time}");
    let disk = &full["checks"]["db:disk"][0];
    assert_eq!(
        (&disk["status"], disk.get("observedValue")),
        (&json!("warn"), None)
    );
    assert_eq!(full["checks"]["shop:loop"][0]["status"], "pass");
    assert_eq!(full["checks"]["db"][0]["status"], "fail");

    let names = view(&tree, Detail::Names).to_string();
    assert!(
        names.contains("db:ping") && !names.contains("secret"),
        "{names}"
    );
    let status = view(&tree, Detail::Status);
    assert_eq!(
        status,
        json!({"status": "fail", "notes": ["unhealthy", "needs attention"]})
    );

    let words = Status::ALL.map(|status| {
        tree.root().set_status(status);
        view(&tree, Detail::Status)["status"]
            .as_str()
            .map(str::to_owned)
    });
    let words = words.map(Option::unwrap_or_default);
    assert_eq!(words, ["pass", "fail", "fail", "warn", "fail", "fail"]);
}

async fn get(app: &Router, path: &str) -> (u16, String) {
    let request = Request::get(path).body(Body::empty()).expect("a request");
    let response = app.clone().oneshot(request).await.expect("infallible");
    let code = response.status().as_u16();
    assert_eq!(
        response.headers()["content-type"],
        "application/health+json"
    );
    assert_eq!(response.headers()["cache-control"], "no-store");
    let body = response
        .into_body()
        .collect()
        .await
        .expect("a body")
        .to_bytes();
    (code, String::from_utf8(body.to_vec()).expect("text"))
}

async fn codes(app: &Router) -> [u16; 4] {
    let mut codes = [0; 4];
    for (code, path) in codes
        .iter_mut()
        .zip(["/livez", "/readyz", "/startupz", "/health"])
    {
        *code = get(app, path).await.0;
    }
    codes
}

#[tokio::test]
async fn hc6d_the_routes_answer_from_memory() {
    let tree = tree();
    let app: Router = HealthRoutes::new(&tree).into_router();
    assert_eq!(codes(&app).await, [200, 503, 503, 503]);
    reporter(&tree, "shop", "loop").passed();
    reporter(&tree, "db", "ping").passed();
    reporter(&tree, "db", "disk").passed();
    assert_eq!(codes(&app).await, [200, 200, 200, 200]);
    reporter(&tree, "db", "ping").failed("password=secret");
    assert_eq!(codes(&app).await, [200, 503, 200, 503]);
    reporter(&tree, "shop", "loop").failed("it is stuck");
    assert_eq!(codes(&app).await, [503, 503, 200, 503]);
    for path in ["/livez", "/readyz", "/startupz", "/health"] {
        let (_, body) = get(&app, path).await;
        assert!(
            !body.contains("secret") && !body.contains("db"),
            "{path}: {body}"
        );
    }
    tree.root().set_status(Status::Degraded);
    assert_eq!(codes(&app).await, [503, 200, 200, 200]);
}

#[tokio::test]
async fn hc6d_codes_and_detail_can_be_set() {
    let tree = tree();
    tree.root().set_status(Status::Degraded);
    reporter(&tree, "db", "ping").failed("password=secret");
    let routes = HealthRoutes::new(&tree).detail(Detail::Full);
    let app: Router = routes
        .clone()
        .code(Status::Degraded, 429)
        .expect("a valid code")
        .into_router();
    assert_eq!(codes(&app).await, [200, 429, 200, 429]);
    assert!(get(&app, "/health").await.1.contains("secret"));
    assert!(!get(&app, "/readyz").await.1.contains("secret"));
    for code in [0, 199, 600, 1000] {
        let refused = routes.clone().code(Status::Healthy, code);
        assert_eq!(refused.expect_err("it is refused").field(), "code");
    }
}

#[test]
fn hc6a_the_text_is_indented_by_depth() {
    let clock = Clock::manual();
    let db = with_checks("db", [reported("ping", Level::Critical)]);
    let tree = build(HealthTree::builder("shop").clock(&clock).component(db));
    reporter(&tree, "db", "ping").failed("refused");
    clock.advance(3 * SECOND);
    tree.root().set_status(Status::OutOfService);
    assert_eq!(
        tree.snapshot().to_string(),
        "shop: out_of_service, by hand\n  db: unhealthy\n    \
         ping (critical): failing, 3s ago: refused\n"
    );
}

#[tokio::test]
async fn hc6d_head_and_other_methods_are_answered_as_http_asks() {
    let tree = tree();
    let app: Router = HealthRoutes::new(&tree).detail(Detail::Full).into_router();
    let ask = async |method: &str, path: &str| {
        let request = Request::builder().method(method).uri(path);
        let request = request.body(Body::empty()).expect("a request");
        app.clone().oneshot(request).await.expect("infallible")
    };
    for (path, code) in [
        ("/livez", 200),
        ("/readyz", 503),
        ("/startupz", 503),
        ("/health", 503),
    ] {
        // As a GET, without its body.
        let got = ask("GET", path).await;
        let head = ask("HEAD", path).await;
        assert_eq!(
            (got.status(), head.status().as_u16()),
            (head.status(), code),
            "{path}"
        );
        assert_eq!(head.headers()["content-type"], "application/health+json");
        assert_eq!(head.headers()["cache-control"], "no-store");
        let length = head.headers()["content-length"]
            .to_str()
            .expect("a number")
            .to_owned();
        let body = head.into_body().collect().await.expect("a body").to_bytes();
        assert!(body.is_empty(), "{path}");
        let body = got.into_body().collect().await.expect("a body").to_bytes();
        assert_eq!(length, body.len().to_string(), "{path}");
        for method in ["POST", "PUT", "DELETE"] {
            let refused = ask(method, path).await;
            assert_eq!(refused.status().as_u16(), 405, "{method} {path}");
            assert_eq!(refused.headers()["allow"], "GET,HEAD");
        }
    }
    assert_eq!(ask("GET", "/livez/").await.status().as_u16(), 404);
}
