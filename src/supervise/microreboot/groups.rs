//! Which components go together.

use super::record::Rung;
use crate::kernel::config::ConfigError;
use crate::kernel::name::Name;
use std::collections::BTreeSet;

/// A component by its place in the order of registration, which is the order of starts.
pub(crate) type Index = usize;

/// Components and how they hang together. One that depends on others is registered behind them, so
/// the order of registration is an order of starts, and there are no cycles.
#[derive(Debug, Default)]
pub(crate) struct Groups {
    parts: Vec<Part>,
}

#[derive(Debug)]
pub(crate) struct Part {
    pub(crate) id: Name,
    needs: Vec<Index>,
    group: Option<Name>,
    subtree: Name,
    is_retired: bool,
}

impl Groups {
    /// Registers a component that depends hard on `needs`.
    pub(crate) fn add(
        &mut self,
        id: Name,
        needs: &[Name],
        group: Option<Name>,
        subtree: Name,
    ) -> Result<Index, ConfigError> {
        if self.find(id.as_str()).is_some() {
            let allowed = "a name that no other component has";
            return Err(ConfigError::new("id", id, allowed));
        }
        let needs = needs
            .iter()
            .map(|need| {
                let allowed = "a component that was added before";
                let found = self.find(need.as_str());
                found.ok_or_else(|| ConfigError::new("depends_on", need, allowed))
            })
            .collect::<Result<_, _>>()?;
        self.parts.push(Part {
            id,
            needs,
            group,
            subtree,
            is_retired: false,
        });
        Ok(self.parts.len() - 1)
    }

    pub(crate) fn find(&self, id: &str) -> Option<Index> {
        let is_it = |part: &Part| part.id.as_str() == id && !part.is_retired;
        self.parts.iter().position(is_it)
    }

    /// It is in no group any more, and its id is free.
    pub(crate) fn retire(&mut self, at: Index) {
        if let Some(part) = self.parts.get_mut(at) {
            part.is_retired = true;
        }
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.parts.len()
    }

    /// All that a reboot of this component at that rung stops and starts, in the order of starts,
    /// and the name that it is charged to. `None` if the rung does not apply.
    pub(crate) fn members(&self, of: Index, rung: Rung) -> Option<(Vec<Index>, Name)> {
        let part = self.parts.get(of)?;
        let (seeds, scope): (BTreeSet<Index>, _) = match rung {
            Rung::Component => (BTreeSet::from([of]), &part.id),
            Rung::Group => {
                let group = part.group.as_ref()?;
                (
                    self.which(|other| other.group.as_ref() == Some(group)),
                    group,
                )
            }
            Rung::Subtree => {
                let subtree = &part.subtree;
                (self.which(|other| other.subtree == *subtree), subtree)
            }
            Rung::Process | Rung::Human => return None,
        };
        Some((self.with_dependents(seeds), scope.clone()))
    }

    fn which(&self, is_in: impl Fn(&Part) -> bool) -> BTreeSet<Index> {
        let all = self.parts.iter().enumerate();
        all.filter(|(_, part)| is_in(part) && !part.is_retired)
            .map(|(at, _)| at)
            .collect()
    }

    /// One pass is enough: dependents stand behind what they need.
    fn with_dependents(&self, mut members: BTreeSet<Index>) -> Vec<Index> {
        for (at, part) in self.parts.iter().enumerate() {
            let needs_one = part.needs.iter().any(|need| members.contains(need));
            if needs_one && !part.is_retired {
                members.insert(at);
            }
        }
        members.into_iter().collect()
    }
}

#[cfg(all(test, not(any(backstop_loom, backstop_shuttle))))]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn name(at: usize) -> Name {
        Name::from(format!("c{at}"))
    }

    fn add(groups: &mut Groups, needs: &[usize], group: Option<&'static str>) -> Index {
        let needs: Vec<_> = needs.iter().map(|&need| name(need)).collect();
        let id = name(groups.len());
        groups
            .add(id, &needs, group.map(Name::from), "root".into())
            .unwrap()
    }

    #[test]
    fn mr5a_hard_dependents_go_together_and_nothing_else() {
        let mut groups = Groups::default();
        let db = add(&mut groups, &[], None);
        let cart = add(&mut groups, &[db], Some("shop"));
        let other = add(&mut groups, &[], None);
        let pay = add(&mut groups, &[cart], None);
        let bids = add(&mut groups, &[], Some("shop"));
        let of = |at, rung| {
            groups
                .members(at, rung)
                .map(|(members, scope)| (members, scope.to_string()))
        };
        assert_eq!(
            of(db, Rung::Component),
            Some((vec![db, cart, pay], "c0".into()))
        );
        assert_eq!(of(pay, Rung::Component), Some((vec![pay], "c3".into())));
        assert_eq!(of(other, Rung::Component), Some((vec![other], "c2".into())));
        assert_eq!(
            of(bids, Rung::Group),
            Some((vec![cart, pay, bids], "shop".into()))
        );
        assert_eq!(of(pay, Rung::Group), None);
        assert_eq!(
            of(pay, Rung::Subtree),
            Some((vec![0, 1, 2, 3, 4], "root".into()))
        );
        assert_eq!(of(pay, Rung::Human), None);
    }

    #[test]
    fn what_does_not_hang_together_is_refused() {
        let mut groups = Groups::default();
        add(&mut groups, &[], None);
        let twice = groups.add(name(0), &[], None, "root".into()).unwrap_err();
        assert_eq!(twice.field(), "id");
        let unknown = groups
            .add(name(1), &[name(7)], None, "root".into())
            .unwrap_err();
        assert_eq!(unknown.field(), "depends_on");
        assert_eq!(groups.len(), 1);
    }

    #[test]
    fn mr5a_what_never_came_to_run_is_in_no_group() {
        let mut groups = Groups::default();
        let db = add(&mut groups, &[], Some("shop"));
        let gone = add(&mut groups, &[db], Some("shop"));
        groups.retire(gone);
        for rung in [Rung::Component, Rung::Group, Rung::Subtree] {
            assert_eq!(groups.members(db, rung).unwrap().0, [db]);
        }
        assert_eq!(groups.find("c1"), None);
    }

    fn reaches(edges: &[Vec<usize>], from: usize, to: usize) -> bool {
        from == to || edges[from].iter().any(|&need| reaches(edges, need, to))
    }

    proptest! {
        #[test]
        fn mr5a_the_group_is_what_can_reach_the_component(
            needs in prop::collection::vec(prop::collection::vec(any::<prop::sample::Index>(), 0..3), 1..12),
        ) {
            let mut groups = Groups::default();
            let mut edges = Vec::new();
            for (at, needs) in needs.iter().enumerate() {
                let needs: Vec<_> = needs.iter().filter(|_| at > 0).map(|need| need.index(at)).collect();
                add(&mut groups, &needs, None);
                edges.push(needs);
            }
            for of in 0..edges.len() {
                let expected: Vec<_> = (0..edges.len()).filter(|&at| reaches(&edges, at, of)).collect();
                prop_assert_eq!(groups.members(of, Rung::Component).unwrap().0, expected);
            }
        }
    }
}
