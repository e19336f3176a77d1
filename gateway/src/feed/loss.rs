//! Why there is no broker, in words for whoever has to mend it.

use std::io;

use rumqttc_v5::{
    ConnectReturnCode, ConnectionError, DisconnectReasonCode, Error as PacketError, StateError,
};
use rustls::{AlertDescription, CertificateError};

use super::signer::NO_SIGNATURE;
use crate::config::{Mqtt, MqttClient, MqttTls};

/// A connection that could not be made or has ended.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{text}")]
pub(super) struct Loss {
    pub(super) cause: Cause,
    pub(super) text: String,
}

/// Kinds of causes: a loss is told once for each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cause {
    /// Nothing answers there; it may come back by itself.
    Unreachable,
    /// Certificates or TLS versions do not fit: someone must act.
    Tls,
    /// Our own files or settings.
    Configuration,
    /// It answers, and does not want us or our messages.
    Refused,
}

/// The broker as the configuration names it.
pub(super) struct Broker {
    host: String,
    pub(super) port: u16,
    pub(super) tls: Option<MqttTls>,
    client_id: String,
}

impl Broker {
    pub(super) fn new(config: &Mqtt) -> Broker {
        let Mqtt { host, port, tls, client_id } = config.clone();
        Broker { host, port, tls, client_id }
    }

    /// Host name or address; an IPv6 address without the brackets it has in a URL.
    pub(super) fn host(&self) -> &str {
        self.host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(&self.host)
    }

    fn name(&self) -> String {
        format!("broker {}:{}", self.host, self.port)
    }

    fn loss(&self, cause: Cause, what: &str) -> Loss {
        Loss { cause, text: format!("{} {what}", self.name()) }
    }

    /// Something came to an end.
    pub(super) fn gone(&self, what: &str) -> Loss {
        self.loss(Cause::Unreachable, what)
    }

    /// TCP did not come about.
    pub(super) fn unreachable(&self, error: &io::Error) -> Loss {
        self.loss(Cause::Unreachable, &format!("cannot be reached: {error}"))
    }

    /// Our side cannot even try.
    pub(super) fn misconfigured(&self, what: String) -> Loss {
        Loss { cause: Cause::Configuration, text: format!("[mqtt] {what}") }
    }

    /// It says no.
    pub(super) fn refuses(&self, what: &str) -> Loss {
        self.loss(Cause::Refused, &format!("refuses: {what}"))
    }

    /// How a connection ended, from the client library's error.
    pub(super) fn lost(&self, error: &ConnectionError) -> Loss {
        match error {
            ConnectionError::Io(e) | ConnectionError::MqttState(StateError::Io(e)) => self.broken(e),
            ConnectionError::MqttState(StateError::Deserialization(PacketError::Io(e))) => self.broken(e),
            ConnectionError::Timeout(_) => self.gone("does not answer in time"),
            ConnectionError::ConnectionRefused(code)
            | ConnectionError::MqttState(StateError::ConnFail { reason: code }) => self.turned_away(*code),
            ConnectionError::MqttState(StateError::ServerDisconnect { reason_code, reason_string }) => {
                match reason_code {
                    DisconnectReasonCode::SessionTakenOver => self.refuses(&format!(
                        "another client connected with client id {:?}; give each its own client_id",
                        self.client_id
                    )),
                    code => self.gone(&format!(
                        "closed the connection: {code:?} {}",
                        reason_string.as_deref().unwrap_or_default()
                    )),
                }
            }
            ConnectionError::MqttState(StateError::AwaitPingResp) => self.gone("does not answer any more"),
            ConnectionError::MqttState(StateError::ConnectionAborted) => self.gone("closed the connection"),
            ConnectionError::MqttState(StateError::OutgoingPacketTooLarge { pkt_size, max }) => {
                self.refuses(&format!("a message of {pkt_size} bytes; it takes at most {max}, raise that"))
            }
            e => self.gone(&format!("broke off: {e}")),
        }
    }

    /// A socket that failed, by TCP or by TLS.
    pub(super) fn broken(&self, error: &io::Error) -> Loss {
        let inner = error.get_ref();
        if let Some(loss) = inner.and_then(|e| e.downcast_ref::<Loss>()) {
            return loss.clone();
        }
        if let (Some(tls), Some(files)) = (inner.and_then(|e| e.downcast_ref::<rustls::Error>()), &self.tls) {
            return self.loss(Cause::Tls, &tls_words(tls, files));
        }
        if is_hang_up(error) {
            return self.gone("closed the connection");
        }
        self.gone(&format!("cannot be reached: {error}"))
    }

