//! The binary on a real engine and a real registry: one test for each story that a user would tell.
//!
//! Every story is told on both ends of what we support: on the engine that the distribution installs (Debian 12: 20.10) and on a newer one (28 or what
//! followed it). The modules are not called by versions, which are not ours to choose; each engine says its own when it starts. Those that only add and remove containers of their own share one
//! engine and one host for each version; those that stop an engine or a host have their own.

mod blobs;
mod builds;
mod commands;
mod crashes;
mod deployments;
mod docker;
mod docker_hub;
mod engine_away;
mod engine_images;
mod hub_search;
mod hub_search_alone;
mod identity;
mod image_catalog;
mod images;
mod jobs;
mod logs;
mod many;
mod model_images;
mod pulls;
mod recreate;
mod refusals;
mod registry;
mod site;
mod small_disk;
mod specifications;
mod storage;
mod update_checker;

/// One test for each story on each engine.
macro_rules! on_both_engines {
    (shared: $($shared:path as $shared_name:ident),+; own: $($own:path as $own_name:ident),+;) => {
        mod distribution_engine {
            use crate::site::{Version, tell_shared, tell_with_own};
            $(#[test] fn $shared_name() { tell_shared(Version::Installed, $shared); })+
            $(#[test] fn $own_name() { tell_with_own(Version::Installed, $own); })+
        }
        mod newer_engine {
            use crate::site::{Version, tell_shared, tell_with_own};
            $(#[test] fn $shared_name() { tell_shared(Version::Newer, $shared); })+
            $(#[test] fn $own_name() { tell_with_own(Version::Newer, $own); })+
        }
    };
}

on_both_engines! {
    shared:
        crate::deployments::adapter as a_protocol_adapter_lives_and_goes,
        crate::deployments::workers as workers_run_once_and_hand_on_what_they_made,
        crate::deployments::round_trip as what_is_shown_can_be_posted_again,
        crate::deployments::two_families as one_port_on_two_address_families_is_one_number,
        crate::deployments::others as core_services_are_listed_and_unlabelled_containers_are_not,
        crate::deployments::pulled as an_image_that_is_not_there_is_pulled,
        crate::images::listed as images_are_listed_pulled_and_found,
        crate::images::digests as a_remote_digest_is_that_of_the_pulled_image,
        crate::images::pruned as untagged_images_are_pruned,
        crate::refusals::failures as a_failed_deployment_leaves_nothing_behind,
        crate::refusals::failed_start as a_container_that_cannot_start_again_stays_stopped,
        crate::refusals::bad_input as bad_input_is_refused,
        crate::logs::large as a_large_log_is_streamed_and_never_held,
        crate::logs::left as a_client_that_leaves_a_log_ends_it,
        crate::many::vanishing as a_container_that_vanishes_does_not_break_the_list,
        crate::docker::grant as the_docker_room_keeps_to_its_grant,
        crate::engine_images::kept as images_are_listed_asked_about_removed_and_pruned,
        crate::engine_images::in_our_name as an_engine_pulls_in_the_name_that_the_host_has,
        crate::pulls::watched as a_pull_is_watched_from_its_beginning_to_its_end,
        crate::pulls::shared_and_cancelled as one_pull_serves_all_who_want_it_and_ends_with_the_last,
        crate::pulls::outlives as a_pull_outlives_its_request_and_its_plugins_generation,
        crate::pulls::broken_inside as a_pull_that_breaks_inside_its_stream_has_failed;
    own:
        crate::builds::built as an_image_is_built_as_its_dockerfile_says,
        crate::builds::failed as a_build_that_fails_leaves_nothing_and_says_where,
        crate::builds::cancelled as a_build_that_is_cancelled_leaves_nothing,
        crate::recreate::kept as a_recreated_container_keeps_what_its_user_set,
        crate::recreate::bad as an_image_that_is_no_good_is_rolled_back,
        crate::recreate::kinds as stopped_vanishing_and_depending_containers_are_recreated,
        crate::recreate::refused as what_must_not_be_recreated_is_refused,
        crate::recreate::port_taken as a_port_that_is_taken_meanwhile_brings_the_old_container_back,
        crate::recreate::damaged_journal as with_a_damaged_journal_only_recreating_stops,
        crate::engine_away::away_and_back as an_engine_goes_away_and_comes_back,
        crate::engine_away::hanging as an_engine_hangs_and_goes_on,
        crate::engine_away::stopped_while_deploying as a_host_is_stopped_while_it_deploys;
}
