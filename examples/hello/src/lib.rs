//! The plugin of the SDK's README, outside of the workspace, as a third party would write it.

use wharf_sdk::docker::{self, containers_read};
use wharf_sdk::{Description, Plugin, Request, Response, Router};

struct Hello;

impl Plugin for Hello {
    fn describe() -> Description {
        Description::new().wants("docker", &["containers.read"])
    }

    fn routes() -> Router {
        Router::new().get("/hello/{name}", |request: &Request| format!("hello {}\n", request.param("name"))).get("/running", running)
    }
}

fn running(_: &Request) -> Result<Response, docker::Error> {
    let containers = containers_read::list(&containers_read::ContainerFilter::default())?;
    let names: Vec<&String> = containers.iter().filter_map(|container| container.names.first()).collect();
    Ok(Response::json(&names))
}

wharf_sdk::export!(Hello);

#[cfg(test)]
mod tests {
    use super::*;
    use wharf_sdk::fake;

    #[test]
    fn the_running_containers_are_named() {
        let host = fake::Host::install();
        host.container(fake::Container::new("web"));
        host.container(fake::Container::new("old").state("exited"));
        assert_eq!(fake::call::<Hello>(fake::get("/running")).text(), r#"["web"]"#);

        host.fail("docker.containers-read.list", docker::Error::Unavailable("the engine is down".to_owned()));
        assert_eq!(fake::call::<Hello>(fake::get("/running")).status, 503);
    }
}
