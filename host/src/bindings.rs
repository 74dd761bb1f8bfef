//! The host's side of the contract in `wit/`, generated.
//!
//! One macro call over all packages gives one `add_to_linker` for each interface, so that each room links just what was
//! granted. The world names every import and every export that the host knows; no plugin needs to have them all. Exports
//! are therefore loaded one by one through their `GuestIndices` (see `plugin/load.rs`), never by the world's own `Pre`.

wasmtime::component::bindgen!({
    path: ["../wit/http", "../wit/docker", "../wit/registry", "../wit/storage", "../wit/identity", "../wit/jobs", "../wit/log", "../wit/config", "../wit/plugin"],
    world: "wharf:plugin/plugin-and-worker",
    imports: {
        // What waits for the engine, the disk or the client suspends the guest, not the thread.
        "wharf:http/types.[method]byte-stream.read": async,
        "wharf:http/outgoing.start": async,
        "wharf:http/outgoing.[method]body-writer.write": async,
        "wharf:config/config.reveal": async,
        "wharf:docker/containers-read": async,
        "wharf:docker/containers-env": async,
        "wharf:docker/containers-logs": async,
        "wharf:docker/containers-lifecycle": async,
        "wharf:docker/containers-create": async,
        "wharf:docker/containers-remove": async,
        "wharf:docker/containers-recreate": async,
        "wharf:docker/images-read": async,
        "wharf:docker/images-pull": async,
        "wharf:docker/images-build": async,
        "wharf:docker/images-remove": async,
        "wharf:docker/images-prune": async,
        "wharf:docker/distribution-read": async,
        "wharf:docker/operations-read.wait": async,
        "wharf:docker/networks-read": async,
        "wharf:docker/volumes-read": async,
        "wharf:docker/system-read": async,
        "wharf:registry/digests-read.heads": async,
        "wharf:registry/manifests-read": async,
        "wharf:registry/tags-read": async,
        "wharf:registry/hub-read": async,
        "wharf:registry/catalog-read": async,
        "wharf:registry/catalog-download": async,
        "wharf:storage/sql": async,
        "wharf:storage/keyvalue": async,
        "wharf:storage/blobs": async,
        "wharf:storage/sealed": async,
        "wharf:identity/principal": async,
        "wharf:identity/sessions": async,
        "wharf:identity/tokens": async,
        "wharf:jobs/queue": async,
        "wharf:jobs/schedules-read": async,
        "wharf:jobs/webhooks": async,
    },
    exports: { default: async },
    with: {
        "wharf:http/types.byte-stream": crate::backend::stream::ByteStream,
        "wharf:http/types.duplex": crate::backend::stream::Duplex,
        "wharf:http/outgoing.body-writer": crate::backend::stream::BodyWriter,
        "wharf:storage/blobs.blob-writer": crate::backend::blobs::BlobWriter,
        "wharf:storage/sql.transaction": crate::backend::database::held::Transaction,
        "wharf:storage/sql.cursor": crate::backend::database::held::Cursor,
    },
});
