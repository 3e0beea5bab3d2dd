//! Names with several addresses, of which some do not answer.

use std::time::Instant;

use tokio::net::{TcpSocket, TcpStream};

use super::*;
use crate::outbound::dial::{HEAD_START, PATIENCE};

/// A port on 127.0.0.2 where packets are dropped: it takes no more connections than it has.
async fn silent() -> (SocketAddr, Vec<TcpStream>, tokio::net::TcpListener) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.2:0".parse().unwrap()).unwrap();
    let listener = socket.listen(1).unwrap();
    let address = listener.local_addr().unwrap();
    let mut filled = Vec::new();
    while let Ok(Ok(stream)) =
        tokio::time::timeout(Duration::from_millis(200), TcpStream::connect(address)).await
    {
        filled.push(stream);
    }
    (address, filled, listener)
}

fn named(addresses: &[&str]) -> Guard {
    let found: Vec<IpAddr> = addresses.iter().map(|text| text.parse().unwrap()).collect();
    loopback().with_names(move |_| found.clone())
}

#[tokio::test]
async fn an_address_that_drops_packets_costs_a_moment() {
    let (address, _filled, _listener) = silent().await;
    let port = address.port();
    let serving = TcpListener::bind(("127.0.0.3", port)).await.unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = serving.accept().await {
            let _ = stream.read(&mut [0; 4096]).await;
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
        }
    });
    // Nobody listens at the second, which is no reason to wait for the first any longer.
    let guard = named(&["127.0.0.2", "127.0.0.4", "127.0.0.3"]);
    for network in networks(&guard) {
        let began = Instant::now();
        let answer = ask_by(network, &format!("http://two.example:{port}/")).await.unwrap();
        assert_eq!(answer.body(), "ok");
        let took = began.elapsed();
        assert!(took >= HEAD_START && took < Duration::from_secs(3), "{took:?}");
    }
}

#[tokio::test]
async fn a_failure_names_every_address_that_was_tried() {
    let closed = TcpListener::bind("127.0.0.2:0").await.unwrap().local_addr().unwrap().port();
    let guard = named(&["127.0.0.2", "127.0.0.3"]);
    let error = ask(&guard, &format!("http://two.example:{closed}/")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
    let refused = "Connection refused (os error 111)";
    let expected = format!("127.0.0.2:{closed}: {refused}; 127.0.0.3:{closed}: {refused}");
    assert_eq!(error.to_string(), expected);
}

#[tokio::test]
async fn no_address_is_waited_for_to_the_end_of_the_deadline() {
    assert_eq!(loopback().patience, PATIENCE);
    let (address, _filled, _listener) = silent().await;
    let guard = Guard { patience: Duration::from_millis(200), ..loopback() };
    for network in networks(&guard) {
        let began = Instant::now();
        let error = ask_by(network, &format!("http://{address}/")).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut, "{error}");
        assert_eq!(error.to_string(), format!("{address}: no connection within 0.2 s"));
        assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
    }
}

#[tokio::test]
async fn what_this_machine_lacks_is_told_apart() {
    for (code, text) in [(24, "Too many open files"), (23, "Too many open files in system")] {
        let error = with_address("127.0.0.1:9".parse().unwrap(), &Error::from_raw_os_error(code));
        assert_eq!(error.kind(), machine::KIND);
        let expected = format!("127.0.0.1:9: this machine has none left: {text} (os error {code})");
        assert_eq!(error.to_string(), expected);
        assert_eq!(translate(&error).kind(), machine::KIND);
    }
    for code in [12, 99, 105] {
        assert_eq!(kind_of(&Error::from_raw_os_error(code)), Some(machine::KIND), "{code}");
    }
    for code in [101, 111, 113] {
        assert_ne!(kind_of(&Error::from_raw_os_error(code)), Some(machine::KIND), "{code}");
    }
}
