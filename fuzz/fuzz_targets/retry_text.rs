//! A retry's configuration out of any text: reading never panics, a refusal says what and what is
//! allowed, and what a retry accepts comes back from its own text as it was, and can be called.
#![no_main]

use backstop::kernel::clock::Clock;
use backstop::{Retry, RetryConfig};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let read = [
        toml::from_str(text).map_err(|error| error.to_string()),
        serde_json::from_str(text).map_err(|error| error.to_string()),
    ];
    for config in read {
        match config {
            Ok(config) => accept(config),
            Err(error) => assert!(!error.is_empty()),
        }
    }
});

fn accept(config: RetryConfig) {
    match Retry::with_clock("fuzzed", config.clone(), Clock::manual()) {
        Err(refused) => {
            assert!(!refused.field().is_empty());
            assert!(!refused.value().is_empty());
            assert!(!refused.allowed().is_empty());
        }
        Ok(retry) => {
            assert_eq!(retry.config(), config);
            let json = serde_json::to_string(&config).expect("a valid configuration has a text");
            let again: RetryConfig = serde_json::from_str(&json).expect("its own text is read");
            // Shares are kept in millionths, so the second text is the one to compare.
            let second = serde_json::to_string(&again).expect("a valid configuration has a text");
            assert_eq!(second, json);
            assert!(retry.call_blocking(|_| Ok::<_, ()>(())).is_ok());
            let balance = retry.budget_balance();
            assert!(balance != Some(0), "{json}");
        }
    }
}
