//! One connection to one server: the login, requests one behind the other, and what is watched.
//!
//! A link that was left in the middle of an exchange is of no use any more; its owner drops it.

use std::fmt;

use bytes::{Buf as _, Bytes, BytesMut};
use pgherd_settings::HostPort;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::fault::Fault;
use crate::login::{Login, Session};
use crate::request::{Reply, Request};
use crate::wire::{Broken, FRAME_MAX, Scanner, Writer};

// Numbers of messages that are no answers to a numbered request.
const EVENT: i32 = -1;
const PING: i32 = -2;
const AUTH: i32 = -4;
const PING_KIND: i32 = 11;
const AUTH_KIND: i32 = 100;
const PASSWORD_LENGTH: usize = 16;

trait Stream: AsyncRead + AsyncWrite + Unpin + Send + Sync {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send + Sync> Stream for T {}

/// A connection on which a session is served.
pub(crate) struct Link {
    server: HostPort,
    stream: Box<dyn Stream>,
    received: BytesMut,
    xid: i32,
    events: Vec<String>,
}

/// The answer to one request: what it brought, or ZooKeeper's error code.
pub(crate) type Answer = Result<Reply, i32>;

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Link({})", self.server)
    }
}

impl Link {
    /// Connects, takes the session of `wish` up, or begins one when it has none, and logs in. A session that is
    /// taken up is counted anew from now on by ZooKeeper's leader, whichever server this is: a follower asks it.
    pub(crate) async fn open(
        server: &HostPort,
        login: &Login,
        wish: Session,
    ) -> Result<(Self, Session), Fault> {
        let tcp = TcpStream::connect((server.host.as_str(), server.port)).await?;
        tcp.set_nodelay(true)?;
        let stream: Box<dyn Stream> = match login.connector()? {
            None => Box::new(tcp),
            Some(tls) => Box::new(tls.connect(Login::server_name(server)?, tcp).await?),
        };
        let mut link = Self {
            server: server.clone(),
            stream,
            received: BytesMut::new(),
            xid: 0,
            events: Vec::new(),
        };
        let session = link.begin(wish).await?;
        link.log_in(login).await?;
        Ok((link, session))
    }

    /// Where this leads.
    pub(crate) const fn server(&self) -> &HostPort {
        &self.server
    }

    async fn begin(&mut self, wish: Session) -> Result<Session, Fault> {
        let mut hello = Writer::default();
        // Protocol 0; no transaction seen: what is read is made current in another way.
        hello.int(0).long(0).int(wish.timeout_millis());
        hello.long(wish.id).bytes(&wish.password).flag(false);
        self.stream.write_all(&hello.frame()).await?;
        let mut answer = Scanner(self.frame().await?);
        answer.int()?;
        let granted = answer.int()?;
        let id = answer.long()?;
        let password = answer.bytes()?;
        if id == 0 || granted <= 0 {
            return Err(Fault::SessionGone);
        }
        let mut session = wish.granted(id, granted);
        if password.len() == PASSWORD_LENGTH {
            session.password.copy_from_slice(&password);
        }
        Ok(session)
    }

    async fn log_in(&mut self, login: &Login) -> Result<(), Fault> {
        for (scheme, credential) in login.credentials() {
            let mut writer = Writer::default();
            writer.int(AUTH).int(AUTH_KIND).int(0);
            writer.text(scheme).text(credential);
            self.stream.write_all(&writer.frame()).await?;
            let answer = self.answer(AUTH).await?;
            if let Err(code) = header(&mut Scanner(answer))? {
                return Err(Fault::of_code(code));
            }
        }
        Ok(())
    }

    /// Sends all requests at once and gives the answers in the same order. A server answers requests of one
    /// session in order, so a read behind a write sees it.
    pub(crate) async fn exchange(
        &mut self,
        requests: &[Request],
        login: &Login,
    ) -> Result<Vec<Answer>, Fault> {
        let first = self.xid.wrapping_add(1).max(1);
        let mut bytes = BytesMut::new();
        let mut xid = first;
        for request in requests {
            bytes.extend_from_slice(&request.write(xid, login.acl()).frame());
            xid = xid.wrapping_add(1).max(1);
        }
        self.stream.write_all(&bytes).await?;
        let mut answers = Vec::with_capacity(requests.len());
        let mut xid = first;
        for request in requests {
            let mut answer = Scanner(self.answer(xid).await?);
            answers.push(match header(&mut answer)? {
                Ok(()) => Ok(request.read(&mut answer)?),
                // The session, not the request, is what is wrong.
                Err(code) => match Fault::of_code(code) {
                    fault @ (Fault::SessionGone | Fault::Denied(_) | Fault::Final(_)) => {
                        return Err(fault);
                    }
                    Fault::Passing(_) if is_of_session(code) => return Err(Fault::of_code(code)),
                    Fault::Passing(_) => Err(code),
                },
            });
            self.xid = xid;
            xid = xid.wrapping_add(1).max(1);
        }
        Ok(answers)
    }

    /// Asks for a sign of life; the answer is seen by [`Self::next_event`].
    pub(crate) async fn ping(&mut self) -> Result<(), Fault> {
        let mut writer = Writer::default();
        writer.int(PING).int(PING_KIND);
        Ok(self.stream.write_all(&writer.frame()).await?)
    }

    /// The next path on which something watched happened; `None` for a sign of life. May be given up and called
    /// again: nothing is lost.
    pub(crate) async fn next_event(&mut self) -> Result<Option<String>, Fault> {
        if let Some(path) = self.events.pop() {
            return Ok(Some(path));
        }
        let mut frame = Scanner(self.frame().await?);
        let xid = frame.int()?;
        match xid {
            EVENT => Ok(event(&mut frame)?),
            PING => Ok(None),
            _ => Err(Broken.into()),
        }
    }

    /// The answer with this number; events in between are kept.
    async fn answer(&mut self, xid: i32) -> Result<Bytes, Fault> {
        loop {
            let mut frame = self.frame().await?;
            let number = frame.try_get_i32().map_err(|_| Broken)?;
            if number == xid {
                return Ok(frame);
            }
            match number {
                EVENT => self.events.extend(event(&mut Scanner(frame))?),
                PING => {}
                _ => return Err(Broken.into()),
            }
        }
    }

    async fn frame(&mut self) -> Result<Bytes, Fault> {
        loop {
            if let Some(length) = self.received.first_chunk::<4>() {
                let length = usize::try_from(i32::from_be_bytes(*length)).map_err(|_| Broken)?;
                if length > FRAME_MAX {
                    return Err(Broken.into());
                }
                if self.received.len() >= length + 4 {
                    self.received.advance(4);
                    return Ok(self.received.split_to(length).freeze());
                }
            }
            if self.stream.read_buf(&mut self.received).await? == 0 {
                return Err(Fault::Passing("the server closed the connection".into()));
            }
        }
    }
}

/// What follows a message's number: a transaction id, and the error code.
fn header(answer: &mut Scanner) -> Result<Result<(), i32>, Broken> {
    answer.long()?;
    Ok(match answer.int()? {
        0 => Ok(()),
        code => Err(code),
    })
}

/// The path of an event; `None` for one of the session itself.
fn event(frame: &mut Scanner) -> Result<Option<String>, Broken> {
    header(frame)?.ok();
    frame.int()?; // type
    frame.int()?; // state
    let path = frame.text()?;
    Ok((!path.is_empty()).then_some(path))
}

/// Errors that no single request is to blame for.
const fn is_of_session(of: i32) -> bool {
    of == crate::request::code::SESSION_MOVED
}
