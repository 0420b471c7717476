//! Tells the local network where the Wyoming protocol is spoken, so that Home Assistant finds it: DNS-SD over multicast.

use std::net::SocketAddr;

use mdns_sd::{ServiceDaemon, ServiceInfo};

const SERVICE: &str = "_wyoming._tcp.local.";

/// An announcement, which is taken back with this object.
pub(crate) struct Announcement {
    daemon: ServiceDaemon,
    name: String,
}

impl Announcement {
    /// Announces a service at `address`; `None` if nobody else can reach it.
    ///
    /// # Errors
    /// If the system does not give a thread or a socket for it.
    pub(crate) fn new(address: SocketAddr) -> Result<Option<Self>, mdns_sd::Error> {
        if address.ip().is_loopback() {
            return Ok(None);
        }
        let info = info(address, &host_name())?;
        let (daemon, name) = (ServiceDaemon::new()?, info.get_fullname().to_owned());
        daemon.register(info)?;
        tracing::info!("announced to the local network as {name}");
        Ok(Some(Self { daemon, name }))
    }
}

impl Drop for Announcement {
    fn drop(&mut self) {
        // Whoever has heard of the service forgets it after a while in any case.
        if let Ok(told) = self.daemon.unregister(&self.name) {
            let _ = told.recv_timeout(std::time::Duration::from_secs(1));
        }
        let _ = self.daemon.shutdown();
    }
}

/// What is announced: at all addresses of this machine if that is where the service listens.
fn info(address: SocketAddr, host: &str) -> Result<ServiceInfo, mdns_sd::Error> {
    let (name, host) = (format!("Boswell on {host}"), format!("{host}.local."));
    let properties = [("version", env!("CARGO_PKG_VERSION"))];
    let (ip, port) = (address.ip(), address.port());
    if ip.is_unspecified() {
        return Ok(ServiceInfo::new(SERVICE, &name, &host, (), port, &properties[..])?.enable_addr_auto());
    }
    ServiceInfo::new(SERVICE, &name, &host, ip, port, &properties[..])
}

/// This machine's name without its domain.
fn host_name() -> String {
    #[cfg(unix)]
    let name = rustix::system::uname().nodename().to_string_lossy().into_owned();
    #[cfg(not(unix))]
    let name = std::env::var("COMPUTERNAME").unwrap_or_default();
    let name = name.split('.').next().unwrap_or_default();
    if name.is_empty() { "boswell".to_owned() } else { name.to_owned() }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use mdns_sd::ServiceEvent;

    use super::*;

    #[test]
    fn home_assistant_is_told_where_it_is() {
        let everywhere = info("0.0.0.0:10300".parse().unwrap(), "desk").unwrap();
        assert_eq!(everywhere.get_fullname(), "Boswell on desk._wyoming._tcp.local.");
        assert_eq!((everywhere.get_hostname(), everywhere.get_port()), ("desk.local.", 10300));
        assert!(everywhere.is_addr_auto());
        let one = info("192.0.2.7:1".parse().unwrap(), "desk").unwrap();
        assert!(!one.is_addr_auto() && one.get_addresses().len() == 1);
        assert!(Announcement::new("127.0.0.1:10300".parse().unwrap()).unwrap().is_none());
    }

    #[test]
    #[ignore = "needs a network with multicast"]
    fn who_looks_for_it_by_multicast_finds_it() {
        let announced = Announcement::new("0.0.0.0:10399".parse().unwrap()).unwrap().unwrap();
        let browser = ServiceDaemon::new().unwrap();
        let found = browser.browse(SERVICE).unwrap();
        let until = Instant::now() + Duration::from_secs(15);
        let port = loop {
            match found.recv_deadline(until).expect("somebody answers in time") {
                ServiceEvent::ServiceResolved(service) if service.fullname == announced.name => {
                    break service.port;
                }
                _ => {}
            }
        };
        assert_eq!(port, 10399);
        browser.shutdown().unwrap();
    }
}
