//! The socket to the broker: TCP, and TLS 1.3 over it where the configuration says `mqtts`.
//!
//! Files are read for every connection, so a renewed certificate needs no restart. The cryptography is
//! named here and nowhere else: no process-wide default is set or used.
//!
//! Where the key is in the TPM, the handshake has a thread of its own while it lasts: signing waits for the TPM, and
//! conduits share the thread that the feed runs on. A TPM that fails or is slow ends the handshake and nothing else.

use std::io;
use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::loss::{Broker, Loss};
use super::signer;
use crate::config::{MqttClient, MqttTls};
use crate::judge::DeviceKey;

/// A connected stream.
pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Sync + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Sync + Unpin> Stream for T {}

/// Connects, and shakes hands where TLS is asked for.
pub(super) async fn connect(broker: &Broker, own: Option<DeviceKey>) -> Result<Box<dyn Stream>, Loss> {
    let socket = async {
        let socket = TcpStream::connect((broker.host(), broker.port)).await?;
        socket.set_nodelay(true)?; // an alarm is one small write: it must not wait for an acknowledgement
        Ok(socket)
    };
    let socket = socket.await.map_err(|e| broker.unreachable(&e))?;
    let Some(files) = &broker.tls else { return Ok(Box::new(socket)) };
    let (config, in_tpm) = client_config(files, own).await.map_err(|what| broker.misconfigured(what))?;
    let name = ServerName::try_from(broker.host().to_string()).map_err(|_| {
        broker.misconfigured(format!("{:?} is neither a host name nor an address", broker.host()))
    })?;
    let connector = TlsConnector::from(Arc::new(config));
    let stream = match in_tpm {
        true => aside(connector, name, socket).await,
        false => connector.connect(name, socket).await,
    };
    Ok(Box::new(stream.map_err(|e| broker.not_agreed(&e))?))
}

/// The handshake on a thread of its own. It ends with the future that waits for it.
async fn aside(
    connector: TlsConnector,
    name: ServerName<'static>,
    socket: TcpStream,
) -> io::Result<TlsStream<TcpStream>> {
    let (waits, gone) = oneshot::channel::<()>();
    let runtime = tokio::runtime::Handle::current();
    let shake = move || {
        runtime.block_on(async {
            tokio::select! {
                stream = connector.connect(name, socket) => stream,
                _ = gone => Err(io::ErrorKind::TimedOut.into()),
            }
        })
    };
    let stream = tokio::task::spawn_blocking(shake).await.map_err(io::Error::other)?;
    drop(waits);
    stream
}

/// TLS 1.3 alone, by aws-lc-rs, trusting the authorities of one file; and whether the TPM signs.
async fn client_config(files: &MqttTls, own: Option<DeviceKey>) -> Result<(ClientConfig, bool), String> {
    let mut roots = RootCertStore::empty();
    for authority in certificates(&files.ca).await? {
        roots.add(authority).map_err(|e| format!("{}: not a usable authority: {e}", files.ca.display()))?;
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(|e| e.to_string())?
        .with_root_certificates(roots);
    let (certificate, key) = match &files.client {
        None => return Ok((config.with_no_client_auth(), false)),
        Some(MqttClient::Tpm) => {
            let own = own.ok_or("certificate = \"tpm\": there is no TPM, or the state cannot be read; headgate doctor says which")?;
            let resolver = tokio::task::spawn_blocking(move || signer::resolver(own)).await;
            let resolver = resolver.map_err(|e| e.to_string())??;
            return Ok((config.with_client_cert_resolver(resolver), true));
        }
        Some(MqttClient::Files { certificate, key }) => (certificate, key),
    };
    let chain = certificates(certificate).await?;
    let pem = read(key).await?;
    let private = PrivateKeyDer::from_pem_slice(&pem)
        .map_err(|e| format!("{}: expected a private key as PEM: {e}", key.display()))?;
    config
        .with_client_auth_cert(chain, private)
        .map(|config| (config, false))
        .map_err(|e| format!("{} and {} do not go together: {e}", certificate.display(), key.display()))
}

async fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let pem = read(path).await?;
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    match all {
        Ok(all) if !all.is_empty() => Ok(all),
        Ok(_) => Err(format!("{}: no certificate found, expected PEM", path.display())),
        Err(e) => Err(format!("{}: expected certificates as PEM: {e}", path.display())),
    }
}

async fn read(path: &Path) -> Result<Vec<u8>, String> {
    tokio::fs::read(path).await.map_err(|e| format!("{}: {e}", path.display()))
}
