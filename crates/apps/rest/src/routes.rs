//! Which request goes where: by the first segment of its path, and then by its method (contract §16.1).

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Extension, Request, State};
use axum::http::{Method, Response};
use axum::routing::any;

use crate::access::Caller;
use crate::app::{App, Document};
use crate::orders::{self, ORDERS};
use crate::reply::Reply;

/// A route for every name that is one of a document or an order; whatever has another name is a health check.
pub(crate) fn router(app: Arc<App>) -> Router {
    let documents = Document::ALL.map(Document::name);
    let names: BTreeSet<_> = documents
        .into_iter()
        .chain(ORDERS.map(|(_, name, _)| name))
        .collect();
    let mut router = Router::new();
    for name in names {
        let document = Document::ALL
            .into_iter()
            .find(|document| document.name() == name);
        let handler = any(
            move |State(app): State<Arc<App>>, Extension(caller): Extension<Caller>, request| async move {
                answer(&app, Some(name), document, caller, request).await
            },
        );
        // A path below a name is the name's own.
        router = router
            .route(&format!("/{name}"), handler.clone())
            .route(&format!("/{name}/"), handler.clone())
            .route(&format!("/{name}/{{*below}}"), handler);
    }
    let other = |State(app): State<Arc<App>>, Extension(caller): Extension<Caller>, request| async move {
        answer(&app, None, None, caller, request).await
    };
    router.fallback(other).with_state(app)
}

async fn answer(
    app: &App,
    name: Option<&str>,
    document: Option<Document>,
    caller: Caller,
    request: Request,
) -> Response<Body> {
    let manner = app.manner.load_full();
    let (head, body) = request.into_parts();
    let reply = match (&head.method, document) {
        (&Method::GET, Some(document)) => app.document(document, &head).await,
        (&Method::HEAD | &Method::OPTIONS, Some(document)) => {
            app.document(document, &head).await.without_body()
        }
        (&Method::GET | &Method::HEAD | &Method::OPTIONS, None) => app.check(&head),
        (method, _) => match name.and_then(|name| orders::named(method, name)) {
            Some(order) => app.order(order, caller, &manner, &head, body).await,
            None => Reply::page(501),
        },
    };
    reply.into_response(&manner)
}
