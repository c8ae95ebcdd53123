//! What the integration tests share. A test crate declares it once: `#[path = "../support/mod.rs"]`.

pub(crate) mod builds;
pub(crate) mod failure;
pub(crate) mod gate;
pub(crate) mod held;
pub(crate) mod http;
pub(crate) mod load;
pub(crate) mod manager;
pub(crate) mod network;
pub(crate) mod process;
pub(crate) mod programs;
pub(crate) mod record;
pub(crate) mod report;
pub(crate) mod requirement;
pub(crate) mod rig;
pub(crate) mod running;
pub(crate) mod scratch;
pub(crate) mod wait;
