//! The pages for people, and the description of the API: files that are in the program.

use axum::Router;
use axum::http::{HeaderName, header};
use axum::response::{IntoResponse, Redirect};
use axum::routing::get;

/// Path, type, content.
const FILES: [(&str, &str, &str); 17] = [
    ("/", "text/html; charset=utf-8", include_str!("../page/index.html")),
    ("/page/style.css", "text/css; charset=utf-8", include_str!("../page/style.css")),
    ("/page/icon.svg", "image/svg+xml", include_str!("../page/icon.svg")),
    ("/page/app.js", SCRIPT, include_str!("../page/app.js")),
    ("/page/api.js", SCRIPT, include_str!("../page/api.js")),
    ("/page/formats.js", SCRIPT, include_str!("../page/formats.js")),
    ("/page/jobs.js", SCRIPT, include_str!("../page/jobs.js")),
    ("/page/live.js", SCRIPT, include_str!("../page/live.js")),
    ("/page/microphone.js", SCRIPT, include_str!("../page/microphone.js")),
    ("/page/recorder.js", SCRIPT, include_str!("../page/recorder.js")),
    ("/page/speakers.js", SCRIPT, include_str!("../page/speakers.js")),
    ("/page/transcript.js", SCRIPT, include_str!("../page/transcript.js")),
    ("/docs", "text/html; charset=utf-8", include_str!("../page/docs.html")),
    ("/page/docs.css", "text/css; charset=utf-8", include_str!("../page/docs.css")),
    ("/page/docs.js", SCRIPT, include_str!("../page/docs.js")),
    ("/openapi.json", "application/json", include_str!("../page/openapi.json")),
    ("/page/waveform.js", SCRIPT, include_str!("../page/waveform.js")),
];

const SCRIPT: &str = "text/javascript; charset=utf-8";

/// Nothing comes from elsewhere, and nobody shows the page inside of another.
const POLICY: &str = "default-src 'self'; media-src 'self' blob:; frame-ancestors 'none'; base-uri 'none'";

/// The routes of the files.
pub(crate) fn routes<S: Clone + Send + Sync + 'static>() -> Router<S> {
    // Where Unicorn Amanuensis had its page.
    let elsewhere = Router::new().route("/web", get(|| async { Redirect::temporary("./") }));
    FILES.into_iter().fold(elsewhere, |router, (path, kind, content)| {
        let answer = move || async move {
            let headers: [(HeaderName, &str); 4] = [
                (header::CONTENT_TYPE, kind),
                (header::CACHE_CONTROL, "no-cache"),
                (header::CONTENT_SECURITY_POLICY, POLICY),
                (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
            ];
            (headers, content).into_response()
        };
        router.route(path, get(answer))
    })
}
