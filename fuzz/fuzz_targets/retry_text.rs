//! A retry's configuration out of any text: reading never panics, a refusal says what and what is
//! allowed, and what a retry accepts can be read again from its own text, and called.
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
            // Not to the last bit of a number, but it is as good a configuration.
            assert!(Retry::new("again", again).is_ok(), "{json}");
            assert!(retry.call_blocking(|_| Ok::<_, ()>(())).is_ok());
            let balance = retry.budget_balance();
            assert!(balance != Some(0), "{json}");
        }
    }
}
