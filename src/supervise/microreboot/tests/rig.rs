//! A host of components that fail on request, and what they did, in order.

use crate::kernel::clock::Clock;
use crate::kernel::name::Name;
use crate::kernel::sync::Mutex;
use crate::supervise::microreboot::config::{MicrorebootConfig, PhaseLimits};
use crate::supervise::microreboot::history::{HistoryError, HistoryState, RebootHistory};
use crate::supervise::microreboot::hooks::{Boxed, Hook};
use crate::supervise::microreboot::manager::{MicrorebootManager, MicrorebootManagerBuilder};
use crate::supervise::microreboot::part::{Host, Incarnation, Part, Slot, hook};
use crate::supervise::microreboot::record::{PhaseResult, RebootRecord};
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

/// How a phase goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Goes {
    Well,
    Fails,
    Panics,
    Hangs,
    /// Only for stops: what was killed still runs.
    Orphans,
}

/// What each phase of each component does from now on, and what was done.
#[derive(Debug, Default)]
pub(super) struct World {
    goes: Mutex<HashMap<String, Vec<Goes>>>,
    log: Mutex<Vec<String>>,
    incarnations: Mutex<HashMap<String, Arc<Incarnation>>>,
    slots: Mutex<HashMap<String, Arc<Slot<u32>>>>,
    /// What a checkpoint gives.
    pub(super) state: Mutex<u32>,
    /// The host is being shut down.
    pub(super) ends: AtomicBool,
}

impl World {
    /// The phase (`"start a"`) goes like this from now on, one after the other; the last one stays.
    pub(super) fn set(&self, phase: &str, goes: &[Goes]) {
        self.goes.lock().insert(phase.to_owned(), goes.to_vec());
    }

    fn next(&self, phase: &str) -> Goes {
        self.log.lock().push(phase.to_owned());
        let mut all = self.goes.lock();
        match all.get_mut(phase) {
            None => Goes::Well,
            Some(goes) if goes.len() > 1 => goes.remove(0),
            Some(goes) => goes.first().copied().unwrap_or(Goes::Well),
        }
    }

    pub(super) fn log(&self) -> Vec<String> {
        std::mem::take(&mut self.log.lock())
    }

    pub(super) fn count(&self, phase: &str) -> usize {
        self.log.lock().iter().filter(|it| *it == phase).count()
    }
}

#[derive(Debug)]
struct FakeHost(Arc<World>);

impl Host for FakeHost {
    fn ends_in_order(&self) -> bool {
        self.0.ends.load(Ordering::Relaxed)
    }

    fn stop(&self, id: Name) -> Boxed<'static, PhaseResult> {
        let world = self.0.clone();
        Box::pin(async move {
            match world.next(&format!("stop {id}")) {
                Goes::Hangs => std::future::pending().await,
                Goes::Orphans => PhaseResult::Orphaned,
                Goes::Fails => PhaseResult::Failed("stop".into()),
                _ => PhaseResult::Done,
            }
        })
    }

    fn start(&self, id: Name) -> Boxed<'static, PhaseResult> {
        let world = self.0.clone();
        Box::pin(async move {
            let incarnation = world.incarnations.lock()[id.as_str()].clone();
            incarnation.set(incarnation.get() + 1);
            let state = world.slots.lock()[id.as_str()].next();
            let phase = format!("start {id}");
            let goes = world.next(&phase);
            if let Some(state) = state {
                world.log.lock().push(format!("{id} from {state}"));
            }
            // Time passes, so that others can come in between.
            sleep(Duration::from_millis(10)).await;
            match goes {
                Goes::Hangs => std::future::pending().await,
                Goes::Well => PhaseResult::Done,
                _ => PhaseResult::Failed("start".into()),
            }
        })
    }
}

pub(super) async fn sleep(time: Duration) {
    let clock = Clock::tokio();
    clock.sleep_until(clock.now() + time).unwrap().await;
}

fn phase(world: &Arc<World>, name: String) -> Hook {
    let world = world.clone();
    hook(move || {
        let goes = world.next(&name);
        assert_ne!(goes, Goes::Panics, "as it was told");
        async move {
            match goes {
                Goes::Hangs => std::future::pending().await,
                Goes::Fails => Err("as it was told"),
                _ => Ok(()),
            }
        }
    })
}

