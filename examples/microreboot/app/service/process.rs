//! The way up of the server's process.

use super::fail::Fail;
use super::server::routes;
use super::site::Site;
use super::slot::Support;
use super::world::World;
use crate::app::time::{now, since};
use std::error::Error;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::sync::Arc;

/// How a server is run.
pub(crate) struct Options {
    pub(crate) dir: PathBuf,
    pub(crate) world: World,
    pub(crate) exchange: SocketAddr,
    pub(crate) support: Support,
    /// An address of its own; without one, the standard input is the socket, and it listens already.
    pub(crate) address: Option<SocketAddr>,
}

/// Starts all components, says so on the standard output, and serves until the process is killed.
pub(crate) fn serve(options: &Options) -> Result<(), Box<dyn Error>> {
    let begun = now();
    // Panics are answered where they happen, and tell nobody anything new.
    std::panic::set_hook(Box::new(|_| ()));
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let site = Site::new(
            &options.dir,
            options.world,
            options.exchange,
            options.support,
        )?;
        start(&site, options.support).await?;
        let listener = match options.address {
            Some(address) => TcpListener::bind(address)?,
            None => TcpListener::from(std::io::stdin().as_fd().try_clone_to_owned()?),
        };
        listener.set_nonblocking(true)?;
        let listener = tokio::net::TcpListener::from_std(listener)?;
        println!("serving {}", since(begun).as_micros());
        axum::serve(listener, routes(site)).await?;
        Ok(())
    })
}

/// Starts all components.
pub(crate) async fn start(site: &Arc<Site>, support: Support) -> Result<(), Fail> {
    match support {
        Support::None => site.start_all().await,
        Support::Microreboot | Support::Gate => {
            let manager = super::supervised::start(site).await?;
            let _ = site.manager.set(manager);
            Ok(())
        }
    }
}
