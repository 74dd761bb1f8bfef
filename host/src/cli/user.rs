//! `wharf user`: the users in a site's database, also while the host runs. What is changed holds from the next request on, on every host of the site.
//!
//! Users of the configuration are only listed here: two places that could be changed would be two truths.

use std::io::Write as _;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, bail};

use super::{SiteArguments, UserCommand, password};
use crate::backend::users::{self, Place, Removed, Users};
use crate::settings::{self, SiteSettings};

pub(super) fn run(command: UserCommand) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let said = match command {
        UserCommand::Add { name, roles, site } => add(&runtime, &name, roles, &Chosen::load(&site)?)?,
        UserCommand::List { site } => list(&runtime, &Chosen::load(&site)?)?,
        UserCommand::Remove { name, open_site, site } => remove(&runtime, &name, open_site, &Chosen::load(&site)?)?,
        UserCommand::Password { name, site } => set_password(&runtime, &name, &Chosen::load(&site)?)?,
    };
    write!(std::io::stdout(), "{said}")?;
    Ok(ExitCode::SUCCESS)
}

/// The site that was chosen.
struct Chosen {
    site: SiteSettings,
    place: Place,
}

impl Chosen {
    fn load(arguments: &SiteArguments) -> anyhow::Result<Chosen> {
        let settings = settings::load(&arguments.config.config)?;
        let place = Place::of(&settings.server.data_dir, &settings.storage);
        let names: Vec<String> = settings.sites.iter().map(|site| format!("`{}`", site.name.value)).collect();
        let site = match (&arguments.site, settings.sites.len()) {
            (Some(wanted), _) => settings.sites.into_iter().find(|site| site.name.value == *wanted),
            (None, 1) => settings.sites.into_iter().next(),
            (None, _) => bail!("the configuration has the sites {}: name one with `--site`", names.join(", ")),
        };
        let site = site.with_context(|| format!("there is no such site; the configuration has {}", names.join(", ")))?;
        Ok(Chosen { site, place })
    }

    fn name(&self) -> &str {
        &self.site.name.value
    }

    /// Whether the configuration has the user `name`.
    fn configured(&self, name: &str) -> anyhow::Result<()> {
        match self.site.access.users.get(name) {
            Some(user) => bail!("user `{name}` is one of the configuration, at {}: change it there", user.at),
            None => Ok(()),
        }
    }

    /// The site's database; none if there is none and it is not made.
    async fn database(&self, makes: bool) -> anyhow::Result<Option<Arc<dyn Users>>> {
        if !self.place.is_there(self.name(), makes).await? {
            return Ok(None);
        }
        Ok(Some(users::open(&self.place, self.name()).await?))
    }
}

fn add(runtime: &tokio::runtime::Runtime, name: &str, mut roles: Vec<String>, chosen: &Chosen) -> anyhow::Result<String> {
    users::check_user_name(name).map_err(anyhow::Error::msg)?;
    roles.iter().try_for_each(|role| users::check_role(role)).map_err(anyhow::Error::msg)?;
    roles.sort();
    roles.dedup();
    chosen.configured(name)?;
    let hashed = password::ask()?;
    let id = runtime.block_on(async {
        let database = chosen.database(true).await?.context("the site has no database")?;
        anyhow::Ok(database.add(name, &hashed, &roles).await?)
    })?;
    let Some(id) = id else { bail!("there is a user `{name}` already; `wharf user password` gives them another password") };
    Ok(format!("user `{name}` of site `{}` has the number {id}\n", chosen.name()))
}

fn list(runtime: &tokio::runtime::Runtime, chosen: &Chosen) -> anyhow::Result<String> {
    let rows = runtime.block_on(async {
        match chosen.database(false).await? {
            Some(database) => anyhow::Ok(database.all().await?),
            None => Ok(Vec::new()),
        }
    })?;
    let configured = &chosen.site.access.users;
    let mut lines = Vec::new();
    // Those of the configuration whom no host has seen yet have no number.
    for (name, user) in configured.iter().filter(|(name, _)| rows.iter().all(|row| row.name != **name)) {
        lines.push(line("-", name, &user.roles, "configuration"));
    }
    for row in rows {
        match configured.get(&row.name) {
            Some(user) => lines.push(line(&row.id.to_string(), &row.name, &user.roles, "configuration")),
            None if row.password_hash.is_some() => lines.push(line(&row.id.to_string(), &row.name, &row.roles, "database")),
            // The configuration had this one once.
            None => {}
        }
    }
    if lines.is_empty() {
        return Ok(format!("site `{}` has no users\n", chosen.name()));
    }
    Ok(line("NUMBER", "NAME", &["ROLES".to_owned()], "FROM") + &lines.concat())
}

fn line(number: &str, name: &str, roles: &[String], from: &str) -> String {
    format!("{number:<7} {name:<24} {from:<14} {}\n", roles.join(","))
}

fn remove(runtime: &tokio::runtime::Runtime, name: &str, open_site: bool, chosen: &Chosen) -> anyhow::Result<String> {
    chosen.configured(name)?;
    let unless_last = !open_site && chosen.site.access.users.is_empty();
    let removed = runtime.block_on(async {
        match chosen.database(false).await? {
            Some(database) => anyhow::Ok(database.remove(name, unless_last).await?),
            None => Ok(Removed::Unknown),
        }
    })?;
    match removed {
        Removed::Done => Ok(format!("user `{name}` of site `{}` is removed\n", chosen.name())),
        Removed::Unknown => bail!("site `{}` has no user `{name}`", chosen.name()),
        Removed::Last => bail!(
            "user `{name}` is the last one of site `{}`, which without users lets everyone in; if that is meant, add `--open-site`",
            chosen.name()
        ),
    }
}

fn set_password(runtime: &tokio::runtime::Runtime, name: &str, chosen: &Chosen) -> anyhow::Result<String> {
    chosen.configured(name)?;
    let database = runtime.block_on(chosen.database(false))?;
    let known = match &database {
        Some(database) => runtime.block_on(database.by_name(name))?.is_some_and(|row| row.password_hash.is_some()),
        None => false,
    };
    let (true, Some(database)) = (known, database) else { bail!("site `{}` has no user `{name}`", chosen.name()) };
    let hashed = password::ask()?;
    if !runtime.block_on(database.set_password(name, &hashed))? {
        bail!("site `{}` has no user `{name}` any more", chosen.name());
    }
    Ok(format!("user `{name}` of site `{}` has another password, and no sessions and tokens\n", chosen.name()))
}
