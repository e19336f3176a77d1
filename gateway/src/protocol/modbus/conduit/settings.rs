//! What never changes while a conduit runs.

use std::time::Duration;

use crate::protocol::modbus::profile::Profile;
use crate::transfer::engine::{self, Way};
use crate::transfer::image::Padding;

/// Limits and mode of one conduit.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// Unit id of the controller.
    pub unit: u8,
    /// The way updates take.
    pub way: Way,
    /// False: observe; everything passes and is reported.
    pub enforce: bool,
    /// A safety controller: nothing that programs it passes, whatever a list names.
    pub safety: bool,
    /// Most connections of stations.
    pub max_stations: usize,
    /// Most connections from one address.
    pub max_per_address: usize,
    /// Longest transfer from its first step to its commit.
    pub longest_transfer: Duration,
    /// Requests under way to the controller at once.
    pub in_flight: usize,
    /// Time limit of one reply of the controller.
    pub reply: Duration,
    /// Time between two identity polls; `None`: never.
    pub poll_every: Option<Duration>,
}

impl Settings {
    pub(super) fn engine(&self, profile: Option<&Profile>) -> engine::Settings {
        let seconds = Duration::from_secs;
        engine::Settings {
            way: self.way,
            enforce: self.enforce,
            max_image: profile.map_or(0, |p| p.max_image),
            padding: profile.map_or(Padding { byte: 0, granule: 1 }, |p| p.padding),
            implicit_commit: profile.is_some_and(Profile::commits_implicitly),
            commit_polls: profile.is_some_and(|p| p.status.is_some()),
            idle: profile.map_or(seconds(10), |p| p.timing.idle),
            longest: self.longest_transfer,
            patience: profile.map_or(seconds(1), |p| p.timing.tool),
        }
    }
}
