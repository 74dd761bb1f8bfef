//! What a connection failed of, in words that are kept: the errors of hyper and of TLS do not live as long as ours, which are cloned and compared.

/// An error with its causes on one line. Hyper's own text is only the outermost.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let words = cause.to_string();
        if !text.ends_with(&words) {
            text.push_str(": ");
            text.push_str(&words);
        }
        source = cause.source();
    }
    text
}
