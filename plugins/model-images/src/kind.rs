//! The kinds of things that this API has: what they are called in its messages, and where they are kept.

use std::fmt;

/// A kind of thing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Project,
    Task,
    Model,
    Pipeline,
    Image,
    Environment,
    Instance,
}

impl Kind {
    /// Its table.
    pub(crate) fn table(self) -> &'static str {
        match self {
            Kind::Project => "projects",
            Kind::Task => "tasks",
            Kind::Model => "models",
            Kind::Pipeline => "pipelines",
            Kind::Image => "images",
            Kind::Environment => "environments",
            Kind::Instance => "instances",
        }
    }

    /// Which of its rows there are for clients: an image that is being built and an instance that is being started are not there yet.
    pub(crate) fn visible(self) -> &'static str {
        match self {
            Kind::Image => "building IS NULL",
            Kind::Instance => "starting_ms IS NULL",
            Kind::Project | Kind::Task | Kind::Model | Kind::Pipeline | Kind::Environment => "id > 0",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Kind::Project => "Project",
            Kind::Task => "Task",
            Kind::Model => "Model",
            Kind::Pipeline => "Pipeline",
            Kind::Image => "Image",
            Kind::Environment => "Environment",
            Kind::Instance => "Instance",
        })
    }
}
