//! The plugin's side of the contract in `wit/`, generated.
//!
//! The world names everything that there is. What a plugin does not use is dropped by the linker, so the imports of a component are what it really needs.
#![allow(unsafe_code, missing_docs, unreachable_pub, reason = "generated")]
#![allow(clippy::all, clippy::allow_attributes_without_reason, reason = "generated")]

wit_bindgen::generate!({
    path: ["../wit/http", "../wit/docker", "../wit/registry", "../wit/storage", "../wit/identity", "../wit/jobs", "../wit/log", "../wit/config", "../wit/plugin"],
    world: "wharf:plugin/plugin",
    generate_all,
    pub_export_macro: true,
    export_macro_name: "export_component",
    default_bindings_module: "wharf_sdk::__private::bindings",
});

/// What a plugin with jobs exports beside the rest. A world of its own: a component has the exports of a world all or not at all.
pub mod worker {
    wit_bindgen::generate!({
        path: ["../wit/http", "../wit/docker", "../wit/registry", "../wit/storage", "../wit/identity", "../wit/jobs", "../wit/log", "../wit/config", "../wit/plugin"],
        world: "wharf:plugin/worker",
        generate_all,
        pub_export_macro: true,
        export_macro_name: "export_worker",
        default_bindings_module: "wharf_sdk::__private::bindings::worker",
    });
}
