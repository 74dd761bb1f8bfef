//! The `jobs` grant: whether a plugin has a queue, sees its schedules, and to whom it may send messages.
//!
//! Read from `[site.plugin.grants.jobs]` of `wharf.toml`. Pure. A power (`allow`) links an interface. `webhooks` narrows the power of that name to addresses that the operator writes, each under a name; a check
//! answers the name, which is all that goes into the queue: where a message goes is looked up when it is sent.

use std::collections::BTreeMap;
use std::sync::Arc;

use url::Url;

use super::super::call::Denied;
use super::super::powers::{self, Powers};
use super::JobsRoom;
use crate::backend::jobs::SiteJobs;
use crate::backend::jobs::webhook::Webhook;
use crate::settings::location::Located;
use crate::settings::report::quoted;
use crate::settings::secret_at;
use crate::settings::section::Section;

/// One word of `allow`: it links one interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Power {
    Queue,
    SchedulesRead,
    Webhooks,
}

impl powers::Power for Power {
    const ROOM: &'static str = "jobs";
    const WORDS: &'static [(&'static str, Power)] =
        &[("queue", Power::Queue), ("schedules.read", Power::SchedulesRead), ("webhooks", Power::Webhooks)];
}

/// What the operator allows one plugin of jobs. The default is nothing.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct JobsGrant {
    powers: Powers<Power>,
    /// By name.
    webhooks: BTreeMap<String, Webhook>,
}

/// The name of a webhook that the grant has.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct AllowedWebhook(String);

impl AllowedWebhook {
    pub(super) fn into_name(self) -> String {
        self.0
    }
}

impl JobsGrant {
    /// Reads `[site.plugin.grants.jobs]`. What is wrong is reported to the section; the answer is then not to be used.
    pub(crate) fn read(section: &mut Section<'_>) -> JobsGrant {
        let powers = Powers::read(section);
        let mut webhooks = BTreeMap::new();
        if let Some(mut table) = section.section("webhooks") {
            if !powers.contains(Power::Webhooks) {
                let message = "`webhooks` names some, and the plugin may use none";
                table.mistake(&table.at(), message, Some("add \"webhooks\" to `allow`".to_owned()));
            }
            for (name, mut webhook) in table.named_sections() {
                webhooks.extend(read_webhook(&mut webhook).map(|webhook| (name.value, webhook)));
            }
        }
        JobsGrant { powers, webhooks }
    }

    /// Whether `power` was granted.
    pub(crate) fn has(&self, power: &str) -> bool {
        self.powers.has(power)
    }

    /// The webhook `name`, for the host: a message that was taken into the queue is sent to what the grant has by then.
    pub(crate) fn webhook(&self, name: &str) -> Option<&Webhook> {
        self.webhooks.get(name).filter(|_| self.powers.contains(Power::Webhooks))
    }

    /// Whether there is any webhook.
    pub(crate) fn has_webhooks(&self) -> bool {
        self.powers.contains(Power::Webhooks)
    }
}

fn read_webhook(section: &mut Section<'_>) -> Option<Webhook> {
    let url = section.required_string("url", "url = \"https://hooks.plant-a.local/wharf\"");
    let secret = if section.has("secret") { Some(secret_at(section, "secret")?) } else { None };
    let Located { value, at } = url?;
    let parsed = Url::parse(&value).ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
    let parsed = parsed.filter(|url| url.username().is_empty() && url.password().is_none());
    if parsed.is_none() {
        let message = format!("`url`: {} is not an address that a message can be sent to", quoted(&value));
        let remedy = "write one with `https://` or `http://`, without a name or password in it".to_owned();
        section.mistake(&at, message, Some(remedy));
    }
    Some(Webhook { url: parsed?, secret })
}

impl JobsRoom {
    /// The site's queue, if `power` was granted.
    ///
    /// # Errors
    ///
    /// The refusal.
    pub(super) fn jobs(&self, power: Power) -> Result<Arc<SiteJobs>, Denied> {
        let jobs = self.jobs.as_ref().filter(|_| self.grant.powers.contains(power));
        jobs.cloned().ok_or_else(|| Powers::missing(power))
    }

    /// The webhook `name`, if the grant has it.
    pub(super) fn allowed_webhook(&self, name: &str) -> Option<AllowedWebhook> {
        self.grant.webhook(name).map(|_| AllowedWebhook(name.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::SecretSource;
    use crate::settings::section::read_for_test;

    #[track_caller]
    fn check(text: &str, mistakes: &[&str]) -> JobsGrant {
        let (grant, found) = read_for_test(text, JobsGrant::read);
        assert_eq!(found, mistakes);
        grant
    }

    #[test]
    fn a_grant_is_a_list_of_powers_and_webhooks_by_name() {
        assert!(!check("", &[]).has("queue"));
        let grant = check("allow = [\"queue\", \"schedules.read\"]", &[]);
        assert!(grant.has("queue") && grant.has("schedules.read") && !grant.has("webhooks"));
        let text = "allow = [\"webhooks\"]\nwebhooks.outcome = { url = \"http://10.0.0.7:9000/x?y\", secret = { secret_env = \"KEY\" } }";
        let grant = check(text, &[]);
        let webhook = grant.webhook("outcome").unwrap();
        assert_eq!((webhook.url.as_str(), &webhook.secret), ("http://10.0.0.7:9000/x?y", &Some(SecretSource::Env("KEY".to_owned()))));
        assert_eq!(grant.webhook("other"), None);
    }

    #[test]
    fn what_is_no_grant_is_reported_where_it_stands() {
        check("allow = [\"queues\"]", &["wharf.toml:1:10: there is no power `queues`\n    help: did you mean `queue`?"]);
        check(
            "allow = [\"webhooks\"]\n[webhooks.a]\nurl = \"ftp://x\"\n[webhooks.b]\n[webhooks.c]\nurl = \"https://u:p@x/\"",
            &[
                "wharf.toml:3:7: `url`: `ftp://x` is not an address that a message can be sent to\n    help: write one with `https://` or `http://`, without a name or password in it",
                "wharf.toml:4:1: missing `url` in `[webhooks.b]`\n    help: add `url = \"https://hooks.plant-a.local/wharf\"`, for example",
                "wharf.toml:6:7: `url`: `https://u:p@x/` is not an address that a message can be sent to\n    help: write one with `https://` or `http://`, without a name or password in it",
            ],
        );
        let (_, found) = read_for_test("webhooks.a = { url = \"https://x\", secret = \"whsec_x\" }", JobsGrant::read);
        assert!(
            found.len() == 2 && found[0].contains("the plugin may use none") && found[1].contains("expected where a secret is kept"),
            "{found:?}"
        );
        assert!(!found.concat().contains("whsec_x"), "a secret is not shown");
    }
}
