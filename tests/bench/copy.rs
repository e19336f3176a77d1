//! The plainest proxy there is on tokio: it copies bytes both ways and looks at none of them.

use std::net::SocketAddr;

use tokio::net::{TcpListener, TcpStream};

/// Copies between the clients of `listen` and `target` until killed, on one thread.
pub(crate) fn copy(listen: SocketAddr, target: SocketAddr) -> std::io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let listener = TcpListener::bind(listen).await?;
        loop {
            let (mut client, _) = listener.accept().await?;
            tokio::spawn(async move {
                let mut server = TcpStream::connect(target).await?;
                client.set_nodelay(true)?;
                server.set_nodelay(true)?;
                tokio::io::copy_bidirectional(&mut client, &mut server).await
            });
        }
    })
}
