//! The fields that filters and orders may name, and where each is in the tables.
//!
//! One table says it all: a name in the API, the column, the type. A relation is a field of its own, whose value is the key of what it leads to, and offers the fields behind it after a dot. The one
//! relation to many, `tasks`, is asked by `EXISTS`, so that an image is found once however many of its tasks fit.

/// What values a field has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Type {
    /// Compared by code point.
    Text,
    Integer,
    /// A number with decimals, which may also be written as a text.
    Decimal,
    Boolean,
    /// RFC 3339 in UTC with microseconds, so that texts sort as times do.
    Time,
    /// What nobody can look into: only whether it is there.
    Sealed,
}

/// A table that an image leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Relation {
    Cuda,
    Hardware,
    Framework,
    Domain,
    Licence,
    Tasks,
}

impl Relation {
    /// How the table is joined; none for the relation to many.
    pub(crate) fn join(self) -> Option<&'static str> {
        match self {
            Relation::Cuda => Some("LEFT JOIN cuda ON cuda.pk = images.cuda_version"),
            Relation::Hardware => Some("LEFT JOIN hardware ON hardware.pk = images.min_hardware_generation"),
            Relation::Framework => Some("LEFT JOIN frameworks ON frameworks.pk = images.framework"),
            Relation::Domain => Some("LEFT JOIN domains ON domains.pk = images.domain"),
            Relation::Licence => Some("LEFT JOIN licences ON licences.pk = images.licence"),
            Relation::Tasks => None,
        }
    }
}

/// A field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Field {
    /// As filters name it.
    pub(crate) name: &'static str,
    pub(crate) column: &'static str,
    pub(crate) kind: Type,
    /// The table that it is in; none is that of the images.
    pub(crate) relation: Option<Relation>,
}

const fn own(name: &'static str, column: &'static str, kind: Type) -> Field {
    Field { name, column, kind, relation: None }
}

const fn behind(relation: Relation, name: &'static str, column: &'static str, kind: Type) -> Field {
    Field { name, column, kind, relation: Some(relation) }
}

/// The fields of an image and of what it leads to. `registry_url` is what older clients call `registry`.
pub(crate) const IMAGE: &[Field] = &[
    own("pk", "images.pk", Type::Integer),
    own("name", "images.name", Type::Text),
    own("version", "images.version", Type::Text),
    own("url", "images.url", Type::Text),
    own("registry", "images.registry", Type::Text),
    own("registry_url", "images.registry", Type::Text),
    own("registry_username", "images.registry_username", Type::Text),
    own("registry_password", "images.registry_password", Type::Sealed),
    own("cuda_version", "images.cuda_version", Type::Integer),
    own("min_hardware_generation", "images.min_hardware_generation", Type::Integer),
    own("cpu", "images.cpu", Type::Boolean),
    own("framework", "images.framework", Type::Integer),
    own("domain", "images.domain", Type::Integer),
    own("licence", "images.licence", Type::Integer),
    own("creator", "images.creator", Type::Integer),
    own("creation_time", "images.creation_time", Type::Time),
    own("deletion_time", "images.deletion_time", Type::Time),
    behind(Relation::Cuda, "cuda_version.pk", "cuda.pk", Type::Integer),
    behind(Relation::Cuda, "cuda_version.version", "cuda.version", Type::Decimal),
    behind(Relation::Cuda, "cuda_version.full_version", "cuda.full_version", Type::Text),
    behind(Relation::Cuda, "cuda_version.min_driver_version", "cuda.min_driver_version", Type::Decimal),
    behind(Relation::Hardware, "min_hardware_generation.pk", "hardware.pk", Type::Integer),
    behind(Relation::Hardware, "min_hardware_generation.generation", "hardware.generation", Type::Text),
    behind(Relation::Hardware, "min_hardware_generation.min_compute_capability", "hardware.min_compute_capability", Type::Decimal),
    behind(Relation::Hardware, "min_hardware_generation.max_compute_capability", "hardware.max_compute_capability", Type::Decimal),
    behind(Relation::Framework, "framework.pk", "frameworks.pk", Type::Integer),
    behind(Relation::Framework, "framework.name", "frameworks.name", Type::Text),
    behind(Relation::Framework, "framework.version", "frameworks.version", Type::Text),
    behind(Relation::Domain, "domain.pk", "domains.pk", Type::Integer),
    behind(Relation::Domain, "domain.name", "domains.name", Type::Text),
    behind(Relation::Domain, "domain.description", "domains.description", Type::Text),
    behind(Relation::Licence, "licence.pk", "licences.pk", Type::Integer),
    behind(Relation::Licence, "licence.name", "licences.name", Type::Text),
    behind(Relation::Tasks, "tasks", "job_types.pk", Type::Integer),
    behind(Relation::Tasks, "tasks.pk", "job_types.pk", Type::Integer),
    behind(Relation::Tasks, "tasks.name", "job_types.name", Type::Text),
];

/// The field that a client calls `name`. Older clients write two underscores for the dot.
pub(crate) fn find(fields: &'static [Field], name: &str) -> Option<&'static Field> {
    let dotted = name.replace("__", ".");
    fields.iter().find(|field| field.name == dotted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_has_one_name_and_an_older_spelling() {
        for (place, field) in IMAGE.iter().enumerate() {
            assert_eq!(IMAGE.iter().position(|other| other.name == field.name), Some(place), "{}", field.name);
            assert_eq!(find(IMAGE, &field.name.replace('.', "__")), Some(field));
        }
        assert_eq!(find(IMAGE, "framework.colour"), None);
        assert_eq!(find(IMAGE, ""), None);
    }
}
