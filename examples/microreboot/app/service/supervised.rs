//! The components as children of a supervisor, and a manager that reboots one that is reported.

use super::fail::Fail;
use super::sessions::{CANARY, Sessions};
use super::site::{COMPONENTS, Site};
use crate::app::time::clock;
use backstop::supervise::child::{ChildContext, Readiness};
use backstop::supervise::microreboot::{
    Component, Ladder, MicrorebootConfig, MicrorebootManager, PhaseLimits, RebootCap,
};
use backstop::supervise::supervisor::Supervisor;
use std::sync::Arc;
use std::time::Duration;

/// A whole experiment's reboots. A service has the default, which is 3 in an hour.
const REBOOTS: u32 = 1_000;
const HOUR: Duration = Duration::from_secs(3_600);

/// Starts all components, each behind what it is made of.
pub(crate) async fn start(site: &Arc<Site>) -> Result<MicrorebootManager, Fail> {
    let supervisor = Supervisor::builder("auction")
        .clock(clock())
        .start()
        .await
        .map_err(Fail::broken)?;
    let config = MicrorebootConfig::default()
        .cap(RebootCap::new(REBOOTS, HOUR))
        .ladder(Ladder::default().recurrences(REBOOTS, HOUR));
    let manager = MicrorebootManager::builder("auction")
        .config(config)
        .clock(clock())
        .start()
        .await
        .map_err(Fail::broken)?;
    for name in COMPONENTS {
        let added = match name {
            "sessions" => manager.add(sessions(site), &supervisor).await,
            _ => manager.add(stateless(site, name), &supervisor).await,
        };
        added.map_err(Fail::broken)?;
    }
    Ok(manager)
}

/// A component that is made anew of what it depends on.
fn stateless(site: &Arc<Site>, name: &'static str) -> Component {
    let here = site.clone();
    let component = Component::stateless(name, move |child| run(here.clone(), name, child, None));
    let component = outfit(component, site, name);
    match name {
        // Its index is made of the other's texts.
        "search" => component.depends_on("catalogue"),
        _ => component,
    }
}

/// The component whose state is nowhere else: it is carried over, and looked at on the other side.
fn sessions(site: &Arc<Site>) -> Component<Vec<(u64, u32)>> {
    let (here, asked) = (site.clone(), site.clone());
    let component = Component::new("sessions", move |child, state: Option<Vec<(u64, u32)>>| {
        run(here.clone(), "sessions", child, state)
    });
    let component = component
        .initial(Sessions::default().all())
        .checkpoint(move || {
            // Past the calls, which may hang.
            let state = asked.sessions.part().map(|sessions| sessions.all());
            async { state }
        });
    outfit(component, site, "sessions")
}

fn outfit<S: Clone + Send + Sync + 'static>(
    component: Component<S>,
    site: &Arc<Site>,
    name: &'static str,
) -> Component<S> {
    let (cleaned, verified) = (site.clone(), site.clone());
    let limits = PhaseLimits::default()
        .checkpoint(Duration::from_millis(200))
        .stop(Duration::from_secs(1));
    let component = component
        .readiness(Readiness::Explicit)
        .limits(limits)
        .cleanup(move || {
            let cleaned = cleaned.clean(name);
            async { cleaned }
        })
        .verify(move || verify(verified.clone(), name));
    match site.gate(name) {
        Some(gate) => component.gate(gate),
        None => component,
    }
}

/// A component's life.
async fn run(
    site: Arc<Site>,
    name: &'static str,
    child: ChildContext,
    sessions: Option<Vec<(u64, u32)>>,
) -> Result<(), Fail> {
    // It leaves its place even if it is aborted.
    let seat = Seat(site, name);
    match sessions {
        Some(sessions) => seat.0.sessions.fill(Sessions::with(sessions)),
        None => seat.0.start(name, Some(&child)).await?,
    }
    child.ready();
    child.cancelled().await;
    seat.0.stop(name).await
}

struct Seat(Arc<Site>, &'static str);

impl Drop for Seat {
    fn drop(&mut self) {
        self.0.clear(self.1);
    }
}

/// Calls get through, and sessions are those of the users who logged in.
async fn verify(site: Arc<Site>, name: &'static str) -> Result<(), Fail> {
    site.check(name).await.map_err(Fail::broken)?;
    if name == "sessions" && site.sessions.part()?.who(CANARY.0)? != CANARY.1 {
        return Err(Fail::broken("sessions are somebody else's"));
    }
    Ok(())
}
