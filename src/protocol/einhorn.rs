//! What einhorn tells a worker of its sockets: `--einhorn`.
//!
//! Source: einhorn's README ("in the worker process, the opened file descriptors will be
//! represented as file descriptor numbers in a series of environment variables named EINHORN_FD_0,
//! EINHORN_FD_1, etc., with the total number in EINHORN_FD_COUNT"), its `EINHORN_FD_FAMILY_n`, and the older
//! `EINHORN_FDS`, which socketmaster writes as well.
//!
//! `EINHORN_MASTER_PID` and `EINHORN_SOCK_PATH` are not set: with them a worker would wait for an
//! einhorn master to take its acknowledgement.

use super::address::Address;
use super::worker_env::Variable;

/// The variables for sockets on these descriptors, in their order.
pub fn variables(sockets: &[(&Address, i32)]) -> Vec<Variable> {
    let numbers: Vec<String> = sockets.iter().map(|(_, fd)| fd.to_string()).collect();
    let mut texts = vec![
        ("EINHORN_FD_COUNT".to_owned(), sockets.len().to_string()),
        ("EINHORN_FDS".to_owned(), numbers.join(" ")),
    ];
    for (index, (address, fd)) in sockets.iter().enumerate() {
        texts.push((format!("EINHORN_FD_{index}"), fd.to_string()));
        if let Some(family) = family(address) {
            texts.push((format!("EINHORN_FD_FAMILY_{index}"), family.to_owned()));
        }
    }
    let variable = |(name, value): (String, String)| Variable::new(name, value).ok();
    texts.into_iter().filter_map(variable).collect()
}

fn family(address: &Address) -> Option<&'static str> {
    match address {
        Address::Inet4 { .. } => Some("AF_INET"),
        Address::Inet6 { .. } => Some("AF_INET6"),
        Address::UnixPath(_) | Address::UnixAbstract(_) => Some("AF_UNIX"),
        Address::Unnamed | Address::Other { .. } => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    #[test]
    fn every_socket_has_a_number_and_a_family() {
        let inet = Address::Inet4 {
            ip: Ipv4Addr::LOCALHOST,
            port: 80,
        };
        let unix = Address::UnixPath((*b"/run/a.sock").into());
        let texts: Vec<_> = variables(&[(&inet, 3), (&unix, 9)])
            .iter()
            .map(|v| format!("{}={}", v.name().escape_ascii(), v.value().escape_ascii()))
            .collect();
        assert_eq!(
            texts,
            [
                "EINHORN_FD_COUNT=2",
                "EINHORN_FDS=3 9",
                "EINHORN_FD_0=3",
                "EINHORN_FD_FAMILY_0=AF_INET",
                "EINHORN_FD_1=9",
                "EINHORN_FD_FAMILY_1=AF_UNIX",
            ]
        );
    }
}
