//! What a caller may cost the admin listener: slow heads, long heads, bodies, answers that nobody takes, many
//! connections.

use std::time::Duration;

use sfbridge::admin::{CONNECTIONS_MAX, HEAD_BYTES_MAX};
use sfbridge::runtime::task::spawn;
use sfbridge::simulator::{Simulator, SimulatorSettings};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::time::timeout;

use crate::need;
use crate::support::bridge::{Bridge, PATIENCE, Setup, json_route};
use crate::support::broker;
use crate::support::topic::unique;

async fn start(kafka: &str) -> (Bridge, Simulator) {
    let org = Simulator::start(SimulatorSettings::default()).await.unwrap();
    let route = json_route("accounts", "/data/AccountChangeEvent", &unique("accounts"), "");
    let bridge = Bridge::start(&Setup::new(&unique("crm"), kafka, &org, &route)).await;
    (bridge, org)
}

async fn connect(bridge: &Bridge) -> (OwnedReadHalf, OwnedWriteHalf) {
    let address = bridge.admin_url().strip_prefix("http://").unwrap();
    TcpStream::connect(address).await.unwrap().into_split()
}

/// Everything until the other side ends the connection, however it does.
async fn until_closed(read: &mut OwnedReadHalf) -> String {
    let mut all = Vec::new();
    let reading = async {
        let mut part = [0; 4096];
        while let Ok(bytes @ 1..) = read.read(&mut part).await {
            all.extend_from_slice(&part[..bytes]);
        }
    };
    timeout(PATIENCE, reading).await.expect("the connection is ended");
    String::from_utf8_lossy(&all).into_owned()
}

/// One more caller, who is answered, in its turn.
async fn assert_lets_in(bridge: &Bridge) {
    let (mut read, mut write) = connect(bridge).await;
    write
        .write_all(b"GET /live HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
        .await
        .unwrap();
    let said = until_closed(&mut read).await;
    assert!(said.starts_with("HTTP/1.1 200"), "{said}");
}

/// Writes this again and again, until nobody takes it any more.
async fn drip(mut write: OwnedWriteHalf, bytes: &[u8], pause: Duration) {
    while write.write_all(bytes).await.is_ok() {
        tokio::time::sleep(pause).await;
    }
}

#[tokio::test]
async fn a_head_that_comes_byte_by_byte_loses_its_connection_and_disturbs_nobody() {
    let (bridge, _org) = start(&need!("kafka", broker::shared())).await;
    let (mut read, mut write) = connect(&bridge).await;
    let (mut idle, _kept) = connect(&bridge).await;
    write
        .write_all(b"GET /live HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Slow: ")
        .await
        .unwrap();
    let dripping = drip(write, b"x", Duration::from_millis(500));
    let said = tokio::select! {
        said = until_closed(&mut read) => said,
        () = dripping => until_closed(&mut read).await,
    };
    assert!(!said.contains("200 OK"), "{said}");
    until_closed(&mut idle).await;
    assert_eq!(bridge.get("/live").await.unwrap().0, 200);
}

#[tokio::test]
async fn a_head_too_long_is_refused() {
    let (bridge, _org) = start(&need!("kafka", broker::shared())).await;
    let (mut read, mut write) = connect(&bridge).await;
    let head = format!(
        "GET /live HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Long: {}\r\n\r\n",
        "x".repeat(2 * HEAD_BYTES_MAX)
    );
    // It may be refused before the last byte.
    let _ = write.write_all(head.as_bytes()).await;
    let said = until_closed(&mut read).await;
    assert!(!said.contains("200 OK"), "{said}");
    assert!(said.is_empty() || said.contains("431"), "{said}");
}

#[tokio::test]
async fn a_body_is_neither_taken_nor_waited_for() {
    let (bridge, _org) = start(&need!("kafka", broker::shared())).await;
    let head = |more: &str| {
        format!(
            "POST /api/routes/nobody/pause HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Sfbridge: 1\r\n{more}\r\n\r\n"
        )
    };
    let (mut read, mut write) = connect(&bridge).await;
    write
        .write_all(head("Content-Length: 1000000000").as_bytes())
        .await
        .unwrap();
    let said = until_closed(&mut read).await;
    assert!(said.starts_with("HTTP/1.1 413"), "{said}");

    // One that is promised and does not come: the answer does.
    let (mut read, mut write) = connect(&bridge).await;
    write
        .write_all(head("Content-Length: 10").as_bytes())
        .await
        .unwrap();
    let said = until_closed(&mut read).await;
    assert!(said.starts_with("HTTP/1.1 404"), "{said}");

    // One without an end.
    let (mut read, mut write) = connect(&bridge).await;
    write
        .write_all(head("Transfer-Encoding: chunked").as_bytes())
        .await
        .unwrap();
    let dripping = drip(write, b"5\r\nhello\r\n", Duration::from_millis(100));
    let said = tokio::select! {
        said = until_closed(&mut read) => said,
        () = dripping => until_closed(&mut read).await,
    };
    assert!(said.is_empty() || said.starts_with("HTTP/1.1 404"), "{said}");
}

#[tokio::test]
async fn callers_beyond_the_most_wait_until_an_idle_one_is_ended() {
    let (bridge, _org) = start(&need!("kafka", broker::shared())).await;
    let mut idle = Vec::new();
    for _ in 0..CONNECTIONS_MAX {
        idle.push(connect(&bridge).await);
    }
    assert_lets_in(&bridge).await;
    let mut ended = 0;
    for (read, _) in &mut idle {
        let mut byte = [0];
        if matches!(read.try_read(&mut byte), Ok(0)) {
            ended += 1;
        }
    }
    assert!(ended > 0, "it was let in before its turn");
}

#[tokio::test]
async fn callers_that_take_no_answer_lose_their_places() {
    let (bridge, _org) = start(&need!("kafka", broker::shared())).await;
    // Needs no token, and a thousand of its answers are more than any buffer on the way holds.
    let asking = "GET /page.js HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".repeat(1000);
    let mut greedy = Vec::new();
    for _ in 0..CONNECTIONS_MAX {
        let (read, mut write) = connect(&bridge).await;
        // As much as is taken; they are read by nobody.
        let asking = asking.clone();
        let writing = spawn("greedy", async move {
            let _ = write.write_all(asking.as_bytes()).await;
            std::future::pending::<()>().await;
        });
        greedy.push((read, writing));
    }
    assert_lets_in(&bridge).await;
}

#[tokio::test]
async fn callers_that_ask_on_and_on_make_room_when_all_places_are_taken() {
    let (bridge, _org) = start(&need!("kafka", broker::shared())).await;
    let mut busy = Vec::new();
    for _ in 0..CONNECTIONS_MAX {
        let (mut read, mut write) = connect(&bridge).await;
        busy.push(spawn("busy", async move {
            let asked = b"GET /live HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n";
            while write.write_all(asked).await.is_ok() {
                if !matches!(read.read(&mut [0; 4096]).await, Ok(1..)) {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(500)).await;
            }
        }));
    }
    assert_lets_in(&bridge).await;
}

#[tokio::test]
async fn a_stream_goes_on_for_longer_than_a_head_may_take() {
    let (bridge, _org) = start(&need!("kafka", broker::shared())).await;
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let url = format!("{}/api/stream", bridge.admin_url());
    let mut stream = client.get(url).send().await.unwrap();
    let mut text = String::new();
    // One every two seconds.
    while text.matches("event: routes").count() < 7 {
        let part = timeout(PATIENCE, stream.chunk()).await.expect("in time").unwrap();
        text.push_str(std::str::from_utf8(&part.expect("it goes on")).unwrap());
    }
}
