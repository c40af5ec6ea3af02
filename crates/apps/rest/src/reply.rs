//! What is answered: a code, a body and its kind (contract §16.1).

use axum::body::Body;
use axum::http::header::{CONTENT_TYPE, HeaderName, HeaderValue, SERVER, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, Response, StatusCode};
use bytes::Bytes;
use pgherd_api::json::spaced;
use pgherd_api::orders::Rejection;
use serde_json::Value;

use crate::manner::Manner;

/// One answer.
#[derive(Debug, Clone)]
pub(crate) struct Reply {
    /// The status code.
    pub(crate) code: StatusCode,
    kind: Kind,
    body: Bytes,
    headers: Vec<(HeaderName, HeaderValue)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// No body and no type.
    Status,
    /// `application/json`
    Json,
    /// `text/html`: the sentences of the contract.
    Sentence,
    /// `text/plain`: metrics.
    Plain,
    /// The page of an error of the HTTP layer.
    Page,
    /// A sentence that asks for credentials.
    Challenge,
}

impl Reply {
    /// A code alone.
    pub(crate) fn status(ok: bool) -> Self {
        let code = if ok {
            StatusCode::OK
        } else {
            StatusCode::SERVICE_UNAVAILABLE
        };
        Self {
            code,
            kind: Kind::Status,
            body: Bytes::new(),
            headers: Vec::new(),
        }
    }

    /// JSON that is text already.
    pub(crate) fn json_text(code: StatusCode, body: Bytes) -> Self {
        Self {
            code,
            kind: Kind::Json,
            body,
            headers: Vec::new(),
        }
    }

    /// A document.
    pub(crate) fn json(value: &Value) -> Self {
        Self::json_text(StatusCode::OK, spaced(value).into())
    }

    /// A sentence.
    pub(crate) fn sentence(code: u16, text: impl Into<String>) -> Self {
        Self {
            code: status_code(code),
            kind: Kind::Sentence,
            body: text.into().into(),
            headers: Vec::new(),
        }
    }

    /// Metrics.
    pub(crate) fn plain(text: String) -> Self {
        Self {
            code: StatusCode::OK,
            kind: Kind::Plain,
            body: text.into(),
            headers: Vec::new(),
        }
    }

    /// A demand for credentials.
    pub(crate) fn challenge(text: &'static str) -> Self {
        let code = StatusCode::UNAUTHORIZED;
        Self {
            code,
            kind: Kind::Challenge,
            body: Bytes::from_static(text.as_bytes()),
            headers: Vec::new(),
        }
    }

    /// The page of an error of the HTTP layer.
    pub(crate) fn page(code: u16) -> Self {
        let code = status_code(code);
        let reason = code.canonical_reason().unwrap_or("Error");
        let body = format!(
            "<!DOCTYPE HTML>\n<html lang=\"en\">\n<head><title>Error response</title></head>\n\
             <body>\n<h1>Error response</h1>\n<p>Error code: {}</p>\n<p>Message: {reason}.</p>\n\
             </body>\n</html>\n",
            code.as_u16()
        );
        Self {
            code,
            kind: Kind::Page,
            body: body.into(),
            headers: Vec::new(),
        }
    }

    /// The same with a header of its own.
    pub(crate) fn with_header(mut self, name: &'static str, value: &str) -> Self {
        if let Ok(value) = HeaderValue::from_str(value) {
            self.headers.push((HeaderName::from_static(name), value));
        }
        self
    }

    /// The answer as it goes out.
    pub(crate) fn into_response(self, manner: &Manner) -> Response<Body> {
        let mut headers = HeaderMap::with_capacity(4);
        let kind = match self.kind {
            Kind::Status => None,
            Kind::Json => Some("application/json"),
            Kind::Sentence | Kind::Challenge => Some("text/html"),
            Kind::Plain => Some("text/plain"),
            Kind::Page => Some("text/html;charset=utf-8"),
        };
        if let Some(kind) = kind {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
        }
        headers.insert(SERVER, manner.server.clone());
        if self.kind == Kind::Challenge {
            let realm = HeaderValue::from_static("Basic realm=\"Patroni\"");
            headers.insert(WWW_AUTHENTICATE, realm);
        }
        if self.kind != Kind::Page {
            headers.extend(
                manner
                    .headers
                    .iter()
                    .map(|(name, value)| (name.clone(), value.clone())),
            );
        }
        headers.extend(self.headers);
        let mut response = Response::new(Body::from(self.body));
        *response.status_mut() = self.code;
        *response.headers_mut() = headers;
        response
    }

    /// The same without a body, for HEAD and OPTIONS.
    pub(crate) fn without_body(self) -> Self {
        Self {
            kind: Kind::Status,
            body: Bytes::new(),
            ..self
        }
    }
}

impl From<Rejection> for Reply {
    fn from(rejection: Rejection) -> Self {
        match rejection {
            Rejection::Page(code) => Self::page(code),
            Rejection::Text(code, text) => Self::sentence(code, text),
        }
    }
}

fn status_code(code: u16) -> StatusCode {
    StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}
