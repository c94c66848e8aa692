//! One simulated ScaledObject or ScaledJob.

use crate::simulation::{self, Load, Scalable, Timeline};

pub struct Course {
    pub name: String,
    pub object: Scalable,
    pub timeline: Timeline,
}

impl Course {
    /// For a picture.
    pub fn drawn<'a>(&'a self, load: &'a Load) -> simulation::Course<'a> {
        simulation::Course {
            name: &self.name,
            load,
            timeline: &self.timeline,
        }
    }
}
