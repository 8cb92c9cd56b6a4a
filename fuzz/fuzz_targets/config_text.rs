//! Configuration out of any text: reading never panics, a refusal says what and what is allowed, and
//! what a breaker accepts comes back from its own text as it was.
#![no_main]

use backstop::{CircuitBreaker, CircuitBreakerConfig};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let read = [
        toml::from_str(text).map_err(|error| error.to_string()),
        serde_json::from_str(text).map_err(|error| error.to_string()),
    ];
    for config in read {
        match config {
            Ok(config) => accept(&config),
            Err(error) => assert!(!error.is_empty()),
        }
    }
});

fn accept(config: &CircuitBreakerConfig) {
    match CircuitBreaker::new("fuzzed", config.clone()) {
        Err(refused) => {
            assert!(!refused.field().is_empty());
            assert!(!refused.value().is_empty());
            assert!(!refused.allowed().is_empty());
        }
        Ok(breaker) => {
            assert_eq!(&breaker.config(), config);
            let json = serde_json::to_string(config).expect("a valid configuration has a text");
            let again: CircuitBreakerConfig =
                serde_json::from_str(&json).expect("its own text is read");
            // Shares are kept in millionths, so the second text is the one to compare.
            let second = serde_json::to_string(&again).expect("a valid configuration has a text");
            assert_eq!(second, json);
            assert!(CircuitBreaker::new("again", again).is_ok(), "{json}");
        }
    }
}
