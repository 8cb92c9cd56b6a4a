# The steps of CI, and the longer ones, for people. `just` lists them.

nightly := env("BACKSTOP_NIGHTLY", "nightly")

_list:
    @just --list --unsorted

# Everything that must hold before a merge; or the stages named (`.ci/run --list`)
ci *stages:
    .ci/run {{ stages }}

# Format all sources
format:
    cargo fmt
    cargo fmt --manifest-path benches/compare/Cargo.toml
    cargo fmt --manifest-path fuzz/Cargo.toml

# Formatting and lints
lint: (ci "fmt" "clippy")

# The README's test command, the same without `test-util`, and the doctests
test: (ci "test" "test_system_clock" "doctest")

# The documentation
doc: (ci "doc")

# Each feature alone and none, and the minimum Rust version
features: (ci "features" "msrv")

# Every interleaving of the small cases
loom: (ci "loom")

# Many random schedules of the larger ones
shuttle: (ci "shuttle")

# Every example, run to its end
examples: (ci "examples")

# Licences, bans, sources and advisories of the dependencies
deny: (ci "deny")

# The public API against its snapshot, and the package against its list
release-checks: (ci "public_api" "package")

# Accept the public API as it is now
bless-api:
    BLESS=1 .ci/run public_api

# The main job
quickstart *arguments:
    cargo run --release --example quickstart -- {{ arguments }}

# The benchmarks of this crate
bench *arguments:
    cargo bench {{ arguments }}

# The same work through the peers, with a table of ratios at the end
compare:
    cargo bench --locked --manifest-path benches/compare/Cargo.toml

# Fuzz one target until stopped, starting from its regressions
fuzz target *arguments:
    mkdir -p fuzz/corpus/{{ target }}
    cargo +{{ nightly }} fuzz run {{ target }} fuzz/corpus/{{ target }} fuzz/regressions/{{ target }} -- {{ arguments }}

# Changes that no test notices, in the kernel and the machines (needs cargo-mutants)
mutants:
    cargo mutants --file 'src/kernel/**' --file 'src/**/machine.rs' --exclude '**/loom_tests.rs' --exclude '**/shuttle_tests.rs' --no-shuffle -- --lib --tests --all-features

# The long settings of all that have one; takes hours
soak: soak-tests soak-shuttle soak-fuzz

# The suite with its long settings, on the system's clock and on tokio's
soak-tests:
    BACKSTOP_SOAK=1 cargo test --release --all-features
    BACKSTOP_SOAK=1 cargo test --release --tests

# 10^6 seeded schedules
soak-shuttle:
    BACKSTOP_SOAK=1 RUSTFLAGS="--cfg backstop_shuttle" CARGO_TARGET_DIR=target/shuttle cargo test --release --lib shuttle_

# 10^8 executions of each fuzz target
soak-fuzz:
    for target in $(cargo fuzz list); do just fuzz "$target" -runs=100000000 || exit 1; done