    /// A handshake that failed.
    pub(super) fn not_agreed(&self, error: &io::Error) -> Loss {
        if is_hang_up(error) {
            return self.gone("hung up when asked for TLS; check port and scheme of url");
        }
        self.broken(error)
    }

    fn turned_away(&self, code: ConnectReturnCode) -> Loss {
        use ConnectReturnCode as Code;
        let what = match code {
            Code::NotAuthorized | Code::BadUserNamePassword | Code::Banned => {
                "not authorised; let this gateway's certificate or client id in".to_string()
            }
            Code::ClientIdentifierNotValid | Code::BadClientId => {
                format!("client id {:?} is not valid there", self.client_id)
            }
            Code::RetainNotSupported => "it keeps no retained messages; allow them".into(),
            Code::UnsupportedProtocolVersion | Code::RefusedProtocolVersion => {
                "it does not speak MQTT 5; a broker of MQTT 5 is needed".into()
            }
            code => format!("{code:?}"),
        };
        self.refuses(&what)
    }
}

fn is_hang_up(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionReset, UnexpectedEof};
    matches!(error.kind(), BrokenPipe | ConnectionReset | UnexpectedEof)
}

fn tls_words(error: &rustls::Error, files: &MqttTls) -> String {
    use CertificateError as Bad;
    let ca = files.ca.display();
    match error {
        rustls::Error::InvalidCertificate(Bad::UnknownIssuer | Bad::BadSignature) => {
            format!(
                "shows a certificate that no authority in {ca} has signed; put the authority that did into that file"
            )
        }
        rustls::Error::InvalidCertificate(Bad::Expired) => {
            "shows a certificate that has expired; renew it there, or set this gateway's clock".into()
        }
        rustls::Error::InvalidCertificate(Bad::ExpiredContext { time, not_after }) => format!(
            "shows a certificate that expired {} ago; renew it there, or set this gateway's clock",
            days(time.as_secs().saturating_sub(not_after.as_secs()))
        ),
        rustls::Error::InvalidCertificate(Bad::NotValidYet) => {
            "shows a certificate that is not valid yet; set the clocks".into()
        }
        rustls::Error::InvalidCertificate(Bad::NotValidYetContext { time, not_before }) => format!(
            "shows a certificate that is valid only in {}; set the clocks (here it is {} s after 1970)",
            days(not_before.as_secs().saturating_sub(time.as_secs())),
            time.as_secs()
        ),
        rustls::Error::InvalidCertificate(Bad::NotValidForName | Bad::NotValidForNameContext { .. }) => {
            "shows a certificate for another name; write the name of its certificate into url".into()
        }
        rustls::Error::PeerIncompatible(_)
        | rustls::Error::AlertReceived(AlertDescription::ProtocolVersion) => {
            "does not speak TLS 1.3, and nothing older is used; switch TLS 1.3 on there".into()
        }
        rustls::Error::AlertReceived(AlertDescription::CertificateRequired) => {
            "wants a client certificate; set certificate and key".into()
        }
        rustls::Error::AlertReceived(
            AlertDescription::UnknownCA
            | AlertDescription::BadCertificate
            | AlertDescription::DecryptError // an authority of the same name with another key
            | AlertDescription::CertificateUnknown
            | AlertDescription::CertificateRevoked
            | AlertDescription::CertificateExpired
            | AlertDescription::UnsupportedCertificate
            | AlertDescription::AccessDenied,
        ) => match &files.client {
            Some(MqttClient::Tpm) => "does not take the certificate of the key in the TPM: name its authority there, or have \
                                      another issued (headgate attest --csr)"
                .into(),
            Some(MqttClient::Files { certificate, .. }) => format!(
                "does not accept the certificate {} ({error}); have it signed by the broker's authority, or renew it",
                certificate.display()
            ),
            None => format!("wants a client certificate ({error}); set certificate and key"),
        },
        rustls::Error::InvalidMessage(_) => {
            "does not speak TLS on this port; check port and scheme of url".into()
        }
        rustls::Error::General(text) if text.starts_with(NO_SIGNATURE) => {
            format!("asks who this gateway is, and {text}")
        }
        other => format!("and this gateway cannot agree on TLS: {other}"),
    }
}

fn days(seconds: u64) -> String {
    match seconds / 86_400 {
        0 => "less than a day".into(),
        1 => "1 day".into(),
        n => format!("{n} days"),
    }
}
