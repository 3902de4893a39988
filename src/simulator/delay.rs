//! A network with a delay: a TCP relay that holds every byte back for a while, each way, and limits nothing else.
//! What is under way is queued, so that as much may be in flight as the ends allow.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use super::spawn;

/// Of one read: the size of the sockets' own buffers.
const CHUNK_BYTES: usize = 64 * 1024;
/// Chunks under way: with full ones, 640 MB/s at 100 ms. More than a client of this program ever takes.
const CHUNKS_IN_FLIGHT: usize = 1_024;

/// Relays connections to `target` until `stopped`.
pub(super) async fn relay(
    listener: TcpListener,
    target: SocketAddr,
    delay: Duration,
    stopped: CancellationToken,
) {
    while let Some(Ok((client, _))) = stopped.run_until_cancelled(listener.accept()).await {
        let stopped = stopped.clone();
        spawn(async move {
            let Ok(server) = TcpStream::connect(target).await else {
                return;
            };
            if client.set_nodelay(true).is_err() || server.set_nodelay(true).is_err() {
                return;
            }
            let (from_client, to_client) = client.into_split();
            let (from_server, to_server) = server.into_split();
            let there = one_way(from_client, to_server, delay);
            let back = one_way(from_server, to_client, delay);
            stopped
                .run_until_cancelled(async { tokio::join!(there, back) })
                .await;
        });
    }
}

/// Until the reading end closes; then the writing end is closed too, as late as the last byte.
async fn one_way(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, delay: Duration) {
    let (queue, mut due) = mpsc::channel::<(Instant, Bytes)>(CHUNKS_IN_FLIGHT);
    let reading = async move {
        let mut buffer = BytesMut::new();
        loop {
            buffer.reserve(CHUNK_BYTES);
            match from.read_buf(&mut buffer).await {
                Ok(1..)
                    if queue
                        .send((Instant::now() + delay, buffer.split().freeze()))
                        .await
                        .is_ok() => {}
                _ => return,
            }
        }
    };
    let writing = async move {
        while let Some((at, chunk)) = due.recv().await {
            sleep_until(at).await;
            if to.write_all(&chunk).await.is_err() {
                return;
            }
        }
        // The other end may have closed already: there is nothing left to tell it.
        let _ = to.shutdown().await;
    };
    tokio::join!(reading, writing);
}
