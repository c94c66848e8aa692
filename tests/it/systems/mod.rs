//! The systems in `deploy/examples` that are more than one file: their manifests, their workers
//! against real backends, and what their pages say of them.

mod exceptions;
mod generated;
mod manifests;
mod picture;
mod pipeline;
mod pipeline_load;
mod worker;
