//! What is published of a pipeline: its parts.

use super::exporter::Exported;
use super::exporter::sealed::{Sealed, Source};
use crate::policy::pipeline::Pipeline;

impl<C> Exported for Pipeline<C> {}

impl<C> Sealed for Pipeline<C> {
    fn sources(&self) -> Vec<Box<dyn Source>> {
        let mut sources = self.total_timeout().sources();
        sources.extend(self.bulkhead().into_iter().flat_map(Sealed::sources));
        sources.extend(self.retry().into_iter().flat_map(Sealed::sources));
        sources.extend(self.circuit_breaker().into_iter().flat_map(Sealed::sources));
        sources.extend(self.attempt_timeout().sources());
        sources
    }
}