pub(super) struct Rig {
    pub(super) world: Arc<World>,
    pub(super) manager: MicrorebootManager,
}

pub(super) fn epoch() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000)
}

pub(super) fn builder(config: MicrorebootConfig) -> MicrorebootManagerBuilder {
    MicrorebootManager::builder("manager")
        .clock(Clock::tokio())
        .wall(epoch())
        .config(config)
}

impl Rig {
    pub(super) async fn new(config: MicrorebootConfig) -> Self {
        Self::with(builder(config)).await
    }

    pub(super) async fn with(builder: MicrorebootManagerBuilder) -> Self {
        Self {
            world: Arc::default(),
            manager: builder.start().await.unwrap(),
        }
    }

    pub(super) fn part(&self, id: &'static str) -> Part {
        let incarnation = Arc::new(Incarnation::default());
        incarnation.set(1);
        let world = &self.world;
        let known = world
            .incarnations
            .lock()
            .insert(id.to_owned(), incarnation.clone());
        assert!(known.is_none());
        let ask = {
            let world = world.clone();
            move || {
                let goes = world.next(&format!("checkpoint {id}"));
                assert_ne!(goes, Goes::Panics, "as it was told");
                let state = *world.state.lock();
                async move {
                    match goes {
                        Goes::Hangs => std::future::pending().await,
                        Goes::Fails => Err("as it was told"),
                        _ => Ok(state),
                    }
                }
            }
        };
        let slot = Arc::new(Slot::new(
            Some(crate::supervise::microreboot::part::ask(ask)),
            None,
        ));
        world.slots.lock().insert(id.to_owned(), slot.clone());
        Part {
            id: id.into(),
            host: Arc::new(FakeHost(world.clone())),
            limits: PhaseLimits::default(),
            states: slot,
            stop: None,
            cleanup: Some(phase(world, format!("cleanup {id}"))),
            needs_cleanup: true,
            verify: Some(phase(world, format!("verify {id}"))),
            may_start_cold: true,
            gate: None,
            incarnation,
        }
    }

    pub(super) fn add(&self, id: &'static str, needs: &[&'static str]) {
        self.add_part(self.part(id), needs, None);
    }

    pub(super) fn add_part(&self, part: Part, needs: &[&'static str], group: Option<&'static str>) {
        let needs: Vec<_> = needs.iter().map(|&need| Name::from(need)).collect();
        let group = group.map(Name::from);
        let part = Arc::new(part);
        let added = self.manager.add_part(part, &needs, group, "root".into());
        self.manager.resume(added.unwrap());
    }

    pub(super) fn records(&self) -> Vec<Arc<RebootRecord>> {
        self.manager.records()
    }

    pub(super) fn last(&self) -> Arc<RebootRecord> {
        self.records().pop().unwrap()
    }
}

/// A history that survives a manager, and that can be out of order.
#[derive(Clone, Debug, Default)]
pub(super) struct Disk(Arc<DiskState>);

#[derive(Debug, Default)]
struct DiskState {
    stored: Mutex<Option<HistoryState>>,
    fails: Mutex<bool>,
    stores: Mutex<u32>,
}

impl Disk {
    pub(super) fn fail(&self, fails: bool) {
        *self.0.fails.lock() = fails;
    }

    pub(super) fn stores(&self) -> u32 {
        *self.0.stores.lock()
    }

    fn check(&self) -> Result<(), HistoryError> {
        if *self.0.fails.lock() {
            return Err(HistoryError::new("the disk is gone"));
        }
        Ok(())
    }
}

impl RebootHistory for Disk {
    fn load(&self) -> Result<Option<HistoryState>, HistoryError> {
        self.check()?;
        Ok(self.0.stored.lock().clone())
    }

    fn store(&self, state: &HistoryState) -> Result<(), HistoryError> {
        self.check()?;
        *self.0.stores.lock() += 1;
        *self.0.stored.lock() = Some(state.clone());
        Ok(())
    }
}
