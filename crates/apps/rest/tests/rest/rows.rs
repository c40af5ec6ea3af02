//! Every row of the table of requests is answered as it says.

use pgherd_domain::{Answer, Refusal};
use pgherd_rest::rows::{CHECKS, DOCUMENTS, ORDERS};

use crate::stand::Stand;

#[tokio::test]
async fn every_row_is_answered_with_the_code_of_its_example() {
    let mut stand = Stand::leading().await;
    for row in CHECKS.iter().chain(DOCUMENTS) {
        let path = format!("{}{}", row.path, row.example);
        let (code, body) = stand.get(&path).await;
        assert_eq!(code, row.code, "{path}: {body}");
        for method in ["HEAD", "OPTIONS"] {
            let (status, body) = stand.send(method, &path, "").await;
            assert_eq!((status, body.as_str()), (code, ""), "{method} {path}");
        }
        // Whatever comes behind the first segment, except where the whole path is the name.
        let is_exact = row.path.contains("sync") || row.path.contains("quorum");
        let code = if is_exact { 503 } else { row.code };
        let longer = format!("{}/x{}", row.path.trim_end_matches('/'), row.example);
        if row.path != "/" {
            assert_eq!(stand.get(&longer).await.0, code, "{longer}");
        }
    }
    for row in ORDERS {
        let url = format!("{}{}", stand.url, row.path);
        let request = stand.http.request(row.method.parse().unwrap(), url);
        let asked = tokio::spawn(crate::stand::answer(request.body(row.example)));
        if row.path == "/reinitialize" {
            let text = "I am the leader, can not reinitialize".to_owned();
            stand
                .serve_one(Answer::Refused(Refusal::Unavailable, text))
                .await;
        }
        if row.path == "/delayed" {
            let text = "a is the primary; only a delayed standby can stop before a time".to_owned();
            stand
                .serve_one(Answer::Refused(Refusal::Unavailable, text))
                .await;
        }
        if (row.method, row.path) == ("DELETE", "/restart") {
            let text = "no restarts are scheduled".to_owned();
            stand
                .serve_one(Answer::Refused(Refusal::NotFound, text))
                .await;
        }
        let (code, body) = asked.await.unwrap();
        assert_eq!(code, row.code, "{} {}: {body}", row.method, row.path);
    }
}
