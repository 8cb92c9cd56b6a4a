//! Names of policies and components.

use std::borrow::Borrow;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

/// The name of a policy or component, as it stands in errors, events and metric labels.
///
/// Cloning allocates nothing; cloning a `&'static str` one writes nothing shared either, which is
/// what keeps a rejection cheap.
#[derive(Clone)]
pub struct Name(Repr);

#[derive(Clone)]
enum Repr {
    Static(&'static str),
    /// Behind one thin pointer, which leaves room for "not static": a name is two words.
    Shared(Arc<Arc<str>>),
}

impl Name {
    /// The text of the name.
    #[inline]
    pub fn as_str(&self) -> &str {
        match &self.0 {
            Repr::Static(text) => text,
            Repr::Shared(text) => text,
        }
    }
}

impl From<&'static str> for Name {
    fn from(text: &'static str) -> Self {
        Self(Repr::Static(text))
    }
}

impl From<String> for Name {
    fn from(text: String) -> Self {
        Self(Repr::Shared(Arc::new(text.into())))
    }
}

impl From<Arc<str>> for Name {
    fn from(text: Arc<str>) -> Self {
        Self(Repr::Shared(Arc::new(text)))
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

impl PartialEq for Name {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for Name {}

impl Hash for Name {
    /// As its text, so that a map keyed by names is asked with a `&str`.
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_str().hash(state);
    }
}

impl Borrow<str> for Name {
    fn borrow(&self) -> &str {
        self.as_str()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn a_name_is_two_words() {
        assert_eq!(size_of::<Name>(), 16);
    }

    #[test]
    fn names_compare_by_text() {
        let shared = Name::from(String::from("payments"));
        assert_eq!(Name::from("payments"), shared);
        assert_eq!(Name::from(Arc::from("payments")), shared);
        assert_ne!(Name::from("orders"), shared);
        assert!(HashSet::from([shared.clone()]).contains("payments"));
        assert_eq!(format!("{shared} {shared:?}"), "payments \"payments\"");
    }
}
