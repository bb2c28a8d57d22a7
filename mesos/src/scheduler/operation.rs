//! A function for each operation on an offer. The operations go into [`accept`](super::accept).
//!
//! The resources for RESERVE must already contain the new reservation. The resources for CREATE must already contain the new
//! volume. The example is for a framework with the capability RESERVATION_REFINEMENT; a framework with a principal must also set
//! `reservation.principal` to it:
//!
//! ```
//! use mesos::resources::{Quantity, Resources, Shortage};
//! use mesos::scheduler::{self, operation};
//! use mesos::v1::resource::disk_info::Persistence;
//! use mesos::v1::resource::{DiskInfo, ReservationInfo, reservation_info};
//! use mesos::v1::{FrameworkId, Offer, Resource, Volume, scheduler::Call, volume};
//!
//! /// Creates a volume of 32 MB for the role `db`. Tasks see this volume as the folder `data`.
//! fn make_volume(framework: &FrameworkId, offer: Offer) -> Result<Call, Shortage> {
//!     let kind = Some(reservation_info::Type::Dynamic.into());
//!     let reservation = ReservationInfo { r#type: kind, role: Some("db".into()), ..Default::default() };
//!     let disk = Resources::from(offer.resources).take("disk", Quantity::whole(32))?.into_iter();
//!     let reserved: Vec<_> =
//!         disk.map(|disk| Resource { reservations: vec![reservation.clone()], ..disk }).collect();
//!     let folder = Volume { mode: volume::Mode::Rw.into(), container_path: "data".into(), ..Default::default() };
//!     let persistence = Some(Persistence { id: "db-1".into(), principal: None });
//!     let volume = DiskInfo { persistence, volume: Some(folder), source: None };
//!     let volumes = reserved.iter().map(|disk| Resource { disk: Some(volume.clone()), ..disk.clone() }).collect();
//!     let operations = vec![operation::reserve(reserved), operation::create(volumes)];
//!     Ok(scheduler::accept(framework, vec![offer.id], operations, None))
//! }
//! # use mesos::v1::offer::operation::Type;
//! # let resources = vec![mesos::resources::scalar("disk", Quantity::whole(64))];
//! # let call = make_volume(&"f".into(), Offer { resources, ..Offer::default() }).unwrap();
//! # let kinds: Vec<_> = call.accept.unwrap().operations.iter().map(|it| it.r#type()).collect();
//! # assert_eq!(kinds, [Type::Reserve, Type::Create]);
//! ```

use crate::v1::offer::Operation;
use crate::v1::offer::operation::{
    Create, CreateDisk, Destroy, DestroyDisk, GrowVolume, Launch, LaunchGroup, Reserve, ShrinkVolume, Type,
    Unreserve,
};
use crate::v1::resource::disk_info::source::Type as DiskType;
use crate::v1::{ExecutorInfo, OperationId, Resource, TaskGroupInfo, TaskInfo, value};

fn operation(kind: Type) -> Operation {
    Operation { r#type: Some(kind.into()), ..Operation::default() }
}

/// LAUNCH: starts tasks, each with its own executor or with Mesos' default executor.
pub fn launch(task_infos: Vec<TaskInfo>) -> Operation {
    Operation { launch: Some(Launch { task_infos }), ..operation(Type::Launch) }
}

/// LAUNCH_GROUP: starts all tasks or none. The executor must name its framework, and must have cpus, mem and disk of
/// its own. The tasks must not name an executor.
pub fn launch_group(executor: ExecutorInfo, tasks: Vec<TaskInfo>) -> Operation {
    let group = LaunchGroup { executor, task_group: TaskGroupInfo { tasks } };
    Operation { launch_group: Some(group), ..operation(Type::LaunchGroup) }
}

/// RESERVE: reserves resources for a role. `resources` already contain the new reservation.
pub fn reserve(resources: Vec<Resource>) -> Operation {
    Operation { reserve: Some(Reserve { source: Vec::new(), resources }), ..operation(Type::Reserve) }
}

/// UNRESERVE: removes the innermost reservation.
pub fn unreserve(resources: Vec<Resource>) -> Operation {
    Operation { unreserve: Some(Unreserve { resources }), ..operation(Type::Unreserve) }
}

/// CREATE: creates persistent volumes.
pub fn create(volumes: Vec<Resource>) -> Operation {
    Operation { create: Some(Create { volumes }), ..operation(Type::Create) }
}

/// DESTROY: removes persistent volumes with their data.
pub fn destroy(volumes: Vec<Resource>) -> Operation {
    Operation { destroy: Some(Destroy { volumes }), ..operation(Type::Destroy) }
}

/// GROW_VOLUME: adds disk to a persistent volume.
pub fn grow_volume(volume: Resource, addition: Resource) -> Operation {
    Operation { grow_volume: Some(GrowVolume { volume, addition }), ..operation(Type::GrowVolume) }
}

/// SHRINK_VOLUME: makes a persistent volume smaller by `megabytes`.
pub fn shrink_volume(volume: Resource, megabytes: f64) -> Operation {
    let shrink = ShrinkVolume { volume, subtract: value::Scalar { value: megabytes } };
    Operation { shrink_volume: Some(shrink), ..operation(Type::ShrinkVolume) }
}

/// CREATE_DISK: turns a raw disk of a storage provider into a disk of this type.
pub fn create_disk(source: Resource, target: DiskType, profile: Option<String>) -> Operation {
    let create = CreateDisk { source, target_type: target.into(), target_profile: profile };
    Operation { create_disk: Some(create), ..operation(Type::CreateDisk) }
}

/// DESTROY_DISK: turns a disk back into a raw disk.
pub fn destroy_disk(source: Resource) -> Operation {
    Operation { destroy_disk: Some(DestroyDisk { source }), ..operation(Type::DestroyDisk) }
}

impl Operation {
    /// Sets an id, so that UPDATE_OPERATION_STATUS reports the operation's state. Not for LAUNCH and LAUNCH_GROUP.
    pub fn with_id(self, id: OperationId) -> Self {
        Self { id: Some(id), ..self }
    }
}
