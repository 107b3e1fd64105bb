//! Which names and addresses the board may reach, and where they really are.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::str::FromStr;

use anyhow::{Context as _, Result, bail};

/// The board.
pub const BOARD: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 15);
/// The name server.
pub const NAME_SERVER: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 3);
/// This machine as the board sees it.
pub const GATEWAY: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 2);
/// The names of time servers: this machine gives the time itself.
const TIME_SERVERS: &str = "pool.ntp.org";
/// The first address that stands for a name.
const FIRST: u32 = Ipv4Addr::new(198, 18, 0, 1).to_bits();
/// Names that are remembered; a board that asks for more of them is told that there are none.
const MAX_NAMES: u32 = 1024;

/// Where a name is to be found: `NAME=ADDRESS` or `NAME=ADDRESS:PORT`, a name beginning with `*.` standing for all
/// below it. Without a port the one that the board asks for stays.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    name: String,
    address: IpAddr,
    port: Option<u16>,
}

impl Rule {
    /// A name, or all names below one (`*.example.net`), at this address.
    #[must_use]
    pub fn new(name: &str, address: SocketAddr) -> Self {
        Self { name: name.to_ascii_lowercase(), address: address.ip(), port: Some(address.port()) }
    }

    fn fits(&self, name: &str) -> bool {
        match self.name.strip_prefix('*') {
            Some(suffix) => name.len() > suffix.len() && name.ends_with(suffix),
            None => name == self.name,
        }
    }
}

impl FromStr for Rule {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        let (name, address) = text.split_once('=').context("expected NAME=ADDRESS[:PORT]")?;
        let suffix = name.strip_prefix("*.").unwrap_or(name);
        if suffix.is_empty() || suffix.contains(['*', ' ']) {
            bail!("{name:?} is no host name");
        }
        let (address, port) = match (address.parse::<SocketAddr>(), address.parse()) {
            (Ok(address), _) => (address.ip(), Some(address.port())),
            (_, Ok(address)) => (address, None),
            _ => bail!("{address:?} is no IP address"),
        };
        Ok(Self { name: name.to_ascii_lowercase(), address, port })
    }
}

/// Names, and where they really are.
#[derive(Debug, Clone, Default)]
pub struct Hosts {
    rules: Vec<Rule>,
    internet: bool,
    /// The rule that each address that was given out stands for.
    given: BTreeMap<Ipv4Addr, (String, usize)>,
}

impl Hosts {
    /// Only what these rules say; the first one that fits counts.
    #[must_use]
    pub fn new(rules: Vec<Rule>) -> Self {
        Self { rules, ..Self::default() }
    }

    /// And everything else that this machine can reach.
    #[must_use]
    pub fn with_internet(mut self) -> Self {
        self.internet = true;
        self
    }

    /// Whether the board may go beyond the rules.
    pub(crate) fn has_internet(&self) -> bool {
        self.internet
    }

    /// The address that the board is told for a name that a rule is there for.
    pub(crate) fn address(&mut self, name: &str) -> Option<Ipv4Addr> {
        let name = name.to_ascii_lowercase();
        let Some(rule) = self.rules.iter().position(|rule| rule.fits(&name)) else {
            let server = name.strip_suffix(TIME_SERVERS)?;
            return (server.is_empty() || server.ends_with('.')).then_some(GATEWAY);
        };
        if let Some((address, _)) = self.given.iter().find(|(_, (given, _))| *given == name) {
            return Some(*address);
        }
        let next = u32::try_from(self.given.len()).ok().filter(|next| *next < MAX_NAMES)?;
        let address = Ipv4Addr::from_bits(FIRST + next);
        self.given.insert(address, (name, rule));
        Some(address)
    }

    /// Where a connection of the board's to `wanted` goes; `None` if it goes nowhere.
    pub(crate) fn target(&self, wanted: SocketAddr) -> Option<SocketAddr> {
        let IpAddr::V4(address) = wanted.ip() else { return self.internet.then_some(wanted) };
        if address == GATEWAY {
            return Some((Ipv4Addr::LOCALHOST, wanted.port()).into());
        }
        match self.given.get(&address).and_then(|(_, rule)| self.rules.get(*rule)) {
            Some(rule) => Some((rule.address, rule.port.unwrap_or(wanted.port())).into()),
            None => self.internet.then_some(wanted),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn socket(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    #[test]
    fn names_lead_where_the_first_fitting_rule_says() {
        let rules = ["a.example.net=127.0.0.1:7001", "*.Example.net=127.0.0.1:7002", "b.org=::1"];
        let mut hosts = Hosts::new(rules.iter().map(|rule| rule.parse().unwrap()).collect());
        let mut target = |name: &str| {
            let address = hosts.address(name)?;
            assert_eq!(hosts.address(name), Some(address), "a name keeps its address");
            hosts.target(SocketAddr::from((address, 8883)))
        };
        assert_eq!(target("A.example.NET"), Some(socket("127.0.0.1:7001")));
        assert_eq!(target("x.y.example.net"), Some(socket("127.0.0.1:7002")));
        assert_eq!(target("b.org"), Some(socket("[::1]:8883")));
        assert_eq!(target("example.net"), None);
        assert_eq!(target("c.org"), None);
        assert_eq!(hosts.target(socket("10.0.2.2:80")), Some(socket("127.0.0.1:80")));
    }

    #[test]
    fn time_servers_are_this_machine() {
        let mut hosts = Hosts::default();
        assert_eq!(hosts.address("pool.ntp.org"), Some(GATEWAY));
        assert_eq!(hosts.address("0.Pool.ntp.org"), Some(GATEWAY));
        assert_eq!(hosts.address("carpool.ntp.org"), None);
    }

    #[test]
    fn the_world_is_closed_unless_it_was_opened() {
        let hosts = Hosts::default();
        assert_eq!(hosts.target(socket("192.0.2.1:443")), None);
        assert_eq!(hosts.target(socket("[2001:db8::1]:443")), None);
        assert_eq!(hosts.target(socket("198.18.0.1:443")), None, "an address that was not given out");
        let open = Hosts::default().with_internet();
        assert_eq!(open.target(socket("192.0.2.1:443")), Some(socket("192.0.2.1:443")));
    }

    #[test]
    fn a_board_that_asks_for_ever_new_names_is_stopped() {
        let mut hosts = Hosts::new(vec!["*.a=127.0.0.1".parse().unwrap()]);
        let told = (0..2000).filter(|index| hosts.address(&format!("{index}.a")).is_some()).count();
        assert_eq!(told, MAX_NAMES as usize);
    }

    #[test]
    fn rules_are_checked() {
        for bad in ["", "a", "a=", "=127.0.0.1", "*.=127.0.0.1", "a*b=127.0.0.1", "a=b", "a=127.0.0.1:70000"]
        {
            assert!(bad.parse::<Rule>().is_err(), "{bad}");
        }
    }
}
